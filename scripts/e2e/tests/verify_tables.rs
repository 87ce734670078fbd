//! Rows in BigQuery are compared with their topic as those of a lake are: each deliberate fault is found.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "small/topics.rs"]
mod topics;

use std::collections::BTreeMap;
use std::time::Duration;

use bigquery_double::run::{Double, Options};
use e2e::bigquery::listing::BigQuery;
use e2e::verify::check::{Request, verify};
use e2e::verify::compare::Counts;
use e2e::verify::report::TopicReport;
use e2e::verify::wait::until_stored;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use topics::{DEAD, ID, Owned, TOPIC, Topics, timestamp};

const ROWS: u64 = 40;
const PAGE_ROWS: u32 = 7;
/// The last record of its partition, which was set aside.
const LETTER: u64 = ROWS;
const SOUND: Counts = Counts {
    produced: ROWS + 1,
    stored: ROWS,
    dead_lettered: 1,
    unparsed: 0,
    lost: 0,
    pending: 0,
    duplicated: 0,
    out_of_order: 0,
    corrupted: 0,
    beyond: 0,
    expired: 0,
};

/// A topic with one partition, and its table in a double.
struct Scene {
    topics: Topics,
    rows: Vec<Value>,
    double: Double,
    runtime: Runtime,
}

impl Scene {
    fn new() -> Self {
        let runtime = Runtime::new().unwrap();
        let double = runtime.block_on(Double::start(Options::default())).unwrap();
        let records: Vec<Owned> = (0..=LETTER).map(record).collect();
        let from = [("stowage-topic", TOPIC), ("stowage-partition", "0")];
        let at = ("stowage-offset", LETTER.to_string());
        let from = from.map(|(name, text)| (name, text.to_owned())).into_iter().chain([at]);
        let headers = from.map(|(name, text)| (name.to_owned(), text.into_bytes())).collect();
        let letter = Owned { offset: 0, headers, ..record(LETTER) };
        let partitions = BTreeMap::from([
            ((TOPIC.to_owned(), 0), records),
            ((DEAD.to_owned(), 0), vec![letter]),
        ]);
        let topics = Topics { partitions, log_start: 0 };
        Self { topics, rows: (0..ROWS).map(row).collect(), double, runtime }
    }

    fn post(&self, path: &str, body: &Value) {
        let url = format!("{}/projects/p/{path}", self.double.rest_url());
        let post = async {
            let answer = reqwest::Client::new().post(url).json(body).send().await?;
            answer.error_for_status()?.text().await
        };
        let answer = self.runtime.block_on(post).unwrap();
        assert!(!answer.contains("insertErrors"), "{answer}");
    }

    fn store(&self) {
        self.post("datasets", &json!({"datasetReference": {"projectId": "p", "datasetId": "d"}}));
        let required =
            |name: &str, kind: &str| json!({"name": name, "type": kind, "mode": "REQUIRED"});
        let nullable = |name: &str, kind: &str| json!({"name": name, "type": kind});
        let fields = json!([
            required("kafka_topic", "STRING"), required("kafka_topic_id", "STRING"),
            required("kafka_partition", "INTEGER"), required("kafka_offset", "INTEGER"),
            nullable("kafka_timestamp", "TIMESTAMP"), nullable("kafka_key", "BYTES"),
            nullable("kafka_tombstone", "BOOLEAN"), nullable("kafka_unparsed", "STRING"),
            nullable("n", "INTEGER"),
            {"name": "lines", "type": "RECORD", "mode": "REPEATED", "fields": [nullable("sku", "STRING")]},
        ]);
        let reference = json!({"projectId": "p", "datasetId": "d", "tableId": TOPIC});
        let table = json!({"tableReference": reference, "schema": {"fields": fields}});
        self.post("datasets/d/tables", &table);
        for rows in self.rows.chunks(4_000) {
            let rows: Vec<Value> = rows.iter().map(|row| json!({"json": row})).collect();
            self.post(&format!("datasets/d/tables/{TOPIC}/insertAll"), &json!({"rows": rows}));
        }
    }

    fn tables(&self) -> BigQuery {
        BigQuery::open(&self.double.rest_url(), ("p", "d"), None).unwrap().in_pages_of(PAGE_ROWS)
    }

    fn verify(&mut self) -> TopicReport {
        let tables = self.tables();
        verify(&mut self.topics, &tables, &request()).unwrap().topics.remove(0)
    }
}

fn request() -> Request {
    Request { topics: vec![TOPIC.into()], dead_letter_topic: Some(DEAD.into()) }
}

