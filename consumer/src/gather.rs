//! IO. Reads data topics: one client for all partitions, and a queue of its own for each lane.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use common::kafka::cause::KafkaCause;
use common::kafka::client_events::ClientEvents;
use common::kafka::clients::{ClientError, FetchBounds, KafkaClients};
use common::kafka::native::leader_epoch;
use common::kafka::reader::LogRange;
use common::partition::TopicPartition;
use futures::{Stream, StreamExt as _};
use rdkafka::consumer::stream_consumer::StreamPartitionQueue;
use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::{Offset, Timestamp, TopicPartitionList};
use tokio::task::{self, JoinHandle};
use tracing::debug;

use crate::record::RawRecord;

/// How long a leader may take to tell the offsets that it has.
const RANGE_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
pub enum GatherError {
    #[error("failed to begin reading {partition} at offset {offset}")]
    Assign {
        partition: TopicPartition,
        offset: u64,
        #[source]
        source: KafkaCause,
    },
    #[error("failed to ask for the offsets of {partition}")]
    Range {
        partition: TopicPartition,
        #[source]
        source: KafkaCause,
    },
    #[error("{partition} cannot be read")]
    Read {
        partition: TopicPartition,
        #[source]
        source: KafkaCause,
    },
}

impl GatherError {
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Assign { source, .. }
            | Self::Range { source, .. }
            | Self::Read { source, .. } => source.is_transient(),
        }
    }
}

/// What Kafka answered.
#[derive(Debug)]
pub enum Gathered {
    Record(RawRecord),
    /// Everything that can be read was read.
    End,
    /// The position is not in the log.
    Gone,
    /// Waiting will not help.
    Failed(GatherError),
}

type DataConsumer = StreamConsumer<ClientEvents>;

/// The client that reads all partitions of this process. Clones share it.
#[derive(Clone)]
pub struct Fetcher {
    consumer: Arc<DataConsumer>,
    _events: Arc<ServedEvents>,
}

/// The client speaks of what concerns no partition on a queue that somebody has to read.
struct ServedEvents(JoinHandle<()>);

impl Drop for ServedEvents {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Fetcher {
    pub fn start(clients: &KafkaClients, bounds: FetchBounds) -> Result<Self, ClientError> {
        let consumer: Arc<DataConsumer> = clients.data_consumer(bounds)?;
        let events = Arc::clone(&consumer);
        let serve = async move {
            loop {
                if let Err(error) = events.recv().await {
                    debug!(error = %KafkaCause::new(error), "the data client reported an error");
                }
            }
        };
        let events = Arc::new(ServedEvents(tokio::spawn(serve)));
        Ok(Self { consumer, _events: events })
    }

    /// Begins to read a partition, which nobody else in this process may be reading.
    pub fn open(&self, partition: &TopicPartition, offset: u64) -> Result<Queue, GatherError> {
        let failed = |source| GatherError::Assign {
            partition: partition.clone(),
            offset,
            source: KafkaCause::new(source),
        };
        let queue = self.consumer.split_partition_queue(partition.topic(), number(partition));
        let queue = queue.ok_or_else(|| failed(KafkaError::Global(Code::UnknownPartition)))?;
        let mut assignment = TopicPartitionList::new();
        let start = Offset::Offset(i64::try_from(offset).unwrap_or(i64::MAX));
        assignment
            .add_partition_offset(partition.topic(), number(partition), start)
            .and_then(|()| self.consumer.incremental_assign(&assignment))
            .map_err(failed)?;
        let consumer = Arc::clone(&self.consumer);
        Ok(Queue { queue, consumer, partition: partition.clone() })
    }

    /// The offsets that the partition's log has now, asked from its leader.
    pub async fn log_range(&self, partition: &TopicPartition) -> Result<LogRange, GatherError> {
        let consumer = Arc::clone(&self.consumer);
        let asked = partition.clone();
        let asked = task::spawn_blocking(move || {
            consumer.fetch_watermarks(asked.topic(), number(&asked), RANGE_TIMEOUT)
        });
        let (start, end) =
            asked.await.expect("asking for offsets does not panic").map_err(|source| {
                GatherError::Range { partition: partition.clone(), source: KafkaCause::new(source) }
            })?;
        Ok(LogRange { start: to_offset(start), end: to_offset(end) })
    }

