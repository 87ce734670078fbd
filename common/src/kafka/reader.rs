//! IO. Reads one partition of one of our own topics, from wherever one likes.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::{Offset, TopicPartitionList};
use thiserror::Error;
use tokio::task;
use tracing::debug;

use crate::kafka::cause::KafkaCause;
use crate::kafka::client_events::ClientEvents;
use crate::kafka::clients::{ClientError, KafkaClients};
use crate::moment::Timestamp;
use crate::partition::TopicPartition;

#[derive(Debug, Error)]
pub enum ReaderError {
    #[error("failed to prepare reading {partition}")]
    Client {
        partition: TopicPartition,
        #[source]
        source: ClientError,
    },
    #[error("failed to start reading {partition} at {start:?}")]
    Assign {
        partition: TopicPartition,
        start: Start,
        #[source]
        source: KafkaCause,
    },
    /// The position is not in the log: removed by retention, or the log is another one.
    #[error("the position in {partition} is gone")]
    PositionGone {
        partition: TopicPartition,
        #[source]
        source: KafkaCause,
    },
    #[error("failed to read {partition}")]
    Read {
        partition: TopicPartition,
        #[source]
        source: KafkaCause,
    },
    #[error("failed to ask for the offsets of {partition}")]
    Offsets {
        partition: TopicPartition,
        #[source]
        source: KafkaCause,
    },
}

/// Where to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    Beginning,
    /// With what is written from now on.
    End,
    /// So many offsets before the end, or at the beginning if the log is shorter.
    Tail(u32),
    Offset(u64),
}

/// A record as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicRecord {
    pub offset: u64,
    /// As the producer or the broker stamped it.
    pub timestamp: Option<Timestamp>,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Vec<u8>)>,
}

impl TopicRecord {
    /// The first header of that name, if it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(key, _)| key == name)?;
        std::str::from_utf8(value).ok()
    }
}

/// The offsets that a partition has, asked from its leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogRange {
    /// The first offset that is still there.
    pub start: u64,
    /// The high watermark: the first offset that is not yet readable.
    pub end: u64,
}

/// Reads one partition in order. It commits nothing.
pub struct TopicReader {
    clients: KafkaClients,
    partition: TopicPartition,
    consumer: Mutex<Arc<StreamConsumer<ClientEvents>>>,
}

impl TopicReader {
    /// Begins to read. A partition that does not exist yet is waited for.
    pub fn open(
        clients: &KafkaClients,
        partition: TopicPartition,
        start: Start,
    ) -> Result<Self, ReaderError> {
        let consumer = Mutex::new(started(clients, &partition, start)?);
        Ok(Self { clients: clients.clone(), partition, consumer })
    }

    pub fn partition(&self) -> &TopicPartition {
        &self.partition
    }

    /// Reads on from somewhere else, through a client of its own: librdkafka ends the process when a
    /// partition is assigned anew while it is still being stopped (its issue 5573).
    pub fn restart(&self, start: Start) -> Result<(), ReaderError> {
        let fresh = started(&self.clients, &self.partition, start)?;
        let mut consumer = self.consumer.lock().unwrap_or_else(PoisonError::into_inner);
        let former = std::mem::replace(&mut *consumer, fresh);
        // Closing a client waits for its broker.
        thread::spawn(move || drop(former));
        Ok(())
    }

    /// The next record, whenever it comes. A broker that is away is waited for. Dropping the future
    /// loses no record.
    ///
    /// # Errors
    /// If the position is gone, or waiting will not help (no right to read, a fatal client).
    pub async fn next(&self) -> Result<TopicRecord, ReaderError> {
        let consumer = self.consumer();
        loop {
            match consumer.recv().await {
                Ok(record) => return Ok(TopicRecord::copy(&record)),
                Err(error) => judge(&self.partition, error)?,
            }
        }
    }

