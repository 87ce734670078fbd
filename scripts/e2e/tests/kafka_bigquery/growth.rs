//! All is well: a fleet that follows the load.

use crate::crew::CAPACITY;
use crate::warehouse::Warehouse;

const PARTITIONS: u32 = 8;

/// Consumers are added and removed while records come; planned moves end streams cleanly, so that nobody has to ask
/// the table where its rows end.
#[test]
fn the_fleet_grows_and_shrinks_and_every_record_has_one_row() {
    let Some(warehouse) = Warehouse::start("bigquery-growth", PARTITIONS) else { return };
    let high = warehouse.flow(CAPACITY * 2);
    warehouse.crew.wait_for_serving("three consumers share the load", |count| count >= 3);
    let produced = high.stop().records;
    let low = warehouse.flow(CAPACITY / 5);
    warehouse.crew.wait_for_serving("one consumer suffices again", |count| count == 1);
    let produced = produced + low.stop().records;
    let totals = warehouse.crew.status().totals;
    assert!(totals.moves >= u64::from(PARTITIONS) / 2, "{totals:?}");
    assert_eq!(totals.consumers_crashed, 0);
    let (report, streams) = warehouse.end_soundly();
    assert_eq!((report.counts.stored, streams.rows), (produced, produced));
    assert_eq!(streams.refused_as_finalized, 0);
}
