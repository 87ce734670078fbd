//! The whole system on real Kafka with an emulator of BigQuery that no one here wrote (`scripts/bigquery.sh`): every record
//! is in its table once, when all is well and when consumers are killed.
//!
//! What the emulator cannot do is left to the double: records within records (its connections end on them), columns that
//! are added later (appends never see them, so the table is made beforehand with all that records need), faults.
//! `scripts/bigquery/known.txt` lists where it differs from the service, `scripts/bigquery/emulator.py` what was mended in it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::disallowed_methods, reason = "where the emulator is stands in the environment")]

#[path = "../kafka_system/crew.rs"]
#[allow(dead_code, reason = "a part of it is used here")]
mod crew;
#[path = "../kafka_system/flow.rs"]
#[allow(dead_code, reason = "a part of it is used here")]
mod flow;
#[path = "../stage/mod.rs"]
mod stage;

use std::env;
use std::fs;

use consumer::sink::bigquery::frame_columns::new_columns;
use crew::{CAPACITY, Crew};
use e2e::harness::bigquery::LocalBigQuery;
use e2e::load::produce::LoadPlan;
use flow::Flow;
use rustix::process::Signal;
use serde_json::{Value, json};
use stage::{Stage, steady};

const PARTITIONS: u32 = 4;
/// Enough for two consumers at least.
const RATE: u64 = CAPACITY * 5 / 4;
const KILLS: u32 = 3;
/// Without records within records, which the emulator cannot store; the last ones have no value for some columns.
const LINES: &str = r#"{"id": 9007199254740993, "name": "Zoë 🦀", "total": -12.5, "paid": true, "tags": ["søndag", "b2b"], "sizes": [1, 2]}
{"id": -1, "name": "O'Brien \"Bob\"\t小林", "total": 1e100, "paid": false, "tags": [], "note": "x"}
{"id": 0, "name": "", "total": 0.1, "coupon": null}
{"id": 7}
"#;

/// A table with a column for each of their fields.
fn columns() -> Value {
    let column = |name: &str, kind: &str| json!({"name": name, "type": kind});
    let list = |name: &str, kind: &str| json!({"name": name, "type": kind, "mode": "REPEATED"});
    let ours = new_columns(false).into_iter().map(|field| serde_json::to_value(field).unwrap());
    let theirs = [
        column("id", "INTEGER"),
        column("name", "STRING"),
        column("total", "FLOAT"),
        column("paid", "BOOLEAN"),
        list("tags", "STRING"),
        list("sizes", "INTEGER"),
        column("note", "STRING"),
    ];
    ours.chain(theirs).collect()
}

struct Emulated {
    crew: Crew,
    bigquery: LocalBigQuery,
}

impl Emulated {
    /// `None` without Kafka or the emulator: the test skips itself and says so; in CI that is a failure.
    fn start(test: &str) -> Option<Self> {
        let address = |kind: &str| env::var(format!("STOWAGE_TEST_BIGQUERY_{kind}"));
        let (Ok(rest), Ok(grpc)) = (address("REST"), address("GRPC")) else {
            let is_ci = env::var("CI").is_ok_and(|value| value == "true");
            assert!(!is_ci, "STOWAGE_TEST_BIGQUERY_REST is not set: {test} cannot be skipped");
            eprintln!("SKIPPED: {test}: STOWAGE_TEST_BIGQUERY_REST names no emulator");
            return None;
        };
        let stage = Stage::set(test)?;
        let dataset = stage.prefix().replace('-', "_");
        let bigquery = LocalBigQuery::at((&rest, &grpc), &dataset).unwrap();
        bigquery.make_table(&format!("orders-{}", stage.prefix()), &columns()).unwrap();
        let options = bigquery.consumer_options();
        let options = options.map(|(name, value)| format!("--consumer-option={name}={value}"));
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        let crew = Crew::start_reading(stage, PARTITIONS, &options, &["--sink", "bigquery"]);
        Some(Self { crew, bigquery })
    }

    fn flow(&self) -> Flow {
        let lines = self.crew.stage.folder().join("lines");
        fs::write(&lines, LINES).unwrap();
        let plan = steady(&self.crew.topic, PARTITIONS, RATE, 30);
        Flow::of(&self.crew.stage, LoadPlan { input: Some(lines), ..plan })
    }

    /// Verifies, and ends the system: every record was made a row once, and holds what its record held.
    fn end_soundly(mut self, produced: u64) {
        let tables = self.bigquery.tables().unwrap();
        let report = self.crew.stage.verify_in(&tables, &self.crew.topic);
        assert!(report.is_sound(), "{report:#?}");
        assert_eq!((report.counts.stored, report.counts.unparsed), (produced, 0));
        self.crew.system.stop().unwrap();
    }
}

/// While consumers are added for the load, and partitions move to them.
#[test]
fn the_emulator_holds_every_record_once() {
    let Some(emulated) = Emulated::start("emulator-growth") else { return };
    let flow = emulated.flow();
    emulated.crew.wait_for_serving("two consumers share the load", |count| count >= 2);
    emulated.crew.wait_for_progress();
    let totals = emulated.crew.status().totals;
    assert!(totals.moves > 0 && totals.consumers_crashed == 0, "{totals:?}");
    emulated.end_soundly(flow.stop().records);
}

/// Whoever takes over ends the streams of those who were killed, and asks the table by SQL where their rows end.
#[test]
fn the_emulator_holds_every_record_once_after_consumers_were_killed() {
    let Some(emulated) = Emulated::start("emulator-kill") else { return };
    let flow = emulated.flow();
    emulated.crew.wait_for_serving("two consumers share the load", |count| count >= 2);
    for _ in 0..KILLS {
        emulated.crew.wait_for_progress();
        let victim = emulated.crew.victim();
        victim.signal(Signal::KILL);
        emulated.crew.wait_for_successor(&victim, PARTITIONS);
    }
    emulated.crew.wait_for_progress();
    emulated.end_soundly(flow.stop().records);
}
