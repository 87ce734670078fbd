//! Pure. Replaces consumers that run with something old, one at a time: drained, removed, made anew.
//!
//! ```text
//!        some are old, all others are well          it is gone, and all is settled
//!  Idle ──────────────────────────────────> Drains one ───────────────────────────> Idle
//!    ^                                          │
//!    └── a new one does not get on: stopped, until it does or what is wanted changes
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use common::identity::ConsumerId;
use common::messages::service::DeploymentEntry;
use common::moment::Moment;

use crate::status::ConsumerStanding;

/// For so long all new ones must have been well before the next one is replaced.
const PROVEN: Duration = Duration::from_secs(10);

/// What consumers are to run with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) deployment: DeploymentEntry,
    /// Counts the templates of the fleet.
    pub(super) template: u64,
}

/// What the present moment allows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Group<'a> {
    pub(super) standings: &'a BTreeMap<ConsumerId, ConsumerStanding>,
    /// Those of the fleet that run with something else than is wanted.
    pub(super) outdated: &'a BTreeSet<ConsumerId>,
    pub(super) wanted: &'a Wanted,
    /// Nothing is on its way from one consumer to another.
    pub(super) is_settled: bool,
    /// Neither a person nor a lack of measurements holds changes back.
    pub(super) may_change: bool,
    /// Consumers may be created.
    pub(super) may_create: bool,
}

/// What becomes of a roll-out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It goes on with this consumer; so many are left after it.
    Replaces {
        consumer: ConsumerId,
        left: usize,
    },
    /// A consumer that is new does not get on: the others stay as they are.
    Stopped {
        by: ConsumerId,
    },
    Done,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Rollout {
    draining: Option<ConsumerId>,
    /// A new one did not get on with this.
    stopped: Option<(ConsumerId, Wanted)>,
    is_on: bool,
    well_since: Option<Moment>,
}

impl Rollout {
    pub(super) fn draining(&self) -> Option<ConsumerId> {
        self.draining
    }

    pub(super) fn is_draining(&self, consumer: ConsumerId) -> bool {
        self.draining == Some(consumer)
    }

    /// Decides who is next. Returns what is new.
    pub(super) fn tick(&mut self, group: Group<'_>, now: Moment) -> Option<Progress> {
        self.draining = self.draining.filter(|consumer| group.outdated.contains(consumer));
        if group.outdated.is_empty() {
            self.stopped = None;
            return std::mem::take(&mut self.is_on).then_some(Progress::Done);
        }
        if let Some(by) = self.who_does_not_get_on(group) {
            // Whoever was to make room for it goes on as before.
            self.draining = None;
            let stopped = Some((by, group.wanted.clone()));
            let is_new = std::mem::replace(&mut self.stopped, stopped.clone()) != stopped;
            return is_new.then_some(Progress::Stopped { by });
        }
        if self.is_stopped(group) {
            return None;
        }
        if self.draining.is_some() || !group.may_change {
            return None;
        }
        // Whoever reads nothing is not missed.
        let is_lost = |consumer: &&ConsumerId| fails(group.standings.get(consumer));
        if let Some(consumer) = group.outdated.iter().find(is_lost) {
            return Some(self.replace(*consumer, group));
        }
        if !group.may_create {
            return None;
        }
        let is_well = |standing: &ConsumerStanding| match standing {
            ConsumerStanding::Serving
            | ConsumerStanding::ByHand
            | ConsumerStanding::Unreachable => true,
            ConsumerStanding::Starting
            | ConsumerStanding::Draining
            | ConsumerStanding::Awaited
            | ConsumerStanding::Absent
            | ConsumerStanding::Failing => false,
        };
        let new = group.standings.iter().filter(|(consumer, _)| !group.outdated.contains(consumer));
        if !group.is_settled || !new.map(|(_, standing)| standing).all(is_well) {
            self.well_since = None;
            return None;
        }
        let well_since = *self.well_since.get_or_insert(now);
        if self.is_on && now.saturating_since(well_since) < PROVEN {
            return None;
        }
        Some(self.replace(*group.outdated.first()?, group))
    }

    fn replace(&mut self, consumer: ConsumerId, group: Group<'_>) -> Progress {
        (self.draining, self.stopped, self.is_on) = (Some(consumer), None, true);
        self.well_since = None;
        Progress::Replaces { consumer, left: group.outdated.len() - 1 }
    }

    /// Whoever did not get on and is gone would not have got on.
    fn is_stopped(&self, group: Group<'_>) -> bool {
        self.stopped.as_ref().is_some_and(|(by, wanted)| {
            let gets_on = group.standings.get(by) == Some(&ConsumerStanding::Serving);
            wanted == group.wanted && !gets_on
        })
    }

    /// A consumer with what is wanted now that was made and does not run.
    fn who_does_not_get_on(&self, group: Group<'_>) -> Option<ConsumerId> {
        let mut failing = group.standings.iter().filter(|(_, standing)| fails(Some(standing)));
        let found = failing.find(|(consumer, _)| !group.outdated.contains(consumer));
        found.map(|(consumer, _)| *consumer)
    }
}

