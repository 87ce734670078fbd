//! IO. Reads topics from Kafka: committed records only, from the first to the last.

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use common::clock::Clock;
use common::kafka::client_events::ClientEvents;
use common::kafka::clients::ClientError;
use common::kafka::config::KafkaConfig;
use common::kafka::wire::client::{WireClient, WireError};
use common::kafka::wire::cluster::Topics;
use rand::SeedableRng as _;
use rand::rngs::ChaCha8Rng;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::{Offset, TopicPartitionList};
use tokio::runtime::{self, Runtime};

use super::record::{Record, TopicFacts, TopicRecords};
use crate::clients::{self, ANSWER_TIMEOUT};

const POLL: Duration = Duration::from_millis(200);
/// Spreads reconnections; a single reader has nobody to keep away from.
const BACK_OFF_SEED: u64 = 1;

/// The topics of a Kafka cluster.
pub struct KafkaTopics {
    reader: Arc<BaseConsumer<ClientEvents>>,
    /// Topics' ids, which librdkafka does not tell.
    wire: WireClient,
    runtime: Runtime,
}

#[derive(Debug, thiserror::Error)]
pub enum KafkaTopicsError {
    #[error("failed to create the reader")]
    Reader {
        #[source]
        source: ClientError,
    },
    #[error("failed to start the runtime of the wire client")]
    Runtime {
        #[source]
        source: io::Error,
    },
    #[error("failed to prepare the wire client")]
    Wire {
        #[source]
        source: WireError,
    },
    #[error("no broker said what the topic {topic} is")]
    Facts {
        topic: String,
        #[source]
        source: WireError,
    },
    #[error("no broker said where {topic}/{partition} begins and ends")]
    Bounds {
        topic: String,
        partition: u32,
        #[source]
        source: KafkaError,
    },
    #[error("failed to read {topic}/{partition}")]
    Read {
        topic: String,
        partition: u32,
        #[source]
        source: KafkaError,
    },
    #[error("nothing came from {topic}/{partition} for {} s", ANSWER_TIMEOUT.as_secs())]
    Silent { topic: String, partition: u32 },
}

impl KafkaTopics {
    pub fn connect(kafka: &KafkaConfig) -> Result<Self, KafkaTopicsError> {
        let reader =
            clients::reader(kafka).map_err(|source| KafkaTopicsError::Reader { source })?;
        let rng = ChaCha8Rng::seed_from_u64(BACK_OFF_SEED);
        let wire = WireClient::new(kafka, "stowage-e2e", rng)
            .map_err(|source| KafkaTopicsError::Wire { source })?;
        let runtime = runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.map_err(|source| KafkaTopicsError::Runtime { source })?;
        Ok(Self { reader, wire, runtime })
    }

    fn start(&self, topic: &str, partition: u32, from: u64) -> Result<(), KafkaError> {
        let from = i64::try_from(from).map_or(Offset::End, Offset::Offset);
        let mut assignment = TopicPartitionList::new();
        assignment.add_partition_offset(topic, number(partition), from)?;
        self.reader.assign(&assignment)
    }

    /// Hands records over until the end, a refusal or a silence.
    fn drain(
        &self,
        topic: &str,
        partition: u32,
        visit: &mut dyn FnMut(&Record<'_>) -> bool,
    ) -> Result<(), KafkaTopicsError> {
        let failed = |source| KafkaTopicsError::Read { topic: topic.into(), partition, source };
        let mut heard = Clock.now();
        loop {
            match self.reader.poll(POLL) {
                Some(Ok(message)) => {
                    heard = Clock.now();
                    if message.partition() == number(partition) && !visit(&record(&message)) {
                        return Ok(());
                    }
                }
                Some(Err(KafkaError::PartitionEOF(ended))) if ended == number(partition) => {
                    return Ok(());
                }
                Some(Err(error)) if is_passing(&error) => {}
                Some(Err(error)) => return Err(failed(error)),
                None => {}
            }
            if Clock.now().saturating_since(heard) > ANSWER_TIMEOUT {
                return Err(KafkaTopicsError::Silent { topic: topic.into(), partition });
            }
        }
    }
}

impl TopicRecords for KafkaTopics {
    type Error = KafkaTopicsError;

    fn facts(&mut self, topic: &str) -> Result<Option<TopicFacts>, KafkaTopicsError> {
        let failed = |source| KafkaTopicsError::Facts { topic: topic.into(), source };
        let named = [topic];
        let asked = self.wire.cluster(Topics::Named(&named));
        let cluster = self.runtime.block_on(asked).map_err(failed)?;
        Ok(cluster.topics.get(topic).map(|topic| TopicFacts {
            id: topic.id.to_string(),
            partitions: topic.partitions.keys().last().map_or(0, |last| last + 1),
        }))
    }

    fn bounds(&mut self, topic: &str, partition: u32) -> Result<Range<u64>, KafkaTopicsError> {
        let watermarks = self.reader.fetch_watermarks(topic, number(partition), ANSWER_TIMEOUT);
        let (start, end) = watermarks.map_err(|source| KafkaTopicsError::Bounds {
            topic: topic.into(),
            partition,
            source,
        })?;
        Ok(offset(start)..offset(end))
    }

    fn read(
        &mut self,
        topic: &str,
        partition: u32,
        from: u64,
        visit: &mut dyn FnMut(&Record<'_>) -> bool,
    ) -> Result<(), KafkaTopicsError> {
        let failed = |source| KafkaTopicsError::Read { topic: topic.into(), partition, source };
        self.start(topic, partition, from).map_err(failed)?;
        let drained = self.drain(topic, partition, visit);
        self.reader.unassign().map_err(failed)?;
        drained
    }
}

/// A broker that is away for a moment is waited for; what stays silent too long fails anyway.
fn is_passing(error: &KafkaError) -> bool {
    use rdkafka::error::RDKafkaErrorCode as Code;
    let passing = [
        Code::BrokerTransportFailure,
        Code::AllBrokersDown,
        Code::NotLeaderForPartition,
        Code::LeaderNotAvailable,
        Code::OperationTimedOut,
        Code::RequestTimedOut,
        Code::PartitionEOF,
    ];
    error.rdkafka_error_code().is_some_and(|code| passing.contains(&code))
}

fn record<'a>(message: &'a BorrowedMessage<'_>) -> Record<'a> {
    let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
    Record {
        offset: offset(message.offset()),
        timestamp_ms: message.timestamp().to_millis(),
        key: message.key(),
        value: message.payload(),
        headers: headers.map(|header| (header.key, header.value)).collect(),
    }
}

fn number(partition: u32) -> i32 {
    i32::try_from(partition).expect("Kafka counts partitions in 31 bits")
}

fn offset(offset: i64) -> u64 {
    u64::try_from(offset).unwrap_or(0)
}
