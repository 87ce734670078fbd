//! Consumers whose partition of the controller topic can be neither written nor read.

use common::identity::ConsumerId;
use orchestrator::status::ConsumerStanding;

use crate::stage::{Stage, rates};

const ONE: ConsumerId = ConsumerId(1);

fn standing(stage: &Stage, consumer: ConsumerId) -> Option<ConsumerStanding> {
    let status = stage.status();
    let found = status.consumers.iter().find(|one| one.consumer == consumer);
    found.map(|one| one.standing)
}

/// Two partitions each at two consumers; the next leader cannot reach the first of them.
fn out_of_reach() -> Stage {
    let mut stage = Stage::settled(4, 300);
    assert_eq!(stage.owners(), [1, 1, 2, 2]);
    stage.lose_reach(ONE);
    stage.replace_orchestrator();
    assert_eq!(standing(&stage, ONE), Some(ConsumerStanding::Unreachable));
    stage
}

fn pass(stage: &mut Stage, seconds: usize, partitions: u32) {
    for _ in 0..seconds {
        stage.measure(&rates(partitions, 300));
        stage.pass(1_000);
    }
}

/// The dead consumer's partitions have owners again, though another consumer cannot be reached.
#[test]
fn it_does_not_hold_back_what_others_held() {
    let mut stage = out_of_reach();
    stage.crash(ConsumerId(2));
    pass(&mut stage, 10, 4);
    let owners = stage.owners();
    assert!(owners[..2] == [1, 1] && owners[2..].iter().all(|owner| *owner > 1), "{owners:?}");
}

/// An earlier leader may have given it what nobody is known to hold.
#[test]
fn while_it_lives_nobody_gets_what_it_may_hold() {
    let mut stage = out_of_reach();
    stage.create_partitions(5);
    pass(&mut stage, 55, 5);
    assert_eq!(stage.owners(), [1, 1, 2, 2, 0], "it may have been told of the fifth");
    // It answers nothing, so that its process is ended.
    pass(&mut stage, 20, 5);
    assert!(stage.owners().iter().all(|owner| *owner > 1), "{:?}", stage.owners());
}

/// From then on it takes part again.
#[test]
fn once_it_can_be_reached_a_new_reign_begins() {
    let mut stage = out_of_reach();
    let before = stage.status().generation;
    stage.regain_reach();
    pass(&mut stage, 5, 4);
    assert!(stage.status().generation > before);
    assert_eq!(standing(&stage, ONE), Some(ConsumerStanding::Serving));
    assert_eq!((stage.owners(), stage.status().is_settled), (vec![1, 1, 2, 2], true));
}
