//! Pure. What a leader says: that it leads, that it lives, and what each consumer shall read.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Extra;
use crate::identity::{Incarnation, Nonce, TopicId};
use crate::partition::TopicPartition;
use crate::position::HandOver;
use crate::term::{Generation, Term};

/// Opens a reign. On partition 0 its own offset is the generation; on partition n it names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaderStarted {
    pub nonce: Nonce,
    /// Who writes, for people: host, process.
    pub author: String,
    /// `None` on partition 0, where the record's offset says it.
    pub generation: Option<Generation>,
    pub controller_topic_id: TopicId,
    pub extra: Extra,
}

/// Says on partition 0 that the leader of `generation` still goes round.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaderAlive {
    pub generation: Generation,
    pub nonce: Nonce,
    /// Offset on partition 0 of the first record of the last whole snapshot, if there is one.
    pub snapshot: Option<u64>,
    pub extra: Extra,
}

/// The whole assignment of one consumer. What is missing in it is stopped, what is new is started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assign {
    pub term: Term,
    pub incarnation: Incarnation,
    /// The number of the last answer of this incarnation that the leader has read; 0 before the
    /// first. What was `Released` up to there need not be said again.
    pub answer_read: u64,
    /// Drain and exit.
    pub end: bool,
    pub topics: Vec<AssignedTopic>,
    pub extra: Extra,
}

/// The partitions of one topic within an [`Assign`], and where their rows go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssignedTopic {
    pub topic: String,
    pub topic_id: TopicId,
    pub source: Source,
    pub partitions: Vec<AssignedPartition>,
}

/// How the records of a topic are read and where they go: a service entry, as consumers need it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Source {
    pub table: String,
    pub format: String,
    pub sink: String,
    pub options: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssignedPartition {
    pub partition: u32,
    /// The term of the `Assign` that first gave the partition to this incarnation.
    pub since: Term,
    pub hand_over: Option<HandOver>,
    /// The leader ordered a change of table: the hand-over's position is one of the former table,
    /// and the new one begins there.
    pub new_table: bool,
}

impl Assign {
    /// Every partition with its topic's part, in the order of the message.
    pub fn partitions(
        &self,
    ) -> impl Iterator<Item = (TopicPartition, &AssignedTopic, &AssignedPartition)> {
        self.topics.iter().flat_map(|topic| {
            topic.partitions.iter().map(move |partition| {
                (TopicPartition::new(&topic.topic, partition.partition), topic, partition)
            })
        })
    }
}
