//! Pure. New consumers that never came: after each in a row the next one is made later.
//!
//! ```text
//!            ends again and again, or stays silent            the rest is over
//!  on its way ─────────────────────────────────────> given up ────────────────> replaced
//!      │                                                │
//!      └────────────── heard for a while ───────────────┴──> it has come, and all is forgotten
//! ```
//!
//! While the rest lasts, who was given up stays: the fleet goes on trying, and it may come at last. Who came once
//! is none of these: whatever becomes of it, it is replaced at once.

use std::collections::BTreeMap;
use std::time::Duration;

use common::backoff::BackoffPolicy;
use common::identity::ConsumerId;
use common::moment::Moment;
use rand::Rng;
use rand::rngs::ChaCha8Rng;

use crate::status::ConsumerStanding;

use super::action::{Action, FleetNote, fleet_note};
use super::input::Now;
use super::reign::Reign;
use super::rollout::Wanted;

/// Whoever is heard for so long has come.
const COME: Duration = Duration::from_secs(10);
const RESTS: BackoffPolicy =
    BackoffPolicy { initial: Duration::from_secs(60), max: Duration::from_secs(600), factor: 2 };

#[derive(Clone, Debug, Default)]
pub(super) struct Newcomers {
    /// Those that this reign created and that have not come.
    new: BTreeMap<ConsumerId, Newcomer>,
    /// How many times in a row nobody came.
    failures: u32,
    /// Until then no other one is made.
    rests_until: Option<Moment>,
    /// What they are made from.
    wanted: Wanted,
}

#[derive(Clone, Copy, Debug, Default)]
struct Newcomer {
    /// So many times in a row nobody had come when it was created: those that are made together
    /// count as one.
    failures_before: u32,
    heard_since: Option<Moment>,
    is_given_up: bool,
}

impl Newcomers {
    pub(super) fn created(&mut self, consumer: ConsumerId) {
        let newcomer = Newcomer { failures_before: self.failures, ..Newcomer::default() };
        self.new.insert(consumer, newcomer);
    }

    pub(super) fn removed(&mut self, consumer: ConsumerId) {
        self.new.remove(&consumer);
    }

    /// What others are made from may suit them better.
    pub(super) fn note_wanted(&mut self, wanted: &Wanted) {
        if self.wanted != *wanted {
            self.wanted = wanted.clone();
            self.forget();
        }
    }

    fn forget(&mut self) {
        (self.failures, self.rests_until) = (0, None);
        self.new.values_mut().for_each(|newcomer| newcomer.failures_before = 0);
    }

    /// A living incarnation of it takes partitions, or none does. Returns whether it has come by this.
    pub(super) fn note_heard(&mut self, consumer: ConsumerId, is_heard: bool, now: Moment) -> bool {
        let Some(newcomer) = self.new.get_mut(&consumer) else { return false };
        if !is_heard {
            newcomer.heard_since = None;
            return false;
        }
        let since = *newcomer.heard_since.get_or_insert(now);
        let has_come = now.saturating_since(since) >= COME;
        if has_come {
            self.new.remove(&consumer);
            self.forget();
        }
        has_come
    }

    /// It does not get on. Returns, the first time, how many did not come in a row, and for how long no
    /// other one is made.
    fn give_up(
        &mut self,
        consumer: ConsumerId,
        now: Moment,
        rng: &mut impl Rng,
    ) -> Option<(u32, Duration)> {
        let newcomer = self.new.get_mut(&consumer)?;
        if std::mem::replace(&mut newcomer.is_given_up, true) {
            return None;
        }
        let failures = newcomer.failures_before + 1;
        if failures > self.failures || !self.is_resting(now) {
            self.failures = self.failures.max(failures);
            self.rests_until = Some(now + RESTS.delay(self.failures, rng));
        }
        let rest = self.rests_until.map_or(Duration::ZERO, |until| until.saturating_since(now));
        Some((self.failures, rest))
    }

    /// The last ones that were made never came: another one would not, either.
    pub(super) fn is_resting(&self, now: Moment) -> bool {
        self.rests_until.is_some_and(|until| now < until)
    }

    /// It was given up, and may come nevertheless.
    pub(super) fn is_awaited(&self, consumer: ConsumerId, now: Moment) -> bool {
        self.new.get(&consumer).is_some_and(|newcomer| {
            newcomer.is_given_up && (newcomer.heard_since.is_some() || self.is_resting(now))
        })
    }

    pub(super) fn contains(&self, consumer: ConsumerId) -> bool {
        self.new.contains_key(&consumer)
    }
}

impl Reign {
    /// Looks for new consumers that do not come.
    pub(super) fn give_up_newcomers(&mut self, now: Now, rng: &mut ChaCha8Rng) -> Vec<Action> {
        let standings = self.standings(now).into_iter();
        let lost: Vec<_> = standings.filter(|(_, standing)| is_lost(*standing)).collect();
        let mut actions = vec![];
        for (consumer, _) in lost {
            let given_up = self.newcomers.give_up(consumer, now.moment, rng);
            let note =
                given_up.map(|(in_a_row, rest)| FleetNote::NeverCame { consumer, in_a_row, rest });
            actions.extend(note.map(fleet_note));
        }
        actions
    }

