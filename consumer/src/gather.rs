//! IO. Reads data topics: one client for all partitions, and a queue of its own for each lane.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;
use std::{iter, mem};

use bytes::Bytes;
use common::kafka::cause::KafkaCause;
use common::kafka::client_events::ClientEvents;
use common::kafka::clients::{ClientError, FetchBounds, KafkaClients};
use common::kafka::reader::LogRange;
use common::native::kafka::{PartitionQueue, Record};
use common::partition::TopicPartition;
use futures::{Stream, StreamExt as _};
use rdkafka::consumer::stream_consumer::StreamPartitionQueue;
use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::BorrowedMessage;
use rdkafka::{Offset, Timestamp, TopicPartitionList};
use tokio::task::{self, JoinHandle};
use tracing::debug;

use crate::record::RawRecord;

/// Answers that are taken at once at most.
const CHUNK: usize = 1_000;
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
    /// In the order of their offsets.
    Records(Vec<RawRecord>),
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
        let ready = PartitionQueue::new(&consumer, partition.topic(), number(partition));
        let ready = ready.ok_or_else(|| failed(KafkaError::Global(Code::UnknownPartition)))?;
        Ok(Queue { queue, ready, consumer, partition: partition.clone(), has_headers: true })
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
    /// The same queue, for what lies ready in it.
    ready: PartitionQueue<DataConsumer>,
    consumer: Arc<DataConsumer>,
    partition: TopicPartition,
    has_headers: bool,
}

impl Queue {
    /// Leaves headers out of records. The client parses them when it is asked, record by record and even if there
    /// are none, which costs more than copying the record.
    pub fn without_headers(mut self) -> Self {
        self.has_headers = false;
        self
    }

    pub fn has_headers(&self) -> bool {
        self.has_headers
    }

    /// What Kafka answers, from the offset on at which the queue was opened, as much at once as lies
    /// ready. It never ends.
    pub fn answers(&self) -> impl Stream<Item = Vec<Gathered>> + '_ {
        self.queue.stream().map(|first| self.with_ready(first))
    }

    /// The answer that was waited for, and those behind it.
    fn with_ready(&self, first: Result<BorrowedMessage<'_>, KafkaError>) -> Vec<Gathered> {
        let ready = self.ready.take(CHUNK);
        let first = match &first {
            Ok(message) => Ok(Record::of(message)),
            Err(KafkaError::PartitionEOF(_)) => Err(KafkaCause::of(Code::PartitionEOF)),
            Err(error) => Err(KafkaCause::new(error.clone())),
        };
        let ready = ready.answers().map(|answer| answer.map_err(KafkaCause::of));
        let mut gathered = Vec::new();
        let mut records = Vec::with_capacity(CHUNK + 1);
        for answer in iter::once(first).chain(ready) {
            match answer {
                Ok(record) => records.push(Parts::of(record, self.has_headers)),
                Err(error) => {
                    gathered.extend(Gathered::records(mem::take(&mut records)));
                    gathered.extend(self.judge(error));
                }
            }
        }
        gathered.extend(Gathered::records(records));
        gathered
    }

    fn judge(&self, error: KafkaCause) -> Option<Gathered> {
        match error.code() {
            Some(Code::PartitionEOF) => Some(Gathered::End),
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

/// What a record is made of, where the client has it.
struct Parts<'r> {
    record: Record<'r>,
    headers: Vec<(Cow<'r, str>, Option<&'r [u8]>)>,
}

impl<'r> Parts<'r> {
    fn of(record: Record<'r>, has_headers: bool) -> Self {
        let headers = if has_headers { record.headers().collect() } else { Vec::new() };
        Self { record, headers }
    }

    /// Everything that is to be copied.
    fn bytes(&self) -> impl Iterator<Item = &'r [u8]> {
        let headers = self.headers.iter().filter_map(|(_, value)| *value);
        self.record.key().into_iter().chain(self.record.value()).chain(headers)
    }

    /// The record, with what `next` makes of its parts in the order of [`Parts::bytes`].
    fn into_raw(self, mut next: impl FnMut(&[u8]) -> Bytes) -> RawRecord {
        let Self { record, headers } = self;
        let timestamp = record.timestamp();
        RawRecord {
            offset: to_offset(record.offset()),
            timestamp_ms: timestamp.to_millis(),
            is_append_time: matches!(timestamp, Timestamp::LogAppendTime(_)),
            key: record.key().map(&mut next),
            value: record.value().map(&mut next),
            headers: headers
                .into_iter()
                .map(|(name, value)| (name.into_owned(), value.map(&mut next)))
                .collect(),
            leader_epoch: record.leader_epoch(),
        }
    }
}

impl Gathered {
    /// Copies of records that were taken together, in one piece of memory; `None` if there are none.
    /// They are not kept where the client has them: each would hold a broker's whole answer.
    fn records(parts: Vec<Parts<'_>>) -> Option<Self> {
        let bytes = || parts.iter().flat_map(Parts::bytes);
        let mut memory = Vec::with_capacity(bytes().map(<[u8]>::len).sum());
        bytes().for_each(|bytes| memory.extend_from_slice(bytes));
        let (memory, mut used) = (Bytes::from(memory), 0);
        let mut next = |part: &[u8]| {
            let from = used;
            used += part.len();
            memory.slice(from..used)
        };
        let records: Vec<_> = parts.into_iter().map(|parts| parts.into_raw(&mut next)).collect();
        (!records.is_empty()).then_some(Self::Records(records))
    }
}

fn number(partition: &TopicPartition) -> i32 {
    i32::try_from(partition.partition()).unwrap_or(i32::MAX)
}

fn to_offset(offset: i64) -> u64 {
    u64::try_from(offset).expect("Kafka's offsets of records are not negative")
}
