//! Pure. Who holds the Lease that allows an orchestrator to stand for leader.
//!
//! ```text
//!          nobody's, or unchanged for 15 s by our clock,          10 s without an answer
//!  Waiting ───────────────────────────────────────────> Holding ────────────────────────> Waiting
//!            or its holder is known to live no more;             or another holds it
//!                    our record was accepted
//! ```
//!
//! The times that stand in it are other machines' and decide nothing: only that it changes is believed. A record
//! counts from when it was first read, which is after it was written: whoever wrote it has given up by then.

use std::time::Duration;

use common::moment::Moment;

/// For so long a Lease is believed that does not change.
pub const DURATION: Duration = Duration::from_secs(15);
/// Whoever could not renew it for so long does not hold it any more.
pub const RENEW_DEADLINE: Duration = Duration::from_secs(10);
/// How often it is renewed.
pub const RENEW_INTERVAL: Duration = Duration::from_secs(2);
/// How often those look at it who do not hold it, although nobody told that it has changed.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);
/// What failed, or was refused, is tried again after so long.
const RETRY_INTERVAL: Duration = Duration::from_millis(500);

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
    /// What identities of processes end with that had our state directory. Only one at a time has it.
    state_dir: String,
    /// What was read last, and since when it has stood there.
    seen: Option<(LeaseRecord, Moment)>,
    /// When the last of our records was sent that was accepted.
    renewed: Option<Moment>,
}

impl LeaseView {
    /// `author` names this process, `state_dir` the folder whose lock it holds.
    pub fn new(author: &str, state_dir: &str) -> Self {
        let state_dir = format!(":{state_dir}");
        Self { own: format!("{author}{state_dir}"), state_dir, seen: None, renewed: None }
    }

    /// What stands in the Lease while it is ours.
    pub fn own(&self) -> &str {
        &self.own
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
            // It lives no more: its lock is ours.
            Some(holder) if holder.ends_with(&self.state_dir) => Some(Bid::Take),
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

    /// Whether news of it matter: of our own record there are none.
    pub fn is_waiting(&self) -> bool {
        self.renewed.is_none()
    }

    /// When to look at it, having just looked, if nothing is heard of it before: at the very instant at
    /// which it may be taken.
    pub fn next_look(&self, now: Moment) -> Moment {
        let due = match (self.renewed, &self.seen) {
            (Some(renewed), _) => renewed + RENEW_INTERVAL,
            (None, Some((seen, since))) => (*since + seen.duration).min(now + LOOK_INTERVAL),
            (None, None) => now,
        };
        if due > now { due } else { now + RETRY_INTERVAL }
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

    fn view() -> LeaseView {
        LeaseView::new("me:1", "folder")
    }

    #[test]
    fn another_holder_is_believed_as_long_as_its_record_changes() {
        let mut view = view();
        assert_eq!(view.read(record(Some("other"), 1), at(0)), None);
        assert_eq!(view.read(record(Some("other"), 2), at(14)), None);
        assert_eq!(view.read(record(Some("other"), 2), at(28)), None);
        assert_eq!(view.read(record(Some("other"), 2), at(29)), Some(Bid::Take));
        assert!(!view.is_held(at(29)), "asking is not having");
        view.wrote(at(29));
        assert!(view.is_held(at(38)) && !view.is_held(at(39)));
        assert_eq!(view.next_look(at(30)), at(31));
    }

    #[test]
    fn who_waits_looks_at_the_instant_at_which_the_lease_ends() {
        let mut view = view();
        assert_eq!(view.next_look(at(0)), at(0) + RETRY_INTERVAL, "nothing was read");
        view.read(record(Some("other"), 1), at(0));
        assert_eq!(view.next_look(at(0)), at(2));
        assert_eq!(view.next_look(at(14)), at(15));
        assert_eq!(view.next_look(at(15)), at(15) + RETRY_INTERVAL, "it was refused");
        view.read(record(Some("other"), 2), at(16));
        assert_eq!(view.next_look(at(30)), at(31), "from when it was read on");
    }

    /// Never sooner: its holder may count from when it sent it to when its deadline ends.
    #[test]
    fn a_record_counts_from_when_it_was_first_read() {
        let mut view = view();
        view.read(record(Some("other"), 1), at(7));
        let almost = at(22) - Duration::from_millis(1);
        assert_eq!(view.read(record(Some("other"), 1), almost), None);
        assert_eq!(view.read(record(Some("other"), 1), at(22)), Some(Bid::Take));
        assert!(DURATION > RENEW_DEADLINE);
    }

    #[test]
    fn a_lease_that_is_nobodys_is_taken_at_once() {
        let mut view = view();
        assert_eq!(view.read(None, at(0)), Some(Bid::Create));
        assert_eq!(view.read(record(None, 1), at(0)), Some(Bid::Take));
        assert_eq!(view.read(record(Some("me:1:folder"), 2), at(0)), Some(Bid::Renew), "ours");
    }

    #[test]
    fn the_lease_of_a_former_process_with_our_state_directory_is_taken_at_once() {
        let mut view = view();
        assert_eq!(view.read(record(Some("me:7:folder"), 1), at(0)), Some(Bid::Take));
        for living in ["me:7:other-folder", "me:7:other", "folder"] {
            assert_eq!(view.read(record(Some(living), 1), at(0)), None, "{living}");
        }
    }

    #[test]
    fn whoever_reads_another_holder_does_not_hold_it() {
        let mut view = view();
        view.read(None, at(0));
        view.wrote(at(0));
        assert!(view.is_held(at(1)) && !view.is_waiting());
        view.read(record(Some("other"), 7), at(1));
        assert!(!view.is_held(at(1)) && view.is_waiting());
    }
}
