//! IO. Makes the Kafka clients of a process, each with the settings that its task depends on.

use std::sync::{Arc, Weak};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::AdminClient;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, StreamConsumer};
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, ProducerContext};
use thiserror::Error;

use crate::kafka::cause::KafkaCause;
use crate::kafka::client_events::{ClientEvents, ClientMetrics};
use crate::kafka::config::KafkaConfig;
use crate::kafka::lookout::{Looked, Lookout};
use crate::kafka::producer::{AcknowledgedProducer, Acknowledgements};

/// A producer whose `send` completes when all replicas hold the record.
pub type Producer = Arc<AcknowledgedProducer>;

#[derive(Debug, Error)]
#[error("failed to create the Kafka client `{client}`")]
pub struct ClientError {
    client: &'static str,
    #[source]
    source: KafkaCause,
}

impl ClientError {
    fn new(client: &'static str, error: KafkaError) -> Self {
        Self { client, source: KafkaCause::new(error) }
    }
}

/// How much a consumer of data topics may hold that nobody has polled yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchBounds {
    /// Bytes queued per partition; one fetch may exceed it.
    pub partition_queue_bytes: u32,
    /// Bytes that one fetch asks for per partition; a larger record still comes, alone.
    pub partition_fetch_bytes: u32,
    /// Bytes that one fetch asks a broker for.
    pub fetch_bytes: u32,
}

impl Default for FetchBounds {
    fn default() -> Self {
        Self {
            partition_queue_bytes: 4 << 20,
            partition_fetch_bytes: 1 << 20,
            fetch_bytes: 16 << 20,
        }
    }
}

/// Under which names the clients of a process are known to the brokers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientNames {
    /// Shown in the brokers' logs and quotas: the service, and which one of it.
    pub client_id: String,
    /// The group that consumers name. Partitions are always assigned by hand: nobody joins it, and
    /// only those who commit change it.
    pub group: String,
}

/// Makes the clients of one process.
#[derive(Clone, Debug)]
pub struct KafkaClients {
    config: KafkaConfig,
    names: ClientNames,
    metrics: ClientMetrics,
    lookout: Arc<Lookout>,
}

impl KafkaClients {
    pub fn new(config: KafkaConfig, names: ClientNames, metrics: ClientMetrics) -> Self {
        Self { config, names, metrics, lookout: Arc::default() }
    }

    pub fn config(&self) -> &KafkaConfig {
        &self.config
    }

    pub fn names(&self) -> &ClientNames {
        &self.names
    }

    /// For data topics: committed records only, offsets committed by hand, and an error where a
    /// position is gone, never a jump. `T` is `BaseConsumer` or `StreamConsumer`.
    pub fn data_consumer<T>(&self, bounds: FetchBounds) -> Result<Arc<T>, ClientError>
    where
        T: FromClientConfigAndContext<ClientEvents> + Looked + 'static,
    {
        let mut settings = self.consumer_settings();
        settings.set("isolation.level", "read_committed");
        // A partition that is assigned anew waits for the fetch that is under way.
        if settings.get("fetch.wait.max.ms").is_none() {
            settings.set("fetch.wait.max.ms", "100");
        }
        // That everything was read is an answer as well.
        settings.set("enable.partition.eof", "true");
        settings.set("queued.max.messages.kbytes", kilobytes(bounds.partition_queue_bytes));
        settings.set("max.partition.fetch.bytes", bounds.partition_fetch_bytes.to_string());
        let fetch_bytes = bounds.fetch_bytes.max(bounds.partition_fetch_bytes);
        settings.set("fetch.max.bytes", fetch_bytes.to_string());
        // Bounds what producers send; the library wants no bound of answers below it.
        settings.set("message.max.bytes", "1000");
        settings.set("receive.message.max.bytes", receive_bytes(fetch_bytes).to_string());
        self.create(&settings, "data")
    }

    /// For our own topics. Nobody of us writes transactions to them, and records of an open one
    /// that somebody else wrote must not hold commands back: hence `read_uncommitted`.
    pub(crate) fn topic_consumer(&self) -> Result<Arc<StreamConsumer<ClientEvents>>, ClientError> {
        let mut settings = self.consumer_settings();
        settings.set("isolation.level", "read_uncommitted");
        settings.set("topic.metadata.refresh.interval.ms", "1000");
        self.create(&settings, "topic")
    }

