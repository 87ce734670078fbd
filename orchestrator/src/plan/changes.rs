//! Pure. What has to be created, moved and removed so that each partition is where it is to be.

use std::collections::{BTreeMap, BTreeSet};

use common::identity::ConsumerId;
use common::partition::TopicPartition;
use common::rate::BytesPerSecond;

use super::model::{Model, Places, count};
use super::reason::{CreateReason, Fit, MoveReason, Relief, RemoveReason};
use super::snapshot::{Demand, PartitionFacts, Scope, Standing, Wish};
use super::{Assignment, Plan, PlannedMove};
use crate::pack::problem::Cause;

/// Describes the places as a plan, but for its warnings.
pub(super) fn describe(model: &Model<'_>, places: &Places) -> Plan {
    let mut assignment = Assignment::new();
    for ((partition, _), owner) in model.partitions.iter().zip(&places.owners) {
        if let Some(owner) = owner {
            assignment.insert((*partition).clone(), *owner);
        }
    }
    let view = View::new(model, places, &assignment);
    let remove = view.removed();
    let create = view.created();
    let moves = view.moves(&create);
    Plan { assignment, create, remove, moves, warnings: Vec::new() }
}

/// Before and after, by consumer.
struct View<'a> {
    model: &'a Model<'a>,
    places: &'a Places,
    /// What each consumer held, and what it is to hold.
    before: BTreeMap<ConsumerId, Vec<Held<'a>>>,
    after: BTreeMap<ConsumerId, Vec<Held<'a>>>,
}

type Held<'a> = (&'a TopicPartition, Demand);

impl<'a> View<'a> {
    fn new(model: &'a Model<'a>, places: &'a Places, assignment: &Assignment) -> Self {
        let (mut before, mut after) = (BTreeMap::new(), BTreeMap::new());
        for (partition, facts) in &model.partitions {
            let held: Held<'a> = (*partition, facts.demand);
            if let Some(owner) = model.snapshot.living_owner(partition) {
                before.entry(owner).or_insert_with(Vec::new).push(held);
            }
            if let Some(owner) = assignment.get(*partition) {
                after.entry(*owner).or_insert_with(Vec::new).push(held);
            }
        }
        Self { model, places, before, after }
    }

    /// Those that leave, and, if consumers may be closed, those that hold nothing and are not needed
    /// for the minimum.
    fn removed(&self) -> BTreeMap<ConsumerId, RemoveReason> {
        let (scope, limits) = (self.model.snapshot.scope, &self.model.snapshot.limits);
        let mut removed = BTreeMap::new();
        if scope < Scope::Relieve {
            return removed;
        }
        let standings = &self.model.standings;
        let is_used = |id: &ConsumerId| self.after.contains_key(id);
        let busy = self.after.keys().filter(|id| !standings.contains_key(id)).count()
            + standings.keys().filter(|id| self.model.serves(**id) && is_used(id)).count();
        let below_minimum = count(limits.consumers_min).saturating_sub(busy);
        let mut lacking = below_minimum.max(count(limits.spares));
        for (id, standing) in standings.iter().filter(|(id, _)| !is_used(id)) {
            let reason = match standing {
                Standing::Gone => RemoveReason::Gone,
                Standing::Draining => RemoveReason::Drained,
                Standing::ByHand => continue,
                Standing::Awaited if scope < Scope::Pack || self.places.is_held_back => continue,
                Standing::Awaited => RemoveReason::Idle,
                Standing::Serving if scope < Scope::Pack || self.places.is_held_back => continue,
                Standing::Serving if lacking > 0 => {
                    lacking -= 1;
                    continue;
                }
                Standing::Serving => match self.before.get(id).map_or(0, Vec::len) {
                    0 => RemoveReason::Idle,
                    partitions => RemoveReason::Closed { partitions },
                },
            };
            removed.insert(*id, reason);
        }
        removed
    }

    /// Those that get partitions and do not exist, and what is missing to the minimum.
    fn created(&self) -> BTreeMap<ConsumerId, CreateReason> {
        let created = self.model.created(self.places).into_iter();
        created.map(|id| (id, self.why_created(id))).collect()
    }

    fn why_created(&self, id: ConsumerId) -> CreateReason {
        let held = self.after.get(&id).into_iter().flatten();
        match held.max_by_key(|(_, demand)| demand.peak) {
            Some((partition, demand)) => {
                CreateReason::NoRoom { partition: (*partition).clone(), demand: demand.peak }
            }
            None => {
                let limits = &self.model.snapshot.limits;
                match limits.spares {
                    0 => CreateReason::Minimum { consumers_min: limits.consumers_min },
                    spares => CreateReason::Spare { spares },
                }
            }
        }
    }

