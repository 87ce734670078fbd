//! IO. Follows the monitor's and the consumers' topics, on a thread of its own.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use common::chain::Chain;
use common::kafka::client_events::ClientEvents;
use common::kafka::clients::ClientError;
use common::kafka::config::KafkaConfig;
use common::messages::Message;
use common::messages::chunk::{Assembler, CHUNK, ChunkHeader};
use common::messages::codec::{EVENT_TYPE, decode};
use common::messages::measurement::{Measurement, PartitionMeasurement};
use common::partition::TopicPartition;
use common::shutdown::Shutdown;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::{Offset, TopicPartitionList};
use tracing::{debug, warn};

use super::fleet::Fleet;
use crate::clients;

const POLL: Duration = Duration::from_millis(100);

/// Takes what is said, in the order of each topic.
pub trait Witness: Default + Send + 'static {
    /// A consumer said this at `at_ms`, by the record's time.
    fn event(&mut self, event: &Message, at_ms: i64);
    fn measurement(&mut self, measurement: Measurement);
}

/// What was said so far.
#[derive(Debug, Default)]
pub struct Seen {
    pub fleet: Fleet,
    pub measured: BTreeMap<TopicPartition, PartitionMeasurement>,
}

impl Witness for Seen {
    fn event(&mut self, event: &Message, at_ms: i64) {
        self.fleet.apply(event, at_ms);
    }

    fn measurement(&mut self, measurement: Measurement) {
        let partitions = measurement.partitions.into_iter();
        self.measured.extend(partitions.map(|measured| (measured.topic_partition(), measured)));
    }
}

/// The topics to follow, each with one partition.
#[derive(Clone, Debug)]
pub struct Followed {
    pub monitor: String,
    pub events: String,
}

#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    #[error("failed to create the reader of the system's own topics")]
    Reader {
        #[source]
        source: ClientError,
    },
    #[error("failed to start reading the system's own topics")]
    Assign {
        #[source]
        source: KafkaError,
    },
    #[error("failed to start the thread that follows the system's own topics")]
    Thread {
        #[source]
        source: io::Error,
    },
}

/// A reader that goes on until it is dropped.
#[derive(Debug)]
pub struct Follower<W: Witness> {
    seen: Arc<Mutex<W>>,
    end: Shutdown,
    thread: Option<JoinHandle<()>>,
}

impl<W: Witness> Follower<W> {
    /// Reads both topics from their beginnings; they must exist.
    pub fn start(kafka: &KafkaConfig, topics: Followed) -> Result<Self, FollowError> {
        let reader = clients::reader(kafka).map_err(|source| FollowError::Reader { source })?;
        let mut assignment = TopicPartitionList::new();
        for topic in [&topics.monitor, &topics.events] {
            assignment
                .add_partition_offset(topic, 0, Offset::Beginning)
                .map_err(|source| FollowError::Assign { source })?;
        }
        reader.assign(&assignment).map_err(|source| FollowError::Assign { source })?;
        let (seen, end) = (Arc::<Mutex<W>>::default(), Shutdown::manual());
        let mut task =
            Task { reader, topics, seen: Arc::clone(&seen), chunks: Assembler::default() };
        let until = end.clone();
        let thread = thread::Builder::new()
            .name("follow".into())
            .spawn(move || task.run(&until))
            .map_err(|source| FollowError::Thread { source })?;
        Ok(Self { seen, end, thread: Some(thread) })
    }

    /// What was seen so far; the reader waits while it is looked at.
    pub fn seen(&self) -> MutexGuard<'_, W> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<W: Witness> Drop for Follower<W> {
    fn drop(&mut self) {
        self.end.request();
        if let Some(thread) = self.thread.take() {
            // If it panicked, that was printed where it happened.
            let _ = thread.join();
        }
    }
}

struct Task<W> {
    reader: Arc<BaseConsumer<ClientEvents>>,
    topics: Followed,
    seen: Arc<Mutex<W>>,
    chunks: Assembler,
}

impl<W: Witness> Task<W> {
    fn run(&mut self, end: &Shutdown) {
        let Self { reader, topics, seen, chunks } = self;
        while !end.is_requested() {
            match reader.poll(POLL) {
                Some(Ok(message)) => {
                    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                    if message.topic() == topics.monitor {
                        take_measurement(&mut *seen, &message);
                    } else {
                        take_event(&mut *seen, chunks, &message);
                    }
                }
                Some(Err(KafkaError::PartitionEOF(_))) | None => {}
                Some(Err(error)) => debug!(error = %Chain(&error), "failed to follow a topic"),
            }
        }
    }
}

fn take_measurement(seen: &mut impl Witness, message: &BorrowedMessage<'_>) {
    match serde_json::from_slice(message.payload().unwrap_or_default()) {
        Ok(measurement) => seen.measurement(measurement),
        Err(error) => warn!(error = %Chain(&error), "a measurement was not understood"),
    }
}

fn take_event(seen: &mut impl Witness, chunks: &mut Assembler, message: &BorrowedMessage<'_>) {
    let chunk = header(message, CHUNK).map(ChunkHeader::parse).transpose();
    let value = message.payload().unwrap_or_default().to_vec();
    let whole = chunk.and_then(|chunk| chunks.take(chunk, value));
    let at_ms = message.timestamp().to_millis().unwrap_or(0);
    match whole {
        Ok(None) => {}
        Ok(Some(whole)) => match decode(header(message, EVENT_TYPE), &whole) {
            Ok(event) => seen.event(&event, at_ms),
            Err(error) => warn!(error = %Chain(&error), "an event was not understood"),
        },
        Err(error) => warn!(error = %Chain(&error), "a chunk was not understood"),
    }
}

fn header<'a>(message: &'a BorrowedMessage<'_>, name: &str) -> Option<&'a str> {
    let header = message.headers()?.iter().find(|header| header.key == name)?;
    std::str::from_utf8(header.value?).ok()
}
