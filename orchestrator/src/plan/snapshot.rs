//! Pure. Everything that a plan may depend on, as one value that can be saved and planned again.

use std::collections::{BTreeMap, BTreeSet};

use common::identity::ConsumerId;
use common::partition::TopicPartition;
use common::rate::BytesPerSecond;
use serde::{Deserialize, Serialize};

use super::policy::Policy;

/// Consumers of a fleet are numbered from 1 to this at most.
pub const CONSUMERS_MAX: u32 = 10_000;

/// The input of a plan. Nothing else influences it: no clock, no environment, no earlier plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    pub scope: Scope,
    #[serde(default)]
    pub policy: Policy,
    pub limits: Limits,
    /// Every partition that is to be read, and only those.
    pub partitions: BTreeMap<TopicPartition, PartitionFacts>,
    /// Every consumer that exists, is being started, or is still on its way out.
    pub consumers: BTreeMap<ConsumerId, ConsumerFacts>,
}

/// How much a plan may change. Each allows what the ones before it allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Only partitions without an owner get one: what is known about rates is old.
    Place,
    /// Overloaded consumers hand over what they cannot sustain, draining ones all they have, and
    /// pinned partitions go where they are pinned.
    Relieve,
    /// Consumers whose partitions fit elsewhere are closed as well.
    Pack,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// The capacity of a consumer that does not exist yet.
    pub capacity: BytesPerSecond,
    /// How full a consumer is packed, in per cent of its capacity.
    pub plan_percent: u32,
    /// Above this a consumer counts as overloaded, in per cent of its capacity.
    pub trigger_percent: u32,
    /// So many consumers are kept even if fewer would do.
    pub consumers_min: u32,
    /// So many are kept that hold nothing, so that a sudden load finds them waiting.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub spares: u32,
    /// At most so many exist at a time; their numbers are 1 to this.
    pub consumers_max: u32,
    /// At most so many are created by one plan.
    pub create_max: u32,
    /// Set: none is created for now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<Hold>,
}

/// Why no consumer is created although the limits would allow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hold {
    /// A person wants it so.
    Paused,
    /// Overloaded consumers wait for their sink: others would wait as well.
    Sink,
    /// The last ones brought next to nothing.
    Fruitless,
    /// One that was created cannot run: another one could not, either.
    Awaited,
    /// The last ones that were created never came: the next one waits, longer each time.
    NeverCame,
}

/// What one partition asks of its owner, in bytes per second of its log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Demand {
    /// By the filtered rate: what decides whether fewer consumers would do.
    pub steady: BytesPerSecond,
    /// By the larger of filtered and burst rate, never below `steady`: what decides whether
    /// more are needed.
    pub peak: BytesPerSecond,
}

impl Demand {
    pub const NONE: Self = Self { steady: BytesPerSecond::ZERO, peak: BytesPerSecond::ZERO };

    /// A demand that does not vary.
    pub const fn constant(rate: BytesPerSecond) -> Self {
        Self { steady: rate, peak: rate }
    }
}

impl std::ops::Add for Demand {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { steady: self.steady + other.steady, peak: self.peak + other.peak }
    }
}

impl std::iter::Sum for Demand {
    fn sum<I: Iterator<Item = Self>>(demands: I) -> Self {
        demands.fold(Self::NONE, std::ops::Add::add)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionFacts {
    pub demand: Demand,
    /// By how much its demand is expected to change until the next plan: a standard deviation. Zero
    /// if nothing is known of it.
    #[serde(default)]
    pub deviation: BytesPerSecond,
    /// Who holds it, or is about to: while a move is on its way, the consumer that it goes to.
    pub owner: Option<ConsumerId>,
    pub wish: Wish,
}

/// What people asked for this partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wish {
    #[default]
    None,
    /// To be at this consumer: yields to its draining and its absence.
    Pinned(ConsumerId),
    /// Not to be planned: it gets no owner, and loses the one it has.
    Excluded,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsumerFacts {
    pub capacity: BytesPerSecond,
    pub standing: Standing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Takes part: it runs, or it is being started.
    Serving,
    /// Hands over all that it holds, and is removed once it holds nothing.
    Draining,
    /// Does not live any more: what it held has no owner. It occupies its number until it is removed.
    Gone,
    /// Exists and cannot run for now: it occupies its number until it comes, or nobody needs it.
    Awaited,
    /// Is led by a person, or can be led by nobody: it only occupies its number.
    ByHand,
}

impl Snapshot {
    /// How many consumers take part.
    pub fn serving(&self) -> usize {
        let standings = self.consumers.values().map(|facts| facts.standing);
        standings.filter(|standing| *standing == Standing::Serving).count()
    }

    /// How many consumers take part and hold nothing.
    pub fn idle(&self) -> usize {
        let owners: BTreeSet<_> =
            self.partitions.values().filter_map(|facts| facts.owner).collect();
        let serving =
            self.consumers.iter().filter(|(_, facts)| facts.standing == Standing::Serving);
        serving.filter(|(consumer, _)| !owners.contains(consumer)).count()
    }

    /// How many consumers exist that the fleet has no place for.
    pub fn awaited(&self) -> usize {
        let standings = self.consumers.values().map(|facts| facts.standing);
        standings.filter(|standing| *standing == Standing::Awaited).count()
    }

    /// The owner of a partition, if it is one that we lead and that lives.
    pub fn living_owner(&self, partition: &TopicPartition) -> Option<ConsumerId> {
        let owner = self.partitions.get(partition)?.owner?;
        match self.consumers.get(&owner)?.standing {
            Standing::Serving | Standing::Draining => Some(owner),
            Standing::Gone | Standing::Awaited | Standing::ByHand => None,
        }
    }
}

impl Limits {
    /// At most so many consumers are created now.
    pub fn create_max(&self) -> u32 {
        if self.hold.is_some() { 0 } else { self.create_max }
    }

    /// How full a consumer of this capacity is packed.
    pub fn plan_capacity(&self, capacity: BytesPerSecond) -> BytesPerSecond {
        share(capacity, self.plan_percent)
    }

    /// Above this a consumer of this capacity counts as overloaded. Never below the plan capacity:
    /// else a plan would at once be a reason for the next one.
    pub fn trigger_capacity(&self, capacity: BytesPerSecond) -> BytesPerSecond {
        share(capacity, self.trigger_percent.max(self.plan_percent))
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// `percent` of `capacity`, rounded down.
fn share(capacity: BytesPerSecond, percent: u32) -> BytesPerSecond {
    let share = u128::from(capacity.0) * u128::from(percent) / 100;
    BytesPerSecond(u64::try_from(share).unwrap_or(u64::MAX))
}
