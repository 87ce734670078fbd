//! Pure. One partition on its way from owner to owner, and one incarnation that may own some.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use common::backoff::BackoffPolicy;
use common::identity::{ConsumerId, Incarnation, TopicId};
use common::messages::command::{Assign, Source};
use common::moment::Moment;
use common::partition::TopicPartition;
use common::position::HandOver;
use common::term::Term;
use serde::Serialize;

/// How a topic is read at present: its service entry, and the id under which Kafka knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TopicSource {
    pub topic_id: TopicId,
    pub source: Source,
}

/// Who may hold a partition: a consumer, in one of its lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Holder {
    pub consumer: ConsumerId,
    pub incarnation: Incarnation,
    /// The term of the `Assign` that first gave it the partition.
    pub since: Term,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub enum State {
    #[default]
    Unowned,
    /// It was told, and we must assume that it knows.
    Assigning(Holder),
    /// It said so.
    Owned { holder: Holder, tokens: Vec<String> },
    /// It was told to stop, or stops by itself.
    Revoking { holder: Holder, tokens: Vec<String> },
}

/// What is known about one partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    pub state: State,
    /// How it was read last; `None` before its first owner.
    pub read_as: Option<TopicSource>,
    /// Unowned: what the next owner gets. Else: what the present one got.
    pub hand_over: Option<HandOver>,
    /// The present owner was told that its table is a new one.
    pub new_table: bool,
    pub last_owner: Option<ConsumerId>,
    /// Unowned: the `since` of the last holder.
    pub released_since: Option<Term>,
    /// Whether it is known who held it last, or that nobody did: else another may hold it.
    pub is_traced: bool,
    pub failures: Failures,
}

/// Opens that failed in a row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failures {
    pub count: u32,
    pub reason: Option<String>,
    /// Not to be given out before.
    pub not_before: Option<Moment>,
}

impl Failures {
    /// From this many on the partition counts as blocked.
    pub const BLOCKED: u32 = 3;
    /// What made opening fail may be over at any moment, and 15 s later all is to be read again.
    const PAUSES: BackoffPolicy =
        BackoffPolicy { initial: Duration::from_secs(1), max: Duration::from_secs(10), factor: 2 };

    /// Waits up to 1 s after the first failure, twice as long after each further one, at most 10 s.
    /// Partitions that failed together do not all come back at once.
    pub fn note(&mut self, partition: &TopicPartition, reason: &str, now: Moment) {
        self.count += 1;
        let longest = Self::PAUSES.bound(self.count);
        let wait = longest - (longest / 2).mul_f64(share(partition, self.count));
        self.reason = Some(reason.into());
        self.not_before = Some(now + wait);
    }
}

/// Between 0 and 1, another one for each partition and each failure.
fn share(partition: &TopicPartition, count: u32) -> f64 {
    let mut hasher = DefaultHasher::new();
    (partition, count).hash(&mut hasher);
    let [first, ..] = hasher.finish().to_be_bytes();
    f64::from(first) / f64::from(u8::MAX)
}

impl Entry {
    pub fn holder(&self) -> Option<Holder> {
        match &self.state {
            State::Unowned => None,
            State::Assigning(holder)
            | State::Owned { holder, .. }
            | State::Revoking { holder, .. } => Some(*holder),
        }
    }

    /// The holder, as long as nobody told it to stop.
    pub fn keeper(&self) -> Option<Holder> {
        match &self.state {
            State::Unowned | State::Revoking { .. } => None,
            State::Assigning(holder) | State::Owned { holder, .. } => Some(*holder),
        }
    }

    /// The fence tokens that the present holder announced.
    pub fn tokens(&self) -> &[String] {
        match &self.state {
            State::Unowned | State::Assigning(_) => &[],
            State::Owned { tokens, .. } | State::Revoking { tokens, .. } => tokens,
        }
    }

    pub fn is_blocked(&self) -> bool {
        self.failures.count >= Failures::BLOCKED
    }

    /// The `since` of the present holder, or else of the last one.
    pub fn last_since(&self) -> Option<Term> {
        self.holder().map(|holder| holder.since).max(self.released_since)
    }