    /// A new consumer that is lost stays for a while, and the fleet goes on trying.
    pub(super) fn unless_awaited(
        &self,
        consumer: ConsumerId,
        lost: ConsumerStanding,
        now: Now,
    ) -> ConsumerStanding {
        let is_awaited = self.newcomers.is_awaited(consumer, now.moment);
        if is_awaited { ConsumerStanding::Awaited } else { lost }
    }

    /// How many consumers are lost that had come.
    pub(super) fn lost(&self, now: Now) -> usize {
        let standings = self.standings(now).into_iter();
        let lost = standings.filter(|(_, standing)| is_lost(*standing));
        lost.filter(|(consumer, _)| !self.newcomers.contains(*consumer)).count()
    }
}

fn is_lost(standing: ConsumerStanding) -> bool {
    matches!(standing, ConsumerStanding::Failing | ConsumerStanding::Absent)
}

#[cfg(test)]
mod tests {
    use common::messages::service::DeploymentEntry;
    use rand::SeedableRng as _;

    use super::*;

    const ONE: ConsumerId = ConsumerId(1);
    const TWO: ConsumerId = ConsumerId(2);

    fn at(seconds: u64) -> Moment {
        Moment::since_boot(Duration::from_secs(seconds))
    }

    /// So many consumers, one after the other, that never came: how long is rested after each.
    fn rests(newcomers: &mut Newcomers, count: u32) -> Vec<Duration> {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let (mut now, mut rests) = (at(0), vec![]);
        for _ in 0..count {
            newcomers.created(ONE);
            let (_, rest) = newcomers.give_up(ONE, now, &mut rng).unwrap();
            assert_eq!(newcomers.give_up(ONE, now, &mut rng), None, "it was told");
            assert!(newcomers.is_awaited(ONE, now) && newcomers.is_resting(now));
            now = now + rest;
            assert!(!newcomers.is_awaited(ONE, now) && !newcomers.is_resting(now));
            assert_eq!(newcomers.give_up(ONE, now, &mut rng), None, "it is to be replaced");
            newcomers.removed(ONE);
            rests.push(rest);
        }
        rests
    }

    #[test]
    fn each_that_never_comes_lets_the_next_wait_longer_up_to_ten_minutes() {
        let rests = rests(&mut Newcomers::default(), 7);
        for (rest, bound) in rests.iter().zip([60, 120, 240, 480, 600, 600, 600]) {
            let bound = Duration::from_secs(bound);
            assert!(*rest >= bound / 2 && *rest <= bound, "{rest:?} of {bound:?}");
        }
    }

    #[test]
    fn those_that_were_made_together_count_once() {
        let (mut newcomers, mut rng) = (Newcomers::default(), ChaCha8Rng::seed_from_u64(1));
        newcomers.created(ONE);
        newcomers.created(TWO);
        let (first, rest) = newcomers.give_up(ONE, at(0), &mut rng).unwrap();
        let (second, left) = newcomers.give_up(TWO, at(5), &mut rng).unwrap();
        assert_eq!((first, second, left), (1, 1, rest - Duration::from_secs(5)));
    }

    #[test]
    fn all_is_forgotten_once_one_has_come_to_stay_or_others_are_to_be_made() {
        let mut newcomers = Newcomers::default();
        rests(&mut newcomers, 3);
        newcomers.created(ONE);
        newcomers.note_heard(ONE, true, at(5_000));
        newcomers.note_heard(ONE, false, at(5_009));
        newcomers.note_heard(ONE, true, at(5_010));
        newcomers.note_heard(ONE, true, at(5_019));
        assert_eq!((newcomers.failures, newcomers.contains(ONE)), (3, true), "it might fail again");
        newcomers.note_heard(ONE, true, at(5_020));
        assert_eq!((newcomers.failures, newcomers.contains(ONE)), (0, false));
        rests(&mut newcomers, 3);
        newcomers.note_wanted(&Wanted::default());
        assert_eq!(newcomers.failures, 3);
        let deployment = DeploymentEntry { image: Some("other".into()), ..Default::default() };
        newcomers.note_wanted(&Wanted { deployment, template: 0 });
        assert_eq!(newcomers.failures, 0);
    }

    #[test]
    fn who_is_heard_at_last_is_not_replaced_before_it_has_come() {
        let (mut newcomers, mut rng) = (Newcomers::default(), ChaCha8Rng::seed_from_u64(1));
        newcomers.created(ONE);
        let (_, rest) = newcomers.give_up(ONE, at(0), &mut rng).unwrap();
        let over = at(0) + rest;
        assert!(!newcomers.note_heard(ONE, true, over - Duration::from_secs(1)));
        assert!(newcomers.is_awaited(ONE, over), "it may have come");
        assert!(newcomers.note_heard(ONE, true, over + Duration::from_secs(9)));
        assert!(!newcomers.is_awaited(ONE, over + Duration::from_secs(9)));
    }
}
