//! Records gain fields while others keep coming.

use std::fs;

use e2e::harness::patience::wait_until;
use e2e::load::produce::LoadPlan;
use serde_json::json;

use crate::crew::CAPACITY;
use crate::flow::Flow;
use crate::stage::{PATIENCE, steady};
use crate::warehouse::Warehouse;

const PARTITIONS: u32 = 6;
/// How late the write interface learns of new columns: minutes at the service.
const LAG_MS: u64 = 3_000;
/// Both later, and the second one within a record of the first.
const NEW: [&str; 2] = [
    r#"{"sequence": 1, "loyalty": {"points": 5, "since": "2020-01-01"}, "vip": true}"#,
    r#"{"sequence": 2, "loyalty": {"points": 7, "tier": {"name": "gold", "levels": [1, 2]}}}"#,
];

/// New fields become columns without a word from anybody, however late the service learns of them, and meanwhile
/// nothing is lost.
#[test]
fn new_fields_become_columns_while_records_keep_coming() {
    let Some(warehouse) = Warehouse::start("bigquery-widening", PARTITIONS) else { return };
    let flow = warehouse.flow(CAPACITY / 2);
    warehouse.crew.wait_for_progress();
    warehouse.set(&json!({"schema_lag_ms": LAG_MS}));
    let stage = &warehouse.crew.stage;
    let mut flows = vec![flow];
    for (number, line) in NEW.into_iter().enumerate() {
        let path = stage.folder().join(format!("lines-{number}"));
        fs::write(&path, format!("{line}\n")).unwrap();
        let plan = steady(&warehouse.crew.topic, PARTITIONS, CAPACITY / 10, 30);
        flows.push(Flow::of(stage, LoadPlan { input: Some(path), ..plan }));
        let known = || {
            let columns = warehouse.columns();
            if columns.iter().any(|name| name == "loyalty") {
                Ok(())
            } else {
                Err(columns.join(" "))
            }
        };
        wait_until("the table has the column", PATIENCE, known).unwrap();
        warehouse.crew.wait_for_progress();
    }
    warehouse.kill_one();
    let produced = flows.into_iter().map(|flow| flow.stop().records).sum::<u64>();
    let (report, streams) = warehouse.end_soundly();
    assert_eq!((report.counts.stored, report.counts.unparsed), (produced, 0));
    assert_eq!(streams.rows, produced);
}