    /// Tells the holder to stop.
    pub(crate) fn revoke(&mut self) {
        if let Some(holder) = self.keeper() {
            self.state = State::Revoking { holder, tokens: self.tokens().to_vec() };
        }
    }

    /// Takes it from an owner that does not get on with it; it is given out again after a while.
    pub(super) fn give_up(&mut self, partition: &TopicPartition, now: Moment) {
        if matches!(self.state, State::Owned { .. }) {
            self.revoke();
            self.failures.note(partition, "its owner read nothing of it for a minute", now);
        }
    }

    /// Its holder said that it holds it no more, and what the next one gets.
    pub(crate) fn release(&mut self, hand_over: HandOver) {
        // Who gives back a position of the table before has not begun with the new one.
        let table = |hand: &HandOver| hand.position.and_then(|position| position.table_id);
        let given = self.hand_over.as_ref();
        self.new_table &= given.is_some_and(|given| table(given) == table(&hand_over));
        self.released_since = self.last_since();
        self.last_owner = self.holder().map(|holder| holder.consumer);
        self.state = State::Unowned;
        self.hand_over = Some(hand_over);
    }

    /// Its holder ended without a word.
    pub(super) fn lose_holder(&mut self) {
        let given = self.hand_over.clone().unwrap_or_default();
        let hand_over = given.after_unclean_end(self.tokens());
        self.release(hand_over);
    }

    /// An incarnation names writers of it that it was given by a command which could not be read: the next owner is to
    /// fence them. The owner that is known, if one is, was there before and has ended, or never took it.
    pub(crate) fn hear_stranger(&mut self, since: Term, tokens: &[String]) {
        if !tokens.is_empty() && Some(since) > self.last_since() {
            let given = self.hand_over.take().unwrap_or_default();
            self.hand_over = Some(given.after_unclean_end(tokens));
        }
    }

    /// Whoever else may have held it has ended: what was to be handed over may be behind by now. So it is, too, where
    /// somebody was told to take it and may yet have nothing to say of it.
    pub(super) fn trace(&mut self) {
        if !self.is_traced && matches!(self.state, State::Unowned | State::Assigning(_)) {
            let given = self.hand_over.take();
            self.hand_over = given.map(|given| given.after_unclean_end(&[]));
        }
        self.is_traced = true;
    }

    /// The holder never took it: the next one gets what this one was to get.
    pub(super) fn take_back(&mut self) {
        self.released_since = self.last_since();
        self.state = State::Unowned;
    }
}

/// One incarnation that lives, as far as is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seat {
    pub consumer: ConsumerId,
    /// The last command of this generation.
    pub sent: Option<Assign>,
    /// The highest term of this generation that it answered.
    pub answered: Option<Term>,
    /// The number of its last answer that was read.
    pub answer_read: u64,
    /// Its last answer names releases: it repeats them until it is told that they were read.
    pub awaits_receipt: bool,
    /// It takes nothing new.
    pub is_draining: bool,
    /// It was given up and yet lives: what it held may have gone to others.
    pub is_buried: bool,
    /// Since when it has answered none of the commands that wait for an answer.
    pub silent_since: Option<Moment>,
}

impl Seat {
    pub(crate) fn new(consumer: ConsumerId) -> Self {
        Self {
            consumer,
            sent: None,
            answered: None,
            answer_read: 0,
            awaits_receipt: false,
            is_draining: false,
            is_buried: false,
            silent_since: None,
        }
    }

    /// Whether it may get a partition that it does not hold.
    pub fn takes_partitions(&self) -> bool {
        let told_to_end = self.sent.as_ref().is_some_and(|assign| assign.end);
        !(self.is_draining || self.is_buried || told_to_end)
    }

    /// Begins to wait for an answer if one is due, or ends to.
    pub(super) fn note_silence(&mut self, now: Moment) {
        let since = self.silent_since.unwrap_or(now);
        self.silent_since = (!self.has_answered()).then_some(since);
    }

    pub fn has_answered(&self) -> bool {
        self.sent.as_ref().is_none_or(|assign| self.answered >= Some(assign.term))
    }
}
