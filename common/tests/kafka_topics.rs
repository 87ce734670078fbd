//! Topics, writer and reader against real brokers.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::time::Duration;

use common::chain::Chain;
use common::kafka::admin::TopicAdmin;
use common::kafka::clients::KafkaClients;
use common::kafka::reader::{LogRange, ReaderError, Start, TopicReader};
use common::kafka::topic_spec::Setting;
use common::kafka::writer::{NewRecord, TopicWriter};
use common::partition::TopicPartition;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use tokio::time::timeout;

mod live;

const PATIENCE: Duration = Duration::from_secs(20);

fn value(text: &str) -> NewRecord<'_> {
    NewRecord { value: Some(text.as_bytes()), ..NewRecord::default() }
}

async fn read(reader: &TopicReader) -> (u64, String) {
    let record = timeout(PATIENCE, reader.next()).await.unwrap().unwrap();
    (record.offset, String::from_utf8(record.value.unwrap()).unwrap())
}

/// A topic of one partition that holds "0", "1", ….
async fn filled(clients: &KafkaClients, count: u32) -> (TopicPartition, TopicWriter) {
    let name = live::topic_name("filled");
    let admin = TopicAdmin::connect(clients).await.unwrap();
    admin.ensure_topic(&live::spec(&name, 1)).await.unwrap();
    let partition = TopicPartition::new(&name, 0);
    let writer = TopicWriter::new(clients.producer().unwrap());
    for index in 0..count {
        let offset = writer.write(&partition, value(&index.to_string())).await.unwrap();
        assert_eq!(offset, u64::from(index));
    }
    (partition, writer)
}

/// A topic is created once, grown when more partitions are asked for, and never shrunk; what is
/// wrong with its settings is said.
#[tokio::test]
async fn a_topic_is_created_grown_and_checked() {
    let Some(servers) = live::servers() else { return };
    let clients = live::clients(live::config(&servers, None));
    let admin = TopicAdmin::connect(&clients).await.unwrap();
    let name = live::topic_name("ensured");
    let created = admin.ensure_topic(&live::spec(&name, 2)).await.unwrap();
    assert!(created.is_created && created.partitions == 2, "{created:?}");

    let again = admin.ensure_topic(&live::spec(&name, 1)).await.unwrap();
    assert!(!again.is_created && again.partitions == 2, "{again:?}");
    assert_eq!(again.wrong_settings, []);

    let mut demanding = live::spec(&name, 5);
    demanding.settings.push(Setting::at_least("retention.ms", 604_800_001));
    let grown = admin.ensure_topic(&demanding).await.unwrap();
    assert_eq!(grown.partitions, 5);
    let wrong: Vec<_> = grown.wrong_settings.iter().map(ToString::to_string).collect();
    assert_eq!(wrong, ["retention.ms is 604800000 and must be -1 or at least 604800001"]);
    assert_eq!(admin.partitions(&live::topic_name("absent")).await.unwrap(), None);
}

/// Two services that start at once may both find a topic missing: one creates it, neither fails.
#[tokio::test]
async fn two_may_create_the_same_topic_at_once() {
    let Some(servers) = live::servers() else { return };
    let clients = live::clients(live::config(&servers, None));
    let (a, b) = (TopicAdmin::connect(&clients).await, TopicAdmin::connect(&clients).await);
    let (a, b) = (a.unwrap(), b.unwrap());
    let spec = live::spec(&live::topic_name("raced"), 3);
    let (first, second) = tokio::join!(a.ensure_topic(&spec), b.ensure_topic(&spec));
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_eq!((first.partitions, second.partitions), (3, 3));
    assert_ne!(first.is_created, second.is_created);
}

/// A broker that is not there is named, with what the client complained of, within the time said.
#[tokio::test]
async fn an_unreachable_broker_is_named() {
    let clients = live::clients(live::config("127.0.0.1:1", None));
    let connected = timeout(PATIENCE, TopicAdmin::connect(&clients)).await.unwrap();
    let error = Chain(&connected.err().unwrap()).to_string();
    assert!(
        error.starts_with("no broker at 127.0.0.1:1 answered within 10 s (127.0.0.1:1"),
        "{error}"
    );
    assert!(error.contains("Connection refused"), "{error}");
}

