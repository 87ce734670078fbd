//! Pure. The way to the brokers and to the sink: it delays, reorders, repeats and loses, on the way there and on the way back.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use common::identity::{ConsumerId, Incarnation, TopicId};
use common::moment::Moment;
use common::partition::TopicPartition;
use consumer::offsets::Commit;
use consumer::ownership::LaneId;
use consumer::sink::bigquery::client::Verdict;
use orchestrator::conductor::action::Destination;
use rand::RngExt as _;
use rand::rngs::ChaCha8Rng;

use super::kafka::Payload;
use super::lake::{Object, Put};
use super::streams::{Append, Call, Reply};

/// What is on its way.
#[derive(Clone, Debug)]
pub(crate) enum Parcel {
    Record { to: Destination, payload: Payload, said: Said },
    Commit { partition: TopicPartition, commit: Commit },
    Put { lane: LaneId, object: Box<Object> },
    Call { lane: LaneId, topic_id: TopicId, number: u64, call: Call },
    Append { lane: LaneId, append: Append },
}

/// What a sender may want to know the outcome of.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Said {
    Heartbeat { incarnation: Incarnation, number: u64 },
    Answer { incarnation: Incarnation, number: u64 },
    Command { consumer: ConsumerId },
    Other,
}

/// What comes back.
#[derive(Clone, Debug)]
pub(crate) enum Receipt {
    Heartbeat { incarnation: Incarnation, number: u64 },
    Answer { incarnation: Incarnation, number: u64 },
    Command { consumer: ConsumerId, next: u64 },
    Commit { partition: TopicPartition, commit: Commit },
    Put { lane: LaneId, object: Box<Object>, put: Put },
    Reply { lane: LaneId, number: u64, reply: Reply },
    Appended { lane: LaneId, append: Append, verdict: Verdict },
}

impl Receipt {
    fn is_of_sink(&self) -> bool {
        matches!(self, Self::Put { .. } | Self::Reply { .. } | Self::Appended { .. })
    }
}

#[derive(Clone, Debug)]
struct Flight<T> {
    due: Moment,
    /// The process that sent it, and that hears of it.
    pid: u32,
    what: T,
    /// It has not left who sends it.
    is_held: bool,
}

#[derive(Debug)]
pub(crate) struct Network {
    there: Vec<Flight<Parcel>>,
    back: Vec<Flight<Receipt>>,
    /// Processes that the brokers do not hear from one moment to another, and that do not hear the
    /// brokers until then.
    unheard: BTreeMap<u32, Range<Moment>>,
    deaf: BTreeMap<u32, Moment>,
    pub(crate) is_bad: bool,
}

impl Network {
    pub(crate) fn new() -> Self {
        let (there, back) = (vec![], vec![]);
        Self { there, back, unheard: BTreeMap::new(), deaf: BTreeMap::new(), is_bad: true }
    }

    pub(crate) fn send(&mut self, pid: u32, what: Parcel, now: Moment, rng: &mut ChaCha8Rng) {
        if self.is_bad {
            match rng.random_range(0..100) {
                0..4 => return,
                4..6 => self.post(pid, what.clone(), now, rng),
                _ => {}
            }
        }
        self.post(pid, what, now, rng);
    }

    fn post(&mut self, pid: u32, what: Parcel, now: Moment, rng: &mut ChaCha8Rng) {
        let mut due = now + self.delay(rng);
        let unheard = self.unheard.get(&pid).filter(|unheard| unheard.contains(&now));
        if let (Some(unheard), Parcel::Record { .. }) = (unheard, &what) {
            due = unheard.end.max(due);
        }
        if !self.is_bad {
            // One producer's records keep their order.
            let before = self.there.iter().filter(|flight| flight.pid == pid);
            due = before.map(|flight| flight.due).fold(due, Moment::max);
        }
        self.there.push(Flight { due, pid, what, is_held: false });
    }

    fn delay(&self, rng: &mut ChaCha8Rng) -> Duration {
        let ms_max = match rng.random_range(0..100) {
            0..2 if self.is_bad => 12_000,
            2..12 if self.is_bad => 1_000,
            _ => 30,
        };
        Duration::from_millis(rng.random_range(0..ms_max))
    }

    /// The connection to the brokers is held in one direction, or in both.
    pub(crate) fn cut(&mut self, pid: u32, unheard: Range<Moment>, deaf: Moment) {
        self.unheard.insert(pid, unheard);
        self.deaf.insert(pid, deaf);
    }

    /// All connections are whole again, and what waited arrives.
    pub(crate) fn heal(&mut self, now: Moment) {
        self.there.iter_mut().for_each(|flight| flight.due = flight.due.min(now));
        self.back.iter_mut().for_each(|flight| flight.due = flight.due.min(now));
        self.is_bad = false;
        (self.unheard, self.deaf) = (BTreeMap::new(), BTreeMap::new());
    }

    /// What arrives now, and from which process, in no particular order.
    pub(crate) fn arrived(&mut self, now: Moment) -> Option<(u32, Parcel)> {
        let index = self.there.iter().position(|flight| flight.due <= now)?;
        let flight = self.there.remove(index);
        Some((flight.pid, flight.what))
    }

    /// It arrives later.
    pub(crate) fn hold(&mut self, pid: u32, what: Parcel, due: Moment) {
        self.there.push(Flight { due, pid, what, is_held: true });
    }

    pub(crate) fn answer(&mut self, pid: u32, what: Receipt, now: Moment, rng: &mut ChaCha8Rng) {
        if self.is_bad && rng.random_ratio(1, 12) {
            return; // It was done, and nobody hears of it.
        }
        let mut due = now + self.delay(rng);
        if !what.is_of_sink() {
            due = self.deaf.get(&pid).copied().unwrap_or_default().max(due);
        }
        self.back.push(Flight { due, pid, what, is_held: false });
    }

    /// What comes back now to a process that can hear.
    pub(crate) fn receipt(
        &mut self,
        now: Moment,
        can_hear: impl Fn(u32) -> bool,
    ) -> Option<(u32, Receipt)> {
        let is_due = |flight: &Flight<Receipt>| flight.due <= now && can_hear(flight.pid);
        let index = self.back.iter().position(is_due)?;
        let flight = self.back.swap_remove(index);
        Some((flight.pid, flight.what))
    }

    /// Nobody is left to hear, or to go on sending.
    pub(crate) fn forget(&mut self, pid: u32) {
        self.back.retain(|flight| flight.pid != pid);
        self.there.retain(|flight| flight.pid != pid || !flight.is_held);
    }

    /// How much is on its way.
    pub(crate) fn count(&self) -> usize {
        self.there.len() + self.back.len()
    }
}
