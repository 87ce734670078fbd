//! Pure. A plan in the making: who holds what so far, how loaded everybody is, and why it changed.

use std::collections::{BTreeMap, BTreeSet};

use common::identity::ConsumerId;
use common::partition::TopicPartition;
use common::rate::BytesPerSecond;

use super::reason::{CreateReason, Fit, HeldBackBy, MoveReason, RemoveReason, Warning};
use super::snapshot::{Demand, Snapshot, Standing, Wish};

/// Between the phases of a plan every partition is in exactly one consumer or among the homeless.
pub(super) struct Draft<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) consumers: BTreeMap<ConsumerId, Hold<'a>>,
    pub(super) homeless: Vec<Homeless<'a>>,
    pub(super) moved: BTreeMap<&'a TopicPartition, Moved>,
    pub(super) created: BTreeMap<ConsumerId, CreateReason>,
    pub(super) removed: BTreeMap<ConsumerId, RemoveReason>,
    pub(super) warnings: Vec<Warning>,
}

/// What one consumer holds, and what it can hold.
#[derive(Clone, Debug)]
pub(super) struct Hold<'a> {
    pub(super) standing: Standing,
    pub(super) capacity: BytesPerSecond,
    pub(super) plan_capacity: BytesPerSecond,
    pub(super) trigger_capacity: BytesPerSecond,
    pub(super) partitions: BTreeSet<&'a TopicPartition>,
    pub(super) load: Demand,
}

pub(super) struct Homeless<'a> {
    pub(super) partition: &'a TopicPartition,
    pub(super) reason: MoveReason,
}

/// Why a partition left where it was at first, and how its place so far was chosen.
pub(super) struct Moved {
    pub(super) reason: MoveReason,
    pub(super) fit: Fit,
}

impl Hold<'_> {
    pub(super) fn is_serving(&self) -> bool {
        self.standing == Standing::Serving
    }

    pub(super) fn is_overloaded(&self) -> bool {
        self.load.peak > self.trigger_capacity
    }

    /// Whether it may be given this much: there is room, or nobody will ever have room for it and
    /// this consumer has nothing else to do.
    pub(super) fn has_room(&self, demand: Demand) -> bool {
        self.load.peak + demand.peak <= self.plan_capacity || self.load.peak == BytesPerSecond::ZERO
    }

    /// Its load with `more`, in thousandths of its capacity.
    pub(super) fn utilization(&self, more: BytesPerSecond) -> u128 {
        u128::from((self.load.peak + more).0) * 1000 / u128::from(self.capacity.0.max(1))
    }

    pub(super) fn trigger_percent(&self) -> u64 {
        let percent =
            u128::from(self.load.peak.0) * 100 / u128::from(self.trigger_capacity.0.max(1));
        u64::try_from(percent).unwrap_or(u64::MAX)
    }
}

impl<'a> Draft<'a> {
    /// A draft in which nobody holds anything yet.
    pub(super) fn new(snapshot: &'a Snapshot) -> Self {
        let mut draft = Self {
            snapshot,
            consumers: BTreeMap::new(),
            homeless: Vec::new(),
            moved: BTreeMap::new(),
            created: BTreeMap::new(),
            removed: BTreeMap::new(),
            warnings: Vec::new(),
        };
        let mut places_left = snapshot.limits.consumers_max;
        for (id, facts) in &snapshot.consumers {
            let mut hold = draft.empty_hold(facts.capacity, facts.standing);
            // The maximum may have been lowered: the highest numbers leave.
            if hold.is_serving() && places_left == 0 {
                hold.standing = Standing::Draining;
            } else if hold.is_serving() {
                places_left -= 1;
            }
            draft.consumers.insert(*id, hold);
        }
        draft
    }

