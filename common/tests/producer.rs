//! Whoever sends a record gets the answer to that very record.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::time::Duration;

use common::kafka::client_events::ClientMetrics;
use common::kafka::clients::{ClientNames, FetchBounds, KafkaClients, Producer};
use common::kafka::config::KafkaConfig;
use common::kafka::producer::Outgoing;
use futures::future::join_all;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{Message as _, OwnedHeaders};
use rdkafka::mocking::MockCluster;
use rdkafka::{Offset, TopicPartitionList};

const TOPIC: &str = "letters";
const RECORDS: usize = 2_000;
const PATIENCE: Duration = Duration::from_secs(30);

fn clients(servers: &str) -> KafkaClients {
    let config = KafkaConfig::new(servers, BTreeMap::new()).unwrap();
    let names = ClientNames { client_id: "test".into(), group: "test".into() };
    KafkaClients::new(config, names, ClientMetrics::default())
}

async fn send(producer: &Producer, value: &str) -> Result<i64, rdkafka::error::KafkaError> {
    let outgoing = Outgoing {
        topic: TOPIC,
        partition: Some(0),
        key: None,
        value: Some(value.as_bytes()),
        headers: OwnedHeaders::new(),
    };
    producer.send(outgoing, PATIENCE).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_record_is_told_its_own_offset() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic(TOPIC, 1, 1).unwrap();
    let clients = clients(&cluster.bootstrap_servers());
    let producer = clients.producer().unwrap();
    let values: Vec<_> = (0..RECORDS).map(|number| format!("record {number}")).collect();
    let sent = join_all(values.iter().map(|value| send(&producer, value))).await;
    let told: BTreeMap<i64, &str> =
        sent.into_iter().map(Result::unwrap).zip(values.iter().map(String::as_str)).collect();
    assert_eq!(told.len(), RECORDS, "no two have the same offset");

    let consumer = clients.data_consumer::<BaseConsumer<_>>(FetchBounds::default()).unwrap();
    let mut assignment = TopicPartitionList::new();
    assignment.add_partition_offset(TOPIC, 0, Offset::Beginning).unwrap();
    consumer.assign(&assignment).unwrap();
    let mut stored = 0;
    while stored < RECORDS {
        let Some(Ok(message)) = consumer.poll(PATIENCE) else { continue };
        assert_eq!(message.payload().unwrap(), told[&message.offset()].as_bytes());
        stored += 1;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_acknowledges_is_an_error_in_its_time() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic(TOPIC, 1, 1).unwrap();
    let clients = clients(&cluster.bootstrap_servers());
    let producer = clients.heartbeat_producer(Duration::from_secs(2)).unwrap();
    assert_eq!(send(&producer, "known").await, Ok(0));
    cluster.broker_down(1).unwrap();
    let lost = tokio::time::timeout(PATIENCE, send(&producer, "lost")).await;
    let error = lost.expect("it is given up in time").unwrap_err();
    assert!(error.to_string().contains("timed out"), "{error}");
    cluster.broker_up(1).unwrap();
    assert!(send(&producer, "later").await.is_ok());
}
