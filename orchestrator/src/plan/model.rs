//! Pure. A snapshot as a packing problem, and where each partition ends up.
//!
//! Overload is judged, and relieved, by the peaks of demand. Whether fewer consumers would do is
//! judged by what each partition asks for steadily, or by so much of its peak that consumers packed
//! to their plan capacity stay below their trigger capacity.

use std::collections::{BTreeMap, BTreeSet};

use common::identity::ConsumerId;
use common::partition::TopicPartition;

use super::snapshot::{
    CONSUMERS_MAX, ConsumerFacts, Demand, PartitionFacts, Scope, Snapshot, Standing, Wish,
};
use crate::pack::problem::{Bin, Cause, Item, Problem};
use crate::pack::published::Heuristic;
use crate::pack::{pack, problem};

/// What is planned for: partitions that are to be read, and the consumers by their numbers.
pub(super) struct Model<'a> {
    pub(super) snapshot: &'a Snapshot,
    /// Those that are not excluded, in order: the items of the problem.
    pub(super) partitions: Vec<(&'a TopicPartition, &'a PartitionFacts)>,
    /// How each consumer stands that exists: the maximum may have been lowered, and then the highest
    /// numbers leave.
    pub(super) standings: BTreeMap<ConsumerId, Standing>,
}

/// Where everything is to be.
#[derive(Clone, Debug)]
pub(super) struct Places {
    /// The consumer of each partition of the model; nobody where nobody can have it.
    pub(super) owners: Vec<Option<ConsumerId>>,
    /// Why each partition of the model leaves where it was, as far as the packing decided it.
    pub(super) causes: Vec<Option<Cause>>,
    pub(super) is_held_back: bool,
    /// The published heuristic that decided, if one did.
    pub(super) heuristic: Option<Heuristic>,
}

impl Places {
    /// What a second packing made of these. A partition moves once, for its first reason.
    fn then(self, second: Self) -> Self {
        let causes = self.causes.into_iter().zip(second.causes);
        Self { causes: causes.map(|(first, second)| first.or(second)).collect(), ..second }
    }
}

impl<'a> Model<'a> {
    pub(super) fn new(snapshot: &'a Snapshot) -> Self {
        let read = |(_, facts): &(&TopicPartition, &PartitionFacts)| facts.wish != Wish::Excluded;
        let mut places_left = snapshot.limits.consumers_max;
        // Others are none of ours: one that a person numbered like that, or a fault of the snapshot.
        let numbered = snapshot.consumers.iter().filter(|(id, _)| is_number(**id));
        let standings = numbered.map(|(id, facts)| {
            let mut standing = facts.standing;
            if standing == Standing::Serving {
                match places_left.checked_sub(1) {
                    Some(left) => places_left = left,
                    None => standing = Standing::Draining,
                }
            }
            (*id, standing)
        });
        let standings = standings.collect();
        Self { snapshot, partitions: snapshot.partitions.iter().filter(read).collect(), standings }
    }

    /// The consumer that a person wants this partition at, if that consumer takes part.
    pub(super) fn pin(&self, facts: &PartitionFacts) -> Option<ConsumerId> {
        match facts.wish {
            Wish::Pinned(consumer) => self.serves(consumer).then_some(consumer),
            Wish::None | Wish::Excluded => None,
        }
    }

    pub(super) fn serves(&self, consumer: ConsumerId) -> bool {
        self.standings.get(&consumer) == Some(&Standing::Serving)
    }

    pub(super) fn capacity(&self, consumer: ConsumerId) -> common::rate::BytesPerSecond {
        let facts = self.snapshot.consumers.get(&consumer);
        facts.map_or(self.snapshot.limits.capacity, |facts: &ConsumerFacts| facts.capacity)
    }

    /// Whether there is anybody, or may be, to give partitions to.
    pub(super) fn has_takers(&self) -> bool {
        let serves = self.standings.values().any(|standing| *standing == Standing::Serving);
        serves || self.may_create() > 0
    }

