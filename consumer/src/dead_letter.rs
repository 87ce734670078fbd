//! IO. Writes records that no retry can save to the dead-letter topic, as they were and with the reason.

use std::time::Duration;

use bytes::Bytes;
use common::crash_point;
use common::identity::{ConsumerId, TopicId};
use common::kafka::cause::KafkaCause;
use common::kafka::clients::{ClientError, KafkaClients, Producer};
use common::kafka::producer::Outgoing;
use common::moment::Timestamp;
use common::partition::TopicPartition;
use futures::future::try_join_all;
use rdkafka::message::{Header, OwnedHeaders};

use crate::decode::DeadLetter;
use crate::letter::{Letter, attempt};
use crate::record::RawRecord;

/// Larger records than any broker takes by default.
pub const RECORD_BYTES_MAX: u32 = 128 << 20;
/// How long a dead letter may wait for room in the client's queue.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
#[error("the dead letter of offset {offset} of {partition} was not acknowledged")]
pub struct DeadLetterError {
    partition: TopicPartition,
    offset: u64,
    #[source]
    source: KafkaCause,
}

impl DeadLetterError {
    pub fn is_transient(&self) -> bool {
        self.source.is_transient()
    }
}

/// Where the records of a lane come from and were to go.
#[derive(Clone, Debug)]
pub struct Origin {
    pub partition: TopicPartition,
    pub topic_id: TopicId,
    pub table: String,
}

/// The way to the dead-letter topic. Clones share the client.
#[derive(Clone)]
pub struct DeadLetters {
    producer: Producer,
    topic: String,
    consumer: ConsumerId,
}

impl DeadLetters {
    pub fn start(
        clients: &KafkaClients,
        topic: String,
        consumer: ConsumerId,
    ) -> Result<Self, ClientError> {
        let producer = clients.dead_letter_producer(RECORD_BYTES_MAX)?;
        Ok(Self { producer, topic, consumer })
    }

    /// Writes the dead letters of a batch, refused at that time, and waits until Kafka has all of
    /// them. After an error some may be there, and are there twice when they are written again.
    pub async fn write(
        &self,
        origin: &Origin,
        records: &[RawRecord],
        letters: &[DeadLetter],
        refused_at: Timestamp,
    ) -> Result<(), DeadLetterError> {
        let writes = letters.iter().map(|refused| {
            let record = &records[refused.index];
            self.write_one(record, self.letter(origin, record, refused, refused_at))
        });
        crash_point::before("dead-letter");
        try_join_all(writes).await?;
        crash_point::after("dead-letter");
        Ok(())
    }

    async fn write_one(&self, record: &RawRecord, letter: Letter) -> Result<(), DeadLetterError> {
        let outgoing = Outgoing {
            topic: &self.topic,
            partition: None,
            key: record.key.as_deref(),
            value: record.value.as_deref(),
            headers: headers(record, &letter),
        };
        let written = self.producer.send(outgoing, QUEUE_TIMEOUT).await;
        written.map(drop).map_err(|error| DeadLetterError {
            partition: letter.partition,
            offset: letter.offset,
            source: KafkaCause::new(error),
        })
    }

    fn letter(
        &self,
        origin: &Origin,
        record: &RawRecord,
        refused: &DeadLetter,
        refused_at: Timestamp,
    ) -> Letter {
        Letter {
            reason: refused.reason.label().to_owned(),
            error: refused.text.clone(),
            partition: origin.partition.clone(),
            topic_id: origin.topic_id.to_string(),
            offset: refused.offset,
            timestamp_ms: record.timestamp_ms,
            is_append_time: record.is_append_time,
            refused_at_ms: Some(refused_at.0),
            consumer: self.consumer.0,
            table: origin.table.clone(),
            attempt: attempt(&record.headers),
        }
    }
}

/// The record's own headers, then ours.
fn headers(record: &RawRecord, letter: &Letter) -> OwnedHeaders {
    let added = letter.headers();
    let mut headers = OwnedHeaders::new_with_capacity(record.headers.len() + added.len());
    for (key, value) in &record.headers {
        headers = headers.insert(Header { key, value: value.as_ref().map(Bytes::as_ref) });
    }
    for (key, value) in &added {
        headers = headers.insert(Header { key, value: Some(value) });
    }
    headers
}
