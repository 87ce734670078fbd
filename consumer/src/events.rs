//! IO. Writes what this consumer has to say to the events topic.

use std::sync::{Arc, Mutex, PoisonError};

use common::chain::Chain;
use common::crash_point;
use common::identity::{ConsumerId, Incarnation, Nonce};
use common::kafka::writer::{NewRecord, TopicWriter, WriteError};
use common::messages::chunk::{CHUNK, split};
use common::messages::codec::EVENT_TYPE;
use common::messages::event::{Notice, NoticeClass};
use common::messages::{Extra, Message};
use common::partition::TopicPartition;
use rand::rngs::ChaCha8Rng;
use tracing::{debug, warn};

use crate::metrics::ConsumerMetrics;

/// The way to the events topic. Clones share it.
#[derive(Clone)]
pub struct Events {
    writer: TopicWriter,
    partition: TopicPartition,
    consumer: ConsumerId,
    rng: Arc<Mutex<ChaCha8Rng>>,
    metrics: ConsumerMetrics,
}

/// What a person should know, before it is said by whom.
#[derive(Clone, Debug)]
pub struct Finding {
    pub class: NoticeClass,
    pub partition: Option<TopicPartition>,
    pub from: Option<u64>,
    pub to: Option<u64>,
    pub text: String,
}

impl Finding {
    pub fn new(class: NoticeClass, text: impl Into<String>) -> Self {
        Self { class, partition: None, from: None, to: None, text: text.into() }
    }

    pub fn about(self, partition: &TopicPartition) -> Self {
        Self { partition: Some(partition.clone()), ..self }
    }

    pub fn offsets(self, from: u64, to: u64) -> Self {
        Self { from: Some(from), to: Some(to), ..self }
    }
}

impl Events {
    pub fn new(
        writer: TopicWriter,
        topic: &str,
        consumer: ConsumerId,
        rng: ChaCha8Rng,
        metrics: ConsumerMetrics,
    ) -> Self {
        let (partition, rng) = (TopicPartition::new(topic, 0), Arc::new(Mutex::new(rng)));
        Self { writer, partition, consumer, rng, metrics }
    }

    /// Writes a message, in chunks where one record cannot hold it, and waits until Kafka has it.
    pub async fn write(&self, message: &Message) -> Result<(), WriteError> {
        let payload = message.encode();
        let kind = message.kind().name();
        crash_point::before(kind);
        for (header, chunk) in split(&payload, self.nonce()) {
            let header = header.map(|header| header.to_text());
            let mut headers = vec![(EVENT_TYPE, kind)];
            headers.extend(header.as_deref().map(|header| (CHUNK, header)));
            let record = NewRecord { key: None, value: Some(chunk), headers: &headers };
            let written = self.writer.write(&self.partition, record).await;
            written.inspect_err(|error| self.failed(kind, error))?;
        }
        crash_point::after(kind);
        Ok(())
    }

    /// Writes a message without waiting; whether it arrives is only counted.
    pub fn tell(&self, message: impl Into<Message>) {
        let (events, message) = (self.clone(), message.into());
        tokio::spawn(async move { events.write(&message).await });
    }

    /// Logs, counts and tells what a person should know.
    pub fn notice(&self, incarnation: Incarnation, finding: Finding) {
        let Finding { class, partition, from, to, text } = finding;
        let named = partition.as_ref().map(tracing::field::display);
        warn!(class = ?class, partition = named, from, to, "{text}");
        self.metrics.notice(class);
        let consumer = self.consumer;
        let extra = Extra::new();
        self.tell(Notice { consumer, incarnation, class, partition, from, to, text, extra });
    }

    fn nonce(&self) -> Nonce {
        Nonce::from_rng(&mut *self.rng.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn failed(&self, kind: &'static str, error: &WriteError) {
        self.metrics.event_failures.inc();
        debug!(kind, error = %Chain(error), "an event was not acknowledged");
    }
}
