//! What a leader says when it ends, and what others make of it.

use common::identity::{Nonce, TopicId};
use common::messages::command::LeaderStarted;
use common::messages::{Extra, Message};
use uuid::Uuid;

use crate::stage::Stage;

/// The log of a leader, and what it says last.
fn log_and_farewell() -> (Stage, Vec<Message>, Message) {
    let mut stage = Stage::settled(4, 100);
    let log = stage.log_of(0);
    let farewell = stage.farewell().expect("it leads");
    (stage, log, farewell)
}

fn another_leads() -> Message {
    let started = LeaderStarted {
        nonce: Nonce(5),
        author: "other".into(),
        generation: None,
        controller_topic_id: TopicId(Uuid::from_u128(1)),
        extra: Extra::new(),
    };
    started.into()
}

#[test]
fn a_leader_that_said_that_it_ends_is_not_missed_first() {
    let (stage, log, farewell) = log_and_farewell();
    let mut standby = stage.standby();
    assert!(!standby.reads(&log) && !standby.is_at_the_end(), "there is a leader");
    assert!(standby.conductor.farewell().is_none(), "it leads nobody");
    assert!(standby.reads(&[farewell]));
}

/// Also by one that begins only then.
#[test]
fn nobody_leads_where_a_farewell_is_the_last_sign_of_a_leader() {
    let (stage, mut log, farewell) = log_and_farewell();
    log.push(farewell);
    let mut late = stage.standby();
    assert!(!late.reads(&log), "others may have led since");
    assert!(late.is_at_the_end());
}

#[test]
fn a_farewell_says_nothing_of_those_who_led_since() {
    let (stage, mut log, farewell) = log_and_farewell();
    log.extend([farewell.clone(), another_leads()]);
    let mut late = stage.standby();
    assert!(!late.reads(&log) && !late.is_at_the_end());
    assert!(!late.reads(&[farewell]), "it came late");
}
