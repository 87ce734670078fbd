//! Pure. Records that must change nothing: stale, forged, repeated, truncated, of an unknown kind, or in the wrong place.

use std::rc::Rc;

use common::identity::{ConsumerId, Incarnation, Nonce, TopicId};
use common::messages::command::{Assign, LeaderAlive, LeaderStarted};
use common::messages::event::Answer;
use common::messages::request::StopConsuming;
use common::messages::snapshot::Snapshot;
use common::messages::{Extra, Message};
use common::term::{Generation, Sequence, Term};
use orchestrator::conductor::action::Destination;
use rand::RngExt as _;
use rand::rngs::ChaCha8Rng;
use uuid::Uuid;

use super::history::note;
use super::kafka::{Kafka, Payload, Raw, Record, controller_topic_id};
use super::outside::Outside;
use super::world::CONSUMERS;

/// Changes something only where the command that it repeats was never obeyed.
pub(crate) const REPEATED: &str = "a repeated command";

/// Writes one of them, straight into the log.
pub(crate) fn forge(outside: &mut Outside) {
    let Outside { kafka, rng, .. } = outside;
    let consumer = ConsumerId(rng.random_range(1..=CONSUMERS));
    let (to, forged) = match rng.random_range(0..3) {
        0 => (Destination::Requests, for_requests(kafka, rng)),
        1 => (Destination::Events, for_events(rng)),
        _ => (Destination::Consumer(consumer), for_consumer(consumer, kafka, rng)),
    };
    let Some((what, payload)) = forged else { return };
    note(None, || format!("{what} is written to {to:?}"));
    kafka.append(to, Record { payload, forged: Some(what) });
}