/// What is written is read back in order, with key, headers and tombstones as they were.
#[tokio::test]
async fn a_record_is_read_as_it_was_written() {
    let Some(servers) = live::servers() else { return };
    let clients = live::clients(live::config(&servers, None));
    let (partition, writer) = filled(&clients, 0).await;
    let whole =
        NewRecord { key: Some(b"k"), value: Some(b""), headers: &[("kind", "a"), ("x", "")] };
    writer.write(&partition, whole).await.unwrap();
    writer.write(&partition, NewRecord { key: Some(b"k"), ..NewRecord::default() }).await.unwrap();
    let reader = TopicReader::open(&clients, partition, Start::Beginning).unwrap();
    let record = timeout(PATIENCE, reader.next()).await.unwrap().unwrap();
    assert_eq!(record.key.as_deref(), Some(&b"k"[..]));
    assert_eq!(record.value.as_deref(), Some(&b""[..]));
    assert_eq!(record.headers, [("kind".into(), b"a".to_vec()), ("x".into(), Vec::new())]);
    let stamped = record.timestamp.unwrap();
    assert!(common::clock::Clock.timestamp().saturating_ms_since(stamped) < 60_000);
    let tombstone = timeout(PATIENCE, reader.next()).await.unwrap().unwrap();
    assert_eq!((tombstone.offset, tombstone.value), (1, None));
}

/// Reading begins exactly where it was asked to, and goes on where it is sent.
#[tokio::test]
async fn reading_begins_where_it_was_asked_to() {
    let Some(servers) = live::servers() else { return };
    let clients = live::clients(live::config(&servers, None));
    let (partition, writer) = filled(&clients, 5).await;
    for (start, first) in
        [(Start::Beginning, 0), (Start::Offset(3), 3), (Start::Tail(2), 3), (Start::Tail(9), 0)]
    {
        let reader = TopicReader::open(&clients, partition.clone(), start).unwrap();
        assert_eq!(read(&reader).await, (first, first.to_string()), "{start:?}");
    }
    let reader = TopicReader::open(&clients, partition.clone(), Start::Offset(5)).unwrap();
    let range = reader.log_range(PATIENCE).await.unwrap();
    assert_eq!(range, LogRange { start: 0, end: 5 });
    writer.write(&partition, value("5")).await.unwrap();
    assert_eq!(read(&reader).await.0, 5);
    reader.restart(Start::Offset(1)).unwrap();
    assert_eq!(read(&reader).await.0, 1);
    assert_eq!(reader.log_range(PATIENCE).await.unwrap().end, 6);
}

/// A position that retention removed, or that was never written, is an error and not a jump.
#[tokio::test]
async fn a_position_that_is_gone_is_an_error() {
    let Some(servers) = live::servers() else { return };
    let clients = live::clients(live::config(&servers, None));
    let (partition, _writer) = filled(&clients, 5).await;
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", &servers).create().unwrap();
    let mut until = rdkafka::TopicPartitionList::new();
    until.add_partition_offset(partition.topic(), 0, rdkafka::Offset::Offset(3)).unwrap();
    admin.delete_records(&until, &AdminOptions::new()).await.unwrap();
    for offset in [1, 77] {
        let start = Start::Offset(offset);
        let reader = TopicReader::open(&clients, partition.clone(), start).unwrap();
        let error = timeout(PATIENCE, reader.next()).await.unwrap().unwrap_err();
        assert!(matches!(error, ReaderError::PositionGone { .. }), "{error:?}");
        let range = reader.log_range(PATIENCE).await.unwrap();
        assert_eq!(range, LogRange { start: 3, end: 5 });
        reader.restart(Start::Beginning).unwrap();
        assert_eq!(read(&reader).await.0, 3);
    }
}

/// A reader waits for a partition that does not exist yet.
#[tokio::test]
async fn a_new_partition_is_waited_for() {
    let Some(servers) = live::servers() else { return };
    let clients = live::clients(live::config(&servers, None));
    let (partition, writer) = filled(&clients, 1).await;
    let new = TopicPartition::new(partition.topic(), 1);
    let reader = TopicReader::open(&clients, new.clone(), Start::Beginning).unwrap();
    let admin = TopicAdmin::connect(&clients).await.unwrap();
    assert!(timeout(Duration::from_millis(200), reader.next()).await.is_err());
    admin.ensure_topic(&live::spec(partition.topic(), 2)).await.unwrap();
    let written = timeout(PATIENCE, writer.write(&new, value("here"))).await.unwrap();
    assert_eq!(written.unwrap(), 0);
    assert_eq!(read(&reader).await, (0, "here".into()));
}