    /// The offsets that the log has now, asked from the partition's leader, nothing cached.
    ///
    /// # Errors
    /// If the leader does not answer within `patience`.
    pub async fn log_range(&self, patience: Duration) -> Result<LogRange, ReaderError> {
        let consumer = self.consumer();
        let (topic, number) = (self.partition.topic().to_owned(), number(&self.partition));
        let asked =
            task::spawn_blocking(move || consumer.fetch_watermarks(&topic, number, patience)).await;
        let (start, end) = asked.expect("asking for offsets does not panic").map_err(|error| {
            ReaderError::Offsets {
                partition: self.partition.clone(),
                source: KafkaCause::new(error),
            }
        })?;
        Ok(LogRange { start: to_offset(start), end: to_offset(end) })
    }

    fn consumer(&self) -> Arc<StreamConsumer<ClientEvents>> {
        Arc::clone(&self.consumer.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A client that reads the partition from `start` on.
fn started(
    clients: &KafkaClients,
    partition: &TopicPartition,
    start: Start,
) -> Result<Arc<StreamConsumer<ClientEvents>>, ReaderError> {
    let consumer = clients
        .topic_consumer()
        .map_err(|source| ReaderError::Client { partition: partition.clone(), source })?;
    let mut assignment = TopicPartitionList::new();
    assignment
        .add_partition_offset(partition.topic(), number(partition), start.to_offset())
        .and_then(|()| consumer.assign(&assignment))
        .map_err(|error| ReaderError::Assign {
            partition: partition.clone(),
            start,
            source: KafkaCause::new(error),
        })?;
    Ok(consumer)
}

fn number(partition: &TopicPartition) -> i32 {
    i32::try_from(partition.partition()).unwrap_or(i32::MAX)
}

/// Whether reading can go on after `error`: then it is as if nothing had happened.
pub(crate) fn judge(partition: &TopicPartition, error: KafkaError) -> Result<(), ReaderError> {
    let source = KafkaCause::new(error);
    match source.code() {
        Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => {
            Err(ReaderError::PositionGone { partition: partition.clone(), source })
        }
        // Metadata that is not there yet: the client asks again each second.
        Some(
            RDKafkaErrorCode::UnknownPartition
            | RDKafkaErrorCode::UnknownTopic
            | RDKafkaErrorCode::UnknownTopicOrPartition,
        ) => Ok(()),
        _ if source.is_transient() => {
            debug!(%partition, error = %source, "reading a topic was interrupted");
            Ok(())
        }
        _ => Err(ReaderError::Read { partition: partition.clone(), source }),
    }
}

impl Start {
    pub(crate) fn to_offset(self) -> Offset {
        match self {
            Self::Beginning => Offset::Beginning,
            Self::End => Offset::End,
            Self::Tail(count) => Offset::OffsetTail(i64::from(count)),
            Self::Offset(offset) => Offset::Offset(i64::try_from(offset).unwrap_or(i64::MAX)),
        }
    }
}

impl TopicRecord {
    pub(crate) fn copy(record: &BorrowedMessage<'_>) -> Self {
        let headers = record.headers().into_iter().flat_map(Headers::iter);
        Self {
            offset: to_offset(record.offset()),
            timestamp: record.timestamp().to_millis().map(Timestamp),
            key: record.key().map(<[u8]>::to_vec),
            value: record.payload().map(<[u8]>::to_vec),
            headers: headers
                .map(|header| (header.key.to_owned(), header.value.unwrap_or_default().to_vec()))
                .collect(),
        }
    }
}

fn to_offset(offset: i64) -> u64 {
    u64::try_from(offset).expect("Kafka's offsets of records are not negative")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_header_of_a_name_counts_and_only_if_it_is_text() {
        let record = TopicRecord {
            offset: 0,
            timestamp: None,
            key: None,
            value: None,
            headers: vec![
                ("kind".into(), b"a".to_vec()),
                ("kind".into(), b"b".to_vec()),
                ("raw".into(), vec![0xff]),
            ],
        };
        assert_eq!(record.header("kind"), Some("a"));
        assert_eq!(record.header("raw"), None);
        assert_eq!(record.header("other"), None);
    }
}
