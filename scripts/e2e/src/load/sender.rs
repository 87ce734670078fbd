//! IO. Sends records as fast as the producer takes them, and counts what the brokers acknowledge.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use common::kafka::client_events::ClientEvents;
use common::kafka::clients::ClientError;
use common::kafka::config::KafkaConfig;
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext};

use super::event::Event;
use super::replay::ReplayError;
use crate::clients::clients;

/// How long a full queue is waited for before it is looked at again.
const TURN: Duration = Duration::from_millis(10);
/// A record that is not acknowledged by then has failed, a broker's restart survived.
const ACKNOWLEDGE_WITHIN: Duration = Duration::from_secs(120);

/// How far a load has come, to be looked at while it runs.
#[derive(Debug, Default)]
pub struct Progress {
    sent: AtomicU64,
    acknowledged: AtomicU64,
    failed: AtomicU64,
    bytes: AtomicU64,
    first_failure: Mutex<Option<String>>,
}

#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("failed to create the producer")]
    Producer {
        #[source]
        source: ClientError,
    },
    #[error("failed to read what is to be replayed")]
    Replay {
        #[source]
        source: ReplayError,
    },
    #[error("failed to send a record to {topic}/{partition}")]
    Send {
        topic: String,
        partition: usize,
        #[source]
        source: KafkaError,
    },
    #[error("failed to wait for acknowledgements")]
    Flush {
        #[source]
        source: KafkaError,
    },
}

impl Progress {
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    pub fn first_failure(&self) -> Option<String> {
        self.first_failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Counts what becomes of records.
struct Acknowledgements {
    progress: Arc<Progress>,
    events: ClientEvents,
}

impl ClientContext for Acknowledgements {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.events.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.events.error(error, reason);
    }
}

impl ProducerContext for Acknowledgements {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let progress = &self.progress;
        match result {
            Ok(_) => {
                progress.acknowledged.fetch_add(1, Ordering::Relaxed);
            }
            Err((error, _)) => {
                progress.failed.fetch_add(1, Ordering::Relaxed);
                let mut first =
                    progress.first_failure.lock().unwrap_or_else(PoisonError::into_inner);
                first.get_or_insert_with(|| error.to_string());
            }
        }
    }
}

/// Sends to one topic.
pub struct Sender {
    topic: String,
    producer: Arc<BaseProducer<Acknowledgements>>,
    progress: Arc<Progress>,
}

impl Sender {
    /// Fails when the settings are refused; no broker is asked yet.
    pub fn new(kafka: &KafkaConfig, topic: &str) -> Result<Self, LoadError> {
        let progress = Arc::new(Progress::default());
        Ok(Self { topic: topic.into(), producer: producer(kafka, &progress)?, progress })
    }

    pub fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    /// Takes acknowledgements, and waits for them for so long if there are none.
    pub fn poll(&self, patience: Duration) {
        self.producer.poll(patience);
    }

    /// Waits for the acknowledgement or the failure of every record.
    pub fn flush(&self) -> Result<(), LoadError> {
        let patience = ACKNOWLEDGE_WITHIN + TURN;
        self.producer.flush(patience).map_err(|source| LoadError::Flush { source })
    }

    /// Waits while the producer's queue is full: it is what bounds the memory.
    pub fn send(&self, partition: usize, event: &Event) -> Result<(), LoadError> {
        let number = i32::try_from(partition).expect("Kafka counts partitions in 31 bits");
        let record = BaseRecord::<[u8], [u8]>::to(&self.topic)
            .partition(number)
            .payload(event.value.as_slice());
        let mut record = match &event.key {
            Some(key) => record.key(key.as_slice()),
            None => record,
        };
        loop {
            match self.producer.send(record) {
                Ok(()) => break,
                Err((error, refused)) if is_queue_full(&error) => {
                    record = refused;
                    self.producer.poll(TURN);
                }
                Err((source, _)) => {
                    let topic = self.topic.clone();
                    return Err(LoadError::Send { topic, partition, source });
                }
            }
        }
        let size = u64::try_from(event.size()).expect("64 bits fit");
        self.progress.sent.fetch_add(1, Ordering::Relaxed);
        self.progress.bytes.fetch_add(size, Ordering::Relaxed);
        Ok(())
    }
}

fn is_queue_full(error: &KafkaError) -> bool {
    error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull)
}

fn producer(
    kafka: &KafkaConfig,
    progress: &Arc<Progress>,
) -> Result<Arc<BaseProducer<Acknowledgements>>, LoadError> {
    let clients = clients(kafka);
    let within = ACKNOWLEDGE_WITHIN.as_millis().to_string();
    let settings = [
        ("linger.ms", "5"),
        ("message.timeout.ms", &within),
        ("queue.buffering.max.kbytes", "32768"),
        ("queue.buffering.max.messages", "100000"),
    ];
    let context =
        Acknowledgements { progress: Arc::clone(progress), events: clients.events("load") };
    clients.base_producer(&settings, context).map_err(|source| LoadError::Producer { source })
}