fn fails(standing: Option<&ConsumerStanding>) -> bool {
    matches!(standing, Some(ConsumerStanding::Failing | ConsumerStanding::Awaited))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVING: ConsumerStanding = ConsumerStanding::Serving;

    fn tick(
        rollout: &mut Rollout,
        standings: &[(u32, ConsumerStanding)],
        outdated: &[u32],
        seconds: u64,
    ) -> Option<Progress> {
        let standings =
            standings.iter().map(|(number, standing)| (ConsumerId(*number), *standing)).collect();
        let outdated = outdated.iter().map(|number| ConsumerId(*number)).collect();
        let group = Group {
            standings: &standings,
            outdated: &outdated,
            wanted: &Wanted::default(),
            is_settled: true,
            may_change: true,
            may_create: true,
        };
        rollout.tick(group, Moment::since_boot(Duration::from_secs(seconds)))
    }

    #[test]
    fn consumers_are_replaced_one_after_the_other() {
        let mut rollout = Rollout::default();
        let both = [(1, SERVING), (2, SERVING)];
        let next = tick(&mut rollout, &both, &[1, 2], 0);
        assert_eq!(next, Some(Progress::Replaces { consumer: ConsumerId(1), left: 1 }));
        assert!(rollout.is_draining(ConsumerId(1)));
        assert_eq!(tick(&mut rollout, &both, &[1, 2], 0), None, "one at a time");
        let starting = [(2, SERVING), (3, ConsumerStanding::Starting)];
        assert_eq!(tick(&mut rollout, &starting, &[2], 1), None, "the new one is not there yet");
        let there = [(2, SERVING), (3, SERVING)];
        assert_eq!(tick(&mut rollout, &there, &[2], 2), None, "it has to prove itself");
        assert_eq!(tick(&mut rollout, &there, &[2], 11), None);
        let next = tick(&mut rollout, &there, &[2], 12);
        assert_eq!(next, Some(Progress::Replaces { consumer: ConsumerId(2), left: 0 }));
        assert_eq!(tick(&mut rollout, &[(3, SERVING)], &[], 13), Some(Progress::Done));
        assert_eq!(tick(&mut rollout, &[(3, SERVING)], &[], 13), None);
    }

    #[test]
    fn a_new_one_that_does_not_get_on_stops_it_until_it_does() {
        for trouble in [ConsumerStanding::Failing, ConsumerStanding::Awaited] {
            let mut rollout = Rollout::default();
            tick(&mut rollout, &[(1, SERVING)], &[1], 0);
            assert!(rollout.is_draining(ConsumerId(1)));
            let stuck = [(1, SERVING), (2, trouble)];
            let stopped = Some(Progress::Stopped { by: ConsumerId(2) });
            assert_eq!(tick(&mut rollout, &stuck, &[1], 1), stopped);
            assert_eq!(tick(&mut rollout, &stuck, &[1], 1), None, "it was told");
            assert!(!rollout.is_draining(ConsumerId(1)));
            assert_eq!(tick(&mut rollout, &[(1, SERVING)], &[1], 1), None, "it was removed");
            let both = [(1, SERVING), (2, SERVING)];
            assert_eq!(tick(&mut rollout, &both, &[1], 2), None);
            assert!(tick(&mut rollout, &both, &[1], 12).is_some());
        }
        let old = [(1, ConsumerStanding::Failing), (2, SERVING)];
        assert!(
            tick(&mut Rollout::default(), &old, &[1], 0).is_some(),
            "an old one is to go anyway"
        );
    }

    /// Else one that waits for an image that does not exist would be in the way of the right one.
    #[test]
    fn an_old_one_that_reads_nothing_is_replaced_whatever_holds_back_the_others() {
        let old = ConsumerId(1);
        let (standings, outdated) = ([(old, ConsumerStanding::Awaited)].into(), [old].into());
        let group = Group {
            standings: &standings,
            outdated: &outdated,
            wanted: &Wanted::default(),
            is_settled: false,
            may_change: true,
            may_create: false,
        };
        let next = Rollout::default().tick(group, Moment::default());
        assert_eq!(next, Some(Progress::Replaces { consumer: old, left: 0 }));
    }

    #[test]
    fn nothing_is_replaced_while_changes_are_held_back_or_on_their_way() {
        let (standings, outdated) =
            ([(ConsumerId(1), SERVING)].into(), BTreeSet::from([ConsumerId(1)]));
        for (is_settled, may_change, may_create) in
            [(false, true, true), (true, false, true), (true, true, false)]
        {
            let (standings, outdated) = (&standings, &outdated);
            let wanted = &Wanted::default();
            let group = Group { standings, outdated, wanted, is_settled, may_change, may_create };
            assert_eq!(Rollout::default().tick(group, Moment::default()), None);
        }
    }
}
