//! Consumers end in the middle of their work, or stand still until others have taken over.

use rustix::process::Signal;
use serde_json::json;

use crate::crew::CAPACITY;
use crate::warehouse::{Warehouse, fault};

const PARTITIONS: u32 = 6;
/// Enough for two consumers at least.
const RATE: u64 = CAPACITY * 5 / 4;
const KILLS: u32 = 6;
/// Longer than lease and take-over take on a busy machine.
const LATE_MS: u64 = 30_000;

/// A consumer that is killed again and again while it appends is succeeded by one that neither leaves out nor repeats
/// what it was at.
#[test]
fn consumers_that_are_killed_again_and_again_lose_and_double_nothing() {
    let Some(warehouse) = Warehouse::start("bigquery-kill", PARTITIONS) else { return };
    let flow = warehouse.flow(RATE);
    warehouse.crew.wait_for_serving("two consumers share the load", |count| count >= 2);
    for _ in 0..KILLS {
        warehouse.kill_one();
    }
    let produced = flow.stop().records;
    let (report, streams) = warehouse.end_soundly();
    assert_eq!((report.counts.stored, streams.rows), (produced, produced));
}

/// An append that is on its way while its sender stands still, and arrives when another owner has the partition,
/// stores nothing; nor does the sender when it goes on.
#[test]
fn a_consumer_that_wakes_up_after_others_took_over_stores_nothing() {
    let Some(warehouse) = Warehouse::start("bigquery-zombie", PARTITIONS) else { return };
    let flow = warehouse.flow(RATE);
    warehouse.crew.wait_for_serving("two consumers share the load", |count| count >= 2);
    warehouse.crew.wait_for_progress();
    let zombie = warehouse.crew.victim();
    let mut late = fault("AppendRows", 1, json!({"delay": {"ms": LATE_MS}}));
    late["stream"] = warehouse.stream_of(&zombie).into();
    warehouse.inflict(&json!([late]));
    warehouse.wait_until_taken();
    zombie.signal(Signal::STOP);
    warehouse.crew.wait_for_successor(&zombie, PARTITIONS);
    // It would break its connection off as soon as it goes on, and the append with it.
    warehouse.wait_until("the late append was refused", |history| {
        let totals = history.totals();
        if totals.refused_as_finalized > 0 { Ok(()) } else { Err(format!("{totals:?}")) }
    });
    zombie.signal(Signal::CONT);
    warehouse.crew.wait_for_progress();
    let produced = flow.stop().records;
    let (report, streams) = warehouse.end_soundly();
    assert_eq!((report.counts.stored, streams.rows), (produced, produced));
}
