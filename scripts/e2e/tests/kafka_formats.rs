//! Records that name their schemas in a real schema registry, read by one consumer, led by hand, on real Kafka.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod stage;

use std::time::Duration;

use arrow::array::{Array as _, AsArray as _};
use arrow::datatypes::{Decimal128Type, Int64Type};
use common::identity::ConsumerId;
use common::messages::Message;
use common::messages::request::StartConsuming;
use e2e::harness::http::Http;
use e2e::harness::patience::wait_until;
use e2e::harness::process::{Process, ending};
use e2e::harness::registry::LocalRegistry;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use rustix::process::Signal;
use serde_json::{Value, json};
use stage::{PATIENCE, Stage};

const RETRIES: &str = "stowage_consumer_decode_retries_total";
const FIRST: &str =
    r#"{"type": "record", "name": "Order", "fields": [{"name": "id", "type": "int"}]}"#;
const SECOND: &str = r#"{"type": "record", "name": "Order", "fields": [{"name": "id", "type": "long"},
    {"name": "price", "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}}]}"#;

/// The id under which the registry has the schema from now on.
fn register(registry: &LocalRegistry, schema: &str) -> u32 {
    let http = Http::new(Duration::from_secs(10)).unwrap();
    let url = format!("{}/subjects/orders-value/versions", registry.url());
    let page = http.post(&url, &json!({"schema": schema})).unwrap();
    let answer: Value = serde_json::from_str(&page.text).unwrap();
    u32::try_from(answer["id"].as_u64().unwrap_or_else(|| panic!("{page:?}"))).unwrap()
}

fn framed(id: u32, data: &[u8]) -> Vec<u8> {
    [&[0], &id.to_be_bytes()[..], data].concat()
}

fn consumer(stage: &Stage, registry: &LocalRegistry) -> Process {
    let lake = stage.lake_url();
    let arguments = ["--consumer", "1", "--by-hand", "--sink-url", &lake, "--format", "avro"];
    let named = ["--schema-registry-url", registry.url(), "--rotation-secs", "0.5"];
    stage.start("consumer", stage.command("consumer", &[&arguments[..], &named[..]].concat()))
}

/// What the lake holds of the two columns, in the order of the offsets.
fn rows(stage: &Stage) -> Vec<(i64, Option<i128>)> {
    let lake = stage.lake();
    let mut paths = stage.objects();
    paths.sort();
    let mut rows = Vec::new();
    for path in paths {
        let object = lake.read(&path).unwrap();
        let reader = ParquetRecordBatchReaderBuilder::try_new(object).unwrap().build().unwrap();
        for batch in reader.map(Result::unwrap) {
            let Some(ids) = batch.column_by_name("id") else { continue };
            let ids = ids.as_primitive::<Int64Type>();
            let prices = batch.column_by_name("price");
            let prices = prices.map(|prices| prices.as_primitive::<Decimal128Type>().clone());
            for at in 0..batch.num_rows() {
                let price = prices.as_ref().filter(|prices| prices.is_valid(at));
                rows.push((ids.value(at), price.map(|prices| prices.value(at))));
            }
        }
    }
    rows
}

fn wait_for_rows(stage: &Stage, count: usize) -> Vec<(i64, Option<i128>)> {
    let enough = || match rows(stage) {
        rows if rows.len() == count => Ok(rows),
        rows => Err(format!("{} rows", rows.len())),
    };
    wait_until(&format!("{count} rows are stored"), PATIENCE, enough).unwrap()
}

/// While the registry stands still, records of a schema that is not known wait; nothing is skipped and nothing is a dead
/// letter. Those of both schemas are in one table.
#[test]
fn records_wait_for_their_schema_and_are_stored_once() {
    let Some(stage) = Stage::set("formats") else { return };
    let run = tempfile::tempdir().unwrap();
    let registry = LocalRegistry::start(run.path()).unwrap();
    let topic = stage.topic("orders");
    stage.create(&topic, 1);
    for (kind, partitions) in [("controller", 2), ("events", 1), ("dead-letter", 1)] {
        stage.create(&stage.topic(kind), partitions);
    }
    let (first, second) = (register(&registry, FIRST), register(&registry, SECOND));
    assert_ne!(first, second);
    let send = |value: &[u8]| stage.send(&topic, 0, &[value]);
    send(&framed(first, &[2]));
    let mut consumer = consumer(&stage, &registry);
    let start = StartConsuming {
        topic: topic.clone(),
        partitions: Vec::new(),
        consumer: Some(ConsumerId(1)),
        extra: Default::default(),
    };
    stage.tell(1, &Message::StartConsuming(start));
    wait_for_rows(&stage, 1);
    registry.signal(Signal::STOP).unwrap();
    send(&framed(first, &[4]));
    send(&framed(second, &[6, 4, 4, 0xe2]));
    let log = stage.folder().join("consumer.log");
    let (address, pages) = (consumer.served_address().unwrap(), Http::new(PATIENCE).unwrap());
    let counts = |metrics: &str| {
        let mut lines = metrics.lines();
        lines.any(|line| line.starts_with(RETRIES) && line.contains(r#"needs="schema_registry""#))
    };
    let waits = || {
        let said = std::fs::read_to_string(&log).unwrap();
        let says_so = said.contains("decoding is tried again") && said.contains("did not answer");
        let metrics = pages.get(&format!("http://{address}/metrics")).unwrap().text;
        if says_so && counts(&metrics) { Ok(()) } else { Err("it did not say so") }
    };
    wait_until("the consumer waits for the registry", PATIENCE, waits).unwrap();
    assert!(rows(&stage).len() < 3, "nothing is skipped");
    registry.signal(Signal::CONT).unwrap();
    let rows = wait_for_rows(&stage, 3);
    assert_eq!(rows, [(1, None), (2, None), (3, Some(1250))]);
    assert_eq!(ending(consumer.stop(PATIENCE).unwrap()), "status 0");
}