    pub(super) fn may_create(&self) -> usize {
        let limits = &self.snapshot.limits;
        let room = count(limits.consumers_max).saturating_sub(self.standings.len());
        room.min(count(limits.create_max()))
    }

    /// Packs as far as the scope of the snapshot allows.
    pub(super) fn solve(&self) -> Places {
        let homes: Vec<_> = self.partitions.iter().map(|(_, facts)| self.home(facts)).collect();
        if !self.has_takers() {
            let causes = vec![None; homes.len()];
            return Places { owners: homes, causes, is_held_back: true, heuristic: None };
        }
        let scope = self.snapshot.scope.min(Scope::Relieve);
        let mut places = self.pack(scope, &homes, &BTreeSet::new(), |demand| demand.peak.0);
        // A consumer that is to be created may be one that somebody pinned to.
        if scope >= Scope::Relieve {
            while let Some((homes, created)) = self.follow_pins(&places) {
                places = places.then(self.pack(scope, &homes, &created, |demand| demand.peak.0));
            }
        }
        if self.snapshot.scope < Scope::Pack || places.is_held_back {
            return places;
        }
        let limits = &self.snapshot.limits;
        let percents = (limits.plan_percent, limits.trigger_percent.max(limits.plan_percent));
        let asked = |demand: Demand| demand.steady.0.max(share(demand.peak.0, percents));
        let created = self.created(&places);
        let packed = self.pack(Scope::Pack, &places.owners, &created, asked);
        places.then(packed)
    }

    /// The consumers to be created: owners that do not exist yet, and what lacks to the minimum.
    pub(super) fn created(&self, places: &Places) -> BTreeSet<ConsumerId> {
        let is_new = |id: &ConsumerId| !self.standings.contains_key(id);
        let mut created: BTreeSet<_> =
            places.owners.iter().flatten().copied().filter(is_new).collect();
        if self.snapshot.scope >= Scope::Relieve {
            let serving = self.standings.keys().filter(|id| self.serves(**id)).count();
            let limits = &self.snapshot.limits;
            let owners: BTreeSet<_> = places.owners.iter().flatten().collect();
            let is_idle = |id: &&ConsumerId| self.serves(**id) && !owners.contains(id);
            let idle = self.standings.keys().filter(is_idle).count();
            let below_minimum = count(limits.consumers_min).saturating_sub(serving + created.len());
            let lacking = below_minimum
                .max(count(limits.spares).saturating_sub(idle))
                .min(self.may_create().saturating_sub(created.len()));
            let free = (0..).map(consumer_of).filter(|id| is_new(id) && !created.contains(id));
            let free: Vec<_> = free.take(lacking).collect();
            created.extend(free);
        }
        created
    }

    /// The places with each partition that is pinned to a consumer to be created at that one, and
    /// those consumers; nothing if they are there already.
    fn follow_pins(
        &self,
        places: &Places,
    ) -> Option<(Vec<Option<ConsumerId>>, BTreeSet<ConsumerId>)> {
        let created = self.created(places);
        let pinned = |facts: &PartitionFacts| match facts.wish {
            Wish::Pinned(consumer) => created.get(&consumer).copied(),
            Wish::None | Wish::Excluded => None,
        };
        let owners = self.partitions.iter().zip(&places.owners);
        let homes: Vec<_> = owners.map(|((_, facts), owner)| pinned(facts).or(*owner)).collect();
        (homes != places.owners).then_some((homes, created))
    }

    /// Where a partition is, or where a person wants it.
    fn home(&self, facts: &PartitionFacts) -> Option<ConsumerId> {
        let holder = facts.owner.filter(|owner| match self.standings.get(owner) {
            Some(Standing::Serving | Standing::Draining) => true,
            Some(Standing::Gone | Standing::Awaited | Standing::ByHand) | None => false,
        });
        let may_move = self.snapshot.scope >= Scope::Relieve || holder.is_none();
        self.pin(facts).filter(|_| may_move).or(holder)
    }

