//! Consumers and partitions that live and do not get on.

use common::identity::ConsumerId;
use common::messages::Message;

use crate::stage::{Stage, rates};

const ONE: ConsumerId = ConsumerId(1);

/// Heartbeats alone keep nothing: the process is started again, and holds what it held.
#[test]
fn whoever_answers_nothing_for_a_minute_is_started_again() {
    let mut stage = Stage::settled(4, 100);
    let crashed = |stage: &Stage| stage.status().totals.consumers_crashed;
    stage.mute(ONE);
    stage.create_partitions(5);
    for _ in 0..59 {
        stage.measure(&rates(5, 100));
        stage.pass(1_000);
    }
    assert_eq!((crashed(&stage), stage.owners()[4]), (0, 0), "it may still answer");
    for _ in 0..10 {
        stage.measure(&rates(5, 100));
        stage.pass(1_000);
    }
    assert_eq!((crashed(&stage), stage.owners()), (1, vec![1; 5]));
}

/// An owner that reads nothing of one partition loses that one, and no other.
#[test]
fn a_partition_that_stands_still_is_given_out_anew() {
    let mut stage = Stage::settled(4, 100);
    let commands = |stage: &Stage| stage.commands(ONE);
    let before = commands(&stage);
    for _ in 0..58 {
        stage.measure(&rates(4, 100));
        stage.report_standstill(2, 100);
        stage.pass(1_000);
    }
    assert_eq!(commands(&stage), before);
    for _ in 0..10 {
        stage.measure(&rates(4, 100));
        stage.report_standstill(2, 100);
        stage.pass(1_000);
    }
    assert!(commands(&stage) > before, "it was taken away and given back");
    assert_eq!((stage.owners(), stage.status().totals.moves), (vec![1; 4], 0));
}

/// What stands on consumers' partitions is removed by retention some day: who leads is repeated.
#[test]
fn a_leader_says_every_day_that_it_leads() {
    let mut stage = Stage::settled(4, 100);
    let said = |stage: &Stage| {
        let log = stage.log_of(8);
        log.iter().filter(|message| matches!(message, Message::LeaderStarted(_))).count()
    };
    assert_eq!(said(&stage), 1);
    stage.pass(25 * 60 * 60 * 1_000);
    assert_eq!(said(&stage), 2);
}

/// A consumer that takes its time to stop holds back only what it is to give away.
#[test]
fn moves_do_not_queue_behind_a_slow_consumer() {
    let mut stage = Stage::settled(4, 300);
    assert_eq!(stage.owners(), [1, 1, 2, 2]);
    stage.mute(ONE);
    // Each of them fills a consumer from now on.
    stage.measure(&rates(4, 700));
    stage.pass(4_000);
    let owners = stage.owners();
    assert_eq!(owners[..2], [1, 1], "it has not stopped anything");
    assert!(owners[2] != owners[3] && !owners[2..].contains(&0), "{owners:?}");
}
