//! IO. Records that become dead letters, and what is done to the topic of these.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use common::kafka::config::KafkaConfig;
use common::shutdown::Shutdown;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer as _};

use crate::clients::{clients, create_topic};
use crate::harness::patience::wait_until;
use crate::verify::kafka::KafkaTopics;
use crate::verify::record::{Record, TopicRecords as _};

/// No sink can make a row of it.
const POISON: &[u8] = b"{";
const POISON_EVERY: Duration = Duration::from_millis(500);
/// How long the letters of what was sent are waited for: other faults may last.
const SET_ASIDE_WITHIN: Duration = Duration::from_secs(90);
/// How long Kafka is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// Sends poison, and keeps what the topic of dead letters holds while there is none.
pub struct Letters {
    kafka: KafkaConfig,
    topic: String,
    dead_letter_topic: String,
    is_paused: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    kept: Mutex<Vec<Letter>>,
    end: Shutdown,
    thread: Option<JoinHandle<()>>,
}

struct Letter {
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Letters {
    /// Starts to send poison to each partition in turn.
    pub fn start(
        kafka: &KafkaConfig,
        (topic, partitions): (&str, u32),
        dead_letter_topic: String,
    ) -> anyhow::Result<Self> {
        let producer = producer(kafka)?;
        let (is_paused, sent, end) =
            (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default(), Shutdown::manual());
        let (name, paused, count, until) =
            (topic.to_owned(), Arc::clone(&is_paused), Arc::clone(&sent), end.clone());
        let thread = spawn(move || {
            for partition in (0..partitions).cycle() {
                if until.is_requested() {
                    break;
                }
                if !paused.load(Ordering::Relaxed) {
                    let number = i32::try_from(partition).unwrap_or(0);
                    let poison = BaseRecord::<(), _>::to(&name).partition(number).payload(POISON);
                    count.fetch_add(u64::from(producer.send(poison).is_ok()), Ordering::Relaxed);
                }
                producer.poll(Duration::ZERO);
                sleep(POISON_EVERY);
            }
            // What was not acknowledged is not in the topic, and then nobody misses it.
            let _ = producer.flush(PATIENCE);
        });
        Ok(Self {
            kafka: kafka.clone(),
            topic: topic.into(),
            dead_letter_topic,
            is_paused,
            sent,
            kept: Mutex::default(),
            end,
            thread: Some(thread),
        })
    }

    /// Sends no poison, waits until there is a letter of all that was sent, and keeps these.
    pub fn keep(&self) -> anyhow::Result<()> {
        self.is_paused.store(true, Ordering::Relaxed);
        let kept = self.read_all();
        if kept.is_err() {
            self.is_paused.store(false, Ordering::Relaxed);
        }
        kept
    }

    /// Deletes the topic of dead letters, and sends poison again.
    pub fn remove_topic(&self) -> anyhow::Result<()> {
        let removed = run(async {
            let admin = self.admin()?;
            let deleted = admin.delete_topics(&[&self.dead_letter_topic], &options()).await?;
            each(deleted.into_iter().map(|result| result.map(drop)))
        });
        self.is_paused.store(false, Ordering::Relaxed);
        removed
    }

    /// Creates the topic again, with the letters that it held.
    pub fn restore_topic(&self) -> anyhow::Result<()> {
        create_topic(&self.kafka, &self.dead_letter_topic, 1)?;
        let producer = producer(&self.kafka)?;
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        for letter in kept.iter() {
            let mut headers = OwnedHeaders::new();
            for (key, value) in &letter.headers {
                headers = headers.insert(Header { key, value: value.as_deref() });
            }
            let mut record = BaseRecord::<[u8], [u8]>::to(&self.dead_letter_topic).headers(headers);
            record.key = letter.key.as_deref();
            record.payload = letter.value.as_deref();
            producer.send(record).map_err(|(error, _)| error)?;
        }
        producer.flush(PATIENCE)?;
        kept.clear();
        Ok(())
    }

    /// One copy of two is asked for: no write is acknowledged.
    pub fn refuse(&self) -> anyhow::Result<()> {
        self.alter(&[("min.insync.replicas", "2")])
    }

    pub fn allow(&self) -> anyhow::Result<()> {
        self.alter(&[])
    }

    /// Ends the sending of poison.
    pub fn stop(&mut self) {
        self.end.request();
        if let Some(thread) = self.thread.take() {
            // If it panicked, that was printed where it happened.
            let _ = thread.join();
        }
    }

    fn read_all(&self) -> anyhow::Result<()> {
        let mut topics = KafkaTopics::connect(&self.kafka)?;
        let complete = || {
            let letters = read(&mut topics, &self.dead_letter_topic).map_err(|e| e.to_string())?;
            let origins: BTreeSet<_> = letters.iter().map(origin).collect();
            let sent = self.sent.load(Ordering::Relaxed);
            let found = u64::try_from(origins.len()).unwrap_or(u64::MAX);
            if found >= sent { Ok(letters) } else { Err(format!("{found} letters of {sent}")) }
        };
        let what = format!("all poison of {} is set aside", self.topic);
        let letters = wait_until(&what, SET_ASIDE_WITHIN, complete)?;
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = letters;
        Ok(())
    }

    fn alter(&self, entries: &[(&str, &str)]) -> anyhow::Result<()> {
        let mut config = AlterConfig::new(ResourceSpecifier::Topic(&self.dead_letter_topic));
        for (key, value) in entries {
            config = config.set(key, value);
        }
        run(async {
            let admin = self.admin()?;
            let altered = admin.alter_configs([&config], &options()).await?;
            each(altered.into_iter().map(|result| result.map(drop).map_err(|(_, code)| code)))
        })
    }

    fn admin(&self) -> anyhow::Result<AdminClient<DefaultClientContext>> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.kafka.bootstrap_servers());
        self.kafka.properties().iter().for_each(|(key, value)| {
            config.set(key, value);
        });
        Ok(config.create()?)
    }
}

impl Drop for Letters {
    fn drop(&mut self) {
        self.stop();
    }
}

fn producer(kafka: &KafkaConfig) -> anyhow::Result<Arc<BaseProducer>> {
    Ok(clients(kafka).base_producer(&[], DefaultProducerContext)?)
}

fn read(topics: &mut KafkaTopics, topic: &str) -> anyhow::Result<Vec<Letter>> {
    let mut letters = Vec::new();
    topics.read(topic, 0, 0, &mut |record: &Record<'_>| {
        let headers = record.headers.iter();
        letters.push(Letter {
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
            headers: headers
                .map(|(name, value)| ((*name).to_owned(), value.map(<[u8]>::to_vec)))
                .collect(),
        });
        true
    })?;
    Ok(letters)
}

/// Where the record stood: copies of a letter have the same.
fn origin(letter: &Letter) -> (Option<Vec<u8>>, Option<Vec<u8>>) {
    let of = |wanted: &str| {
        let found = letter.headers.iter().find(|(name, _)| name == wanted);
        found.and_then(|(_, value)| value.clone())
    };
    (of("stowage-partition"), of("stowage-offset"))
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(PATIENCE)).operation_timeout(Some(PATIENCE))
}

fn each<E: std::fmt::Debug>(results: impl Iterator<Item = Result<(), E>>) -> anyhow::Result<()> {
    results.into_iter().try_for_each(|result| result.map_err(|code| anyhow!("{code:?}")))
}

fn run<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("failed to start a runtime")?.block_on(work)
}
