//! Pure. Whether more consumers help: what the last ones brought, and whether it is the sink that limits.
//!
//! ```text
//!            consumers were created      they have read for a while
//!  Free ──────────────────────────> Trial ──────────────────────────> Free, if they brought enough
//!    ^                                                                  │
//!    └────────────── a while passed ────────────── Held <───────────────┘ less than a tenth
//! ```
//!
//! Expected is what went unread before, at most what the new consumers sustain.

use std::collections::BTreeSet;
use std::time::Duration;

use common::identity::ConsumerId;
use common::moment::Moment;
use common::rate::BytesPerSecond;

/// For so long new consumers must have read before they are judged.
const SETTLE: Duration = Duration::from_secs(30);
/// New consumers that read nothing for so long are judged by nobody.
const PATIENCE: Duration = Duration::from_secs(300);
/// How long no more are created after some that brought little.
const HELD: Duration = Duration::from_secs(300);
/// Less than one part in so many of what was expected is little.
const LITTLE: u64 = 10;

/// What the last consumers that were created are measured by.
#[derive(Clone, Debug, Default)]
pub struct Expansion {
    trial: Option<Trial>,
    held: Option<(Moment, Shortfall)>,
}

#[derive(Clone, Debug)]
struct Trial {
    created: BTreeSet<ConsumerId>,
    /// What all consumers read together before.
    before: BytesPerSecond,
    began: Moment,
    /// Since when all of them have read.
    settled: Option<Moment>,
}

/// What a trial found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shortfall {
    pub expected: BytesPerSecond,
    pub gained: BytesPerSecond,
}

/// What is known of the group at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Group<'a> {
    /// Consumers that hold something and told how much they read.
    pub readers: &'a BTreeSet<ConsumerId>,
    /// What all consumers read together.
    pub read: BytesPerSecond,
    /// What all partitions ask for.
    pub demand: BytesPerSecond,
    /// What one consumer sustains.
    pub capacity: BytesPerSecond,
}

impl Expansion {
    /// Consumers were created. Those of a trial that is on its way are judged together with them.
    pub fn began(&mut self, created: BTreeSet<ConsumerId>, read: BytesPerSecond, now: Moment) {
        if created.is_empty() {
            return;
        }
        let before = self.trial.take();
        let (mut all, read) = before.map_or((BTreeSet::new(), read), |t| (t.created, t.before));
        all.extend(created);
        self.trial = Some(Trial { created: all, before: read, began: now, settled: None });
    }

    /// Judges a trial that is due. Returns the shortfall that holds others back from now on.
    pub fn tick(&mut self, group: &Group<'_>, now: Moment) -> Option<Shortfall> {
        self.held = self.held.filter(|(until, _)| *until > now);
        let trial = self.trial.as_mut()?;
        if !trial.created.is_subset(group.readers) {
            trial.settled = None;
            if now.saturating_since(trial.began) > PATIENCE {
                self.trial = None;
            }
            return None;
        }
        let settled = *trial.settled.get_or_insert(now);
        if now.saturating_since(settled) < SETTLE {
            return None;
        }
        let found = self.trial.take().and_then(|trial| shortfall(&trial, group));
        self.held = found.map(|shortfall| (now + HELD, shortfall)).or(self.held);
        found
    }

    /// Why no consumer is created, if the last ones brought little.
    pub fn held(&self) -> Option<Shortfall> {
        self.held.map(|(_, shortfall)| shortfall)
    }
}

fn shortfall(trial: &Trial, group: &Group<'_>) -> Option<Shortfall> {
    let unread = group.demand.0.saturating_sub(trial.before.0);
    let sustained = group.capacity.0.saturating_mul(trial.created.len() as u64);
    let expected = unread.min(sustained);
    let gained = group.read.0.saturating_sub(trial.before.0);
    // Of next to nothing a tenth says nothing.
    let is_noticeable = expected > group.capacity.0 / LITTLE;
    (is_noticeable && gained.saturating_mul(LITTLE) < expected)
        .then_some(Shortfall { expected: BytesPerSecond(expected), gained: BytesPerSecond(gained) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::since_boot(Duration::from_secs(seconds))
    }

    /// One consumer read 100 of 400; another was created, and all together read `read`.
    fn trial(read: u64, demand: u64) -> (Expansion, Option<Shortfall>) {
        let mut expansion = Expansion::default();
        expansion.began([ConsumerId(2)].into(), BytesPerSecond(100), at(0));
        let one: BTreeSet<_> = [ConsumerId(1)].into();
        let both: BTreeSet<_> = [ConsumerId(1), ConsumerId(2)].into();
        let (read, demand) = (BytesPerSecond(read), BytesPerSecond(demand));
        let group = |readers| Group { readers, read, demand, capacity: BytesPerSecond(200) };
        assert_eq!(expansion.tick(&group(&one), at(5)), None, "it does not read yet");
        assert_eq!(expansion.tick(&group(&both), at(10)), None, "it begins to");
        assert_eq!(expansion.tick(&group(&both), at(39)), None);
        let found = expansion.tick(&group(&both), at(40));
        (expansion, found)
    }

    #[test]
    fn consumers_that_bring_nothing_hold_back_others_for_a_while() {
        let (mut expansion, found) = trial(110, 400);
        let expected = Shortfall { expected: BytesPerSecond(200), gained: BytesPerSecond(10) };
        assert_eq!((found, expansion.held()), (Some(expected), Some(expected)));
        let readers = BTreeSet::new();
        let (read, capacity) = (BytesPerSecond(110), BytesPerSecond(200));
        let group = Group { readers: &readers, read, demand: capacity, capacity };
        expansion.tick(&group, at(339));
        assert!(expansion.held().is_some());
        expansion.tick(&group, at(340));
        assert!(expansion.held().is_none());
    }

    #[test]
    fn consumers_that_help_hold_back_nobody_nor_do_those_with_nothing_to_do() {
        for (read, demand) in [(120, 400), (300, 400), (90, 110), (0, 0)] {
            let (expansion, found) = trial(read, demand);
            assert_eq!((found, expansion.held()), (None, None), "{read} of {demand}");
        }
    }

    #[test]
    fn consumers_that_are_created_one_after_the_other_are_judged_together() {
        let mut expansion = Expansion::default();
        let (before, later) = (BytesPerSecond(100), BytesPerSecond(150));
        expansion.began([ConsumerId(2)].into(), before, at(0));
        let readers: BTreeSet<_> = [ConsumerId(2), ConsumerId(3)].into();
        let rate = BytesPerSecond(1_000);
        let group = Group { readers: &readers, read: later, demand: rate, capacity: rate };
        expansion.tick(&group, at(1));
        expansion.began([ConsumerId(3)].into(), later, at(20));
        expansion.tick(&group, at(21));
        assert_eq!(expansion.tick(&group, at(50)), None, "the later one has not read for 30 s");
        let expected = Shortfall { expected: BytesPerSecond(900), gained: BytesPerSecond(50) };
        assert_eq!(expansion.tick(&group, at(51)), Some(expected));
    }

    #[test]
    fn whoever_never_reads_is_not_judged() {
        let mut expansion = Expansion::default();
        expansion.began([ConsumerId(2)].into(), BytesPerSecond(100), at(0));
        let readers = BTreeSet::new();
        let rate = BytesPerSecond(100);
        let group = Group { readers: &readers, read: rate, demand: rate, capacity: rate };
        for seconds in [1, 100, 301] {
            assert_eq!(expansion.tick(&group, at(seconds)), None);
        }
        assert!(expansion.trial.is_none());
    }
}
