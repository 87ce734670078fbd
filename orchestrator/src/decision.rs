//! Pure. A plan that was acted upon, with its reasons: for the log, the status page and the journal.

use common::identity::ConsumerId;
use common::moment::Timestamp;
use common::partition::TopicPartition;
use common::rate::BytesPerSecond;
use serde::{Deserialize, Serialize};

use crate::plan::Plan;
use crate::plan::snapshot::{Scope, Snapshot};
use crate::trigger::Trigger;

/// Why a plan was made, and what it changes and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    pub at: Timestamp,
    /// A word, as in the metrics.
    pub trigger: String,
    pub reason: String,
    pub scope: Scope,
    #[serde(flatten)]
    pub changes: Changes,
}

/// What a plan changes, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changes {
    pub create: Vec<ChangedConsumer>,
    pub moves: Vec<DecidedMove>,
    pub remove: Vec<ChangedConsumer>,
    pub warnings: Vec<String>,
    /// What the moves cost: write rate that moves ÷ capacity, in thousandths.
    pub r_score_milli: u64,
    /// Consumers once the plan is carried out.
    pub consumers: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangedConsumer {
    pub consumer: ConsumerId,
    pub reason: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecidedMove {
    pub partition: TopicPartition,
    pub from: Option<ConsumerId>,
    pub to: ConsumerId,
    pub demand: BytesPerSecond,
    /// A word, as in the metrics.
    pub cause: String,
    pub reason: String,
}

/// A line of the journal: from the snapshot the same plan can be made again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalLine {
    pub decision: Decision,
    pub snapshot: Snapshot,
}

impl Decision {
    pub fn new(at: Timestamp, trigger: &Trigger, plan: &Plan, snapshot: &Snapshot) -> Self {
        Self {
            at,
            trigger: trigger.reason.label().into(),
            reason: trigger.reason.to_string(),
            scope: trigger.scope,
            changes: Changes::of(plan, snapshot),
        }
    }
}

impl Changes {
    pub fn of(plan: &Plan, snapshot: &Snapshot) -> Self {
        let moved = plan.moves.iter().map(|(partition, planned)| DecidedMove {
            partition: partition.clone(),
            from: planned.from,
            to: planned.to,
            demand: planned.demand,
            cause: planned.reason.label().into(),
            reason: planned.explain(partition),
        });
        let stays = |consumer: &&ConsumerId| !plan.remove.contains_key(consumer);
        Self {
            create: plan.create.iter().map(ChangedConsumer::new).collect(),
            moves: moved.collect(),
            remove: plan.remove.iter().map(ChangedConsumer::new).collect(),
            warnings: plan.warnings.iter().map(ToString::to_string).collect(),
            r_score_milli: plan.r_score_milli(snapshot.limits.capacity),
            consumers: snapshot.consumers.keys().filter(stays).count() + plan.create.len(),
        }
    }
}

impl ChangedConsumer {
    fn new((consumer, reason): (&ConsumerId, &impl ToString)) -> Self {
        Self { consumer: *consumer, reason: reason.to_string() }
    }
}
