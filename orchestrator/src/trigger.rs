//! Pure. Decides when a plan is made, why, and how much it may change.
//!
//! ```text
//!               a measurement came
//!            ┌─────────────────────┐        measuring: everything is a reason
//!            v                     │
//!  waiting ──> measuring ──────> frozen     frozen: only what lacks an owner, and what people ask
//!     │         silence             ^
//!     └─────────────────────────────┘       waiting for the first measurement: nothing is, yet
//!               silence
//! ```

use std::collections::BTreeMap;
use std::time::Duration;

use common::identity::ConsumerId;
use common::moment::Moment;

use crate::plan::plan;
use crate::plan::snapshot::{Demand, Scope, Snapshot, Standing, Wish};
pub use crate::reason::Reason;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TriggerPolicy {
    /// For so long fewer consumers must have sufficed before one is closed.
    pub stabilisation: Duration,
    /// After so long without a measurement nothing is moved that need not be.
    pub silence: Duration,
    /// A reason whose plan changed nothing is not acted upon again for so long.
    pub mute: Duration,
}

/// Time to plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trigger {
    pub reason: Reason,
    pub scope: Scope,
}

/// What the snapshot does not show by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Occasion {
    ConsumerDied(ConsumerId),
    /// With what changed, for people.
    ConfigurationChanged(String),
    /// With who or what asked, for people.
    Asked(String),
}

/// When a plan was made last for which reason, and since when fewer consumers would do.
#[derive(Clone, Debug)]
pub struct Triggers {
    policy: TriggerPolicy,
    started: Moment,
    measured: Option<Moment>,
    occasions: Vec<Occasion>,
    /// By reason, until when.
    muted: BTreeMap<&'static str, Moment>,
    surplus_since: Option<Moment>,
    surplus_checked: Option<Moment>,
    last: Option<&'static str>,
}

/// What a plan may be made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Whatever is a reason.
    Improve,
    /// Only what lacks an owner, and what is not to be read any more.
    Repair,
}

/// How far what is known about rates can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    Waiting,
    Measuring,
    Frozen,
}

impl Triggers {
    pub fn new(policy: TriggerPolicy, now: Moment) -> Self {
        Self {
            policy,
            started: now,
            measured: None,
            occasions: Vec::new(),
            muted: BTreeMap::new(),
            surplus_since: None,
            surplus_checked: None,
            last: None,
        }
    }

    /// A measurement was read.
    pub fn measured(&mut self, now: Moment) {
        self.measured = Some(now);
    }

    /// Something happened that is a reason to plan.
    pub fn note(&mut self, occasion: Occasion) {
        if !self.occasions.contains(&occasion) {
            self.occasions.push(occasion);
        }
    }

    /// The plan for the last trigger changed nothing: its reason rests for a while.
    pub fn fruitless(&mut self, now: Moment) {
        if let Some(label) = self.last {
            self.muted.insert(label, now + self.policy.mute);
        }
    }

    pub fn trust(&self, now: Moment) -> Trust {
        let heard = self.measured.unwrap_or(self.started);
        if now.saturating_since(heard) > self.policy.silence {
            Trust::Frozen
        } else if self.measured.is_some() {
            Trust::Measuring
        } else {
            Trust::Waiting
        }
    }

    /// Whether to plan now. The scope of `snapshot` is not looked at: the trigger names the one to
    /// plan with.
    pub fn decide(
        &mut self,
        now: Moment,
        snapshot: &Snapshot,
        purpose: Purpose,
    ) -> Option<Trigger> {
        self.muted.retain(|_, until| *until > now);
        let trigger = match (self.trust(now), purpose) {
            (Trust::Waiting, _) => None,
            (Trust::Frozen, _) | (_, Purpose::Repair) => {
                self.surplus_since = None;
                self.pressing(snapshot, Scope::Place)
            }
            (Trust::Measuring, Purpose::Improve) => self
                .pressing(snapshot, Scope::Relieve)
                .or_else(|| self.relieving(snapshot))
                .or_else(|| self.surplus(now, snapshot)),
        };
        self.last = trigger.as_ref().map(|trigger| trigger.reason.label());
        trigger
    }

    /// What is planned for even when the rates are old.
    fn pressing(&mut self, snapshot: &Snapshot, scope: Scope) -> Option<Trigger> {
        if let Some(occasion) = self.take_occasion() {
            let may_pack = scope >= Scope::Relieve && matches!(occasion, Reason::Asked { .. });
            let scope = if may_pack { Scope::Pack } else { scope };
            return Some(Trigger { reason: occasion, scope });
        }
        let reason = unowned(snapshot).or_else(|| excluded(snapshot))?;
        self.unless_muted(Trigger { reason, scope })
    }