fn record(offset: u64) -> Owned {
    let value = format!(r#"{{"n": {offset}.0, "lines": [{{"sku": "é{offset}"}}], "none": null}}"#);
    Owned { offset, key: Some(b"k".to_vec()), value: Some(value.into_bytes()), headers: Vec::new() }
}

fn row(offset: u64) -> Value {
    json!({"kafka_topic": TOPIC, "kafka_topic_id": ID, "kafka_partition": 0, "kafka_offset": offset,
        "kafka_timestamp": Timestamp::from_millisecond(timestamp(offset)).unwrap().to_string(),
        "kafka_key": "aw==", "n": offset, "lines": [{"sku": format!("é{offset}")}]})
}

/// The report after `corrupt` changed what is stored.
fn after(corrupt: impl FnOnce(&mut Scene)) -> TopicReport {
    let mut scene = Scene::new();
    corrupt(&mut scene);
    scene.store();
    scene.verify()
}

/// A table of several pages, in whatever order, that holds every record once is sound.
#[test]
fn a_correct_table_is_sound() {
    let report = after(|scene| scene.rows.reverse());
    assert_eq!(report.counts, SOUND, "{report:?}");
    assert!(report.is_sound(), "{report:?}");
}

/// Whatever is missing, doubled, changed or made up is called by its name.
#[test]
fn each_fault_is_found() {
    let found = |corrupt: fn(&mut Vec<Value>)| {
        let report = after(|scene| corrupt(&mut scene.rows));
        assert!(!report.is_sound(), "{report:?}");
        report.counts
    };
    let lost = found(|rows| drop(rows.remove(7)));
    assert_eq!(lost, Counts { stored: ROWS - 1, lost: 1, ..SOUND });
    let last = found(|rows| drop(rows.pop()));
    assert_eq!(last, Counts { stored: ROWS - 1, lost: 1, pending: 1, ..SOUND });
    let doubled = found(|rows| rows.push(rows[7].clone()));
    assert_eq!(doubled, Counts { duplicated: 1, ..SOUND });
    for (column, other) in [
        ("n", json!(8)),
        ("lines", json!([{"sku": "é8"}])),
        ("kafka_key", json!("eA==")),
        ("kafka_timestamp", json!("2023-11-14 22:13:20.008")),
        ("kafka_tombstone", json!(true)),
    ] {
        let report = after(|scene| scene.rows[7][column] = other);
        assert_eq!(report.counts, Counts { corrupted: 1, ..SOUND }, "{column}");
    }
    let beyond = found(|rows| rows.push(row(LETTER + 1)));
    assert_eq!(beyond, Counts { beyond: 1, ..SOUND });
    let elsewhere = found(|rows| rows[7]["kafka_partition"] = json!(1));
    assert_eq!(elsewhere, Counts { stored: ROWS - 1, lost: 1, beyond: 1, ..SOUND });
}

/// Rows of an earlier topic of that name, and of other topics of the table, are left alone; what no record could
/// be is not, nor is a table that is missing.
#[test]
fn rows_of_others_are_left_alone() {
    let report = after(|scene| {
        let mut others = [row(3), row(4)];
        others[0]["kafka_topic_id"] = json!("another");
        others[1]["kafka_topic"] = json!("payments");
        scene.rows.extend(others);
    });
    assert_eq!((report.counts, report.is_sound()), (SOUND, true), "{report:?}");
    let finer = after(|scene| scene.rows[7]["kafka_timestamp"] = json!("2023-11-14 22:13:20.0001"));
    assert_eq!(finer.counts, Counts { stored: ROWS - 1, lost: 1, ..SOUND });
    assert_eq!(finer.chain_problems, ["orders, row 8: its time is finer than a record's"]);
    let missing = Scene::new().verify();
    assert_eq!(missing.chain_problems, ["there is no table orders"]);
}

/// Waiting ends when every record is stored or set aside, and not before.
#[test]
fn waiting_ends_when_every_record_has_a_row_or_a_letter() {
    let mut scene = Scene::new();
    let waited = |scene: &mut Scene, request: &Request| {
        let tables = scene.tables();
        until_stored(&mut scene.topics, &tables, request, Duration::ZERO).unwrap()
    };
    assert!(!waited(&mut scene, &request()), "there is no table");
    let last = scene.rows.pop().unwrap();
    scene.store();
    assert!(!waited(&mut scene, &request()), "a record is missing");
    let rows = json!({"rows": [{"json": last}]});
    scene.post(&format!("datasets/d/tables/{TOPIC}/insertAll"), &rows);
    assert!(waited(&mut scene, &request()));
    let unset = Request { dead_letter_topic: None, ..request() };
    assert!(!waited(&mut scene, &unset), "without letters the last one is missing");
}
