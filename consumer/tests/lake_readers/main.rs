//! Readers that no one here wrote see the lake as `docs/lake.md` says.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod compaction;
mod typed;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use arrow::array::RecordBatch;
use bytes::Bytes;
use common::identity::TopicId;
use common::messages::command::Source;
use common::partition::TopicPartition;
use common::term::Term;
use consumer::decode::Decoder;
use consumer::lease_watch::lease_channel;
use consumer::record::RawRecord;
use consumer::sink::parquet::Compression;
use consumer::sink::tables::{SinkOptions, Tables};
use consumer::sink::{OpenRequest, SealedBatch};
use consumer::table::claim::Owner;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use rand::SeedableRng as _;
use rand::rngs::ChaCha8Rng;
use serde_json::{Value, json};
use url::Url;
use uuid::Uuid;

/// The interpreter that has DuckDB and PyArrow.
fn python() -> Option<PathBuf> {
    if let Some(python) = std::env::var_os("STOWAGE_PYTHON") {
        return Some(python.into());
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/python.sh");
    let found = Command::new(script).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(found.stdout).unwrap().trim().into())
}

/// `None`: the test skips itself and says so; in CI that is a failure.
fn python_or_skip() -> Option<PathBuf> {
    let python = python();
    if python.is_none() {
        assert!(
            std::env::var_os("CI").is_none(),
            "DuckDB and PyArrow are needed: scripts/python.sh"
        );
        eprintln!("SKIPPED: DuckDB and PyArrow could not be installed by scripts/python.sh");
    }
    python
}

fn source(format: &str) -> Source {
    let options = [("headers".to_owned(), "true".to_owned())].into();
    Source { table: "orders".into(), format: format.into(), sink: "parquet".into(), options }
}

fn entry(table: &str, format: &str, options: &[(&str, &str)]) -> Source {
    let options = options.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
    Source { table: table.into(), format: format.into(), sink: "parquet".into(), options }
}

async fn tables(root: &Path) -> Tables {
    let owner = Owner { group: "g".into(), cluster_id: "c".into() };
    let options = SinkOptions {
        url: Some(Url::from_directory_path(root.join("lake")).unwrap()),
        store_options: [].into(),
        compression: Compression::Zstd,
        bigquery: None,
        owner,
    };
    Tables::start(options, ChaCha8Rng::seed_from_u64(1)).await.unwrap()
}

fn topic_id() -> TopicId {
    TopicId(Uuid::from_u128(7))
}

/// Stores each group of records as an object of its own.
async fn store(
    tables: &Tables,
    partition: TopicPartition,
    format: &str,
    objects: Vec<Vec<RawRecord>>,
) {
    store_as(tables, partition, &source(format), objects).await;
}

async fn store_as(
    tables: &Tables,
    partition: TopicPartition,
    source: &Source,
    objects: Vec<Vec<RawRecord>>,
) {
    let table = tables.get(source).await.unwrap();
    let decoder = Decoder::new(source, partition.clone(), topic_id(), &Arc::default()).unwrap();
    let (_heart, lease) = lease_channel();
    let request = OpenRequest {
        partition,
        topic_id: topic_id(),
        controller_topic_id: topic_id(),
        term: Term::new(1, 1),
        hand_over: None,
        committed: None,
        log_start: objects[0][0].offset,
        has_changed_table: false,
        begin_at: None,
        lease,
    };
    let mut opened = table.open(request).await.unwrap();
    let mut from = opened.position.offset;
    for records in objects {
        let to = records.last().unwrap().offset + 1;
        let decoded = table.decode(&decoder, Arc::from(records), &Arc::default()).await.unwrap();
        let rows = vec![decoded.rows];
        let batch = SealedBatch { from, to, leader_epoch: None, rows, schema: decoded.schema };
        from = opened.writer.write(&batch).await.unwrap().position.offset;
    }
}

fn record(offset: u64, value: &'static str) -> RawRecord {
    let value = Some(Bytes::from_static(value.as_bytes()));
    RawRecord { offset, timestamp_ms: Some(1_700_000_000_123), value, ..RawRecord::default() }
}

