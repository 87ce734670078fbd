//! What people order about the group: pauses, drains, pins, plans that wait for approval.

use common::identity::ConsumerId;
use common::messages::request::{
    Approve, Drain, DryRun, Pause, Resume, Scaling, StartConsuming, Unpin,
};
use common::messages::{Extra, Message};
use orchestrator::plan::snapshot::Hold;
use orchestrator::status::ConsumerStanding;

use crate::stage::{Stage, rates};

const ONE: ConsumerId = ConsumerId(1);

fn pause(scaling: Scaling) -> Message {
    Pause { scaling, extra: Extra::new() }.into()
}

fn resume() -> Message {
    Resume { scaling: Scaling::All, extra: Extra::new() }.into()
}

fn dry_run() -> Message {
    DryRun { extra: Extra::new() }.into()
}

fn drain(consumer: ConsumerId, lift: bool) -> Message {
    Drain { consumer, lift, extra: Extra::new() }.into()
}

fn approve(proposal: &str) -> Message {
    Approve { proposal: proposal.into(), extra: Extra::new() }.into()
}

fn pass(stage: &mut Stage, seconds: u32, rates: &[u64]) {
    for _ in 0..seconds {
        stage.measure(rates);
        stage.pass(1_000);
    }
}

fn consumers(stage: &Stage) -> usize {
    stage.status().consumers.len()
}

#[test]
fn while_it_is_paused_the_group_stays_as_it_is_over_restarts() {
    let mut stage = Stage::settled(4, 100);
    stage.request(pause(Scaling::All));
    pass(&mut stage, 20, &rates(4, 300));
    stage.replace_orchestrator();
    pass(&mut stage, 20, &rates(4, 300));
    stage.pass(31_000); // A snapshot is written.
    stage.forget_before_snapshot();
    stage.replace_orchestrator();
    pass(&mut stage, 20, &rates(4, 300));
    let status = stage.status();
    assert_eq!((stage.owners(), status.totals.moves), (vec![1, 1, 1, 1], 0));
    assert!(status.operations.is_paused && status.hold == Some(Hold::Paused));
    stage.request(resume());
    pass(&mut stage, 5, &rates(4, 300));
    assert_eq!((consumers(&stage), stage.status().hold), (2, None));
}

#[test]
fn what_loses_its_owner_gets_one_even_while_it_is_paused() {
    let mut stage = Stage::settled(4, 300);
    stage.request(pause(Scaling::All));
    stage.freeze(ONE);
    pass(&mut stage, 15, &rates(4, 300));
    assert_eq!(stage.owners(), [2, 2, 2, 2]);
    assert_eq!(stage.status().totals.consumers_created, 2, "nobody new");
}

#[test]
fn one_direction_is_paused_by_itself() {
    let mut stage = Stage::settled(4, 300);
    assert_eq!(consumers(&stage), 2);
    stage.request(pause(Scaling::In));
    pass(&mut stage, 30, &rates(4, 100));
    assert_eq!(consumers(&stage), 2, "nobody is closed");
    pass(&mut stage, 5, &rates(4, 500));
    assert_eq!(consumers(&stage), 4, "but created");
    stage.request(pause(Scaling::Out));
    stage.request(Resume { scaling: Scaling::In, extra: Extra::new() }.into());
    pass(&mut stage, 30, &rates(4, 100));
    assert_eq!(consumers(&stage), 1);
    pass(&mut stage, 5, &rates(4, 700));
    assert_eq!(consumers(&stage), 1, "nobody is created");
    stage.request(resume());
    pass(&mut stage, 5, &rates(4, 700));
    assert_eq!(consumers(&stage), 4);
}