    fn relieving(&self, snapshot: &Snapshot) -> Option<Trigger> {
        let reasons = [draining, overload, misplaced, below_minimum, lacks_spares];
        reasons
            .into_iter()
            .filter_map(|reason| reason(snapshot))
            .find_map(|reason| self.unless_muted(Trigger { reason, scope: Scope::Relieve }))
    }

    /// Fewer consumers have sufficed for a whole window.
    fn surplus(&mut self, now: Moment, snapshot: &Snapshot) -> Option<Trigger> {
        let is_fresh = |checked| now.saturating_since(checked) < self.check_interval();
        if self.surplus_checked.is_some_and(is_fresh) {
            return None;
        }
        self.surplus_checked = Some(now);
        let serving = snapshot.serving() + snapshot.awaited();
        let Some(sufficient) = sufficient(snapshot).filter(|sufficient| *sufficient < serving)
        else {
            self.surplus_since = None;
            return None;
        };
        let since = *self.surplus_since.get_or_insert(now);
        let window = now.saturating_since(since);
        if window < self.policy.stabilisation {
            return None;
        }
        self.surplus_since = None;
        let reason = Reason::Surplus { serving, sufficient, window };
        Some(Trigger { reason, scope: Scope::Pack })
    }

    /// Trial plans are made often enough not to miss a need, and seldom enough not to cost much.
    fn check_interval(&self) -> Duration {
        (self.policy.stabilisation / 60).min(Duration::from_secs(5))
    }

    fn take_occasion(&mut self) -> Option<Reason> {
        if self.occasions.is_empty() {
            return None;
        }
        Some(match self.occasions.remove(0) {
            Occasion::ConsumerDied(consumer) => Reason::ConsumerDied { consumer },
            Occasion::ConfigurationChanged(what) => Reason::ConfigurationChanged { what },
            Occasion::Asked(by) => Reason::Asked { by },
        })
    }

    fn unless_muted(&self, trigger: Trigger) -> Option<Trigger> {
        (!self.muted.contains_key(trigger.reason.label())).then_some(trigger)
    }
}

fn unowned(snapshot: &Snapshot) -> Option<Reason> {
    let mut unowned = snapshot.partitions.iter().filter(|(partition, facts)| {
        facts.wish != Wish::Excluded && snapshot.living_owner(partition).is_none()
    });
    let (first, _) = unowned.next()?;
    Some(Reason::Unowned { partitions: 1 + unowned.count(), first: first.clone() })
}

fn excluded(snapshot: &Snapshot) -> Option<Reason> {
    let mut partitions = snapshot.partitions.iter();
    let found = partitions.find(|(partition, facts)| {
        facts.wish == Wish::Excluded && snapshot.living_owner(partition).is_some()
    });
    found.map(|(partition, _)| Reason::Wish { partition: partition.clone() })
}

fn misplaced(snapshot: &Snapshot) -> Option<Reason> {
    let is_misplaced = |wish: Wish, owner: Option<ConsumerId>| match wish {
        Wish::Pinned(wanted) => is_serving(snapshot, wanted) && owner != Some(wanted),
        Wish::None | Wish::Excluded => false,
    };
    let mut partitions = snapshot.partitions.iter();
    let found = partitions.find(|(_, facts)| is_misplaced(facts.wish, facts.owner));
    found.map(|(partition, _)| Reason::Wish { partition: partition.clone() })
}

fn draining(snapshot: &Snapshot) -> Option<Reason> {
    let is_draining = |owner: &ConsumerId| {
        let facts = snapshot.consumers.get(owner);
        facts.is_some_and(|facts| facts.standing == Standing::Draining)
    };
    let mut owners = snapshot.partitions.values().filter_map(|facts| facts.owner);
    owners.find(is_draining).map(|consumer| Reason::Draining { consumer })
}

fn below_minimum(snapshot: &Snapshot) -> Option<Reason> {
    let serving = snapshot.serving();
    let consumers_min = snapshot.limits.consumers_min;
    let is_below = serving < usize::try_from(consumers_min).unwrap_or(usize::MAX);
    is_below.then_some(Reason::Minimum { serving, consumers_min })
}

fn lacks_spares(snapshot: &Snapshot) -> Option<Reason> {
    let (idle, spares) = (snapshot.idle(), snapshot.limits.spares);
    let lacks = idle < usize::try_from(spares).unwrap_or(usize::MAX);
    lacks.then_some(Reason::Spares { idle, spares })
}

