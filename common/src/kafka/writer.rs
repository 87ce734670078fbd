//! IO. Writes records to our own topics and tells where they were stored.

use std::time::Duration;

use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::{Header, OwnedHeaders};
use thiserror::Error;
use tokio::time::sleep;

use crate::kafka::cause::KafkaCause;
use crate::kafka::clients::Producer;
use crate::kafka::producer::Outgoing;
use crate::partition::TopicPartition;

/// How long a record may wait for room in the producer's queue.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(5);

/// A producer learns of a new partition when it asks for metadata again, which it does each second.
const KNOWN_POLL: Duration = Duration::from_millis(100);
const KNOWN_ATTEMPTS_MAX: u32 = 50;

#[derive(Debug, Error)]
#[error("failed to write to {partition}")]
pub struct WriteError {
    partition: TopicPartition,
    #[source]
    source: KafkaCause,
}

impl WriteError {
    pub fn is_transient(&self) -> bool {
        self.source.is_transient() || self.is_not_yet_known()
    }

    /// Whether the producer refused it by itself, as the metadata it has do not name the partition.
    fn is_not_yet_known(&self) -> bool {
        let code = self.source.code();
        matches!(code, Some(RDKafkaErrorCode::UnknownPartition | RDKafkaErrorCode::UnknownTopic))
    }
}

/// A record to be written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NewRecord<'a> {
    pub key: Option<&'a [u8]>,
    /// Nothing is a tombstone.
    pub value: Option<&'a [u8]>,
    pub headers: &'a [(&'a str, &'a str)],
}

/// Writes to named partitions. Clones share the producer.
#[derive(Clone)]
pub struct TopicWriter {
    producer: Producer,
}

impl TopicWriter {
    pub fn new(producer: Producer) -> Self {
        Self { producer }
    }

    /// Writes one record and returns its offset once all replicas in sync hold it. A partition that
    /// was just created is waited for.
    ///
    /// # Errors
    /// If it was not acknowledged within the producer's time: it may have been stored all the same.
    pub async fn write(
        &self,
        partition: &TopicPartition,
        record: NewRecord<'_>,
    ) -> Result<u64, WriteError> {
        let mut attempts = 1;
        loop {
            match self.try_write(partition, record).await {
                Err(error) if error.is_not_yet_known() && attempts < KNOWN_ATTEMPTS_MAX => {
                    attempts += 1;
                    sleep(KNOWN_POLL).await;
                }
                written => return written,
            }
        }
    }

    async fn try_write(
        &self,
        partition: &TopicPartition,
        record: NewRecord<'_>,
    ) -> Result<u64, WriteError> {
        let number = i32::try_from(partition.partition()).unwrap_or(i32::MAX);
        let outgoing = Outgoing {
            topic: partition.topic(),
            partition: Some(number),
            key: record.key,
            value: record.value,
            headers: to_headers(record.headers),
        };
        let offset = self.producer.send(outgoing, QUEUE_TIMEOUT).await;
        let offset = offset.map_err(|error| WriteError {
            partition: partition.clone(),
            source: KafkaCause::new(error),
        })?;
        Ok(u64::try_from(offset).expect("an acknowledged record has an offset"))
    }
}

fn to_headers(headers: &[(&str, &str)]) -> OwnedHeaders {
    let empty = OwnedHeaders::new_with_capacity(headers.len());
    headers.iter().fold(empty, |all, &(key, value)| all.insert(Header { key, value: Some(value) }))
}