#[test]
fn a_drained_consumer_hands_over_everything_and_goes_and_the_order_ends() {
    let mut stage = Stage::settled(4, 300);
    stage.request(drain(ONE, false));
    stage.measure(&rates(4, 300));
    stage.pass(200);
    let standing = stage.status().consumers[0].standing;
    assert_eq!(
        (standing, stage.status().operations.draining.len()),
        (ConsumerStanding::Draining, 1)
    );
    pass(&mut stage, 5, &rates(4, 300));
    assert!(stage.told_to_end.contains(&ONE));
    assert!(!stage.owners().contains(&0));
    assert!(stage.status().operations.draining.is_empty());
    // Neither this leader nor the next one drains whoever gets the number later.
    pass(&mut stage, 5, &rates(4, 700));
    assert!(stage.owners().contains(&1), "{:?}", stage.owners());
    stage.replace_orchestrator();
    pass(&mut stage, 10, &rates(4, 700));
    assert!(stage.owners().contains(&1) && stage.status().operations.draining.is_empty());
}

#[test]
fn a_drain_that_is_lifted_in_time_changes_nothing() {
    let mut stage = Stage::settled(4, 300);
    stage.request(pause(Scaling::All));
    stage.request(drain(ONE, false));
    let before = stage.owners();
    pass(&mut stage, 5, &rates(4, 300));
    assert_eq!(stage.owners(), before, "paused");
    stage.request(drain(ONE, true));
    stage.request(resume());
    pass(&mut stage, 5, &rates(4, 300));
    assert_eq!((stage.owners(), stage.status().totals.moves), (before, 0));
}

#[test]
fn a_pin_holds_until_it_is_lifted() {
    let mut stage = Stage::settled(4, 300);
    let (topic, extra) = ("orders".to_owned(), Extra::new());
    let wanted = ConsumerId(3 - stage.owners()[0]);
    let (partitions, consumer) = (vec![0], Some(wanted));
    let pin = StartConsuming { topic: topic.clone(), partitions, consumer, extra: extra.clone() };
    stage.request(pin.into());
    pass(&mut stage, 5, &rates(4, 300));
    assert_eq!(stage.owners()[0], wanted.0);
    stage.request(Unpin { topic, partitions: vec![0], extra }.into());
    assert!(stage.status().requests.is_empty());
}

#[test]
fn a_plan_is_carried_out_once_it_is_approved() {
    let mut stage = Stage::settled(4, 100);
    stage.request(dry_run());
    pass(&mut stage, 20, &rates(4, 300));
    let proposal = stage.status().proposal.expect("load has tripled");
    assert_eq!((consumers(&stage), stage.owners()), (1, vec![1, 1, 1, 1]));
    assert_eq!(proposal.decision.changes.moves.len(), 2);
    stage.request(approve("ffffffff"));
    pass(&mut stage, 2, &rates(4, 300));
    assert_eq!(consumers(&stage), 1, "another one was approved");
    stage.replace_orchestrator();
    pass(&mut stage, 2, &rates(4, 300));
    assert_eq!(stage.status().proposal.as_ref(), Some(&proposal), "it is kept");
    stage.request(approve(&proposal.name));
    pass(&mut stage, 3, &rates(4, 300));
    assert_eq!(consumers(&stage), 2);
    let decisions = stage.status().decisions;
    assert!(decisions[0].reason.contains(&proposal.name), "{decisions:?}");
    // It goes on to ask.
    pass(&mut stage, 20, &rates(4, 100));
    assert!(stage.status().proposal.is_some() && consumers(&stage) == 2);
    stage.request(resume());
    pass(&mut stage, 20, &rates(4, 100));
    assert!(stage.status().proposal.is_none() && consumers(&stage) == 1);
}

#[test]
fn an_approval_of_what_has_changed_since_does_nothing() {
    let mut stage = Stage::settled(4, 300);
    stage.request(dry_run());
    pass(&mut stage, 15, &rates(4, 100));
    let proposal = stage.status().proposal.expect("one consumer suffices");
    let leaves = proposal.decision.changes.remove[0].consumer;
    stage.freeze(leaves);
    pass(&mut stage, 15, &rates(4, 100));
    let (owners, told) = (stage.owners(), stage.told_to_end.clone());
    assert!(!owners.contains(&0), "what lost its owner got one: {owners:?}");
    stage.request(approve(&proposal.name));
    pass(&mut stage, 3, &rates(4, 100));
    assert_eq!((stage.owners(), &stage.told_to_end), (owners, &told));
}