/// The most overloaded consumer that has something to hand over.
fn overload(snapshot: &Snapshot) -> Option<Reason> {
    let overloaded = overloads(snapshot).into_iter();
    let (consumer, percent) =
        overloaded.max_by_key(|(id, percent)| (*percent, std::cmp::Reverse(*id)))?;
    Some(Reason::Overload { consumer, percent: u64::try_from(percent).unwrap_or(u64::MAX) })
}

/// The consumers above their trigger capacity that have something to hand over, with how much of it
/// is asked of them, in per cent.
pub fn overloads(snapshot: &Snapshot) -> Vec<(ConsumerId, u128)> {
    let loads = loads(snapshot).into_iter();
    let overloaded = loads.filter_map(|(id, (load, loaded))| {
        let trigger = snapshot.limits.trigger_capacity(snapshot.consumers[&id].capacity);
        let percent = u128::from(load.peak.0) * 100 / u128::from(trigger.0.max(1));
        (load.peak > trigger && loaded > 1).then_some((id, percent))
    });
    overloaded.collect()
}

/// The load of each serving consumer, and how many of its partitions ask for anything.
fn loads(snapshot: &Snapshot) -> BTreeMap<ConsumerId, (Demand, usize)> {
    let mut loads = BTreeMap::<ConsumerId, (Demand, usize)>::new();
    for facts in snapshot.partitions.values() {
        let Some(owner) = facts.owner.filter(|owner| is_serving(snapshot, *owner)) else {
            continue;
        };
        let (load, loaded) = loads.entry(owner).or_default();
        *load = *load + facts.demand;
        *loaded += usize::from(facts.demand != Demand::NONE);
    }
    loads
}

fn is_serving(snapshot: &Snapshot, consumer: ConsumerId) -> bool {
    snapshot.consumers.get(&consumer).is_some_and(|facts| facts.standing == Standing::Serving)
}

fn is_awaited(snapshot: &Snapshot, consumer: ConsumerId) -> bool {
    snapshot.consumers.get(&consumer).is_some_and(|facts| facts.standing == Standing::Awaited)
}

/// How many consumers a plan would do with, by the steady demand; `None` if it is plain that none
/// can be spared.
fn sufficient(snapshot: &Snapshot) -> Option<usize> {
    let serving = snapshot.serving() + snapshot.awaited();
    let load: Demand = snapshot.partitions.values().map(|facts| facts.demand).sum();
    let facts = snapshot.consumers.values().filter(|facts| facts.standing == Standing::Serving);
    let largest = facts.map(|facts| snapshot.limits.plan_capacity(facts.capacity).0).max()?;
    let at_least = usize::try_from(load.steady.0.div_ceil(largest.max(1))).unwrap_or(usize::MAX);
    let minimum = usize::try_from(snapshot.limits.consumers_min).unwrap_or(usize::MAX);
    let spares = usize::try_from(snapshot.limits.spares).unwrap_or(usize::MAX);
    if at_least.saturating_add(spares).max(minimum) >= serving {
        return None;
    }
    let trial = plan(&Snapshot { scope: Scope::Pack, ..snapshot.clone() });
    let counts = |id: &&ConsumerId| is_serving(snapshot, **id) || is_awaited(snapshot, **id);
    let closed = trial.remove.keys().filter(counts).count();
    Some((serving + trial.create.len()).saturating_sub(closed))
}

#[cfg(test)]
mod tests {
    use common::partition::TopicPartition;
    use common::rate::BytesPerSecond;

    use super::*;
    use crate::plan::policy::Policy;
    use crate::plan::snapshot::{ConsumerFacts, Limits, PartitionFacts};

    const POLICY: TriggerPolicy = TriggerPolicy {
        stabilisation: Duration::from_secs(300),
        silence: Duration::from_secs(10),
        mute: Duration::from_secs(5),
    };

    fn at(seconds: u64) -> Moment {
        Moment::since_boot(Duration::from_secs(seconds))
    }

    /// Triggers that have just read a measurement at second 0.
    fn measuring() -> Triggers {
        let mut triggers = Triggers::new(POLICY, at(0));
        triggers.measured(at(0));
        triggers
    }