    /// The first offset of that time or later; `None` if all records are earlier.
    pub async fn offset_at(
        &self,
        partition: &TopicPartition,
        at: common::moment::Timestamp,
    ) -> Result<Option<u64>, GatherError> {
        let (consumer, asked) = (Arc::clone(&self.consumer), partition.clone());
        let asked = task::spawn_blocking(move || {
            let mut times = TopicPartitionList::new();
            times.add_partition_offset(asked.topic(), number(&asked), Offset::Offset(at.0))?;
            let found = consumer.offsets_for_times(times, RANGE_TIMEOUT)?;
            let found = found.elements().first().map(|element| (element.error(), element.offset()));
            match found {
                Some((Ok(()), Offset::Offset(offset))) => Ok(Some(to_offset(offset))),
                Some((Err(error), _)) => Err(error),
                Some((Ok(()), _)) | None => Ok(None),
            }
        });
        asked.await.expect("asking for offsets does not panic").map_err(|source| {
            GatherError::Range { partition: partition.clone(), source: KafkaCause::new(source) }
        })
    }
}

/// The records of one partition; reading ends when it is dropped.
pub struct Queue {
    queue: StreamPartitionQueue<ClientEvents>,
    consumer: Arc<DataConsumer>,
    partition: TopicPartition,
}

impl Queue {
    /// What Kafka answers, from the offset on at which the queue was opened. It never ends.
    pub fn answers(&self) -> impl Stream<Item = Gathered> + '_ {
        self.queue.stream().filter_map(|answer| std::future::ready(self.judge(answer)))
    }

    fn judge(&self, answer: Result<BorrowedMessage<'_>, KafkaError>) -> Option<Gathered> {
        let error = match answer {
            Ok(message) => return Some(Gathered::Record(copy(&message))),
            Err(KafkaError::PartitionEOF(_)) => return Some(Gathered::End),
            Err(error) => KafkaCause::new(error),
        };
        match error.code() {
            Some(Code::AutoOffsetReset | Code::OffsetOutOfRange) => Some(Gathered::Gone),
            // Whether the topic is gone for good shows when its id is asked for.
            Some(Code::UnknownPartition | Code::UnknownTopic | Code::UnknownTopicOrPartition) => {
                None
            }
            _ if error.is_transient() => {
                debug!(partition = %self.partition, %error, "reading was interrupted");
                None
            }
            _ => {
                let partition = self.partition.clone();
                Some(Gathered::Failed(GatherError::Read { partition, source: error }))
            }
        }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        let mut assignment = TopicPartitionList::new();
        assignment.add_partition(self.partition.topic(), number(&self.partition));
        if let Err(error) = self.consumer.incremental_unassign(&assignment) {
            let error = KafkaCause::new(error);
            debug!(partition = %self.partition, %error, "a partition was not being read any more");
        }
    }
}

fn copy(message: &BorrowedMessage<'_>) -> RawRecord {
    let headers = message.headers().into_iter().flat_map(Headers::iter);
    RawRecord {
        offset: to_offset(message.offset()),
        timestamp_ms: message.timestamp().to_millis(),
        is_append_time: matches!(message.timestamp(), Timestamp::LogAppendTime(_)),
        key: message.key().map(Bytes::copy_from_slice),
        value: message.payload().map(Bytes::copy_from_slice),
        headers: headers
            .map(|header| (header.key.to_owned(), header.value.map(Bytes::copy_from_slice)))
            .collect(),
        leader_epoch: leader_epoch(message),
    }
}

fn number(partition: &TopicPartition) -> i32 {
    i32::try_from(partition.partition()).unwrap_or(i32::MAX)
}

fn to_offset(offset: i64) -> u64 {
    u64::try_from(offset).expect("Kafka's offsets of records are not negative")
}
