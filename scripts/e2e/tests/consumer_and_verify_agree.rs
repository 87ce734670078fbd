//! What the consumer writes, the verification finds sound: two readings of the same rules, written
//! apart, agree on records of all kinds.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "small/topics.rs"]
mod topics;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use common::identity::TopicId;
use common::messages::command::Source;
use common::moment::Timestamp;
use common::partition::TopicPartition;
use common::term::Term;
use consumer::compact::compactor::{Compactor, Options};
use consumer::compact::lake::TableLake;
use consumer::compact::plan::Limits;
use consumer::decode::Decoder;
use consumer::lease_watch::lease_channel;
use consumer::record::RawRecord;
use consumer::sink::parquet::{Compression, Nonces};
use consumer::sink::store::Store;
use consumer::sink::tables::{SinkOptions, Tables};
use consumer::sink::{OpenRequest, SealedBatch};
use consumer::table::claim::Owner;
use e2e::lake::store::Lake;
use e2e::verify::check::{Request, verify};
use e2e::verify::report::TopicReport;
use rand::rngs::ChaCha8Rng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::Value;
use topics::{DEAD, ID, Owned, TOPIC, Topics, timestamp};
use url::Url;

const RECORDS: u64 = 400;
const BATCH: usize = 37;

#[test]
fn json_of_all_kinds_is_stored_as_the_verification_reads_it() {
    for seed in 0..12 {
        let report = store_and_verify("json", seed);
        assert!(report.is_sound(), "seed {seed}: {report:#?}");
        let counts = report.counts;
        assert_eq!(counts.stored + counts.dead_lettered, RECORDS, "seed {seed}");
        assert!(counts.unparsed > 0 && counts.dead_lettered > 0, "seed {seed}: {counts:?}");
        assert!(counts.stored - counts.unparsed > RECORDS / 4, "seed {seed}: {counts:?}");
    }
}

#[test]
fn bytes_are_stored_as_they_are() {
    let report = store_and_verify("bytes", 1);
    assert!(report.is_sound(), "{report:#?}");
    assert_eq!(report.counts.stored, RECORDS);
}

/// Merged files hold what their objects held, also once these gave up their rows.
#[test]
fn compaction_changes_nothing_that_the_verification_sees() {
    for (seed, by_date) in [(1, false), (2, true)] {
        for reclaim in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let mut topics = stored("json", seed, folder.path());
            let before = verified(&mut topics, folder.path());
            compact(folder.path(), by_date, reclaim);
            let after = verified(&mut topics, folder.path());
            assert!(after.is_sound(), "seed {seed}: {after:#?}");
            assert_eq!(after.counts, before.counts);
            assert!(after.merged_files > 0 && after.objects == before.objects);
        }
    }
}

/// What is wrong with merged files is found, and told apart.
#[test]
fn a_damaged_compaction_is_found() {
    let damaged = |damage: &dyn Fn(&mut Value, &Path)| {
        let folder = tempfile::tempdir().unwrap();
        let mut topics = stored("json", 3, folder.path());
        compact(folder.path(), false, false);
        let path = folder.path().join("sales/_files/00000000000000000001.json");
        let mut manifest: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        damage(&mut manifest, folder.path());
        std::fs::write(&path, manifest.to_string()).unwrap();
        let report = verified(&mut topics, folder.path());
        assert!(!report.is_sound(), "{report:#?}");
        report
    };
    let forgotten = damaged(&|manifest, _| manifest["files"] = Value::Array(Vec::new()));
    assert!(forgotten.counts.lost > 300, "{forgotten:#?}");
    let next = |from: u64| format!("sales/partition=0/{TOPIC}+0+{from:020}.parquet");
    let begins_early = damaged(&|manifest, _| {
        manifest["chains"][0]["to"] = 37.into();
        manifest["chains"][0]["next"] = next(37).into();
    });
    assert!(begins_early.counts.duplicated > 200, "{begins_early:#?}");
    let nowhere = damaged(&|manifest, _| {
        manifest["chains"][0]["to"] = 38.into();
        manifest["chains"][0]["next"] = next(38).into();
    });
    assert!(nowhere.chain_problems[0].contains("where no object begins"), "{nowhere:#?}");
    let other_rows = damaged(&|manifest, _| manifest["files"][0]["rows"] = 1.into());
    assert!(other_rows.chain_problems[0].contains("the manifest says 1"), "{other_rows:#?}");
}

