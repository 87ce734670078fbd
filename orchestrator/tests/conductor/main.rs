//! The whole of the orchestrator but its limbs, over a log in memory and consumers that obey.

#![expect(clippy::unwrap_used, reason = "a test")]

mod stage;
mod operations;
mod learning;
mod care;
mod unreachable;
mod fleet;
mod newcomers;
mod farewell;

use common::identity::ConsumerId;
use common::identity::Nonce;
use common::messages::Extra;
use common::messages::request::{StateQuery, StopConsuming};
use orchestrator::status::{ConsumerStanding, Role};

use stage::{Stage, rates};

/// From nothing: the first orchestrator leads at once, creates who is needed, and gives out all.
#[test]
fn a_topic_that_is_configured_is_read() {
    let mut stage = Stage::new();
    stage.service("orders", Some("{}"));
    stage.start();
    stage.measure(&rates(4, 100));
    stage.pass(3_000);
    let status = stage.status();
    assert_eq!(status.role, Role::Leading);
    assert!(status.is_settled, "{status:#?}");
    assert_eq!(stage.owners(), [1, 1, 1, 1]);
}

/// Load above the trigger capacity is spread within 5 s, and moves nothing that need not be.
#[test]
fn a_step_in_load_is_followed() {
    let mut stage = Stage::settled(4, 100);
    stage.measure(&rates(4, 300));
    stage.pass(5_000);
    assert!(stage.status().is_settled);
    let moved = stage.owners().iter().filter(|owner| **owner != 1).count();
    assert_eq!((stage.status().consumers.len(), moved), (2, 2), "{:?}", stage.owners());
}

/// After a while of low load the fleet shrinks, and whoever leaves is told to end first.
#[test]
fn a_fleet_that_is_too_large_shrinks() {
    let mut stage = Stage::settled(4, 300);
    assert_eq!(stage.status().consumers.len(), 2);
    for _ in 0..20 {
        stage.measure(&rates(4, 100));
        stage.pass(1_000);
    }
    let status = stage.status();
    assert!(status.is_settled);
    assert_eq!(status.consumers.len(), 1, "{:#?}", status.decisions);
    assert_eq!(stage.told_to_end.len(), 1);
}

/// A process that dies is started again under its number: its partitions wait for it.
#[test]
fn a_crash_costs_no_move() {
    let mut stage = Stage::settled(4, 300);
    let before = stage.owners();
    stage.crash(ConsumerId(1));
    stage.pass(3_000);
    assert!(stage.status().is_settled);
    assert_eq!(stage.owners(), before);
    assert_eq!(stage.status().totals.consumers_crashed, 1);
}

/// Whose lease lapses loses what it held, although its process runs.
#[test]
fn a_frozen_consumer_is_replaced_within_15_seconds() {
    let mut stage = Stage::settled(4, 300);
    stage.freeze(ConsumerId(1));
    for _ in 0..15 {
        stage.measure(&rates(4, 300));
        stage.pass(1_000);
    }
    assert!(!stage.owners().contains(&1), "{:?}", stage.owners());
}

/// When Kafka was away all leases lapse at once: consumers come back, and nobody else is created.
#[test]
fn after_an_outage_everything_goes_back_to_where_it_was() {
    let mut stage = Stage::settled(6, 300);
    let before = stage.owners();
    let consumers: Vec<_> = stage.status().consumers.iter().map(|one| one.consumer).collect();
    assert_eq!(consumers.len(), 3);
    consumers.iter().for_each(|consumer| stage.freeze(*consumer));
    for _ in 0..18 {
        stage.measure(&rates(6, 300));
        stage.pass(1_000);
    }
    assert!(stage.status().partitions.values().all(|found| found.owner.is_none()));
    consumers.iter().for_each(|consumer| stage.come_back(*consumer));
    stage.measure(&rates(6, 300));
    stage.pass(5_000);
    assert_eq!(stage.owners(), before);
    assert_eq!(stage.status().totals.consumers_created, 3);
}

/// The next orchestrator finds who owns what, and moves nothing.
#[test]
fn a_new_leader_takes_over_as_it_is() {
    let mut stage = Stage::settled(6, 300);
    let before = stage.owners();
    stage.replace_orchestrator();
    stage.measure(&rates(6, 300));
    stage.pass(5_000);
    let status = stage.status();
    assert!(status.is_settled && status.role == Role::Leading, "{status:#?}");
    assert_eq!(stage.owners(), before);
    assert_eq!(status.totals.moves, 0);
}

