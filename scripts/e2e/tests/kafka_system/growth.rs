//! The fleet follows the load, and the topic may grow.

use crate::crew::{CAPACITY, Crew};
use crate::flow::Flow;
use crate::stage::Stage;

const PARTITIONS: u32 = 8;

/// Consumers are added while the load is high and removed while it is low, and every record that
/// was written meanwhile is stored once, partitions on the move included.
#[test]
fn the_fleet_grows_and_shrinks_under_load() {
    let Some(stage) = Stage::set("system-growth") else { return };
    let crew = Crew::start(stage, PARTITIONS);
    let high = Flow::start(&crew.stage, &crew.topic, PARTITIONS, CAPACITY * 2);
    crew.wait_for_serving("at least three consumers share the load", |count| count >= 3);
    high.stop();
    let low = Flow::start(&crew.stage, &crew.topic, PARTITIONS, CAPACITY / 5);
    crew.wait_for_serving("one consumer suffices again", |count| count == 1);
    low.stop();
    let totals = crew.status().totals;
    assert!(totals.moves >= u64::from(PARTITIONS) / 2, "{totals:?}");
    assert!(totals.consumers_removed >= 2, "{totals:?}");
    assert_eq!(totals.consumers_crashed, 0);
    crew.end_soundly();
}

/// Partitions that a topic gains are read from their beginning, without a word from anybody.
#[test]
fn a_topic_that_gains_partitions_is_read_whole() {
    let Some(stage) = Stage::set("system-partitions") else { return };
    let crew = Crew::start(stage, 2);
    let flow = Flow::start(&crew.stage, &crew.topic, 2, CAPACITY / 2);
    crew.wait_for_progress();
    crew.stage.create(&crew.topic, 5);
    // Records stand there before anybody knows of the partitions.
    let more = Flow::start(&crew.stage, &crew.topic, 5, CAPACITY / 2);
    crew.wait_until_owned(5);
    crew.wait_for("rows of the last partition are stored", |status| {
        let last = status.partitions.iter().find(|(name, _)| name.partition() == 4);
        match last {
            Some((_, partition)) if partition.rows_stored > 0 => Ok(()),
            Some(_) | None => Err(format!("{last:?}")),
        }
    });
    let produced = flow.stop().records + more.stop().records;
    let report = crew.end_soundly();
    assert_eq!(report.counts.stored, produced);
}
