//! Pure. How one partition is held, and how an answer says it.

use common::messages::command::{AssignedPartition, AssignedTopic};
use common::messages::event::{PartitionAnswer, PartitionState};
use common::partition::TopicPartition;
use common::position::{HandOver, Position, ReleaseId};
use common::term::Term;

use super::lane::{LaneId, Opening};

#[derive(Clone, Debug)]
pub(super) enum Holding {
    Opening { opening: Opening, stop: bool },
    Held { position: Position, tokens: Vec<String>, polled_at_ms: Option<i64> },
    Stopping { position: Position, tokens: Vec<String> },
    Gone(Release),
}

/// A partition that is no longer read, until the leader has read so.
#[derive(Clone, Debug)]
pub(super) struct Release {
    pub(super) id: ReleaseId,
    pub(super) hand_over: HandOver,
    pub(super) failure: Option<String>,
    pub(super) polled_at_ms: Option<i64>,
    /// The number of the first answer that said it.
    pub(super) said_in: u64,
}

#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) since: Term,
    pub(super) holding: Holding,
    /// The number of the first answer that named the writer's fence tokens, until it is acknowledged.
    pub(super) announcing: Option<u64>,
}

impl Held {
    pub(super) fn new(since: Term, holding: Holding) -> Self {
        Self { since, holding, announcing: None }
    }

    /// The fence tokens of the present writer.
    pub(super) fn tokens(&self) -> &[String] {
        match &self.holding {
            Holding::Held { tokens, .. } | Holding::Stopping { tokens, .. } => tokens,
            Holding::Opening { .. } | Holding::Gone(_) => &[],
        }
    }
}

pub(super) fn opening(
    partition: &TopicPartition,
    topic: &AssignedTopic,
    assigned: &AssignedPartition,
) -> Opening {
    Opening {
        lane: LaneId { partition: partition.clone(), since: assigned.since },
        topic_id: topic.topic_id,
        source: topic.source.clone(),
        hand_over: assigned.hand_over.clone(),
        new_table: assigned.new_table,
    }
}

pub(super) fn partition_answer((partition, held): (&TopicPartition, &Held)) -> PartitionAnswer {
    let mut answer = PartitionAnswer {
        partition: partition.clone(),
        state: PartitionState::Opening,
        since: held.since,
        position: None,
        tokens: vec![],
        hand_over: None,
        reason: None,
        polled_at_ms: None,
    };
    match &held.holding {
        Holding::Opening { stop: false, .. } => {}
        Holding::Opening { stop: true, .. } => answer.state = PartitionState::Stopping,
        Holding::Held { position, tokens, polled_at_ms } => {
            answer.state = PartitionState::Held;
            answer.position = Some(*position);
            answer.tokens.clone_from(tokens);
            answer.polled_at_ms = *polled_at_ms;
        }
        Holding::Stopping { position, tokens } => {
            answer.state = PartitionState::Stopping;
            answer.position = Some(*position);
            answer.tokens.clone_from(tokens);
        }
        Holding::Gone(release) => {
            let failed = release.failure.is_some();
            answer.state = if failed { PartitionState::Failed } else { PartitionState::Released };
            answer.hand_over = Some(release.hand_over.clone());
            answer.reason.clone_from(&release.failure);
            answer.polled_at_ms = release.polled_at_ms;
        }
    }
    answer
}
