//! What the fleet tells beside starts and ends: consumers that cannot run, pods that do not go, orders.

use common::identity::ConsumerId;
use common::messages::Extra;
use common::messages::request::{Pause, Scaling};
use orchestrator::fleet::FleetEvent;
use orchestrator::plan::snapshot::Hold;
use orchestrator::status::ConsumerStanding;

use crate::stage::{Stage, rates};

const TWO: ConsumerId = ConsumerId(2);

fn waiting(consumer: ConsumerId) -> FleetEvent {
    FleetEvent::Waiting { consumer, reason: "no node takes the pod".into() }
}

fn standing(stage: &Stage, consumer: ConsumerId) -> Option<ConsumerStanding> {
    let status = stage.status();
    let found = status.consumers.iter().find(|found| found.consumer == consumer);
    found.map(|found| found.standing)
}

fn second_by_second(stage: &mut Stage, seconds: u64, rate: u64) {
    for _ in 0..seconds {
        stage.measure(&rates(4, rate));
        stage.pass(1_000);
    }
}

/// A consumer that finds no place holds back nothing: nobody is created or removed because of it, what
/// others hold they go on to read, and when it comes at last it takes its part.
#[test]
fn a_consumer_that_finds_no_place_is_waited_for_and_does_no_harm() {
    let mut stage = Stage::settled(4, 100);
    stage.has_no_place = true;
    second_by_second(&mut stage, 5, 300);
    stage.see(waiting(TWO));
    second_by_second(&mut stage, 50, 300);
    assert_eq!(standing(&stage, TWO), Some(ConsumerStanding::Starting));
    second_by_second(&mut stage, 15, 300);
    assert_eq!(standing(&stage, TWO), Some(ConsumerStanding::Awaited));
    second_by_second(&mut stage, 600, 300);
    let status = stage.status();
    assert_eq!((stage.owners(), status.hold), (vec![1; 4], Some(Hold::Awaited)));
    assert_eq!((status.totals.consumers_created, status.totals.consumers_removed), (2, 0));
    stage.has_no_place = false;
    stage.give_place(TWO);
    second_by_second(&mut stage, 10, 300);
    assert_eq!(standing(&stage, TWO), Some(ConsumerStanding::Serving));
    assert!(stage.owners().contains(&2), "{:?}", stage.owners());
}

/// What was planned for it and has no owner goes elsewhere after a minute.
#[test]
fn partitions_do_not_wait_for_ever_for_who_finds_no_place() {
    let mut stage = Stage::settled(4, 300);
    let lost = stage.owners().iter().filter(|owner| **owner == 2).count();
    assert!(lost > 0);
    stage.has_no_place = true;
    stage.crash(TWO);
    stage.see(waiting(TWO));
    second_by_second(&mut stage, 55, 300);
    assert_eq!(stage.owners().iter().filter(|owner| **owner == 0).count(), lost);
    second_by_second(&mut stage, 10, 300);
    assert_eq!(stage.owners(), vec![1; 4], "there is nobody else");
    assert_eq!(stage.status().totals.consumers_removed, 0);
}

/// When nobody needs it any more, one that never came is not waited for.
#[test]
fn who_never_came_is_removed_when_the_load_is_gone() {
    let mut stage = Stage::settled(4, 100);
    stage.has_no_place = true;
    second_by_second(&mut stage, 5, 300);
    stage.see(waiting(TWO));
    second_by_second(&mut stage, 70, 300);
    assert_eq!(standing(&stage, TWO), Some(ConsumerStanding::Awaited));
    second_by_second(&mut stage, 20, 100);
    assert_eq!(standing(&stage, TWO), None, "{:#?}", stage.status().decisions);
}

/// A spare one reads nothing until the load jumps; then it is used at once, and another one is made.
#[test]
fn a_spare_consumer_is_ready_for_a_jump() {
    let mut stage = Stage::with_spares(1);
    second_by_second(&mut stage, 60, 100);
    assert_eq!((stage.owners(), stage.status().consumers.len()), (vec![1; 4], 2));
    stage.has_no_place = true;
    second_by_second(&mut stage, 5, 300);
    assert!(stage.owners().contains(&2), "{:?}", stage.owners());
    assert_eq!(stage.status().consumers.len(), 3, "another spare one is on its way");
    second_by_second(&mut stage, 60, 100);
    assert_eq!(stage.status().consumers.len(), 2, "{:#?}", stage.status().decisions);
}