async fn write_lake(root: &Path) {
    let tables = tables(root).await;
    let orders = TopicPartition::new("orders", 0);
    let first = record(5, r#"{"id": 1, "user": {"name": "é"}, "tags": ["a", null]}"#);
    let with_headers = RawRecord {
        key: Some(Bytes::from_static(b"\xff")),
        headers: vec![("h".into(), Some(Bytes::from_static(b"1"))), ("h".into(), None)],
        ..first
    };
    let grown =
        record(6, r#"{"id": 2, "user": {"name": "x", "age": 3}, "items": [{"n": 1}], "f": 0.5}"#);
    let grown_more =
        record(7, r#"{"items": [{"n": 2, "sku": "s"}], "ID": true, "kafka_offset": "mine"}"#);
    let misfit = record(8, r#"{"id": 1.5}"#);
    let tombstone = RawRecord { offset: 9, ..RawRecord::default() };
    let objects = vec![vec![with_headers], vec![grown], vec![grown_more, misfit, tombstone]];
    store(&tables, orders, "json", objects).await;
    let bytes = vec![vec![record(0, "raw")]];
    store(&tables, TopicPartition::new("bytes", 1), "bytes", bytes).await;
}

/// The rows that were written, as every reader should show them.
fn expected() -> Value {
    let row = |topic: &str, partition: u32, offset: u64, time: Option<u64>, more: Value| {
        let mut row = json!({
            "kafka_topic": topic, "kafka_topic_id": topic_id(), "kafka_partition": partition,
            "kafka_offset": offset, "kafka_timestamp": time, "kafka_key": null, "kafka_headers": [],
            "kafka_tombstone": time.is_none(), "kafka_unparsed": null, "id": null, "user": null,
            "tags": null, "items": null, "f": null, "ID_2": null, "kafka_offset_2": null, "value": null,
        });
        row.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        row
    };
    let time = Some(1_700_000_000_123);
    let headers = json!([{"key": "h", "value": "31"}, {"key": "h", "value": null}]);
    json!([
        row("bytes", 1, 0, time, json!({"value": "726177"})),
        row(
            "orders",
            0,
            5,
            time,
            json!({
                "id": 1, "user": {"name": "é", "age": null}, "tags": ["a", null], "kafka_key": "ff", "kafka_headers": headers,
            })
        ),
        row(
            "orders",
            0,
            6,
            time,
            json!({
                "id": 2, "user": {"name": "x", "age": 3}, "items": [{"n": 1, "sku": null}], "f": 0.5,
            })
        ),
        row(
            "orders",
            0,
            7,
            time,
            json!({
                "items": [{"n": 2, "sku": "s"}], "ID_2": true, "kafka_offset_2": "mine",
            })
        ),
        row("orders", 0, 8, time, json!({"kafka_unparsed": "{\"id\": 1.5}"})),
        row("orders", 0, 9, None, json!({})),
    ])
}

/// DuckDB and PyArrow read the documented queries' rows alike, over columns and structs that grew between files.
#[tokio::test]
async fn duckdb_and_pyarrow_read_what_was_written() {
    let Some(python) = python_or_skip() else { return };
    let root = tempfile::tempdir().unwrap();
    write_lake(root.path()).await;
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = Command::new(python)
        .arg(here.join("tests/lake_readers/read.py"))
        .arg(here.join("../docs/lake.md"))
        .current_dir(root.path())
        .output()
        .unwrap();
    assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    let seen: Value = serde_json::from_slice(&read.stdout).unwrap();
    for reader in ["duckdb", "pyarrow"] {
        let (seen, expected) = (seen[reader].as_array().unwrap().clone(), expected());
        assert_eq!(seen.len(), expected.as_array().unwrap().len(), "{reader}");
        for (seen, expected) in seen.iter().zip(expected.as_array().unwrap()) {
            assert_eq!(seen, expected, "{reader}");
        }
    }
}

/// Every type of a schema arrives as one that readers have, over files of two schemas; the documented queries tell the
/// present state of a changelog.
#[tokio::test]
async fn duckdb_and_pyarrow_read_types_and_changelogs() {
    let Some(python) = python_or_skip() else { return };
    let root = tempfile::tempdir().unwrap();
    let tables = tables(root.path()).await;
    let topic = TopicPartition::new("typed", 0);
    for (records, schema) in typed::objects() {
        let source = entry("typed", "avro", &[("encoding", "raw"), ("schema", schema)]);
        store_as(&tables, topic.clone(), &source, vec![records]).await;
    }
    let changelog = entry("shop.public.orders", "debezium", &[]);
    let topic = TopicPartition::new("shop.public.orders", 0);
    store_as(&tables, topic, &changelog, vec![typed::changes()]).await;
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = Command::new(python)
        .arg(here.join("tests/lake_readers/formats.py"))
        .arg(here.join("../docs/formats.md"))
        .current_dir(root.path())
        .output()
        .unwrap();
    assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    insta::assert_snapshot!("types_and_changelogs", String::from_utf8(read.stdout).unwrap());
}

/// Merged files have the very columns of the objects that they were made of.
#[tokio::test]
async fn every_type_survives_a_merge() {
    let root = tempfile::tempdir().unwrap();
    let tables = tables(root.path()).await;
    let topic = TopicPartition::new("typed", 0);
    let [first, second] = typed::objects();
    // The newest object of a chain is never merged.
    let mut third = second.clone();
    third.0[0].offset += 1;
    for (records, schema) in [first, second, third] {
        let source = entry("typed", "avro", &[("encoding", "raw"), ("schema", schema)]);
        store_as(&tables, topic.clone(), &source, vec![records]).await;
    }
    let summary = compaction::compact(root.path(), "typed", 2).await;
    assert_eq!(summary.read_files, 2, "{summary:?}");
    let (mut objects, merged) = (
        rows_below(&root.path().join("lake/typed")),
        rows_below(&root.path().join("lake/_compacted")),
    );
    objects.pop();
    assert_eq!(objects, merged);
}

/// All rows below a folder as text, with the columns' names and types, in the order of the offsets.
fn rows_below(folder: &Path) -> Vec<String> {
    let mut rows = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|extension| extension == "parquet") {
            let file = std::fs::File::open(path).unwrap();
            let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
            for batch in reader.map(Result::unwrap) {
                rows.extend((0..batch.num_rows()).map(|at| text(&batch, at)));
            }
        }
    }
    rows.sort();
    rows
}

/// The columns of a row that hold something, as text; its offset comes first.
fn text(batch: &RecordBatch, at: usize) -> String {
    let mut columns: Vec<_> = batch
        .schema()
        .fields()
        .iter()
        .zip(batch.columns())
        .map(|(field, column)| format!("{field:?} {:?}", column.slice(at, 1)))
        .collect();
    columns.retain(|column| !column.contains("\n  null,\n]"));
    columns.join("; ")
}

/// The folders hold what the documentation says, and nothing stays staged.
#[tokio::test]
async fn the_layout_is_the_documented_one() {
    let root = tempfile::tempdir().unwrap();
    write_lake(root.path()).await;
    let mut found = Vec::new();
    let mut folders = vec![root.path().join("lake")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let path = path.strip_prefix(root.path().join("lake")).unwrap();
                found.push(path.to_str().unwrap().to_owned());
            }
        }
    }
    found.sort();
    let object = |name: &str, from: u64| {
        format!("orders/partition={}/{name}+{from:020}.parquet", &name[name.len() - 1..])
    };
    let expected = [
        "orders/_schema/1.json".to_owned(),
        "orders/_schema/2.json".to_owned(),
        "orders/_schema/3.json".to_owned(),
        "orders/_schema/4.json".to_owned(),
        "orders/_stowage.json".to_owned(),
        object("orders+0", 0),
        object("orders+0", 5),
        object("orders+0", 6),
        object("orders+0", 7),
        object("bytes+1", 0),
    ];
    assert_eq!(found, expected);
}

/// A sink that cannot be written is refused at start, in one sentence that names it.
#[tokio::test]
async fn a_folder_that_cannot_be_written_is_refused_at_start() {
    let root = tempfile::tempdir().unwrap();
    std::fs::write(root.path().join("file"), "").unwrap();
    let options = SinkOptions {
        url: Some(Url::from_directory_path(root.path().join("file/lake")).unwrap()),
        store_options: [].into(),
        compression: Compression::Zstd,
        bigquery: None,
        owner: Owner { group: "g".into(), cluster_id: "c".into() },
    };
    let error = Tables::start(options, ChaCha8Rng::seed_from_u64(1)).await.unwrap_err();
    let text = common::chain::Chain(&error).to_string();
    assert!(
        text.starts_with("the sink `file://") && text.ends_with("Not a directory (os error 20)"),
        "{text}"
    );
}
