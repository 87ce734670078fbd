//! Moves partitions between incarnations so that no two ever own the same one.
//!
//! Per partition:
//!
//! ```text
//!            target lives          Held                 target is another that lives
//!  Unowned ──────────────> Assigning ────> Owned ─────────────────────────> Revoking
//!     ^                       │ └───────────────────────────────────────────>  │ │
//!     │ Released, Failed,     │                                                │ │
//!     │ not taken             │                                                │ │
//!     ├───────────────────────┘                                                │ │
//!     ├──── Released: with its hand-over ──────────────────────────────────────┘ │
//!     └──── the incarnation ended: nothing of the hand-over is certain ──────────┘
//! ```
//!
//! Each incarnation gets its *whole* assignment in one `Assign`, and answers with its whole state.
//! The machine is level-triggered: a tick returns every command that is not answered, any other
//! event only the commands whose content changed. So a lost message is simply sent again.

mod entry;
mod answer;
mod command;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use common::identity::{ConsumerId, Incarnation};
use common::messages::command::Assign;
use common::messages::event::Answer;
use common::moment::Moment;
use common::partition::TopicPartition;
use common::term::{Generation, Sequence};

pub use entry::{Entry, Failures, Holder, Seat, State, TopicSource};

/// What the group should become.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target {
    pub owners: BTreeMap<TopicPartition, ConsumerId>,
    /// Consumers that are to exit once they hold nothing.
    pub ending: BTreeSet<ConsumerId>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    Planned(Target),
    /// How the topics are read from now on; a change takes effect at a clean stop.
    Sources(BTreeMap<String, TopicSource>),
    /// A heartbeat of this incarnation was read.
    Seen {
        consumer: ConsumerId,
        incarnation: Incarnation,
        draining: bool,
    },
    Answered(Answer),
    /// The lease ran out or the end was confirmed, and the events were read to a marker since.
    Ended(Incarnation),
    /// Its owner lives and reads nothing of it: it is taken away and given out again.
    Stuck(TopicPartition),
    /// No incarnation lives that the log does not tell of.
    Traced,
    /// Time to repeat whatever has not been answered.
    Tick,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    Send {
        consumer: ConsumerId,
        assign: Assign,
    },
    /// A partition has arrived: for logs and metrics.
    Owned {
        partition: TopicPartition,
        from: Option<ConsumerId>,
        to: ConsumerId,
    },
    /// A partition could not be opened, or could not go on.
    Failed {
        partition: TopicPartition,
        consumer: ConsumerId,
        reason: String,
    },
}

/// The ownership of all partitions under one generation.
#[derive(Clone, Debug)]
pub struct Rebalance {
    generation: Generation,
    sequence: Sequence,
    now: Moment,
    target: Target,
    sources: BTreeMap<String, TopicSource>,
    entries: BTreeMap<TopicPartition, Entry>,
    seats: BTreeMap<Incarnation, Seat>,
    /// Of each consumer the incarnation that takes partitions: one that was seen, and a new one
    /// rather than the one before it.
    current: BTreeMap<ConsumerId, Incarnation>,
    /// Given up: to be told so if they are seen again.
    buried: BTreeSet<Incarnation>,
    is_traced: bool,
}

impl Rebalance {
    /// Begins a reign with what the log tells of the ones before. The target is that all stays.
    pub fn new(
        generation: Generation,
        entries: BTreeMap<TopicPartition, Entry>,
        seats: BTreeMap<Incarnation, Seat>,
    ) -> Self {
        let holders = entries.iter().filter_map(|(partition, entry)| {
            entry.keeper().map(|holder| (partition.clone(), holder.consumer))
        });
        let owners = holders.collect();
        Self {
            generation,
            sequence: Sequence::default(),
            now: Moment::default(),
            target: Target { owners, ending: BTreeSet::new() },
            sources: BTreeMap::new(),
            current: seats
                .iter()
                .map(|(incarnation, seat)| (seat.consumer, *incarnation))
                .collect(),
            entries,
            seats,
            buried: BTreeSet::new(),
            is_traced: false,
        }
    }