/// Whatever a changed deployment says, partitions are read all the time, one consumer is replaced after
/// the other, and in the end all run with it.
#[test]
fn a_changed_deployment_is_rolled_out() {
    let mut stage = Stage::settled(4, 300);
    stage.deploy(r#"{"options": {"batch-bytes": "1000"}}"#);
    let mut consumers = vec![];
    let mut before = stage.owners();
    for _ in 0..60 {
        second_by_second(&mut stage, 1, 300);
        let owners = stage.owners();
        let mut pairs = before.iter().zip(&owners);
        assert!(!pairs.any(|pair| pair == (&0, &0)), "{before:?}, {owners:?}");
        before = owners;
        consumers.push(stage.status().consumers.len());
    }
    let status = stage.status();
    assert_eq!((status.consumers.len(), status.totals.consumers_removed), (2, 2), "{consumers:?}");
    assert!(consumers.iter().all(|count| *count <= 3), "{consumers:?}");
    assert!(stage.deployments().iter().all(|found| found.options.contains_key("batch-bytes")));
}

/// A new consumer that finds no place stops the roll-out: the old ones read on.
#[test]
fn a_roll_out_stops_at_a_new_consumer_that_does_not_come() {
    let mut stage = Stage::settled(4, 300);
    let before = stage.owners();
    stage.has_no_place = true;
    stage.deploy(r#"{"image": "no/such"}"#);
    second_by_second(&mut stage, 5, 300);
    let new = stage.status().consumers.iter().map(|found| found.consumer).max().unwrap();
    stage.see(waiting(new));
    second_by_second(&mut stage, 300, 300);
    assert_eq!(stage.owners(), before);
    assert_eq!(stage.status().totals.consumers_created, 3);
}

/// Who never came goes once nobody needs it any more: the template is again what it was.
#[test]
fn a_roll_out_that_is_taken_back_leaves_nobody_behind() {
    let mut stage = Stage::settled(4, 300);
    let before = stage.owners();
    let outdated = |numbers: &[u32]| FleetEvent::Outdated {
        consumers: numbers.iter().copied().map(ConsumerId).collect(),
    };
    stage.has_no_place = true;
    stage.see(outdated(&[1, 2]));
    second_by_second(&mut stage, 5, 300);
    let new = stage.status().consumers.iter().map(|found| found.consumer).max().unwrap();
    assert_eq!(new, ConsumerId(3));
    stage.see(waiting(new));
    second_by_second(&mut stage, 62, 300);
    assert_eq!(standing(&stage, new), Some(ConsumerStanding::Awaited));
    stage.has_no_place = false;
    stage.see(outdated(&[3]));
    second_by_second(&mut stage, 5, 300);
    assert_eq!((standing(&stage, new), stage.owners()), (None, before));
}

/// A pod may be removed by force when nothing can live in it, and not before its lease is over.
#[test]
fn a_pod_is_buried_after_its_lease() {
    let mut stage = Stage::settled(4, 300);
    let stuck = || FleetEvent::Stuck { consumer: TWO, pod: "p".into(), reason: "r".into() };
    stage.see(stuck());
    assert_eq!(stage.buried, [""; 0], "somebody lives there, perhaps");
    stage.freeze(TWO);
    second_by_second(&mut stage, 10, 300);
    stage.see(stuck());
    assert_eq!(stage.buried, [""; 0], "its lease is not over");
    second_by_second(&mut stage, 5, 300);
    stage.see(stuck());
    assert_eq!(stage.buried, ["p"]);
}

/// What is asked where the fleet lives stands in the log, once.
#[test]
fn an_order_of_the_fleet_becomes_one_of_the_log() {
    let mut stage = Stage::settled(4, 100);
    let pause = || FleetEvent::Asked(Pause { scaling: Scaling::In, extra: Extra::new() }.into());
    stage.see(pause());
    stage.pass(1_000);
    assert!(stage.status().operations.is_scale_in_paused);
    let written = stage.log_of(0).len();
    stage.see(pause());
    assert_eq!(stage.log_of(0).len(), written, "it is followed already");
}