fn compact(root: &Path, by_date: bool, reclaim: bool) {
    let limits = Limits { target_bytes: 1 << 20, objects_min: 1, objects_max: 100, by_date };
    let compression = Compression::default();
    let options = Options { limits, compression, grace: Duration::ZERO, reclaim };
    let run = async {
        let url = Url::from_directory_path(root).unwrap();
        let store = Store::open(&url, &BTreeMap::new()).await.unwrap();
        let lake = TableLake::open(store, "sales").await.unwrap();
        let nonces = Nonces::new(ChaCha8Rng::seed_from_u64(9));
        let compactor = Compactor::new(lake, options, nonces);
        let summary = compactor.run(|| Timestamp(i64::MAX / 2)).await.unwrap();
        assert!(summary.written_files > 0 && (summary.reclaimed_objects > 0) == reclaim);
    };
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run);
}

fn store_and_verify(format: &str, seed: u64) -> TopicReport {
    let folder = tempfile::tempdir().unwrap();
    let mut topics = stored(format, seed, folder.path());
    verified(&mut topics, folder.path())
}

fn stored(format: &str, seed: u64, folder: &Path) -> Topics {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let records: Vec<Owned> = (0..RECORDS).map(|offset| record(offset, &mut rng)).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let letters = runtime.block_on(store(folder, format, &records));
    Topics {
        partitions: BTreeMap::from([((TOPIC.into(), 0), records), ((DEAD.into(), 0), letters)]),
        log_start: 0,
    }
}

fn verified(topics: &mut Topics, folder: &Path) -> TopicReport {
    let lake = Lake::open(folder.to_str().unwrap(), &BTreeMap::new()).unwrap();
    let request = Request { topics: vec![TOPIC.into()], dead_letter_topic: Some(DEAD.into()) };
    verify(topics, &lake, &request).unwrap().topics.remove(0)
}

/// Stores the records by the consumer's own means, and returns the dead letters.
async fn store(root: &std::path::Path, format: &str, records: &[Owned]) -> Vec<Owned> {
    let source = Source {
        table: "sales".into(),
        format: format.into(),
        sink: "parquet".into(),
        options: BTreeMap::from([("headers".into(), "true".into())]),
    };
    let options = SinkOptions {
        url: Some(Url::from_directory_path(root).unwrap()),
        store_options: BTreeMap::new(),
        compression: Compression::default(),
        bigquery: None,
        owner: Owner { group: "g".into(), cluster_id: "c".into() },
    };
    let tables = Tables::start(options, ChaCha8Rng::seed_from_u64(1)).await.unwrap();
    let table = tables.get(&source).await.unwrap();
    let partition = TopicPartition::new(TOPIC, 0);
    let topic_id: TopicId = ID.parse().unwrap();
    let (_heart, lease) = lease_channel();
    let request = OpenRequest {
        partition: partition.clone(),
        topic_id,
        controller_topic_id: topic_id,
        term: Term::default(),
        hand_over: None,
        committed: None,
        log_start: 0,
        has_changed_table: false,
        begin_at: None,
        lease,
    };
    let mut writer = table.open(request).await.unwrap().writer;
    let decoder = Decoder::new(&source, partition, topic_id, &Arc::default()).unwrap();
    let (mut from, mut letters) = (0, Vec::new());
    for batch in records.chunks(BATCH) {
        let raw: Vec<RawRecord> = batch.iter().map(raw).collect();
        let decoded = table.decode(&decoder, Arc::new(raw), &Arc::default()).await.unwrap();
        letters.extend(decoded.dead_letters.iter().map(|dead| letter(&batch[dead.index])));
        let to = batch.last().unwrap().offset + 1;
        let rows = vec![decoded.rows];
        let sealed = SealedBatch { from, to, leader_epoch: None, rows, schema: decoded.schema };
        writer.write(&sealed).await.unwrap();
        from = to;
    }
    letters
}