    fn pack(
        &self,
        scope: Scope,
        homes: &[Option<ConsumerId>],
        created: &BTreeSet<ConsumerId>,
        size: impl Fn(Demand) -> u64,
    ) -> Places {
        let problem = self.problem(scope, homes, created, size);
        let packing = pack(&problem);
        let owners = packing.bin_of.iter().map(|bin| Some(consumer_of(*bin))).collect();
        let mut causes = vec![None; homes.len()];
        for (item, cause) in packing.moves {
            causes[item] = Some(cause);
        }
        Places { owners, causes, is_held_back: packing.is_held_back, heuristic: None }
    }

    fn problem(
        &self,
        scope: Scope,
        homes: &[Option<ConsumerId>],
        created: &BTreeSet<ConsumerId>,
        size: impl Fn(Demand) -> u64,
    ) -> Problem {
        let limits = &self.snapshot.limits;
        let items = self.partitions.iter().zip(homes).map(|((_, facts), home)| Item {
            size: size(facts.demand),
            home: home.map(bin_of),
            is_pinned: match facts.wish {
                Wish::Pinned(consumer) => self.serves(consumer) || created.contains(&consumer),
                Wish::None | Wish::Excluded => false,
            },
            variance: variance(facts),
        });
        let numbers = self.standings.keys().chain(created).map(|id| id.0).max().unwrap_or(0);
        let bins = (1..=numbers).map(|number| self.bin(ConsumerId(number), created));
        let new_bin = self.bin(ConsumerId(numbers + 1), created);
        let items: Vec<Item> = items.collect();
        Problem {
            effort: Problem::usual_effort(items.len()),
            items,
            bins: bins.collect(),
            new_bin,
            scope: match scope {
                Scope::Place => problem::Scope::Place,
                Scope::Relieve => problem::Scope::Relieve,
                Scope::Pack => problem::Scope::Pack,
            },
            price: self.snapshot.policy.consumer_price.0,
            bins_min: count(limits.consumers_min),
            bins_max: count(limits.consumers_max),
            create_max: count(limits.create_max()).saturating_sub(created.len()),
        }
    }

    fn bin(&self, id: ConsumerId, created: &BTreeSet<ConsumerId>) -> Bin {
        let (limits, standing) = (&self.snapshot.limits, self.standings.get(&id));
        let capacity = self.capacity(id);
        Bin {
            capacity: limits.plan_capacity(capacity).0,
            ceiling: limits.trigger_capacity(capacity).0,
            may_receive: standing.is_none_or(|standing| *standing == Standing::Serving),
            exists: standing.is_some() || created.contains(&id),
        }
    }
}

/// The variance of a partition's demand until the next plan, in (bytes/s)².
#[expect(clippy::cast_precision_loss, reason = "it is an estimate")]
fn variance(facts: &PartitionFacts) -> f64 {
    let deviation = facts.deviation.0 as f64;
    deviation * deviation
}

/// `peak` · plan ÷ trigger, rounded up.
fn share(peak: u64, (plan, trigger): (u32, u32)) -> u64 {
    let share = (u128::from(peak) * u128::from(plan)).div_ceil(u128::from(trigger.max(1)));
    u64::try_from(share).unwrap_or(u64::MAX)
}

/// Whether a consumer of a fleet may have this number.
pub fn is_number(consumer: ConsumerId) -> bool {
    (1..=CONSUMERS_MAX).contains(&consumer.0)
}

fn bin_of(consumer: ConsumerId) -> usize {
    count(consumer.0).saturating_sub(1)
}

pub(super) fn consumer_of(bin: usize) -> ConsumerId {
    ConsumerId(u32::try_from(bin + 1).unwrap_or(u32::MAX))
}

pub(super) fn count(limit: u32) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX)
}
