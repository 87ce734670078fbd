//! Pure. Who holds the Lease that allows an orchestrator to stand for leader.
//!
//! ```text
//!          nobody's, or unchanged for 15 s by our clock          10 s without an answer
//!  Waiting ───────────────────────────────────────────> Holding ────────────────────────> Waiting
//!                    our record was accepted                     or another holds it
//! ```
//!
//! The times that stand in it are other machines' and decide nothing: only that it changes is believed.

use std::time::Duration;

use common::moment::Moment;

/// For so long a Lease is believed that does not change.
pub const DURATION: Duration = Duration::from_secs(15);
/// Whoever could not renew it for so long does not hold it any more.
pub const RENEW_DEADLINE: Duration = Duration::from_secs(10);
/// How often it is renewed.
pub const RENEW_INTERVAL: Duration = Duration::from_secs(2);
/// How often those look at it who do not hold it: what they see late they take late.
pub const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// What stands in the Lease.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeaseRecord {
    /// Nobody, if it was given back.
    pub holder: Option<String>,
    /// How long its holder asks to be believed.
    pub duration: Duration,
    /// Changes whenever somebody writes.
    pub resource_version: String,
    pub transitions: i32,
}

/// What is to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bid {
    /// There is no Lease.
    Create,
    /// It is ours: say that we are still there.
    Renew,
    /// It is nobody's any more.
    Take,
}

/// One orchestrator's view of the Lease.
#[derive(Clone, Debug)]
pub struct LeaseView {
    own: String,
    /// What was read last, and since when it has stood there.
    seen: Option<(LeaseRecord, Moment)>,
    /// When the last of our records was sent that was accepted.
    renewed: Option<Moment>,
}

impl LeaseView {
    pub fn new(own: String) -> Self {
        Self { own, seen: None, renewed: None }
    }

    /// What to do about what stands there.
    pub fn read(&mut self, found: Option<LeaseRecord>, now: Moment) -> Option<Bid> {
        let Some(found) = found else {
            (self.seen, self.renewed) = (None, None);
            return Some(Bid::Create);
        };
        if self.seen.as_ref().is_none_or(|(seen, _)| *seen != found) {
            self.seen = Some((found.clone(), now));
        }
        let since = self.seen.as_ref().map_or(now, |(_, since)| *since);
        match &found.holder {
            Some(holder) if *holder == self.own => Some(Bid::Renew),
            None => Some(Bid::Take),
            Some(_) => {
                self.renewed = None;
                let is_over = now.saturating_since(since) >= found.duration;
                is_over.then_some(Bid::Take)
            }
        }
    }

    /// A record of ours was accepted that was sent at this moment.
    pub fn wrote(&mut self, sent: Moment) {
        self.renewed = Some(sent);
    }

    /// Whether it is time to look at it.
    pub fn is_due(&self, now: Moment) -> bool {
        self.renewed.is_none_or(|renewed| now.saturating_since(renewed) >= RENEW_INTERVAL)
    }

    pub fn is_held(&self, now: Moment) -> bool {
        self.renewed.is_some_and(|renewed| now.saturating_since(renewed) < RENEW_DEADLINE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::since_boot(Duration::from_secs(seconds))
    }

    fn record(holder: Option<&str>, version: u64) -> Option<LeaseRecord> {
        Some(LeaseRecord {
            holder: holder.map(str::to_owned),
            duration: DURATION,
            resource_version: version.to_string(),
            transitions: 0,
        })
    }

    #[test]
    fn another_holder_is_believed_as_long_as_its_record_changes() {
        let mut view = LeaseView::new("me".into());
        assert_eq!(view.read(record(Some("other"), 1), at(0)), None);
        assert_eq!(view.read(record(Some("other"), 2), at(14)), None);
        assert_eq!(view.read(record(Some("other"), 2), at(28)), None);
        assert_eq!(view.read(record(Some("other"), 2), at(29)), Some(Bid::Take));
        assert!(!view.is_held(at(29)), "asking is not having");
        view.wrote(at(29));
        assert!(view.is_held(at(38)) && !view.is_held(at(39)));
        assert!(!view.is_due(at(30)) && view.is_due(at(31)));
    }

    #[test]
    fn a_lease_that_is_nobodys_is_taken_at_once() {
        let mut view = LeaseView::new("me".into());
        assert_eq!(view.read(None, at(0)), Some(Bid::Create));
        assert_eq!(view.read(record(None, 1), at(0)), Some(Bid::Take));
        assert_eq!(view.read(record(Some("me"), 2), at(0)), Some(Bid::Renew), "of a former life");
    }

    #[test]
    fn whoever_reads_another_holder_does_not_hold_it() {
        let mut view = LeaseView::new("me".into());
        view.read(None, at(0));
        view.wrote(at(0));
        assert!(view.is_held(at(1)));
        view.read(record(Some("other"), 7), at(1));
        assert!(!view.is_held(at(1)));
    }
}
