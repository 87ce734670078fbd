//! What is taken from Kafka's client many at a time is what was sent: every key, value, header, absent or empty.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use common::kafka::client_events::ClientMetrics;
use common::kafka::clients::{ClientNames, FetchBounds, KafkaClients};
use common::kafka::config::KafkaConfig;
use common::partition::TopicPartition;
use consumer::gather::{Fetcher, Gathered};
use consumer::record::RawRecord;
use futures::StreamExt as _;
use rand::rngs::ChaCha8Rng;
use rand::{RngExt as _, SeedableRng as _};
use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

const RECORDS: u64 = 5_000;
const TOPIC: &str = "orders";
const PATIENCE: Duration = Duration::from_secs(30);

fn some_bytes(rng: &mut ChaCha8Rng, max: usize) -> Option<Bytes> {
    match rng.random_range(0..4) {
        0 => None,
        1 => Some(Bytes::new()),
        _ => Some((0..rng.random_range(0..max)).map(|_| rng.random()).collect::<Vec<u8>>().into()),
    }
}

fn records() -> Vec<RawRecord> {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let mut record = |offset| {
        let count = rng.random_range(0..4_usize).saturating_sub(1);
        let headers = (0..count).map(|at| (format!("h{at}"), some_bytes(&mut rng, 20))).collect();
        let timestamp_ms = Some(1_767_225_600_000 + i64::try_from(offset).unwrap());
        let (key, value) = (some_bytes(&mut rng, 30), some_bytes(&mut rng, 400));
        RawRecord { offset, timestamp_ms, key, value, headers, ..RawRecord::default() }
    };
    (0..RECORDS).map(&mut record).collect()
}

fn send(servers: &str, records: &[RawRecord]) {
    let mut settings = ClientConfig::new();
    settings.set("bootstrap.servers", servers).set("linger.ms", "5");
    let producer: BaseProducer = settings.create().unwrap();
    for record in records {
        let mut headers = OwnedHeaders::new();
        for (name, value) in &record.headers {
            headers = headers.insert(Header { key: name, value: value.as_deref() });
        }
        let mut message = BaseRecord::<[u8], [u8]>::to(TOPIC)
            .partition(0)
            .timestamp(record.timestamp_ms.unwrap())
            .headers(headers);
        message.key = record.key.as_deref();
        message.payload = record.value.as_deref();
        producer.send(message).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(PATIENCE).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_sent_is_gathered() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic(TOPIC, 1, 1).unwrap();
    let servers = cluster.bootstrap_servers();
    let sent = records();
    send(&servers, &sent);
    let config = KafkaConfig::new(&servers, BTreeMap::new()).unwrap();
    let names = ClientNames { client_id: "test".into(), group: "test".into() };
    let clients = KafkaClients::new(config, names, ClientMetrics::default());
    let fetcher = Fetcher::start(&clients, FetchBounds::default()).unwrap();
    for (from, has_headers) in [(0, true), (1_234, true), (0, false)] {
        let queue = fetcher.open(&TopicPartition::new(TOPIC, 0), from).unwrap();
        let queue = if has_headers { queue } else { queue.without_headers() };
        let mut answers = queue.answers();
        let (mut gathered, mut is_end, mut most) = (Vec::new(), false, 0);
        while !is_end || gathered.len() as u64 + from < RECORDS {
            let next = tokio::time::timeout(PATIENCE, answers.next());
            for answer in next.await.expect("answers go on").unwrap() {
                match answer {
                    Gathered::Records(records) => {
                        most = most.max(records.len());
                        gathered.extend(records);
                    }
                    Gathered::End => is_end = true,
                    Gathered::Gone | Gathered::Failed(_) => panic!("{answer:?}"),
                }
            }
        }
        assert!(most > 100, "taken {most} at a time");
        let gathered: Vec<_> =
            gathered.into_iter().map(|it| RawRecord { leader_epoch: None, ..it }).collect();
        let from = usize::try_from(from).unwrap();
        assert_eq!(gathered.len(), sent.len() - from);
        for (gathered, sent) in gathered.iter().zip(&sent[from..]) {
            let headers = if has_headers { sent.headers.clone() } else { Vec::new() };
            assert_eq!(*gathered, RawRecord { headers, ..sent.clone() });
        }
    }
}
