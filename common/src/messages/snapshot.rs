//! Pure. What a leader leaves to the next one, so that it need not read the topics from their beginning.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Extra;
use super::command::{Assign, Source};
use crate::identity::{ConsumerId, Incarnation, Nonce, TopicId};
use crate::partition::TopicPartition;
use crate::position::HandOver;
use crate::term::{Generation, Sequence, Term};

/// The leader's whole state. It counts only whole, and under the generation of the last
/// `LeaderStarted` before it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    pub generation: Generation,
    /// The last one used.
    pub sequence: Sequence,
    /// The `StateQuery` that asked for it, if one did.
    pub query: Option<Nonce>,
    /// The first offset on partition 0 that is not included.
    pub requests_offset: u64,
    /// The first offset on the events topic that is not included.
    pub events_offset: u64,
    /// For each consumer, by its number, the first offset of its partition that is not included.
    pub controller_offsets: BTreeMap<String, u64>,
    pub consumers: Vec<SnapshotConsumer>,
    pub partitions: Vec<SnapshotPartition>,
    pub requests: Vec<StandingRequest>,
    pub extra: Extra,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotConsumer {
    pub consumer: ConsumerId,
    pub incarnation: Incarnation,
    /// The last command it was sent.
    pub assign: Option<Assign>,
    /// The last answer that was read, by its number.
    pub answer_read: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Ownership {
    Unowned,
    Assigning,
    Owned,
    Revoking,
    /// Given up until a person acts or the back-off ends.
    Blocked,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotPartition {
    pub partition: TopicPartition,
    pub topic_id: TopicId,
    /// How it was read last; after an unclean end the next owner goes on that way.
    pub source: Option<Source>,
    pub ownership: Ownership,
    pub consumer: Option<ConsumerId>,
    pub incarnation: Option<Incarnation>,
    pub since: Option<Term>,
    /// Unowned: what the next owner gets; else what the present one got.
    pub hand_over: Option<HandOver>,
    /// Fence tokens not yet known to be finalized.
    pub tokens: Vec<String>,
    /// Blocked: why.
    pub reason: Option<String>,
}

/// A request of a person that holds until it is lifted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct StandingRequest {
    pub topic: String,
    /// Empty: all partitions of the topic.
    pub partitions: Vec<u32>,
    /// A pin to this consumer; `None`: excluded from reading.
    pub pinned_to: Option<ConsumerId>,
}