    /// Two consumers of capacity 100; each partition with its owner and steady and peak demand.
    fn snapshot(partitions: &[(u32, u64, u64)]) -> Snapshot {
        let facts = ConsumerFacts { capacity: BytesPerSecond(100), standing: Standing::Serving };
        let limits = Limits {
            capacity: BytesPerSecond(100),
            plan_percent: 75,
            trigger_percent: 90,
            consumers_min: 1,
            spares: 0,
            consumers_max: 10,
            create_max: 10,
            hold: None,
        };
        let partitions = (0..).zip(partitions).map(|(number, (owner, steady, peak))| {
            let demand = Demand { steady: BytesPerSecond(*steady), peak: BytesPerSecond(*peak) };
            let facts = PartitionFacts {
                demand,
                deviation: BytesPerSecond::ZERO,
                owner: Some(ConsumerId(*owner)),
                wish: Wish::None,
            };
            (TopicPartition::new("orders", number), facts)
        });
        Snapshot {
            policy: Policy::default(),
            scope: Scope::Place,
            limits,
            partitions: partitions.collect(),
            consumers: [(ConsumerId(1), facts), (ConsumerId(2), facts)].into(),
        }
    }

    fn calm() -> Snapshot {
        snapshot(&[(1, 70, 70), (2, 70, 70)])
    }

    #[test]
    fn a_calm_group_is_let_alone() {
        let mut triggers = measuring();
        assert_eq!(triggers.decide(at(1), &calm(), Purpose::Improve), None);
    }

    #[test]
    fn a_burst_above_the_trigger_capacity_is_a_reason_at_once() {
        let overloaded = snapshot(&[(1, 40, 40), (1, 40, 55), (2, 70, 70)]);
        let trigger = measuring().decide(at(1), &overloaded, Purpose::Improve).unwrap();
        let reason = Reason::Overload { consumer: ConsumerId(1), percent: 105 };
        assert_eq!(trigger, Trigger { reason, scope: Scope::Relieve });
    }

    #[test]
    fn a_partition_larger_than_its_consumer_is_no_reason() {
        assert_eq!(
            measuring().decide(at(1), &snapshot(&[(1, 300, 300), (2, 70, 70)]), Purpose::Improve),
            None
        );
    }

    #[test]
    fn a_plan_that_changed_nothing_lets_its_reason_rest() {
        let overloaded = snapshot(&[(1, 50, 50), (1, 50, 50), (2, 70, 70)]);
        let mut triggers = measuring();
        assert!(triggers.decide(at(1), &overloaded, Purpose::Improve).is_some());
        assert!(
            triggers.decide(at(2), &overloaded, Purpose::Improve).is_some(),
            "its plan may have helped"
        );
        triggers.fruitless(at(2));
        assert_eq!(triggers.decide(at(3), &overloaded, Purpose::Improve), None);
        assert!(triggers.decide(at(7), &overloaded, Purpose::Improve).is_some());
    }

    #[test]
    fn an_owner_that_is_gone_is_a_reason_even_when_frozen_but_moves_nothing_else() {
        let orphaned = snapshot(&[(1, 70, 70), (3, 10, 10), (3, 10, 10)]);
        let first = TopicPartition::new("orders", 1);
        let reason = Reason::Unowned { partitions: 2, first };
        let mut triggers = measuring();
        let expected = Trigger { reason: reason.clone(), scope: Scope::Relieve };
        assert_eq!(triggers.decide(at(1), &orphaned, Purpose::Improve), Some(expected));
        assert_eq!(triggers.trust(at(11)), Trust::Frozen);
        let expected = Trigger { reason, scope: Scope::Place };
        assert_eq!(triggers.decide(at(11), &orphaned, Purpose::Improve), Some(expected));
    }

    #[test]
    fn the_partitions_of_one_that_is_gone_have_no_owner_those_of_one_that_drains_have() {
        for (standing, label) in [(Standing::Gone, "unowned"), (Standing::Draining, "draining")] {
            let mut snapshot = calm();
            snapshot.consumers.get_mut(&ConsumerId(2)).unwrap().standing = standing;
            let trigger = measuring().decide(at(1), &snapshot, Purpose::Improve).unwrap();
            assert_eq!(trigger.reason.label(), label);
            let frozen = measuring().decide(at(11), &snapshot, Purpose::Improve);
            assert_eq!(frozen.is_some(), standing == Standing::Gone, "{frozen:?}");
        }
    }

    #[test]
    fn before_the_first_measurement_nothing_is_placed_until_it_stays_away() {
        let unowned = snapshot(&[(3, 0, 0)]);
        let mut triggers = Triggers::new(POLICY, at(0));
        assert_eq!(triggers.decide(at(10), &unowned, Purpose::Improve), None);
        assert_eq!(
            triggers.decide(at(11), &unowned, Purpose::Improve).unwrap().scope,
            Scope::Place
        );
    }

