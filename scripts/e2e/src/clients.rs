//! IO. The Kafka clients of the load and of the verification, which share none with the services.

use std::time::Duration;

use common::kafka::client_events::{ClientEvents, ClientMetrics};
use common::kafka::config::KafkaConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{ClientConfig, ClientContext};

/// How long a broker may take to answer one question.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// What all clients have in common: where Kafka is, and how it is reached.
pub fn settings(kafka: &KafkaConfig) -> ClientConfig {
    let mut settings = ClientConfig::new();
    for (key, value) in kafka.properties() {
        settings.set(key, value);
    }
    settings.set("bootstrap.servers", kafka.bootstrap_servers());
    settings.set("client.id", "stowage-e2e");
    settings.set("log.connection.close", "false");
    settings.set("reconnect.backoff.max.ms", "1000");
    settings.set("metadata.recovery.rebootstrap.trigger.ms", "3000");
    settings
}

/// What a reader has to say, but for the ends of partitions: those it was asked for.
#[derive(Debug)]
pub struct ReaderEvents(ClientEvents);

impl ClientContext for ReaderEvents {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.0.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if !is_end_of_partition(&error) {
            self.0.error(error, reason);
        }
    }
}

impl ConsumerContext for ReaderEvents {}

fn is_end_of_partition(error: &KafkaError) -> bool {
    matches!(error, KafkaError::PartitionEOF(_))
        || error.rdkafka_error_code() == Some(RDKafkaErrorCode::PartitionEOF)
}

/// A reader of committed records that says where a partition ends. It commits nothing.
pub fn reader(kafka: &KafkaConfig) -> Result<BaseConsumer<ReaderEvents>, KafkaError> {
    let mut settings = settings(kafka);
    settings.set("group.id", "stowage-e2e");
    settings.set("enable.auto.commit", "false");
    settings.set("auto.offset.reset", "error");
    settings.set("isolation.level", "read_committed");
    settings.set("enable.partition.eof", "true");
    settings.set("check.crcs", "true");
    settings.set("fetch.wait.max.ms", "50");
    settings.set("fetch.queue.backoff.ms", "20");
    settings.set("queued.max.messages.kbytes", "32768");
    let events = ClientEvents::new("reader", ClientMetrics::default());
    settings.create_with_context(ReaderEvents(events))
}
