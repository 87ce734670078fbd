//! IO. Sends what is due, and counts what the brokers acknowledge.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use common::clock::Clock;
use common::kafka::client_events::ClientEvents;
use common::kafka::clients::ClientError;
use common::kafka::config::KafkaConfig;
use common::shutdown::Shutdown;
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext};
use serde::Serialize;

use super::event::{Event, Events};
use super::replay::{Replay, ReplayError};
use super::schedule::Schedule;
use super::shape::{RatePlan, Rates};
use crate::clients::clients;

/// One turn of the sending loop.
const TURN: Duration = Duration::from_millis(10);
/// Longest time that one turn sends.
const SENDING_MAX: Duration = Duration::from_millis(200);
/// A record that is not acknowledged by then has failed, a broker's restart survived.
const ACKNOWLEDGE_WITHIN: Duration = Duration::from_secs(120);

/// What to send, and how fast.
#[derive(Clone, Debug)]
pub struct LoadPlan {
    pub topic: String,
    pub partitions: u32,
    /// How long to send; `None`: until asked to end.
    pub duration: Option<Duration>,
    pub rates: RatePlan,
    /// About the size of a made-up record.
    pub record_bytes: usize,
    /// Lines to send instead of made-up records.
    pub input: Option<PathBuf>,
}

/// How far a load has come, to be looked at while it runs.
#[derive(Debug, Default)]
pub struct Progress {
    sent: AtomicU64,
    acknowledged: AtomicU64,
    failed: AtomicU64,
    bytes: AtomicU64,
    first_failure: Mutex<Option<String>>,
}

/// What a load did, in its own words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Summary {
    pub topic: String,
    pub partitions: u32,
    pub seed: u64,
    pub seconds: u64,
    pub records: u64,
    /// Of keys and values.
    pub bytes: u64,
    pub acknowledged: u64,
    pub failed: u64,
    /// Bytes that were due and never sent, because the load could not keep up.
    pub given_up_bytes: u64,
    pub first_failure: Option<String>,
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

    fn first_failure(&self) -> Option<String> {
        self.first_failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Summary {
    /// True if every record is in the topic.
    pub fn is_complete(&self) -> bool {
        self.failed == 0 && self.acknowledged == self.records
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

enum Origin {
    MadeUp(Box<Events>),
    Replayed(Replay),
}

/// A load on its way to a topic that exists.
pub struct Load {
    plan: LoadPlan,
    producer: Arc<BaseProducer<Acknowledgements>>,
    origin: Origin,
    rates: Rates,
    schedule: Schedule,
    progress: Arc<Progress>,
}

impl Load {
    /// Fails when the input cannot be read or the settings are refused; no broker is asked yet.
    pub fn new(kafka: &KafkaConfig, plan: LoadPlan) -> Result<Self, LoadError> {
        let origin = match &plan.input {
            Some(path) => {
                let replay = Replay::open(path);
                Origin::Replayed(replay.map_err(|source| LoadError::Replay { source })?)
            }
            None => Origin::MadeUp(Box::new(Events::new(plan.rates.seed, plan.record_bytes))),
        };
        let progress = Arc::new(Progress::default());
        Ok(Self {
            producer: producer(kafka, &progress)?,
            origin,
            rates: Rates::new(plan.rates, plan.partitions),
            schedule: Schedule::new(plan.partitions),
            progress,
            plan,
        })
    }

    pub fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    /// Sends until the time is over or `shutdown` is requested, then waits for the
    /// acknowledgement or the failure of every record.
    pub fn run(mut self, clock: Clock, shutdown: &Shutdown) -> Result<Summary, LoadError> {
        let began = clock.now();
        let mut turn = began;
        let elapsed = loop {
            let now = clock.now();
            let elapsed = now.saturating_since(began);
            let is_over = self.plan.duration.is_some_and(|duration| elapsed >= duration);
            if is_over || shutdown.is_requested() {
                break elapsed;
            }
            let rates = self.rates.at(elapsed);
            self.schedule.advance(&rates, now.saturating_since(turn));
            turn = now;
            self.send_due(clock, shutdown)?;
            self.producer.poll(TURN);
        };
        let patience = ACKNOWLEDGE_WITHIN + TURN;
        self.producer.flush(patience).map_err(|source| LoadError::Flush { source })?;
        Ok(self.summary(elapsed))
    }

    /// Ends after a while even if more is due, so that time and shutdown are looked at.
    fn send_due(&mut self, clock: Clock, shutdown: &Shutdown) -> Result<(), LoadError> {
        let began = clock.now();
        let mut is_any_due = true;
        while is_any_due && clock.now().saturating_since(began) < SENDING_MAX {
            is_any_due = false;
            for partition in self.schedule.partitions() {
                if self.schedule.is_due(partition) && !shutdown.is_requested() {
                    let event = self.next_event(clock)?;
                    self.schedule.sent(partition, event.size());
                    self.send(partition, &event)?;
                    is_any_due = true;
                }
            }
        }
        Ok(())
    }

    fn next_event(&mut self, clock: Clock) -> Result<Event, LoadError> {
        match &mut self.origin {
            Origin::MadeUp(events) => Ok(events.next_event(clock.timestamp())),
            Origin::Replayed(replay) => {
                replay.next_event().map_err(|source| LoadError::Replay { source })
            }
        }
    }

    /// Waits while the producer's queue is full: it is what bounds the memory.
    fn send(&self, partition: usize, event: &Event) -> Result<(), LoadError> {
        let number = i32::try_from(partition).expect("Kafka counts partitions in 31 bits");
        let record = BaseRecord::<[u8], [u8]>::to(&self.plan.topic)
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
                    let topic = self.plan.topic.clone();
                    return Err(LoadError::Send { topic, partition, source });
                }
            }
        }
        let size = u64::try_from(event.size()).expect("64 bits fit");
        self.progress.sent.fetch_add(1, Ordering::Relaxed);
        self.progress.bytes.fetch_add(size, Ordering::Relaxed);
        Ok(())
    }

    fn summary(&self, elapsed: Duration) -> Summary {
        let progress = &self.progress;
        Summary {
            topic: self.plan.topic.clone(),
            partitions: self.plan.partitions,
            seed: self.plan.rates.seed,
            seconds: elapsed.as_secs(),
            records: progress.sent(),
            bytes: progress.bytes(),
            acknowledged: progress.acknowledged(),
            failed: progress.failed.load(Ordering::Relaxed),
            given_up_bytes: self.schedule.given_up_bytes(),
            first_failure: progress.first_failure(),
        }
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
