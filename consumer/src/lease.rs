//! Pure. How long an incarnation may read and write: as long as its heartbeats are acknowledged in time.
//!
//! ```text
//!  heartbeat sent ──acknowledged──> lease until send time + TTL − margin ──> … ──> lapsed, for ever
//! ```
//!
//! A lapse is judged by the times, not by noticing: an acknowledgement that comes after the end of
//! the lease before it renews nothing. That goes for the very first one as well: the leader may have
//! read a heartbeat whose acknowledgement was lost, and count from there.

use std::collections::BTreeMap;
use std::time::Duration;

use common::moment::Moment;

/// The lease of one incarnation.
#[derive(Clone, Debug)]
pub struct Lease {
    /// TTL − margin, counted from the send time of an acknowledged heartbeat.
    span: Duration,
    /// Heartbeats that were sent and neither acknowledged nor overtaken by a later one.
    sent: BTreeMap<u64, Moment>,
    last_number: u64,
    /// The end of the lease; before the first acknowledgement that of the wait for it. `None` before
    /// the first heartbeat.
    until: Option<Moment>,
    begun: bool,
    lapsed: bool,
}

impl Lease {
    pub fn new(ttl: Duration, margin: Duration) -> Self {
        let span = ttl.saturating_sub(margin);
        Self {
            span,
            sent: BTreeMap::new(),
            last_number: 0,
            until: None,
            begun: false,
            lapsed: false,
        }
    }

    /// Notes that a heartbeat is sent now and returns its number, from 1.
    pub fn send(&mut self, now: Moment) -> u64 {
        self.last_number += 1;
        self.sent.insert(self.last_number, now);
        self.until.get_or_insert(now + self.span);
        self.last_number
    }

    /// Takes the acknowledgement of heartbeat `number`. Returns whether it renewed the lease.
    pub fn acknowledge(&mut self, number: u64, now: Moment) -> bool {
        let sent_at = self.sent.get(&number).copied();
        self.sent = self.sent.split_off(&number.saturating_add(1));
        if self.has_lapsed(now) {
            return false;
        }
        let Some(until) = sent_at.map(|sent_at| sent_at + self.span) else {
            return false; // Overtaken by a later one, or repeated.
        };
        let renews = !self.begun || self.until < Some(until);
        self.begun = true;
        self.until = self.until.max(Some(until));
        renews
    }

    /// Whether the lease, or the wait for it, ran out by `now`; it stays so.
    pub fn has_lapsed(&mut self, now: Moment) -> bool {
        self.lapsed |= self.until.is_some_and(|until| until <= now);
        self.lapsed
    }

    /// Whether reading and writing is allowed at `now`.
    pub fn holds(&mut self, now: Moment) -> bool {
        self.begun && !self.has_lapsed(now)
    }

    /// When the lease ends unless it is renewed.
    pub fn until(&self) -> Option<Moment> {
        self.until
    }

    /// The number of the last heartbeat that was sent, 0 before the first.
    pub fn last_number(&self) -> u64 {
        self.last_number
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(seconds: u64) -> Moment {
        Moment::since_boot(Duration::from_secs(seconds))
    }

    fn lease() -> Lease {
        Lease::new(Duration::from_secs(10), Duration::from_secs(1))
    }

    #[test]
    fn nothing_is_allowed_before_the_first_acknowledgement() {
        let mut lease = lease();
        let number = lease.send(at(0));
        assert!(!lease.holds(at(1)));
        assert!(lease.acknowledge(number, at(2)));
        assert!(lease.holds(at(8)));
        assert!(!lease.holds(at(9)));
    }

    #[test]
    fn a_late_acknowledgement_renews_nothing() {
        let mut lease = lease();
        let first = lease.send(at(0));
        let second = lease.send(at(8));
        assert!(lease.acknowledge(first, at(1)));
        assert!(!lease.acknowledge(second, at(9)), "the lease before it ended at 9");
        assert!(!lease.holds(at(10)));
    }

    /// The leader may have read the first heartbeat, given the incarnation up after a silence, and
    /// given its partitions away: a lease that began with a later one would not know.
    #[test]
    fn a_first_acknowledgement_that_comes_too_late_begins_nothing() {
        let mut lease = lease();
        lease.send(at(0));
        let second = lease.send(at(8));
        assert!(!lease.has_lapsed(at(8)));
        assert!(!lease.acknowledge(second, at(9)));
        assert!(lease.has_lapsed(at(9)) && !lease.holds(at(9)));
    }

    proptest! {
        /// Whatever the order of acknowledgements, the lease holds only within TTL − margin of the
        /// send time of one that was acknowledged, and never again once it ran out.
        #[test]
        fn a_lease_never_outlives_its_heartbeats(steps in prop::collection::vec((0u64..4, any::<prop::sample::Index>(), any::<bool>()), 1..60)) {
            let mut lease = lease();
            let mut now = 0;
            let mut sent: Vec<(u64, u64)> = Vec::new();
            let mut acknowledged_until = 0;
            let mut lapsed = false;
            for (wait, index, send) in steps {
                now += wait;
                if send || sent.is_empty() {
                    sent.push((lease.send(at(now)), now));
                } else {
                    let (number, sent_at) = *index.get(&sent);
                    lease.acknowledge(number, at(now));
                    acknowledged_until = acknowledged_until.max(sent_at + 9);
                }
                let holds = lease.holds(at(now));
                prop_assert!(!holds || now < acknowledged_until);
                prop_assert!(!(holds && lapsed));
                lapsed |= lease.has_lapsed(at(now));
            }
        }
    }
}