/// The same from a snapshot, when retention has removed all that was before it.
#[test]
fn a_snapshot_and_what_follows_it_are_enough() {
    let mut stage = Stage::settled(6, 300);
    stage.pass(31_000);
    stage.measure(&rates(6, 300));
    stage.crash(ConsumerId(2));
    stage.pass(3_000);
    let before = stage.owners();
    stage.forget_before_snapshot();
    stage.replace_orchestrator();
    stage.measure(&rates(6, 300));
    stage.pass(5_000);
    assert!(stage.status().is_settled);
    assert_eq!(stage.owners(), before);
    assert_eq!(stage.status().totals.moves, 0);
}

/// Whoever reads the record of a later leader stops leading before it does anything else.
#[test]
fn a_deposed_leader_says_nothing_more() {
    let mut stage = Stage::settled(4, 100);
    stage.depose();
    let written = stage.written;
    stage.measure(&rates(4, 600));
    stage.pass(5_000);
    assert_eq!(stage.status().role, Role::Standby);
    assert_eq!(stage.written, written);
}

/// A leader that does not read itself back may have been deposed, and tells consumers nothing until it does.
#[test]
fn a_leader_that_may_be_deposed_commands_nobody() {
    let mut stage = Stage::settled(4, 300);
    let before = stage.owners();
    stage.hold_requests();
    stage.pass(12_000);
    let told = stage.commands(ConsumerId(1)) + stage.commands(ConsumerId(2));
    stage.crash(ConsumerId(2));
    stage.pass(5_000);
    assert_eq!(stage.commands(ConsumerId(1)) + stage.commands(ConsumerId(2)), told);
    stage.pass_on_requests();
    stage.pass(5_000);
    assert_eq!(stage.owners(), before);
}

/// A service topic that is empty, as after a mistake, takes nothing away; a tombstone does.
#[test]
fn only_a_tombstone_stops_a_topic() {
    let mut stage = Stage::settled(4, 100);
    stage.lose_service_topic();
    stage.replace_orchestrator();
    stage.measure(&rates(4, 100));
    stage.pass(20_000);
    assert_eq!(stage.owners(), [1, 1, 1, 1]);
    stage.service("orders", None);
    stage.pass(3_000);
    assert_eq!(stage.held(), 0);
}

/// A request to stop holds until it is lifted, also under the next leader.
#[test]
fn requests_outlive_a_leader() {
    let mut stage = Stage::settled(4, 100);
    let (topic, partitions) = ("orders".to_owned(), vec![2]);
    stage.request(StopConsuming { topic, partitions, extra: Extra::new() }.into());
    stage.pass(3_000);
    assert_eq!(stage.owners(), [1, 1, 0, 1]);
    stage.replace_orchestrator();
    stage.measure(&rates(4, 100));
    stage.pass(5_000);
    assert_eq!(stage.owners(), [1, 1, 0, 1]);
}

/// A query is answered with a snapshot that quotes it.
#[test]
fn a_query_is_answered() {
    let mut stage = Stage::settled(4, 100);
    stage.request(StateQuery { nonce: Some(Nonce(77)), extra: Extra::new() }.into());
    stage.pass(1_000);
    let snapshot = stage.last_snapshot().unwrap();
    assert_eq!((snapshot.query, snapshot.partitions.len()), (Some(Nonce(77)), 4));
}

/// A consumer that ends again and again is not counted on while others are there.
#[test]
fn a_crash_loop_loses_its_partitions_to_others() {
    let mut stage = Stage::settled(4, 300);
    stage.measure(&rates(4, 300));
    stage.pass(10_000);
    for failures in 1..=3 {
        stage.fail(ConsumerId(1), failures);
        stage.measure(&rates(4, 300));
        stage.pass(1_000);
    }
    let status = stage.status();
    let one = status.consumers.iter().find(|found| found.consumer == ConsumerId(1));
    assert!(one.is_none_or(|one| one.standing == ConsumerStanding::Draining), "{one:#?}");
    stage.pass(3_000);
    assert!(!stage.owners().contains(&1), "{:?}", stage.owners());
}

/// A consumer that a person leads occupies its number, and gets nothing from any plan.
#[test]
fn a_consumer_led_by_hand_is_left_alone() {
    let mut stage = Stage::new();
    stage.launch_by_hand(ConsumerId(1));
    stage.service("orders", Some("{}"));
    stage.start();
    stage.measure(&rates(4, 100));
    stage.pass(15_000);
    assert_eq!(stage.owners(), [2, 2, 2, 2]);
    let status = stage.status();
    assert_eq!(status.consumers[0].standing, ConsumerStanding::ByHand);
    assert!(!stage.was_commanded(ConsumerId(1)));
}
