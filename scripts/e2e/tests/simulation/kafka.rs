//! Pure. The brokers: logs that are read in the order in which they were written, topics of records, committed offsets.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use common::identity::{ConsumerId, TopicId};
use common::kafka::reader::TopicRecord;
use common::kafka::wire::cluster::{Cluster, Partition, Topic as Described};
use common::messages::Message;
use common::messages::chunk::CHUNK;
use common::messages::codec::{EVENT_TYPE, decode};
use common::moment::Moment;
use common::partition::TopicPartition;
use consumer::inbox::Envelope;
use consumer::sink::Committed;
use consumer::sink::bigquery::token::Token;
use orchestrator::conductor::action::Destination;
use uuid::Uuid;

/// A record of our own topics. Most are kept as the messages that they hold, which is quicker.
#[derive(Clone, Debug)]
pub(crate) enum Payload {
    Whole(Rc<Message>),
    Raw(Rc<Raw>),
}

/// A record as bytes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Raw {
    pub(crate) event_type: Option<String>,
    pub(crate) chunk: Option<String>,
    pub(crate) value: Vec<u8>,
}

#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) payload: Payload,
    /// What is wrong with it, if it must change nothing.
    pub(crate) forged: Option<&'static str>,
}

/// One partition of a topic that is read into the lake: offsets are all there is to its records.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Log {
    pub(crate) start: u64,
    pub(crate) end: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct Topic {
    pub(crate) id: TopicId,
    pub(crate) logs: Vec<Log>,
}

#[derive(Debug)]
pub(crate) struct Kafka {
    /// Partition n of the controller topic.
    pub(crate) controller: Vec<Vec<Record>>,
    pub(crate) events: Vec<Record>,
    /// Streams that an answer among the events names.
    pub(crate) announced: BTreeSet<String>,
    pub(crate) service: Vec<(String, Option<String>)>,
    pub(crate) topics: BTreeMap<String, Topic>,
    pub(crate) committed: BTreeMap<TopicPartition, Committed>,
    /// A partition of the controller topic has no leader until then.
    pub(crate) leaderless: (ConsumerId, Moment),
    topics_made: u128,
}

pub(crate) fn controller_topic_id() -> TopicId {
    TopicId(Uuid::from_u128(1))
}

impl Kafka {
    pub(crate) fn new(consumers: u32) -> Self {
        Self {
            controller: vec![vec![]; consumers as usize + 1],
            events: vec![],
            announced: BTreeSet::new(),
            service: vec![],
            topics: BTreeMap::new(),
            committed: BTreeMap::new(),
            leaderless: (ConsumerId(1), Moment::default()),
            topics_made: 1,
        }
    }

    pub(crate) fn create_topic(&mut self, name: &str, partitions: usize) {
        self.topics_made += 1;
        let id = TopicId(Uuid::from_u128(self.topics_made));
        self.topics.insert(name.into(), Topic { id, logs: vec![Log::default(); partitions] });
    }

    /// Deletes a topic, and what was committed for it.
    pub(crate) fn delete_topic(&mut self, name: &str) {
        self.topics.remove(name);
        self.committed.retain(|partition, _| partition.topic() != name);
    }

    pub(crate) fn log(&self, partition: &TopicPartition) -> Option<(TopicId, Log)> {
        let topic = self.topics.get(partition.topic())?;
        Some((topic.id, *topic.logs.get(partition.partition() as usize)?))
    }

    pub(crate) fn partitions(&self) -> impl Iterator<Item = TopicPartition> {
        self.topics.iter().flat_map(|(name, topic)| {
            (0u32..).zip(&topic.logs).map(|(number, _)| TopicPartition::new(name, number))
        })
    }

    pub(crate) fn cluster(&self) -> Cluster {
        let partition = Partition { leader: Some(1), leader_epoch: Some(0) };
        let describe = |(name, topic): (&String, &Topic)| {
            let partitions = (0u32..).zip(&topic.logs).map(|(number, _)| (number, partition));
            let partitions = partitions.collect();
            (name.clone(), Described { id: topic.id, is_internal: false, partitions })
        };
        let topics = self.topics.iter().map(describe).collect();
        Cluster { topics, ..Cluster::default() }
    }

    /// Until when a partition can be neither written nor read, if it cannot be.
    pub(crate) fn held_up_until(&self, to: Destination, now: Moment) -> Option<Moment> {
        let (consumer, until) = self.leaderless;
        (to == Destination::Consumer(consumer) && now < until).then_some(until)
    }

    /// Appends a record to one of our own topics and returns the offset after it.
    pub(crate) fn append(&mut self, to: Destination, record: Record) -> u64 {
        if to == Destination::Events && record.forged.is_none() {
            self.note_announced(&record.payload);
        }
        let log = match to {
            Destination::Requests => &mut self.controller[0],
            Destination::Consumer(consumer) => &mut self.controller[consumer.0 as usize],
            Destination::Events => &mut self.events,
        };
        log.push(record);
        log.len() as u64
    }

    fn note_announced(&mut self, payload: &Payload) {
        let decoded;
        let message = match payload {
            Payload::Whole(message) => &**message,
            Payload::Raw(_) => {
                let Some(message) = payload.message() else { return };
                decoded = message;
                &decoded
            }
        };
        let Message::Answer(answer) = message else { return };
        let tokens = answer.partitions.iter().flat_map(|said| &said.tokens);
        self.announced.extend(tokens.map(|token| Token::parse(token).stream));
    }
}

impl Record {
    pub(crate) fn sound(payload: Payload) -> Self {
        Self { payload, forged: None }
    }
}

impl From<Message> for Payload {
    fn from(message: Message) -> Self {
        Self::Whole(Rc::new(message))
    }
}

impl Payload {
    /// The message as it goes over the wire.
    pub(crate) fn encoded(message: &Message) -> Self {
        let event_type = Some(message.kind().name().to_owned());
        Self::Raw(Rc::new(Raw { event_type, chunk: None, value: message.encode() }))
    }

    /// The message, if it is one.
    pub(crate) fn message(&self) -> Option<Message> {
        match self {
            Self::Whole(message) => Some((**message).clone()),
            Self::Raw(raw) if raw.chunk.is_none() => {
                decode(raw.event_type.as_deref(), &raw.value).ok()
            }
            Self::Raw(_) => None,
        }
    }
}

impl Raw {
    pub(crate) fn envelope(&self) -> Envelope {
        let (event_type, chunk) = (self.event_type.clone(), self.chunk.clone());
        Envelope { event_type, chunk, value: Some(self.value.clone()) }
    }

    pub(crate) fn record(&self, offset: u64) -> TopicRecord {
        let header = |key: &str, value: &Option<String>| {
            value.as_ref().map(|value| (key.to_owned(), value.clone().into_bytes()))
        };
        let headers = [header(EVENT_TYPE, &self.event_type), header(CHUNK, &self.chunk)];
        TopicRecord {
            offset,
            timestamp: None,
            key: None,
            value: Some(self.value.clone()),
            headers: headers.into_iter().flatten().collect(),
        }
    }
}