    #[test]
    fn when_frozen_overload_and_surplus_are_no_reasons() {
        let mut triggers = measuring();
        let overloaded = snapshot(&[(1, 50, 50), (1, 50, 50)]);
        let spare = snapshot(&[(1, 10, 10)]);
        for second in 11..1_000 {
            assert_eq!(triggers.decide(at(second), &overloaded, Purpose::Improve), None);
            assert_eq!(triggers.decide(at(second), &spare, Purpose::Improve), None);
        }
    }

    /// Fewer consumers must have sufficed at every look for the whole window.
    #[test]
    fn surplus_must_last_for_the_whole_window() {
        let spare = snapshot(&[(1, 30, 30), (2, 30, 30)]);
        let mut triggers = measuring();
        let mut fired = Vec::new();
        for second in 0..1_000 {
            triggers.measured(at(second));
            let busy = (200..210).contains(&second);
            let snapshot = if busy { calm() } else { spare.clone() };
            if let Some(trigger) = triggers.decide(at(second), &snapshot, Purpose::Improve) {
                fired.push((second, trigger));
            }
        }
        let (second, trigger) = &fired[0];
        assert_eq!(*second, 510, "a window after it was busy");
        let window = Duration::from_secs(300);
        let reason = Reason::Surplus { serving: 2, sufficient: 1, window };
        assert_eq!(*trigger, Trigger { reason, scope: Scope::Pack });
        assert_eq!(fired.len(), 2, "another window must pass before the next");
    }

    #[test]
    fn silence_begins_the_window_anew() {
        let spare = snapshot(&[(1, 30, 30), (2, 30, 30)]);
        let mut triggers = measuring();
        let mut fired = None;
        for second in 0..600 {
            if !(200..220).contains(&second) {
                triggers.measured(at(second));
            }
            let trigger = triggers.decide(at(second), &spare, Purpose::Improve);
            fired = fired.or(trigger.map(|_| second));
        }
        assert_eq!(fired, Some(520), "a window after it was heard again");
    }

    #[test]
    fn the_minimum_is_kept_by_neither_closing_nor_lacking() {
        let mut spare = snapshot(&[(1, 10, 10)]);
        spare.limits.consumers_min = 2;
        let mut triggers = measuring();
        for second in 0..1_000 {
            triggers.measured(at(second));
            assert_eq!(triggers.decide(at(second), &spare, Purpose::Improve), None);
        }
        spare.limits.consumers_min = 3;
        let reason = Reason::Minimum { serving: 2, consumers_min: 3 };
        assert_eq!(triggers.decide(at(1_000), &spare, Purpose::Improve).unwrap().reason, reason);
    }

    #[test]
    fn occasions_come_first_one_by_one_and_are_not_forgotten() {
        let mut triggers = measuring();
        triggers.note(Occasion::ConsumerDied(ConsumerId(2)));
        triggers.note(Occasion::Asked("the command line".into()));
        triggers.note(Occasion::ConsumerDied(ConsumerId(2)));
        let overloaded = snapshot(&[(1, 50, 50), (1, 50, 50)]);
        let labels: Vec<_> = (0..3)
            .map(|_| triggers.decide(at(1), &overloaded, Purpose::Improve).unwrap())
            .map(|trigger| (trigger.reason.label(), trigger.scope))
            .collect();
        let expected = [
            ("consumer_died", Scope::Relieve),
            ("asked", Scope::Pack),
            ("overload", Scope::Relieve),
        ];
        assert_eq!(labels, expected);
    }

    #[test]
    fn drains_and_wishes_are_reasons_until_they_are_fulfilled() {
        let mut draining = calm();
        draining.consumers.get_mut(&ConsumerId(2)).unwrap().standing = Standing::Draining;
        let reason = measuring().decide(at(1), &draining, Purpose::Improve).unwrap().reason;
        assert_eq!(reason, Reason::Draining { consumer: ConsumerId(2) });

        let partition = TopicPartition::new("orders", 0);
        for wish in [Wish::Excluded, Wish::Pinned(ConsumerId(2))] {
            let mut wished = calm();
            wished.partitions.get_mut(&partition).unwrap().wish = wish;
            let reason = measuring().decide(at(1), &wished, Purpose::Improve).unwrap().reason;
            assert_eq!(reason, Reason::Wish { partition: partition.clone() });
        }
        let mut fulfilled = calm();
        fulfilled.partitions.get_mut(&partition).unwrap().wish = Wish::Pinned(ConsumerId(1));
        assert_eq!(measuring().decide(at(1), &fulfilled, Purpose::Improve), None);
    }
}