type Forged = Option<(&'static str, Payload)>;

fn for_consumer(consumer: ConsumerId, kafka: &Kafka, rng: &mut ChaCha8Rng) -> Forged {
    let log = &kafka.controller[consumer.0 as usize];
    let assigns = || log.iter().filter(|record| record.forged.is_none());
    let highest = highest(kafka);
    match rng.random_range(0..8) {
        0 => {
            let count = assigns().count();
            let index = rng.random_range(0..count.max(1));
            Some((REPEATED, assigns().nth(index)?.payload.clone()))
        }
        1 => {
            let generation = Generation(highest.0 + 1_000);
            let assign = assign(generation, rng.random_range(1..9), last_incarnation(log)?);
            Some(("a command of a leader that nobody announced", Payload::encoded(&assign)))
        }
        2 => {
            let generation = Generation(highest.0.checked_sub(1)?);
            let assign = assign(generation, 1_000_000, last_incarnation(log)?);
            Some(("a command of a deposed leader", assign.into()))
        }
        3 => {
            let assign = assign(highest, 1_000_000, Incarnation::from_rng(rng));
            Some(("a command to another incarnation", assign.into()))
        }
        4 => {
            let topic = "orders".to_owned();
            let stop = StopConsuming { topic, partitions: vec![], extra: Extra::new() };
            Some(("a request where only a leader may write", Payload::encoded(&stop.into())))
        }
        5 => Some(("a leader without a generation", Payload::encoded(&started(None, rng)))),
        _ => damaged(assign(highest, 1_000_000, last_incarnation(log)?), rng),
    }
}

fn for_requests(kafka: &Kafka, rng: &mut ChaCha8Rng) -> Forged {
    let highest = highest(kafka);
    match rng.random_range(0..6) {
        0 => {
            let (generation, nonce) = (Generation(highest.0.checked_sub(1)?), Nonce::from_rng(rng));
            let extra = Extra::from([("state_dir".to_owned(), "folder of nobody".to_owned())]);
            let alive = LeaderAlive { generation, nonce, snapshot: None, extra };
            Some(("a sign of life of a deposed leader", Message::from(alive).into()))
        }
        1 => {
            let generation = Generation(highest.0.checked_sub(1)?);
            Some(("a snapshot of a deposed leader", snapshot(generation, kafka).into()))
        }
        2 => Some(("a leader of another controller topic", {
            let other = TopicId(Uuid::from_u128(77));
            Payload::encoded(&started(Some(other), rng))
        })),
        3 => {
            let assign = assign(highest, 1_000_000, Incarnation::from_rng(rng));
            Some(("a command on the partition of requests", assign.into()))
        }
        _ => damaged(snapshot(highest, kafka), rng),
    }
}

fn for_events(rng: &mut ChaCha8Rng) -> Forged {
    let incarnation = Incarnation::from_rng(rng);
    let answer: Message = Answer {
        consumer: ConsumerId(1),
        incarnation,
        number: 1_000_000,
        term: Term::new(1_000_000, 1),
        draining: true,
        partitions: vec![],
        extra: Extra::new(),
    }
    .into();
    match rng.random_range(0..4) {
        0 => Some(("an answer of nobody", answer.into())),
        1 => Some(("a command among events", assign(Generation(0), 1, incarnation).into())),
        _ => damaged(answer, rng),
    }
}

/// A record that is cut off, of an unknown kind, garbage, or a part of nothing.
fn damaged(message: Message, rng: &mut ChaCha8Rng) -> Forged {
    let whole = message.encode();
    let event_type = Some(message.kind().name().to_owned());
    let (what, raw) = match rng.random_range(0..4) {
        0 => {
            let value = whole[..rng.random_range(0..whole.len())].to_vec();
            ("a truncated record", Raw { event_type, chunk: None, value })
        }
        1 => {
            let event_type = Some("Reorganise".to_owned());
            ("a record of an unknown kind", Raw { event_type, chunk: None, value: b"{}".to_vec() })
        }
        2 => {
            let value = (0..40).map(|_| rng.random()).collect();
            ("garbage", Raw { event_type, chunk: None, value })
        }
        _ => {
            let chunk = Some("none:of:these".to_owned());
            ("a part of nothing", Raw { event_type, chunk, value: whole })
        }
    };
    Some((what, Payload::Raw(Rc::new(raw))))
}

/// An assignment of nothing, and to end: whoever obeys it drops all that it has.
fn assign(generation: Generation, sequence: u64, incarnation: Incarnation) -> Message {
    Message::from(Assign {
        term: Term { generation, sequence: Sequence(sequence) },
        incarnation,
        answer_read: 1_000_000,
        end: true,
        topics: vec![],
        extra: Extra::new(),
    })
}

fn started(other: Option<TopicId>, rng: &mut ChaCha8Rng) -> Message {
    Message::from(LeaderStarted {
        nonce: Nonce::from_rng(rng),
        author: "nobody".into(),
        generation: None,
        controller_topic_id: other.unwrap_or(controller_topic_id()),
        extra: Extra::new(),
    })
}

/// A state in which nobody holds anything.
fn snapshot(generation: Generation, kafka: &Kafka) -> Message {
    let ends = kafka.controller.iter().enumerate().skip(1);
    Message::from(Snapshot {
        generation,
        sequence: Sequence(1),
        query: None,
        requests_offset: 0,
        events_offset: kafka.events.len() as u64,
        controller_offsets: ends.map(|(n, log)| (n.to_string(), log.len() as u64)).collect(),
        consumers: vec![],
        partitions: vec![],
        requests: vec![],
        extra: Extra::new(),
    })
}

fn highest(kafka: &Kafka) -> Generation {
    let started = (0u64..).zip(&kafka.controller[0]).filter(|(_, record)| {
        let message = record.payload.message();
        record.forged.is_none() && matches!(message, Some(Message::LeaderStarted(_)))
    });
    Generation(started.last().map_or(0, |(offset, _)| offset))
}

/// Whom the last command on the partition was for.
fn last_incarnation(log: &[Record]) -> Option<Incarnation> {
    log.iter().rev().find_map(|record| match record.payload.message() {
        Some(Message::Assign(assign)) if record.forged.is_none() => Some(assign.incarnation),
        _ => None,
    })
}
