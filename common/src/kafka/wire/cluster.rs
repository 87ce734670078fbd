//! Pure. What a cluster consists of: brokers, topics with their ids, partitions with their leaders.

use std::collections::BTreeMap;

use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::{
    MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::{MetadataRequest, MetadataResponse, TopicName};
use kafka_protocol::protocol::StrBytes;

use crate::identity::TopicId;
use crate::kafka::wire::connection::Address;

/// Which topics to ask about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topics<'a> {
    /// Those that we have the right to see.
    All,
    Named(&'a [&'a str]),
}

/// A cluster as one of its brokers described it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cluster {
    pub id: Option<String>,
    pub brokers: BTreeMap<i32, Address>,
    /// Those that exist.
    pub topics: BTreeMap<String, Topic>,
    /// Those that were asked for by name and that we learn nothing of; one that does not exist is in
    /// neither map.
    pub refused: BTreeMap<String, TopicRefusal>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopicRefusal {
    /// We have no right to describe it.
    NotAllowed,
    /// Kafka's number of an error.
    Code(i16),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// A topic that is deleted and created again gets another one.
    pub id: TopicId,
    pub is_internal: bool,
    pub partitions: BTreeMap<u32, Partition>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partition {
    /// The broker that leads it, if there is any at present.
    pub leader: Option<i32>,
    pub leader_epoch: Option<i32>,
}

/// Asking never creates a topic.
pub(crate) fn request(topics: Topics<'_>) -> MetadataRequest {
    let named = |name: &&str| {
        let name = TopicName(StrBytes::from_string((*name).to_owned()));
        MetadataRequestTopic::default().with_name(Some(name))
    };
    let topics = match topics {
        Topics::All => None,
        Topics::Named(names) => Some(names.iter().map(named).collect()),
    };
    MetadataRequest::default().with_topics(topics).with_allow_auto_topic_creation(false)
}

impl Cluster {
    pub(crate) fn from_answer(answer: MetadataResponse) -> Self {
        let mut cluster =
            Self { id: answer.cluster_id.as_deref().map(str::to_owned), ..Self::default() };
        for broker in answer.brokers {
            if let Ok(port) = u16::try_from(broker.port) {
                let address = Address { host: broker.host.as_str().to_owned(), port };
                cluster.brokers.insert(broker.node_id.0, address);
            }
        }
        for topic in answer.topics {
            cluster.add(topic);
        }
        cluster
    }

    fn add(&mut self, topic: MetadataResponseTopic) {
        let Some(name) = &topic.name else { return };
        let name = name.0.as_str().to_owned();
        match topic.error_code.err() {
            // Without a leader for some of its partitions it exists all the same.
            None | Some(ResponseError::LeaderNotAvailable) => {
                self.topics.insert(name, Topic::from_answer(&topic));
            }
            Some(ResponseError::UnknownTopicOrPartition) => {}
            Some(ResponseError::TopicAuthorizationFailed) => {
                self.refused.insert(name, TopicRefusal::NotAllowed);
            }
            Some(error) => {
                self.refused.insert(name, TopicRefusal::Code(error.code()));
            }
        }
    }
}

impl Topic {
    fn from_answer(topic: &MetadataResponseTopic) -> Self {
        let partitions = topic.partitions.iter().filter_map(|partition| {
            let index = u32::try_from(partition.partition_index).ok()?;
            Some((index, Partition::from_answer(partition)))
        });
        Self {
            id: TopicId(topic.topic_id),
            is_internal: topic.is_internal,
            partitions: partitions.collect(),
        }
    }
}

impl Partition {
    fn from_answer(partition: &MetadataResponsePartition) -> Self {
        let known = |number: i32| (number >= 0).then_some(number);
        Self { leader: known(partition.leader_id.0), leader_epoch: known(partition.leader_epoch) }
    }
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::BrokerId;
    use kafka_protocol::messages::metadata_response::MetadataResponseBroker;
    use uuid::Uuid;

    use super::*;

    fn topic(name: &'static str, error: i16) -> MetadataResponseTopic {
        let leaderless = MetadataResponsePartition::default()
            .with_partition_index(1)
            .with_leader_id(BrokerId(-1));
        let led =
            MetadataResponsePartition::default().with_leader_id(BrokerId(4)).with_leader_epoch(9);
        MetadataResponseTopic::default()
            .with_error_code(error)
            .with_name(Some(TopicName(StrBytes::from_static_str(name))))
            .with_topic_id(Uuid::from_u128(7))
            .with_partitions(vec![led, leaderless])
    }

    #[test]
    fn an_absent_topic_a_forbidden_one_and_a_leaderless_one_are_told_apart() {
        let topics = vec![topic("a", 0), topic("b", 5), topic("c", 3), topic("d", 29)];
        let broker = MetadataResponseBroker::default()
            .with_node_id(BrokerId(4))
            .with_host(StrBytes::from_static_str("k"))
            .with_port(9092);
        let answer = MetadataResponse::default().with_brokers(vec![broker]).with_topics(topics);
        let cluster = Cluster::from_answer(answer);
        assert_eq!(cluster.topics.keys().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(cluster.refused, [("d".to_owned(), TopicRefusal::NotAllowed)].into());
        assert_eq!(cluster.brokers[&4].to_string(), "k:9092");
        let a = &cluster.topics["a"];
        assert_eq!(a.id, TopicId(Uuid::from_u128(7)));
        assert_eq!(a.partitions[&0], Partition { leader: Some(4), leader_epoch: Some(9) });
        assert_eq!(a.partitions[&1].leader, None);
    }

    #[test]
    fn asking_creates_no_topic() {
        assert!(!request(Topics::Named(&["a"])).allow_auto_topic_creation);
        assert_eq!(request(Topics::All).topics, None);
    }
}
