//! IO. Asks the cluster which topics there are, and under which ids.

use std::collections::BTreeMap;

use common::identity::TopicId;
use common::kafka::wire::client::{WireClient, WireError};
use common::kafka::wire::cluster::{Cluster, Topic, Topics};
use common::partition::TopicPartition;

/// A topic that is not as it was when it was assigned.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TopicChange {
    #[error("the topic {topic} does not exist")]
    Missing { topic: String },
    #[error("the topic {topic} was deleted and created again: its id was {assigned} and is {now}")]
    Replaced { topic: String, assigned: TopicId, now: TopicId },
    #[error("the partition {partition} of the topic {topic} does not exist")]
    NoPartition { topic: String, partition: u32 },
}

impl TopicChange {
    /// Whether the cluster does not know it, as opposed to knowing another one.
    pub fn is_absence(&self) -> bool {
        match self {
            Self::Missing { .. } | Self::NoPartition { .. } => true,
            Self::Replaced { .. } => false,
        }
    }
}

/// The topics of the cluster as one of its brokers just said.
#[derive(Clone, Debug, Default)]
pub struct KnownTopics(BTreeMap<String, Topic>);

impl KnownTopics {
    pub fn of(topics: impl IntoIterator<Item = (String, Topic)>) -> Self {
        Self(topics.into_iter().collect())
    }

    pub fn get(&self, topic: &str) -> Option<&Topic> {
        self.0.get(topic)
    }

    /// The broker that leads the partition, if there is one at present.
    pub fn leader(&self, partition: &TopicPartition) -> Option<i32> {
        self.0.get(partition.topic())?.partitions.get(&partition.partition())?.leader
    }

    /// # Errors
    /// If the topic is another one than the one that was assigned.
    pub fn check(&self, topic: &str, partition: u32, assigned: TopicId) -> Result<(), TopicChange> {
        let topic_name = || topic.to_owned();
        let Some(known) = self.0.get(topic) else {
            return Err(TopicChange::Missing { topic: topic_name() });
        };
        if known.id != assigned {
            return Err(TopicChange::Replaced { topic: topic_name(), assigned, now: known.id });
        }
        if !known.partitions.contains_key(&partition) {
            return Err(TopicChange::NoPartition { topic: topic_name(), partition });
        }
        Ok(())
    }
}

/// One request for all of `topics`.
pub async fn look_up(wire: &WireClient, topics: &[&str]) -> Result<KnownTopics, WireError> {
    let Cluster { topics, .. } = wire.cluster(Topics::Named(topics)).await?;
    Ok(KnownTopics(topics))
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn a_topic_is_the_assigned_one_by_its_id() {
        let id = |number| TopicId(Uuid::from_u128(number));
        let partitions =
            [(0, common::kafka::wire::cluster::Partition { leader: None, leader_epoch: None })];
        let topic = Topic { id: id(1), is_internal: false, partitions: partitions.into() };
        let known = KnownTopics::of([("a".to_owned(), topic)]);
        assert_eq!(known.check("a", 0, id(1)), Ok(()));
        assert!(matches!(known.check("a", 0, id(2)), Err(TopicChange::Replaced { .. })));
        assert!(matches!(known.check("a", 1, id(1)), Err(TopicChange::NoPartition { .. })));
        assert!(matches!(known.check("b", 0, id(1)), Err(TopicChange::Missing { .. })));
    }
}