    /// For offsets and metadata: reads no records.
    pub fn offsets_consumer(&self) -> Result<Arc<BaseConsumer<ClientEvents>>, ClientError> {
        let mut settings = self.consumer_settings();
        settings.set("isolation.level", "read_committed");
        self.create(&settings, "offsets")
    }

    /// For our own topics: idempotent, acknowledged by all replicas in sync, given up after 30 s.
    pub fn producer(&self) -> Result<Producer, ClientError> {
        self.create_producer(&self.producer_settings(), "events")
    }

    /// For heartbeats: one that is not acknowledged well within its own TTL is worth nothing, and
    /// none waits for others.
    pub fn heartbeat_producer(&self, ttl: Duration) -> Result<Producer, ClientError> {
        let mut settings = self.producer_settings();
        settings.set("linger.ms", "0");
        settings.set("socket.timeout.ms", milliseconds(ttl.mul_f64(0.3)));
        settings.set("message.timeout.ms", milliseconds(ttl.mul_f64(0.8)));
        self.create_producer(&settings, "heartbeats")
    }

    /// For dead letters: takes the largest source record of `record_bytes_max` and its headers.
    pub fn dead_letter_producer(&self, record_bytes_max: u32) -> Result<Producer, ClientError> {
        self.create_producer(&self.letter_settings(record_bytes_max), "dead letters")
    }

    fn letter_settings(&self, record_bytes_max: u32) -> ClientConfig {
        let mut settings = self.producer_settings();
        let bytes = record_bytes_max.saturating_add(HEADERS_BYTES_MAX).min(MESSAGE_BYTES_MAX);
        settings.set("message.max.bytes", bytes.to_string());
        let queue_bytes = bytes.saturating_mul(4).max(64 << 20);
        settings.set("queue.buffering.max.kbytes", kilobytes(queue_bytes));
        settings
    }

    /// For dead letters that are sent back through, as a transaction each time: like the one for dead
    /// letters, and whoever makes another one of the same id ends this one. Records with a key go to
    /// the partition that Kafka's own producers would choose.
    pub fn transactional_producer(
        &self,
        transactional_id: &str,
        record_bytes_max: u32,
    ) -> Result<Producer, ClientError> {
        let mut settings = self.letter_settings(record_bytes_max);
        settings.set("transactional.id", transactional_id);
        settings.set("partitioner", "murmur2_random");
        self.create_producer(&settings, "replay")
    }

    /// For records of others, with settings and a context of its own.
    pub fn base_producer<C>(
        &self,
        settings: &[(&str, &str)],
        context: C,
    ) -> Result<Arc<BaseProducer<C>>, ClientError>
    where
        C: ProducerContext + 'static,
    {
        let mut all = self.producer_settings();
        settings.iter().for_each(|&(key, value)| {
            all.set(key, value);
        });
        let client = "records";
        let made = all.create_with_context(context);
        Ok(self.look_after(made.map_err(|error| ClientError::new(client, error))?))
    }

    /// A context for a client of that name.
    pub fn events(&self, client: &'static str) -> ClientEvents {
        ClientEvents::new(client, self.metrics.clone(), Arc::clone(&self.lookout))
    }

    pub(crate) fn admin(&self) -> Result<AdminClient<ClientEvents>, ClientError> {
        self.make(&self.settings(), "admin")
    }

    fn create<T>(
        &self,
        settings: &ClientConfig,
        client: &'static str,
    ) -> Result<Arc<T>, ClientError>
    where
        T: FromClientConfigAndContext<ClientEvents> + Looked + 'static,
    {
        self.make(settings, client).map(|made| self.look_after(made))
    }

    fn create_producer(
        &self,
        settings: &ClientConfig,
        client: &'static str,
    ) -> Result<Producer, ClientError> {
        let made = settings.create_with_context(Acknowledgements::new(self.events(client)));
        let made = made.map_err(|error| ClientError::new(client, error))?;
        Ok(self.look_after(AcknowledgedProducer::new(made)))
    }