    /// Takes one event and returns what to do now.
    pub fn handle(&mut self, event: Event, now: Moment) -> Vec<Action> {
        self.now = now;
        let mut actions = vec![];
        let is_tick = event == Event::Tick;
        match event {
            Event::Planned(target) => self.target = target,
            Event::Sources(sources) => self.sources = sources,
            Event::Seen { consumer, incarnation, draining } => {
                self.see(consumer, incarnation, draining);
            }
            Event::Answered(answer) => actions = self.take_answer(&answer),
            Event::Ended(incarnation) => self.end(incarnation),
            Event::Stuck(partition) => {
                if let Some(entry) = self.entries.get_mut(&partition) {
                    entry.give_up(&partition, now);
                }
            }
            Event::Traced => {
                self.is_traced = true;
                self.entries.values_mut().for_each(Entry::trace);
            }
            Event::Tick => {}
        }
        self.revoke_misplaced();
        let given = self.give_unowned();
        let changed = self.changed_commands(&given);
        let repeated = if is_tick { self.unanswered_commands() } else { vec![] };
        self.seats.values_mut().for_each(|seat| seat.note_silence(now));
        let send = |(consumer, assign)| Action::Send { consumer, assign };
        actions.extend(repeated.into_iter().chain(changed).map(send));
        actions
    }

    pub fn generation(&self) -> Generation {
        self.generation
    }

    pub fn sequence(&self) -> Sequence {
        self.sequence
    }

    pub fn entries(&self) -> &BTreeMap<TopicPartition, Entry> {
        &self.entries
    }

    pub fn seats(&self) -> &BTreeMap<Incarnation, Seat> {
        &self.seats
    }

    pub fn target(&self) -> &Target {
        &self.target
    }

    pub fn sources(&self) -> &BTreeMap<String, TopicSource> {
        &self.sources
    }

    /// The living incarnation of a consumer that may get partitions.
    pub fn taker(&self, consumer: ConsumerId) -> Option<Incarnation> {
        let incarnation = *self.current.get(&consumer)?;
        self.seats.get(&incarnation)?.takes_partitions().then_some(incarnation)
    }

    /// Whether every partition has reached the owner that the target gives it, and nothing is on
    /// its way.
    pub fn is_settled(&self) -> bool {
        let is_owned = |(partition, consumer): (&TopicPartition, &ConsumerId)| {
            let state = self.entries.get(partition).map(|entry| &entry.state);
            matches!(state, Some(State::Owned { holder, .. }) if holder.consumer == *consumer)
        };
        self.target.owners.iter().all(is_owned)
            && self.entries.iter().all(|(partition, entry)| {
                entry.state == State::Unowned || self.target.owners.contains_key(partition)
            })
            && self.seats.values().all(Seat::has_answered)
    }

    /// Who has left its commands unanswered for longer than `patience`.
    pub fn unanswering(&self, now: Moment, patience: Duration) -> Vec<(ConsumerId, Incarnation)> {
        let is_silent = |seat: &Seat| {
            seat.silent_since.is_some_and(|since| now.saturating_since(since) > patience)
        };
        let silent = self.seats.iter().filter(|(_, seat)| is_silent(seat));
        silent.map(|(incarnation, seat)| (seat.consumer, *incarnation)).collect()
    }

    fn see(&mut self, consumer: ConsumerId, incarnation: Incarnation, draining: bool) {
        let is_buried = self.buried.contains(&incarnation);
        let is_new = !self.seats.contains_key(&incarnation);
        if !is_buried && (is_new || !self.current.contains_key(&consumer)) {
            self.current.insert(consumer, incarnation);
        }
        let seat = self.seats.entry(incarnation).or_insert_with(|| Seat::new(consumer));
        seat.is_buried = is_buried;
        seat.is_draining |= draining;
    }

    fn end(&mut self, incarnation: Incarnation) {
        let held = self
            .entries
            .values_mut()
            .filter(|entry| entry.holder().is_some_and(|holder| holder.incarnation == incarnation));
        held.for_each(Entry::lose_holder);
        self.seats.remove(&incarnation);
        self.current.retain(|_, current| *current != incarnation);
        self.buried.insert(incarnation);
    }

    /// Tells holders to stop what is not theirs any more, where somebody else can take it.
    fn revoke_misplaced(&mut self) {
        let misplaced: Vec<_> = self
            .entries
            .iter()
            .filter(|(partition, entry)| self.is_misplaced(partition, entry))
            .map(|(partition, _)| partition.clone())
            .collect();
        for partition in misplaced {
            self.entries.entry(partition).and_modify(Entry::revoke);
        }
    }

    fn is_misplaced(&self, partition: &TopicPartition, entry: &Entry) -> bool {
        let Some(holder) = entry.keeper() else { return false };
        let Some(target) = self.target.owners.get(partition) else { return true };
        if holder.consumer != *target {
            return self.taker(*target).is_some();
        }
        // An ordered change of how the topic is read takes effect at a clean stop.
        let read_otherwise = entry.read_as.as_ref() != self.sources.get(partition.topic());
        matches!(entry.state, State::Owned { .. })
            && self.sources.contains_key(partition.topic())
            && read_otherwise
    }
}

#[cfg(test)]
mod tests;
