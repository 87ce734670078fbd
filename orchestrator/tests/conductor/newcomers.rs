//! New consumers that never come, whatever the reason: they are not made again and again.

use common::identity::ConsumerId;
use orchestrator::fleet::FleetEvent;
use orchestrator::plan::snapshot::Hold;
use orchestrator::status::ConsumerStanding;

use crate::stage::{Stage, rates};

const ONE: ConsumerId = ConsumerId(1);
const TWO: ConsumerId = ConsumerId(2);

/// Two consumers are needed, one is there, and another one is silent for good.
fn one_of_two() -> Stage {
    let mut stage = Stage::settled(4, 100);
    stage.has_no_place = true;
    second_by_second(&mut stage, 30);
    stage
}

fn second_by_second(stage: &mut Stage, seconds: u64) {
    for _ in 0..seconds {
        stage.measure(&rates(4, 300));
        stage.pass(1_000);
    }
}

/// Several never came, and the last one has just been given up.
fn give_up_some(stage: &mut Stage) {
    second_by_second(stage, 200);
    while stage.status().hold.is_some() {
        second_by_second(stage, 1);
    }
    while stage.status().hold != Some(Hold::NeverCame) {
        second_by_second(stage, 1);
    }
}

fn created(stage: &Stage) -> u64 {
    stage.status().totals.consumers_created
}

fn standing(stage: &Stage, consumer: ConsumerId) -> Option<ConsumerStanding> {
    let status = stage.status();
    status.consumers.iter().find(|found| found.consumer == consumer).map(|found| found.standing)
}

/// Nobody creates and removes for ever: after each that never came the next one is made later. What others hold they go
/// on to read, and when one comes at last it is used at once.
#[test]
fn who_never_comes_is_made_anew_ever_more_seldom() {
    let mut stage = one_of_two();
    assert_eq!(stage.status().hold, Some(Hold::NeverCame));
    assert_eq!((created(&stage), standing(&stage, TWO)), (2, Some(ConsumerStanding::Awaited)));
    let mut made = vec![];
    for seconds in 0..3_600_u64 {
        let before = created(&stage);
        second_by_second(&mut stage, 1);
        made.extend((created(&stage) > before).then_some(seconds));
        assert_eq!(stage.owners(), vec![1; 4]);
    }
    let pauses: Vec<u64> = made.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!((7..=12).contains(&made.len()), "{made:?}");
    assert!(pauses[0] >= 60 && pauses[1] >= 120 && pauses[2] >= 240, "{pauses:?}");
    assert!(pauses.iter().all(|pause| *pause <= 630), "{pauses:?}");
    stage.has_no_place = false;
    let last = stage.status().consumers.iter().map(|found| found.consumer).max().unwrap();
    stage.give_place(last);
    second_by_second(&mut stage, 5);
    assert!(stage.owners().contains(&last.0), "{:?}", stage.owners());
    second_by_second(&mut stage, 10);
    assert_eq!(stage.status().hold, None, "it has come");
}

/// A crash loop is left to the fleet: the consumer stays, counts for nothing, and is not made anew at once.
#[test]
fn who_ends_again_and_again_before_it_came_is_not_made_anew_at_once() {
    let mut stage = Stage::settled(4, 100);
    stage.has_no_place = true;
    second_by_second(&mut stage, 5);
    for failures in 1..=6 {
        let reason = "exit status 1".into();
        stage.see(FleetEvent::Failing { consumer: TWO, failures, reason });
        second_by_second(&mut stage, 6);
    }
    assert_eq!(standing(&stage, TWO), Some(ConsumerStanding::Awaited));
    assert_eq!((created(&stage), stage.owners()), (2, vec![1; 4]));
    stage.has_no_place = false;
    stage.give_place(TWO);
    second_by_second(&mut stage, 15);
    assert_eq!(standing(&stage, TWO), Some(ConsumerStanding::Serving));
    assert!(stage.owners().contains(&2), "{:?}", stage.owners());
}

/// Patience is for those that never came: who worked and is lost is replaced as ever.
#[test]
fn who_worked_and_is_lost_is_replaced_at_once() {
    let mut stage = one_of_two();
    give_up_some(&mut stage);
    let before = created(&stage);
    stage.has_no_place = false;
    stage.freeze(ONE);
    second_by_second(&mut stage, 14);
    let owners = stage.owners();
    assert_eq!(created(&stage), before + 1, "one for one, {owners:?}");
    assert!(!owners.contains(&0) && !owners.contains(&1), "{owners:?}");
}

/// What was made of an image that does not work says nothing of another one.
#[test]
fn another_image_is_tried_at_once() {
    let mut stage = one_of_two();
    give_up_some(&mut stage);
    let before = created(&stage);
    stage.has_no_place = false;
    stage.deploy(r#"{"image": "another"}"#);
    second_by_second(&mut stage, 3);
    assert_eq!(created(&stage), before + 1);
    second_by_second(&mut stage, 60);
    let status = stage.status();
    assert_eq!((status.consumers.len(), status.hold), (2, None), "{status:#?}");
    assert!(stage.deployments().iter().all(|found| found.image.is_some()));
}

/// When nobody needs it any more, one that never came goes, and the next one waits nevertheless.
#[test]
fn load_that_comes_and_goes_is_no_way_around() {
    let mut stage = one_of_two();
    give_up_some(&mut stage);
    for _ in 0..30 {
        stage.measure(&rates(4, 100));
        stage.pass(1_000);
    }
    assert_eq!(stage.status().consumers.len(), 1);
    let before = created(&stage);
    second_by_second(&mut stage, 5);
    assert_eq!((created(&stage), stage.status().hold), (before, Some(Hold::NeverCame)));
}