fn raw(record: &Owned) -> RawRecord {
    let headers = record.headers.iter();
    RawRecord {
        offset: record.offset,
        is_append_time: false,
        timestamp_ms: Some(timestamp(record.offset)),
        key: record.key.clone().map(Bytes::from),
        value: record.value.clone().map(Bytes::from),
        headers: headers.map(|(name, value)| (name.clone(), Some(value.clone().into()))).collect(),
        leader_epoch: None,
    }
}

/// As the dead-letter topic has it.
fn letter(record: &Owned) -> Owned {
    let origin = [
        ("stowage-topic", TOPIC.to_owned()),
        ("stowage-topic-id", ID.to_owned()),
        ("stowage-partition", "0".to_owned()),
        ("stowage-offset", record.offset.to_string()),
    ];
    let mut letter = record.clone();
    letter.headers.extend(origin.map(|(name, text)| (name.to_owned(), text.into_bytes())));
    letter
}

fn record(offset: u64, rng: &mut ChaCha8Rng) -> Owned {
    let value = match rng.random_range(0..20) {
        0 => None,
        1 => Some(pick(&GARBAGE, rng).as_bytes().to_vec()),
        2 => Some(vec![b'{', 0xff, b'}']),
        _ => Some(object(rng, 3).into_bytes()),
    };
    let key = rng.random::<bool>().then(|| format!("k{}", rng.random_range(0..9)).into_bytes());
    let headers = (0..rng.random_range(0..3)).map(|number| (format!("h{number}"), vec![number]));
    Owned { offset, key, value, headers: headers.collect() }
}

const GARBAGE: [&str; 9] = [
    "",
    "{",
    "[1]",
    "\"text\"",
    "{\"a\":1,\"a\":2}",
    "{\"a\":{\"b\":1,\"b\":1}}",
    "{\"a\":\"\\ud800\"}",
    "{\"a\":01}",
    "{\"a\":1} x",
];
const NAMES: [&str; 12] = [
    "a",
    "A",
    "b",
    "a_2",
    "kafka_offset",
    "KAFKA_key",
    "partition",
    "value",
    "",
    "ü",
    "x y",
    "\\n",
];
const NUMBERS: [&str; 16] = [
    "0",
    "-0",
    "1",
    "-17",
    "1.0",
    "1.5",
    "15e-1",
    "1e3",
    "9007199254740993",
    "0.1",
    "0.1000000000000000055511151231257827",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "1e400",
    "123456789.123456789",
];
const TEXTS: [&str; 6] = ["", "Zoë", "小林 🦀", "\\u0000\\\"\\/", "2026-03-01T12:00:00Z", "17"];

fn object(rng: &mut ChaCha8Rng, depth: u32) -> String {
    let mut names: Vec<&str> = Vec::new();
    for _ in 0..rng.random_range(0..5) {
        let name = pick(&NAMES, rng);
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let fields = names.iter().map(|name| format!("\"{name}\" : {}", value(name, rng, depth)));
    format!("{{{}}}", fields.collect::<Vec<_>>().join(" ,"))
}

/// Most fields keep to one type, so that most records fit.
fn value(name: &str, rng: &mut ChaCha8Rng, depth: u32) -> String {
    let usual = name.len() % 4;
    let kind = if rng.random_range(0..12) == 0 { rng.random_range(0..7) } else { usual };
    match kind {
        0 if depth > 0 => object(rng, depth - 1),
        1 => pick(&NUMBERS, rng).into(),
        2 => format!("\"{}\"", pick(&TEXTS, rng)),
        3 if depth > 0 => {
            let elements = (0..rng.random_range(0..4)).map(|_| value("ab", rng, depth - 1));
            format!("[{}]", elements.collect::<Vec<_>>().join(", "))
        }
        4 => "null".into(),
        5 => "true".into(),
        _ => "{}".into(),
    }
}

fn pick(from: &[&'static str], rng: &mut ChaCha8Rng) -> &'static str {
    from.choose(rng).unwrap()
}
