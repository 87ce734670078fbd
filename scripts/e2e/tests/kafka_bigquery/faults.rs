//! The service loses answers, hangs, refuses, throttles and forgets, while consumers are killed.

use std::time::Duration;

use common::clock::Clock;
use orchestrator::plan::snapshot::Hold;
use orchestrator::status::Status;
use serde_json::json;

use crate::crew::CAPACITY;
use crate::warehouse::{Warehouse, fault};

const PARTITIONS: u32 = 6;
const RATE: u64 = CAPACITY;
const MINUTE: Duration = Duration::from_secs(60);
/// Records, of 300 bytes each: much less than half a minute brings.
const GROWTH_MIN: u64 = 5_000;

/// Whatever the service does to an append, it is stored once.
#[test]
fn appends_whose_answers_are_lost_late_or_refused_are_stored_once() {
    let Some(warehouse) = Warehouse::start("bigquery-appends", PARTITIONS) else { return };
    let flow = warehouse.flow(RATE);
    warehouse.crew.wait_for_progress();
    let refuse = |code: &str| json!({"refuse": {"code": code}});
    let refuse_in_band = |code: &str| json!({"refuse_in_band": {"code": code}});
    for (action, times) in [
        (json!("lose"), 8),
        (json!("reset"), 4),
        (json!("reset_before"), 4),
        (json!({"delay_after": {"ms": 3_000}}), 4),
        (refuse("UNAVAILABLE"), 4),
        (refuse("INTERNAL"), 4),
        (refuse("RESOURCE_EXHAUSTED"), 4),
        (refuse("UNAUTHENTICATED"), 2),
        (refuse_in_band("ABORTED"), 4),
        (json!("hang"), 2),
    ] {
        warehouse.inflict(&json!([fault("AppendRows", times, action)]));
        warehouse.wait_until_taken();
        warehouse.crew.wait_for_progress();
    }
    warehouse.inflict(&json!([
        fault("AppendRows", 2, json!("reset")),
        {"rpc": "AppendRows", "action": {"late_end": {"ms": 2_000}}},
    ]));
    warehouse.wait_until_struck("AppendRows late_end", 2);
    warehouse.lift();
    warehouse.crew.wait_for_progress();
    let produced = flow.stop().records;
    let (report, streams) = warehouse.end_soundly();
    assert_eq!((report.counts.stored, streams.rows), (produced, produced));
}

/// A service that takes less than is produced for a minute is waited for: lag grows, no consumer is added for it, the leader
/// says why, and all is stored once it takes more.
#[test]
fn a_service_that_throttles_for_a_minute_is_waited_for() {
    let Some(warehouse) = Warehouse::start("bigquery-throttle", PARTITIONS) else { return };
    let flow = warehouse.flow(RATE / 2);
    warehouse.crew.wait_for_progress();
    let before = warehouse.crew.status();
    let throttle = json!({"throttle": {"rows_per_second": 50}});
    warehouse.inflict(&json!([{"rpc": "AppendRows", "action": throttle}]));
    let began = Clock.now();
    warehouse.crew.wait_for("it throttled for a minute, and that is why none is added", |status| {
        let throttled = Clock.now().saturating_since(began);
        let growth = lag(status).saturating_sub(lag(&before));
        let is_over = throttled >= MINUTE && growth > GROWTH_MIN;
        let is_held = status.hold == Some(Hold::Sink);
        if is_over && is_held {
            Ok(())
        } else {
            Err(format!("{throttled:?} {growth} {:?}", status.hold))
        }
    });
    assert_eq!(warehouse.crew.status().totals.consumers_created, before.totals.consumers_created);
    warehouse.lift();
    warehouse.crew.wait_for_progress();
    let produced = flow.stop().records;
    let (report, streams) = warehouse.end_soundly();
    assert_eq!((report.counts.stored, streams.rows), (produced, produced));
}

/// Records of all partitions that are not stored, as the leader knows it.
fn lag(status: &Status) -> u64 {
    status.partitions.values().filter_map(|partition| partition.lag).sum()
}

/// While partitions change hands after a death, every call of a take-over fails, loses its answer or is answered by
/// something in between.
#[test]
fn a_take_over_goes_on_whatever_its_calls_are_answered() {
    let Some(warehouse) = Warehouse::start("bigquery-take-over", PARTITIONS) else { return };
    let flow = warehouse.flow(RATE);
    let page = json!({"http": {"status": 503, "body": "html"}});
    let refuse = json!({"refuse": {"code": "UNAVAILABLE"}});
    for (number, action) in [(1, json!("lose")), (2, json!("reset")), (3, refuse)] {
        warehouse.inflict(&json!([
            fault("FinalizeWriteStream", 3, action.clone()),
            fault("CreateWriteStream", 3, action),
            fault("jobs.query", 2, page.clone()),
            fault("tables.get", 1, page.clone()),
        ]));
        warehouse.kill_one();
        warehouse.wait_until_struck("jobs.query http", 2 * number);
        warehouse.lift();
    }
    let produced = flow.stop().records;
    let (report, streams) = warehouse.end_soundly();
    assert_eq!((report.counts.stored, streams.rows), (produced, produced));
}

/// A stream that the service forgets is replaced by another one, which is announced like the first.
#[test]
fn a_stream_that_is_forgotten_is_replaced() {
    let Some(warehouse) = Warehouse::start("bigquery-forget", PARTITIONS) else { return };
    let flow = warehouse.flow(RATE);
    for times in 1..=2 {
        warehouse.crew.wait_for_progress();
        warehouse.inflict(&json!([fault("AppendRows", 1, json!("forget_stream"))]));
        warehouse.wait_until_struck("AppendRows forget_stream", times);
        warehouse.crew.wait_until_owned(PARTITIONS);
    }
    warehouse.crew.wait_for_progress();
    let produced = flow.stop().records;
    let (report, streams) = warehouse.end_soundly();
    assert_eq!((report.counts.stored, streams.rows), (produced, produced));
}