    fn moves(
        &self,
        created: &BTreeMap<ConsumerId, CreateReason>,
    ) -> BTreeMap<TopicPartition, PlannedMove> {
        let mut moves = BTreeMap::new();
        for (item, (partition, facts)) in self.model.partitions.iter().enumerate() {
            let from = self.model.snapshot.living_owner(partition);
            let Some(to) = self.places.owners[item].filter(|to| Some(*to) != from) else {
                continue;
            };
            let reason = self.why_moved(item, partition, facts, (from, to));
            let fit = match created.get(&to) {
                _ if facts.wish == Wish::Pinned(to) => Fit::Chosen,
                Some(CreateReason::NoRoom { partition: first, .. }) if first == *partition => {
                    Fit::Created
                }
                Some(_) | None => self.fit(to),
            };
            let demand = facts.demand.steady;
            moves.insert((*partition).clone(), PlannedMove { from, to, demand, reason, fit });
        }
        moves
    }

    fn fit(&self, to: ConsumerId) -> Fit {
        let limits = &self.model.snapshot.limits;
        let (capacity, load) = (self.model.capacity(to), self.load_after(to));
        // Closing packs by what is asked for steadily, everything else by peaks.
        let has_room = load.steady <= limits.plan_capacity(capacity)
            && load.peak <= limits.trigger_capacity(capacity);
        let percent = percent(load.peak, capacity);
        if has_room { Fit::Room { percent } } else { Fit::LeastLoaded { percent } }
    }

    fn load_after(&self, consumer: ConsumerId) -> Demand {
        self.after.get(&consumer).into_iter().flatten().map(|(_, demand)| *demand).sum()
    }

    fn why_moved(
        &self,
        item: usize,
        partition: &TopicPartition,
        facts: &PartitionFacts,
        (from, to): (Option<ConsumerId>, ConsumerId),
    ) -> MoveReason {
        let Some(owner) = from else {
            return facts.owner.map_or(MoveReason::New, |owner| MoveReason::OwnerGone { owner });
        };
        if let Some(heuristic) = self.places.heuristic {
            return MoveReason::Packed { owner, heuristic };
        }
        match self.places.causes[item] {
            _ if facts.wish == Wish::Pinned(to) => MoveReason::Pinned,
            None | Some(Cause::New | Cause::Eased { .. }) => MoveReason::Eased { owner },
            Some(Cause::Drained { .. }) => MoveReason::Drained { owner },
            Some(Cause::Closed { .. }) => MoveReason::Closed { owner },
            Some(Cause::MadeRoom { room_for, .. }) => {
                MoveReason::MadeRoom { owner, room_for: self.model.partitions[room_for].0.clone() }
            }
            Some(Cause::Evicted { .. }) => {
                let relief = self.relief(owner, partition);
                let load: Demand = self.held_before(owner).iter().map(|(_, demand)| *demand).sum();
                let limits = &self.model.snapshot.limits;
                let trigger = limits.trigger_capacity(self.model.capacity(owner));
                MoveReason::Overload { owner, percent: percent(load.peak, trigger), relief }
            }
        }
    }

    fn held_before(&self, owner: ConsumerId) -> &[Held<'a>] {
        self.before.get(&owner).map_or(&[], Vec::as_slice)
    }

    /// Why it is this partition that leaves an overloaded consumer.
    fn relief(&self, owner: ConsumerId, partition: &TopicPartition) -> Relief {
        let held = self.held_before(owner);
        if self.places.is_held_back {
            return Relief::Spread;
        }
        let after: BTreeSet<_> =
            self.after.get(&owner).into_iter().flatten().map(|(name, _)| *name).collect();
        let left = held.iter().filter(|(name, _)| !after.contains(name));
        let leaving = left.clone().count();
        if leaving > 1 {
            return Relief::OneOfSeveral { leaving };
        }
        let load: BytesPerSecond = held.iter().map(|(_, demand)| demand.peak).sum();
        let room = self.model.snapshot.limits.plan_capacity(self.model.capacity(owner));
        let suffices = |demand: Demand| load.0.saturating_sub(demand.peak.0) <= room.0;
        let smallest = held.iter().filter(|(_, demand)| suffices(*demand));
        let smallest = smallest.map(|(_, demand)| demand.peak).min();
        let own = held.iter().find(|(name, _)| *name == partition).map(|(_, demand)| demand.peak);
        if smallest.is_some() && own == smallest { Relief::Smallest } else { Relief::Alone }
    }
}

/// `part` of `whole`, in per cent, rounded down.
pub(super) fn percent(part: BytesPerSecond, whole: BytesPerSecond) -> u64 {
    let percent = u128::from(part.0) * 100 / u128::from(whole.0.max(1));
    u64::try_from(percent).unwrap_or(u64::MAX)
}
