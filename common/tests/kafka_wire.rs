//! The wire client against real brokers.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::sync::Arc;
use std::time::Duration;

use common::kafka::admin::TopicAdmin;
use common::kafka::clients::KafkaClients;
use common::kafka::wire::client::{WireClient, WireError};
use common::kafka::wire::cluster::{Cluster, Topics};
use common::kafka::wire::epochs::{EpochEnd, EpochRefusal};
use common::kafka::writer::{NewRecord, TopicWriter};
use common::partition::TopicPartition;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use tokio::time::{sleep, timeout};

mod live;

const PATIENCE: Duration = Duration::from_secs(20);

fn wire(servers: &str) -> WireClient {
    WireClient::new(&live::config(servers, None), "test", live::rng()).unwrap()
}

async fn create(clients: &KafkaClients, name: &str, partitions: u32) {
    let admin = TopicAdmin::connect(clients).await.unwrap();
    admin.ensure_topic(&live::spec(name, partitions)).await.unwrap();
}

/// Asks until the answer is as wanted: brokers learn of a change one after the other.
async fn eventually(
    wire: &WireClient,
    name: &str,
    is_wanted: impl Fn(&Cluster) -> bool,
) -> Cluster {
    let poll = async {
        loop {
            let cluster = wire.cluster(Topics::Named(&[name])).await.unwrap();
            if is_wanted(&cluster) {
                return cluster;
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, poll).await.unwrap()
}

/// Topics have ids, partitions have leaders, absent topics are absent and not created by asking; a
/// topic that is deleted and created again has another id.
#[tokio::test]
async fn a_topic_created_again_is_another_one() {
    let Some(servers) = live::servers() else { return };
    let clients = live::clients(live::config(&servers, None));
    let (wire, name) = (wire(&servers), live::topic_name("wire"));
    let absent = wire.cluster(Topics::Named(&[&name])).await.unwrap();
    assert!(absent.topics.is_empty() && absent.refused.is_empty(), "{absent:?}");
    create(&clients, &name, 3).await;
    let cluster = eventually(&wire, &name, |cluster| !cluster.topics.is_empty()).await;
    assert!(cluster.id.is_some());
    let topic = &cluster.topics[&name];
    assert_eq!(topic.partitions.keys().copied().collect::<Vec<_>>(), [0, 1, 2]);
    for partition in topic.partitions.values() {
        assert!(cluster.brokers.contains_key(&partition.leader.unwrap()));
        assert_eq!(partition.leader_epoch, Some(0));
    }
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", &servers).create().unwrap();
    admin.delete_topics(&[&name], &AdminOptions::new()).await.unwrap();
    eventually(&wire, &name, |cluster| cluster.topics.is_empty()).await;
    create(&clients, &name, 1).await;
    let again = eventually(&wire, &name, |cluster| !cluster.topics.is_empty()).await;
    assert_ne!(again.topics[&name].id, topic.id);
    assert_eq!(again.id, cluster.id);
    let all = wire.cluster(Topics::All).await.unwrap();
    assert_eq!(all.topics[&name], again.topics[&name]);
}

/// A replica's size on its leader grows by at least the bytes of what is written to it.
#[tokio::test]
async fn log_dirs_tell_what_was_written() {
    let Some(servers) = live::servers() else { return };
    let clients = live::clients(live::config(&servers, None));
    let (wire, name) = (wire(&servers), live::topic_name("sizes"));
    create(&clients, &name, 2).await;
    let partition = TopicPartition::new(&name, 1);
    let payload = [b'x'; 10_000];
    let writer = TopicWriter::new(clients.producer().unwrap());
    let record = NewRecord { value: Some(&payload), ..NewRecord::default() };
    writer.write(&partition, record).await.unwrap();
    let cluster = wire.cluster(Topics::Named(&[&name])).await.unwrap();
    let leader = cluster.topics[&name].partitions[&1].leader.unwrap();
    let log_dirs = wire.log_dirs(leader).await.unwrap();
    assert!(log_dirs.failed.is_empty());
    assert!((10_000..11_000).contains(&log_dirs.sizes[&partition]), "{log_dirs:?}");
    assert_eq!(log_dirs.sizes[&TopicPartition::new(&name, 0)], 0);
    let unknown = wire.log_dirs(-7).await.unwrap_err();
    assert!(matches!(unknown, WireError::UnknownBroker { broker: -7 }));
}

/// The end of an epoch is the end of what was written in it; before the first and on another broker
/// there is none.
#[tokio::test]
async fn an_epoch_ends_where_its_records_do() {
    let Some(servers) = live::servers() else { return };
    let clients = live::clients(live::config(&servers, None));
    let (wire, name) = (wire(&servers), live::topic_name("epochs"));
    create(&clients, &name, 1).await;
    let partition = TopicPartition::new(&name, 0);
    let writer = TopicWriter::new(clients.producer().unwrap());
    let record = NewRecord { value: Some(b"x"), ..NewRecord::default() };
    for _ in 0..3 {
        writer.write(&partition, record).await.unwrap();
    }
    let cluster = wire.cluster(Topics::Named(&[&name])).await.unwrap();
    let led = cluster.topics[&name].partitions[&0];
    let (leader, epoch) = (led.leader.unwrap(), led.leader_epoch.unwrap());
    let end = wire.epoch_end(leader, &partition, epoch).await.unwrap();
    assert_eq!(end, Some(EpochEnd { epoch, end: 3 }));
    assert_eq!(wire.epoch_end(leader, &partition, epoch + 5).await.unwrap(), None);
    let absent = wire.epoch_end(leader, &TopicPartition::new(&name, 9), epoch).await.unwrap_err();
    let is_unknown =
        matches!(absent, WireError::EpochRefused { source: EpochRefusal::Unknown, .. });
    assert!(is_unknown, "{absent:?}");
}

/// A request that is given up half way leaves no answer behind for the next one.
#[tokio::test]
async fn a_request_given_up_does_no_harm() {
    let Some(servers) = live::servers() else { return };
    let wire = Arc::new(wire(&servers));
    let cluster = wire.cluster(Topics::All).await.unwrap();
    let broker = *cluster.brokers.keys().next().unwrap();
    for micros in 0..50 {
        let asked = timeout(Duration::from_micros(micros * 20), wire.log_dirs(broker)).await;
        if let Ok(answered) = asked {
            answered.unwrap();
        }
        wire.cluster(Topics::Named(&[])).await.unwrap();
    }
    let asking = (0..8).map(|_| {
        let wire = Arc::clone(&wire);
        tokio::spawn(async move { wire.log_dirs(broker).await })
    });
    for asked in asking.collect::<Vec<_>>() {
        asked.await.unwrap().unwrap();
    }
}

/// Of several brokers to begin with, one that answers is enough.
#[tokio::test]
async fn brokers_that_are_away_are_passed_over() {
    let Some(servers) = live::servers() else { return };
    let wire = wire(&format!("127.0.0.1:1,{servers}"));
    assert!(!wire.cluster(Topics::Named(&[])).await.unwrap().brokers.is_empty());
}

/// What is no Kafka, or nobody, is said to be so, soon.
#[tokio::test]
async fn nobody_and_strangers_are_named() {
    let nobody = wire("127.0.0.1:1").cluster(Topics::All).await.unwrap_err();
    assert!(nobody.is_transient());
    let nobody = common::chain::Chain(&nobody).to_string();
    assert!(
        nobody.starts_with(
            "none of the brokers 127.0.0.1:1 could be asked: failed to connect to 127.0.0.1:1: "
        ),
        "{nobody}"
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let stranger = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n").await
    });
    let error = wire(&address).cluster(Topics::All).await.unwrap_err();
    let error = common::chain::Chain(&error).to_string();
    assert!(error.contains("which is too large or negative"), "{error}");
    stranger.await.unwrap().unwrap();
}