    /// The client gets its brokers back if it loses all of them.
    fn look_after<T: Looked + 'static>(&self, client: T) -> Arc<T> {
        let client = Arc::new(client);
        let looked: Weak<T> = Arc::downgrade(&client);
        self.lookout.add(looked, self.config.bootstrap_servers());
        client
    }

    fn make<T>(&self, settings: &ClientConfig, client: &'static str) -> Result<T, ClientError>
    where
        T: FromClientConfigAndContext<ClientEvents>,
    {
        let made = settings.create_with_context(self.events(client));
        made.map_err(|error| ClientError::new(client, error))
    }

    /// A broker that is away is tried again each second; one that is paused is given up after 10 s.
    fn settings(&self) -> ClientConfig {
        let mut settings = ClientConfig::new();
        settings.set("reconnect.backoff.ms", "100");
        settings.set("reconnect.backoff.max.ms", "1000");
        settings.set("log.connection.close", "false");
        for (key, value) in self.config.properties() {
            settings.set(key, value);
        }
        settings.set("bootstrap.servers", self.config.bootstrap_servers());
        settings.set("client.id", &self.names.client_id);
        // Of a producer it is the default that asking for a topic creates it.
        settings.set("allow.auto.create.topics", "false");
        settings.set("socket.timeout.ms", "10000");
        settings
    }

    fn consumer_settings(&self) -> ClientConfig {
        let mut settings = self.settings();
        settings.set("group.id", &self.names.group);
        settings.set("enable.auto.commit", "false");
        settings.set("enable.auto.offset.store", "false");
        settings.set("auto.offset.reset", "error");
        settings.set("enable.partition.eof", "false");
        settings.set("fetch.error.backoff.ms", "100");
        // A full queue is empty again after milliseconds.
        settings.set("fetch.queue.backoff.ms", "2");
        settings.set("topic.metadata.refresh.interval.ms", "5000");
        settings
    }

    fn producer_settings(&self) -> ClientConfig {
        let mut settings = self.settings();
        settings.set("enable.idempotence", "true");
        settings.set("acks", "all");
        settings.set("linger.ms", "1");
        settings.set("message.timeout.ms", "30000");
        settings.set("queue.buffering.max.kbytes", kilobytes(64 << 20));
        settings.set("topic.metadata.refresh.interval.ms", "1000");
        settings
    }
}

/// Room for the headers that a dead letter gets.
const HEADERS_BYTES_MAX: u32 = 64 << 10;

/// The largest message that librdkafka can be told to send.
const MESSAGE_BYTES_MAX: u32 = 1_000_000_000;

fn kilobytes(bytes: u32) -> String {
    bytes.div_ceil(1024).to_string()
}

fn milliseconds(duration: Duration) -> String {
    duration.as_millis().max(10).to_string()
}

/// An answer holds the fetched bytes and what surrounds them; the first record may be larger.
fn receive_bytes(fetch_bytes: u32) -> u32 {
    fetch_bytes.saturating_mul(2).clamp(100_000_000, i32::MAX.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::parse_settings;

    fn clients(properties: &str) -> KafkaClients {
        let properties = parse_settings(properties, |_| None).unwrap();
        let config = KafkaConfig::new("127.0.0.1:1", properties).unwrap();
        let names = ClientNames { client_id: "test".into(), group: "g".into() };
        KafkaClients::new(config, names, ClientMetrics::default())
    }

    /// librdkafka checks the settings of a client when it is made, contradictions included.
    #[tokio::test]
    async fn every_kind_of_client_can_be_made() {
        let clients = clients("");
        drop(clients.data_consumer::<BaseConsumer<_>>(FetchBounds::default()).unwrap());
        drop(clients.data_consumer::<StreamConsumer<_>>(FetchBounds::default()).unwrap());
        drop(clients.topic_consumer().unwrap());
        drop(clients.offsets_consumer().unwrap());
        drop(clients.producer().unwrap());
        drop(clients.heartbeat_producer(Duration::from_secs(10)).unwrap());
        drop(clients.dead_letter_producer(u32::MAX).unwrap());
        drop(clients.transactional_producer("replay", 1 << 20).unwrap());
        drop(clients.admin().unwrap());
    }

    #[test]
    fn a_user_adds_settings_and_does_not_lose_ours() {
        let clients = clients("reconnect.backoff.max.ms=7\nclient.rack=a");
        let settings = clients.producer_settings();
        assert_eq!(settings.get("reconnect.backoff.max.ms"), Some("7"));
        assert_eq!(settings.get("client.rack"), Some("a"));
        assert_eq!(settings.get("enable.idempotence"), Some("true"));
        let settings = clients.consumer_settings();
        assert_eq!(settings.get("auto.offset.reset"), Some("error"));
        assert_eq!(settings.get("enable.auto.offset.store"), Some("false"));
    }
}
