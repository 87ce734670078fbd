//! Pure. Packs partitions into as few consumers as their capacity allows, moving as little as it can.
//!
//! A plan starts from the current assignment, so that what can stay, stays:
//!
//! ```text
//!  settle ──> place ──> relieve ──> close
//!  what has   best fit  overload    consumers that
//!  to leave   from the  down to     are not needed
//!             largest   the plan
//!             down      capacity
//! ```
//!
//! It is deterministic, and a fixed point: planning again from its own result changes nothing,
//! unless the number of consumers created at a time held it back.

pub mod reason;
pub mod snapshot;
mod report;
mod draft;
mod settle;
mod place;
mod relieve;
mod close;

use std::collections::BTreeMap;

use common::identity::ConsumerId;
use common::partition::TopicPartition;
use common::rate::BytesPerSecond;

use draft::Draft;
use reason::{CreateReason, Fit, MoveReason, RemoveReason, Warning};
use snapshot::{Scope, Snapshot};

/// The owner of every partition that has one.
pub type Assignment = BTreeMap<TopicPartition, ConsumerId>;

/// The assignment to reach, what it changes, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    pub assignment: Assignment,
    pub create: BTreeMap<ConsumerId, CreateReason>,
    pub remove: BTreeMap<ConsumerId, RemoveReason>,
    /// Every partition whose owner in the plan is another than in the snapshot, but for those that
    /// were excluded and so lose their owner.
    pub moves: BTreeMap<TopicPartition, PlannedMove>,
    pub warnings: Vec<Warning>,
}

/// One change of owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedMove {
    /// `None` if the partition had no owner, or one that is gone.
    pub from: Option<ConsumerId>,
    pub to: ConsumerId,
    /// What the move interrupts: the partition's steady demand.
    pub demand: BytesPerSecond,
    pub reason: MoveReason,
    pub fit: Fit,
}

impl PlannedMove {
    /// Why this partition moves, and why there, as one sentence without a full stop.
    pub fn explain(&self, partition: &TopicPartition) -> String {
        format!("{}; {}", self.reason.about(partition), self.fit.about(self.to))
    }
}

impl Plan {
    /// Whether it leaves everything as it is. The removal of a consumer that leaves is no change:
    /// every plan repeats it until that is done.
    pub fn changes_nothing(&self) -> bool {
        let is_change = |reason: &RemoveReason| match reason {
            RemoveReason::Idle | RemoveReason::Closed { .. } => true,
            RemoveReason::Drained | RemoveReason::Gone => false,
        };
        let removes = self.remove.values().any(is_change);
        self.moves.is_empty() && self.create.is_empty() && !removes
    }

    /// The sum of the demands of moves between two consumers, in thousandths of `capacity`: what
    /// the plan's moves cost. A partition that had no owner is not interrupted by getting one.
    pub fn r_score_milli(&self, capacity: BytesPerSecond) -> u64 {
        let moves = self.moves.values().filter(|planned| planned.from.is_some());
        let moved: BytesPerSecond = moves.map(|planned| planned.demand).sum();
        let score = u128::from(moved.0) * 1000 / u128::from(capacity.0.max(1));
        u64::try_from(score).unwrap_or(u64::MAX)
    }
}

/// Returns the assignment that the group should move to.
///
/// A partition that asks for more than a consumer gets one of its own. If the maximum of consumers
/// binds, the overload is spread, and the plan says so.
pub fn plan(snapshot: &Snapshot) -> Plan {
    let mut draft = Draft::new(snapshot);
    settle::settle(&mut draft);
    if snapshot.scope >= Scope::Relieve {
        settle::follow_pins(&mut draft);
        settle::drain(&mut draft);
    }
    place::place_homeless(&mut draft);
    if snapshot.scope >= Scope::Relieve {
        relieve::relieve_overload(&mut draft);
        place::keep_minimum(&mut draft);
        // A consumer that was just created may be one that somebody pinned to.
        while settle::follow_pins(&mut draft) {
            relieve::relieve_overload(&mut draft);
        }
    }
    if snapshot.scope >= Scope::Pack {
        close::close_spare(&mut draft);
    }
    if snapshot.scope >= Scope::Relieve {
        close::remove_leaving(&mut draft);
    }
    settle::warn_of_pins(&mut draft);
    relieve::warn_of_overload(&mut draft);
    finish(draft)
}

fn finish(draft: Draft<'_>) -> Plan {
    let mut plan = Plan {
        create: draft.created,
        remove: draft.removed,
        warnings: draft.warnings,
        ..Plan::default()
    };
    for (id, hold) in &draft.consumers {
        for partition in &hold.partitions {
            plan.assignment.insert((*partition).clone(), *id);
        }
    }
    for (partition, moved) in draft.moved {
        let facts = &draft.snapshot.partitions[partition];
        let to = plan.assignment[partition];
        let from = draft.snapshot.living_owner(partition);
        if from == Some(to) {
            continue;
        }
        let demand = facts.demand.steady;
        let planned = PlannedMove { from, to, demand, reason: moved.reason, fit: moved.fit };
        plan.moves.insert(partition.clone(), planned);
    }
    plan
}
