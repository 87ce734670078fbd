//! At least once, by shared connections and by insertAll: nothing is missing, whoever is killed and whatever answer is
//! lost, and rows are there twice only as the mode says.

use e2e::verify::report::TopicReport;
use serde_json::json;

use crate::crew::CAPACITY;
use crate::warehouse::{Warehouse, fault};

const PARTITIONS: u32 = 6;
/// Enough for two consumers at least.
const RATE: u64 = CAPACITY * 5 / 4;
const KILLS: u32 = 3;
/// Longer than a consumer that is killed had stored without having committed it.
const SECONDS: u64 = 15;

/// Kills and lost answers in that mode; what verify says at the end.
fn endure(test: &str, delivery: &str, rpc: &str) -> Option<(TopicReport, u64)> {
    let entry = ["--option", &format!("delivery={delivery}")];
    let warehouse = Warehouse::start_reading(test, PARTITIONS, &entry)?;
    let flow = warehouse.flow(RATE);
    warehouse.crew.wait_for_serving("two consumers share the load", |count| count >= 2);
    for _ in 0..KILLS {
        warehouse.kill_one();
    }
    for action in [json!("lose"), json!("reset"), json!({"refuse": {"code": "UNAVAILABLE"}})] {
        warehouse.inflict(&json!([fault(rpc, 2, action)]));
        warehouse.wait_until_taken();
        warehouse.crew.wait_for_progress();
    }
    let produced = flow.stop().records;
    let (report, _) = warehouse.end();
    let counts = report.counts;
    assert_eq!((counts.stored, counts.lost, counts.out_of_order), (produced, 0, 0), "{report:#?}");
    assert_eq!((counts.corrupted, counts.beyond, counts.unparsed), (0, 0, 0), "{report:#?}");
    Some((report, produced))
}

/// By the default stream: what a killed consumer had stored and not committed is stored again, and what was under way
/// when a connection broke.
#[test]
fn on_shared_connections_nothing_is_missing() {
    let Some((report, produced)) = endure("bigquery-shared", "at_least_once", "AppendRows") else {
        return;
    };
    let duplicated = report.counts.duplicated;
    assert!(duplicated > 0, "kills and lost answers doubled nothing of {produced}: are there any?");
    assert!(duplicated < RATE * SECONDS * u64::from(KILLS), "{duplicated} of {produced}");
}

/// By insertAll: the same, and what comes again within a minute is dropped by its insert id.
#[test]
fn by_insert_all_nothing_is_missing_and_nothing_is_twice() {
    let Some((report, _)) = endure("bigquery-insert", "insert_all", "insertAll") else { return };
    assert_eq!(report.counts.duplicated, 0, "{report:#?}");
}
