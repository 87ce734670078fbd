//! IO. The Kafka clients of the load and of the verification.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use common::kafka::admin::TopicAdmin;
use common::kafka::client_events::{ClientEvents, ClientMetrics};
use common::kafka::clients::{ClientError, ClientNames, FetchBounds, KafkaClients};
use common::kafka::config::KafkaConfig;
use common::kafka::topic_spec::{Setting, TopicSpec};
use rdkafka::consumer::BaseConsumer;
use tokio::runtime;

/// How long a broker may take to answer one question.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

const NAME: &str = "stowage-e2e";
const FETCH_BOUNDS: FetchBounds = FetchBounds {
    partition_queue_bytes: 32 << 20,
    partition_fetch_bytes: 1 << 20,
    fetch_bytes: 16 << 20,
};

/// Reads or writes one thing after the other, so that it waits for nothing else meanwhile.
pub fn clients(kafka: &KafkaConfig) -> KafkaClients {
    let mut properties = kafka.properties().clone();
    for (key, value) in [("check.crcs", "true"), ("fetch.wait.max.ms", "50")] {
        properties.entry(key.into()).or_insert_with(|| value.into());
    }
    let kafka = KafkaConfig::new(kafka.bootstrap_servers(), properties);
    let kafka = kafka.expect("brokers that were accepted once are accepted again");
    let names = ClientNames { client_id: NAME.into(), group: NAME.into() };
    KafkaClients::new(kafka, names, ClientMetrics::default())
}

/// A reader of committed records that says where a partition ends. It commits nothing.
pub fn reader(kafka: &KafkaConfig) -> Result<Arc<BaseConsumer<ClientEvents>>, ClientError> {
    clients(kafka).data_consumer(FETCH_BOUNDS)
}

/// Makes sure that a topic exists with at least so many partitions.
pub fn create_topic(kafka: &KafkaConfig, topic: &str, partitions: u32) -> anyhow::Result<()> {
    create_topic_with(kafka, topic, partitions, Vec::new())
}

/// The same with settings of its own.
pub fn create_topic_with(
    kafka: &KafkaConfig,
    topic: &str,
    partitions: u32,
    settings: Vec<Setting>,
) -> anyhow::Result<()> {
    let spec = TopicSpec { name: topic.into(), partitions, settings };
    let runtime = runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    runtime.context("failed to start a runtime")?.block_on(async {
        TopicAdmin::connect(&clients(kafka)).await?.ensure_topic(&spec).await?;
        Ok(())
    })
}