    fn empty_hold(&self, capacity: BytesPerSecond, standing: Standing) -> Hold<'a> {
        Hold {
            standing,
            capacity,
            plan_capacity: self.snapshot.limits.plan_capacity(capacity),
            trigger_capacity: self.snapshot.limits.trigger_capacity(capacity),
            partitions: BTreeSet::new(),
            load: Demand::NONE,
        }
    }

    pub(super) fn demand(&self, partition: &TopicPartition) -> Demand {
        self.snapshot.partitions.get(partition).map_or(Demand::NONE, |facts| facts.demand)
    }

    /// The consumer that a person wants this partition at, if that consumer takes part.
    pub(super) fn pin(&self, partition: &TopicPartition) -> Option<ConsumerId> {
        match self.snapshot.partitions.get(partition)?.wish {
            Wish::Pinned(consumer) => {
                self.consumers.get(&consumer)?.is_serving().then_some(consumer)
            }
            Wish::None | Wish::Excluded => None,
        }
    }

    /// Who holds `partition` so far. Looks at everybody: for the few that are asked for by name.
    pub(super) fn holder(&self, partition: &TopicPartition) -> Option<ConsumerId> {
        let mut holds = self.consumers.iter();
        holds.find(|(_, hold)| hold.partitions.contains(partition)).map(|(id, _)| *id)
    }

    pub(super) fn serving(&self) -> impl Iterator<Item = (ConsumerId, &Hold<'a>)> {
        self.consumers.iter().filter(|(_, hold)| hold.is_serving()).map(|(id, hold)| (*id, hold))
    }

    /// The fullest consumer that has room; the lowest number among equals.
    pub(super) fn best_fit(
        &self,
        demand: Demand,
        except: Option<ConsumerId>,
    ) -> Option<ConsumerId> {
        self.serving()
            .filter(|(id, hold)| Some(*id) != except && hold.has_room(demand))
            .min_by_key(|(id, hold)| (room_left(hold), *id))
            .map(|(id, _)| id)
    }

    /// The consumer that would be the least utilized with `more`; the lowest number among equals.
    pub(super) fn least_loaded(
        &self,
        more: BytesPerSecond,
        except: Option<ConsumerId>,
    ) -> Option<ConsumerId> {
        self.serving()
            .filter(|(id, _)| Some(*id) != except)
            .min_by_key(|(id, hold)| (hold.utilization(more), *id))
            .map(|(id, _)| id)
    }

    /// Adds a consumer under the lowest free number, or says which limit forbids it.
    pub(super) fn create(&mut self, reason: CreateReason) -> Result<ConsumerId, HeldBackBy> {
        self.may_create()?;
        let is_free =
            |id: &ConsumerId| !self.consumers.contains_key(id) && !self.removed.contains_key(id);
        let free = (1..).map(ConsumerId).find(is_free);
        let id = free.expect("fewer consumers than numbers exist");
        let hold = self.empty_hold(self.snapshot.limits.capacity, Standing::Serving);
        self.consumers.insert(id, hold);
        self.created.insert(id, reason);
        Ok(id)
    }

    /// Says which limit forbids to create a consumer.
    pub(super) fn may_create(&self) -> Result<(), HeldBackBy> {
        let limits = &self.snapshot.limits;
        // Whoever is removed exists until that was done.
        if self.consumers.len() + self.removed.len() >= count(limits.consumers_max) {
            return Err(HeldBackBy::Maximum { consumers_max: limits.consumers_max });
        }
        if self.created.len() >= count(limits.create_max) {
            return Err(HeldBackBy::Step { create_max: limits.create_max });
        }
        Ok(())
    }

    /// Puts a homeless partition where its owner already is: no move.
    pub(super) fn keep(&mut self, partition: &'a TopicPartition, owner: ConsumerId) {
        let demand = self.demand(partition);
        let hold = self.consumers.get_mut(&owner).expect("only a known consumer keeps anything");
        hold.partitions.insert(partition);
        hold.load = hold.load + demand;
    }

    /// Puts a homeless partition to a consumer that did not have it.
    pub(super) fn put(
        &mut self,
        partition: &'a TopicPartition,
        to: ConsumerId,
        reason: MoveReason,
        fit: Fit,
    ) {
        self.keep(partition, to);
        // Whoever moves twice within a plan moves once in truth, for the first reason.
        let moved = self.moved.entry(partition).or_insert(Moved { reason, fit });
        moved.fit = fit;
    }

    pub(super) fn take(&mut self, partition: &'a TopicPartition, from: ConsumerId) {
        let hold = self.consumers.get_mut(&from).expect("only a known consumer gives anything");
        let had = hold.partitions.remove(partition);
        debug_assert!(had, "{from} does not hold {partition}");
        // Summed anew rather than subtracted: sums saturate.
        let left =
            hold.partitions.iter().map(|partition| self.snapshot.partitions[*partition].demand);
        hold.load = left.sum();
    }
}

/// What the plan capacity leaves of a consumer.
fn room_left(hold: &Hold<'_>) -> u64 {
    hold.plan_capacity.0.saturating_sub(hold.load.peak.0)
}

fn count(limit: u32) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX)
}
