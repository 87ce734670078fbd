//! Dead letters on a broker that is a double: what is written is the record with its reason, and nothing counts
//! as written before the broker says so.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use common::identity::{ConsumerId, TopicId};
use common::kafka::client_events::ClientMetrics;
use common::kafka::clients::{ClientNames, FetchBounds, KafkaClients};
use common::kafka::config::KafkaConfig;
use common::moment::Timestamp;
use common::partition::TopicPartition;
use consumer::dead_letter::{DeadLetters, Origin};
use consumer::decode::{DeadLetter, DeadLetterReason};
use consumer::gather::{Fetcher, Gathered};
use consumer::letter::{Entry, Headers, Letter, read};
use consumer::record::RawRecord;
use futures::StreamExt as _;
use rdkafka::mocking::MockCluster;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use uuid::Uuid;

const TOPIC: &str = "dead-letter";
const PATIENCE: Duration = Duration::from_secs(30);

fn clients(servers: &str) -> KafkaClients {
    let config = KafkaConfig::new(servers, BTreeMap::new()).unwrap();
    let names = ClientNames { client_id: "test".into(), group: "test".into() };
    KafkaClients::new(config, names, ClientMetrics::default())
}

fn origin() -> Origin {
    let topic_id = TopicId(Uuid::from_u128(1));
    Origin { partition: TopicPartition::new("orders", 3), topic_id, table: "sales".into() }
}

/// Three records, of which the last two cannot become rows: one was sent back through once, one has no value.
fn records() -> Vec<RawRecord> {
    let bytes = |text: &'static str| Some(Bytes::from_static(text.as_bytes()));
    let record = |offset, key, value, headers: Headers| RawRecord {
        offset,
        timestamp_ms: Some(1_000),
        key,
        value,
        headers,
        ..RawRecord::default()
    };
    let again = vec![("h".to_owned(), None), ("stowage-attempt".to_owned(), bytes("2"))];
    vec![
        record(10, bytes("good"), bytes("{}"), Vec::new()),
        record(12, bytes("key"), bytes("{"), again),
        record(15, None, None, vec![("h".to_owned(), bytes(""))]),
    ]
}

fn letters() -> [DeadLetter; 2] {
    let letter = |index, offset, reason| DeadLetter { index, offset, reason, text: "why".into() };
    [
        letter(1, 12, DeadLetterReason::InvalidJson),
        letter(2, 15, DeadLetterReason::InapplicableChange),
    ]
}

async fn written(clients: &KafkaClients, count: usize) -> Vec<RawRecord> {
    let fetcher = Fetcher::start(clients, FetchBounds::default()).unwrap();
    let queue = fetcher.open(&TopicPartition::new(TOPIC, 0), 0).unwrap();
    let (mut answers, mut found) = (queue.answers(), Vec::new());
    while found.len() < count {
        let next = tokio::time::timeout(PATIENCE, answers.next()).await;
        for answer in next.expect("what was acknowledged can be read").unwrap() {
            match answer {
                Gathered::Records(records) => found.extend(records),
                Gathered::End => {}
                Gathered::Gone | Gathered::Failed(_) => panic!("{answer:?}"),
            }
        }
    }
    found.sort_by_key(|record| record.key.is_none());
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_letter_is_the_record_and_says_why() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic(TOPIC, 1, 1).unwrap();
    let clients = clients(&cluster.bootstrap_servers());
    let dead_letters = DeadLetters::start(&clients, TOPIC.into(), ConsumerId(7)).unwrap();
    let (records, letters) = (records(), letters());
    dead_letters.write(&origin(), &records, &letters, Timestamp(5_000)).await.unwrap();
    let written = written(&clients, 2).await;
    assert_eq!(written.len(), 2);
    for ((written, refused), attempt) in written.iter().zip(&letters).zip([2, 1]) {
        let record = &records[refused.index];
        assert_eq!((&written.key, &written.value), (&record.key, &record.value));
        let Entry::Letter(letter, own) = read(&written.headers) else { panic!("{written:?}") };
        assert_eq!(own, record.headers);
        let expected = Letter {
            reason: refused.reason.label().into(),
            error: "why".into(),
            partition: origin().partition,
            topic_id: origin().topic_id.to_string(),
            offset: record.offset,
            timestamp_ms: Some(1_000),
            is_append_time: false,
            refused_at_ms: Some(5_000),
            consumer: 7,
            table: "sales".into(),
            attempt,
        };
        assert_eq!(*letter, expected);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_letter_that_the_broker_refuses_is_an_error() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic(TOPIC, 1, 1).unwrap();
    let clients = clients(&cluster.bootstrap_servers());
    let dead_letters = DeadLetters::start(&clients, TOPIC.into(), ConsumerId(7)).unwrap();
    let refused = RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED;
    cluster.request_errors(RDKafkaApiKey::Produce, &[refused; 8]);
    let (origin, records, letters) = (origin(), records(), letters());
    let write = dead_letters.write(&origin, &records, &letters, Timestamp(5_000));
    let error = write.await.unwrap_err();
    assert!(error.to_string().contains("of orders/3 was not acknowledged"), "{error}");
}
