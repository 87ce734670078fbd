//! Pure. Packs partitions into few consumers, moving little, and says why.
//!
//! ```text
//!  snapshot ──> model ──────────> pack ────────> changes ────────> warn
//!               items and bins    where each     what is created,  what could not
//!               for the packing   item goes      moved, removed    be as it should
//! ```
//!
//! A plan is deterministic, and a fixed point: planning again from its own result changes nothing,
//! unless the number of consumers created at a time held it back. The packing itself is in
//! `crate::pack`; the published heuristics bypass the model's finer points.

pub mod policy;
pub mod reason;
pub mod snapshot;
mod report;
mod model;
mod published;
mod changes;
mod warn;

use std::collections::BTreeMap;

use common::identity::ConsumerId;
use common::partition::TopicPartition;
use common::rate::BytesPerSecond;

pub use model::is_number;

use model::Model;
use policy::Algorithm;
use reason::{CreateReason, Fit, MoveReason, RemoveReason, Warning};
use snapshot::Snapshot;

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
    let model = Model::new(snapshot);
    let published = match snapshot.policy.algorithm {
        Algorithm::Stowage => None,
        Algorithm::Published(heuristic) => published::solve(&model, heuristic),
    };
    let places = published.unwrap_or_else(|| model.solve());
    let mut plan = changes::describe(&model, &places);
    plan.warnings = warn::warnings(&model, &plan, &places);
    plan
}
