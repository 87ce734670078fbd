//! Pure. What a new leader knows before it says a word: the reigns before it, as the log tells them.
//!
//! Commands and answers stand on different topics, so their order is not known; terms and the
//! numbers of answers make it unnecessary. The commands are taken first: of all that ever gave a
//! partition the one with the highest `since` names its last holder. Then the answers say what
//! became of it.

use std::collections::{BTreeMap, BTreeSet};

use common::identity::{ConsumerId, Incarnation};
use common::messages::command::Assign;
use common::messages::event::{Answer, PartitionAnswer, PartitionState};
use common::messages::snapshot::{Ownership, Snapshot, SnapshotPartition, StandingRequest};
use common::partition::TopicPartition;
use common::position::HandOver;

use crate::rebalance::{Entry, Holder, Seat, State, TopicSource};

/// Collects what the log holds; [`Recovery::finish`] judges it.
#[derive(Clone, Debug, Default)]
pub struct Recovery {
    snapshot: Option<Snapshot>,
    assigns: Vec<(ConsumerId, Assign)>,
    answers: Vec<Answer>,
}

/// What the reign begins with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    pub entries: BTreeMap<TopicPartition, Entry>,
    pub seats: BTreeMap<Incarnation, Seat>,
    pub requests: Vec<StandingRequest>,
}

impl Recovery {
    /// A snapshot takes the place of everything before it.
    pub fn take_snapshot(&mut self, snapshot: Snapshot) {
        if self.snapshot.as_ref().is_none_or(|known| known.generation <= snapshot.generation) {
            self.snapshot = Some(snapshot);
        }
    }

    /// A command that stood on a consumer's partition before this leader's `LeaderStarted` there.
    pub fn take_assign(&mut self, consumer: ConsumerId, assign: Assign) {
        self.assigns.push((consumer, assign));
    }

    pub fn take_answer(&mut self, answer: Answer) {
        self.answers.push(answer);
    }

    pub fn finish(mut self) -> Recovered {
        let mut recovered = self.snapshot.take().map(from_snapshot).unwrap_or_default();
        self.assigns.sort_by_key(|(_, assign)| assign.term);
        let mut last: BTreeMap<Incarnation, &Assign> = BTreeMap::new();
        for (consumer, assign) in &self.assigns {
            give(&mut recovered, *consumer, assign);
            last.insert(assign.incarnation, assign);
        }
        for assign in last.into_values() {
            revoke_missing(&mut recovered, assign);
        }
        self.answers.sort_by_key(|answer| answer.number);
        for answer in &self.answers {
            hear(&mut recovered, answer);
        }
        // Of commands that could not be read: they come after all that is known.
        for said in self.answers.iter().flat_map(|answer| &answer.partitions) {
            if !said.tokens.is_empty() {
                let entry = recovered.entries.entry(said.partition.clone()).or_default();
                entry.hear_stranger(said.since, &said.tokens);
            }
        }
        recovered.retain_holders();
        recovered
    }
}

impl Recovered {
    fn seat(&mut self, consumer: ConsumerId, incarnation: Incarnation) -> &mut Seat {
        self.seats.entry(incarnation).or_insert_with(|| Seat::new(consumer))
    }

    /// Not every consumer's commands could be read: one of them may have given away anything that no
    /// holder confirms.
    pub fn doubt(&mut self) {
        self.entries.values_mut().for_each(|entry| entry.is_traced = false);
    }

    /// Of the incarnations of the past only those matter that may hold something: the others are
    /// seen again if they live.
    fn retain_holders(&mut self) {
        let holders: BTreeSet<_> = self
            .entries
            .values()
            .filter_map(|entry| entry.holder().map(|holder| holder.incarnation))
            .collect();
        self.seats.retain(|incarnation, _| holders.contains(incarnation));
    }
}

fn from_snapshot(snapshot: Snapshot) -> Recovered {
    let mut recovered = Recovered { requests: snapshot.requests, ..Recovered::default() };
    for consumer in snapshot.consumers {
        let seat = recovered.seat(consumer.consumer, consumer.incarnation);
        seat.answer_read = consumer.answer_read;
    }
    for partition in snapshot.partitions {
        let entry = entry_of(&partition);
        recovered.entries.insert(partition.partition, entry);
    }
    recovered
}

fn entry_of(saved: &SnapshotPartition) -> Entry {
    let holder = (|| {
        let (consumer, incarnation) = (saved.consumer?, saved.incarnation?);
        Some(Holder { consumer, incarnation, since: saved.since? })
    })();
    let tokens = saved.tokens.clone();
    let state = match (saved.ownership, holder) {
        (Ownership::Assigning, Some(holder)) => State::Assigning(holder),
        (Ownership::Owned, Some(holder)) => State::Owned { holder, tokens },
        (Ownership::Revoking, Some(holder)) => State::Revoking { holder, tokens },
        (_, None) | (Ownership::Unowned | Ownership::Blocked, Some(_)) => State::Unowned,
    };
    let topic_id = saved.topic_id;
    let read_as = saved.source.clone().map(|source| TopicSource { topic_id, source });
    Entry {
        state,
        read_as,
        hand_over: saved.hand_over.clone(),
        last_owner: saved.consumer,
        released_since: saved.since,
        is_traced: true,
        ..Entry::default()
    }
}

/// Takes what a command gave, if nobody got it later.
fn give(recovered: &mut Recovered, consumer: ConsumerId, assign: &Assign) {
    let seat = recovered.seat(consumer, assign.incarnation);
    seat.answer_read = seat.answer_read.max(assign.answer_read);
    for (partition, topic, assigned) in assign.partitions() {
        let entry = recovered.entries.entry(partition).or_default();
        if entry.last_since() >= Some(assigned.since) {
            continue;
        }
        // Of whoever was heard of without the command that gave it the partition.
        let known = entry.hand_over.take().filter(|_| entry.state == State::Unowned);
        let known = known.map(|known| known.tokens).unwrap_or_default();
        let mut hand_over = assigned.hand_over.clone();
        if !known.is_empty() {
            let given = hand_over.unwrap_or_default();
            let (clean, release) = (given.clean, given.release);
            hand_over = Some(HandOver { clean, release, ..given.after_unclean_end(&known) });
        }
        let incarnation = assign.incarnation;
        let holder = Holder { consumer, incarnation, since: assigned.since };
        let (topic_id, source) = (topic.topic_id, topic.source.clone());
        *entry = Entry {
            state: State::Assigning(holder),
            read_as: Some(TopicSource { topic_id, source }),
            hand_over,
            new_table: assigned.new_table,
            last_owner: entry.holder().map(|holder| holder.consumer).or(entry.last_owner),
            is_traced: true,
            ..Entry::default()
        };
    }
}

/// The last command to an incarnation no longer names what it was told to stop.
fn revoke_missing(recovered: &mut Recovered, last: &Assign) {
    let named: BTreeSet<_> = last.partitions().map(|(partition, _, _)| partition).collect();
    for (partition, entry) in &mut recovered.entries {
        let holder = entry.keeper().filter(|holder| holder.incarnation == last.incarnation);
        if holder.is_some() && !named.contains(partition) {
            entry.revoke();
        }
    }
}

fn hear(recovered: &mut Recovered, answer: &Answer) {
    let seat = recovered.seat(answer.consumer, answer.incarnation);
    seat.answer_read = seat.answer_read.max(answer.number);
    seat.is_draining |= answer.draining;
    for said in &answer.partitions {
        let Some(entry) = recovered.entries.get_mut(&said.partition) else { continue };
        let holder = entry.holder().filter(|holder| {
            (holder.incarnation, holder.since) == (answer.incarnation, said.since)
        });
        if let Some(holder) = holder {
            hear_of(entry, holder, said);
        }
    }
}

fn hear_of(entry: &mut Entry, holder: Holder, said: &PartitionAnswer) {
    let tokens = said.tokens.clone();
    match said.state {
        PartitionState::Opening => {}
        PartitionState::Held => {
            entry.state = match entry.state {
                State::Revoking { .. } => State::Revoking { holder, tokens },
                State::Unowned | State::Assigning(_) | State::Owned { .. } => {
                    State::Owned { holder, tokens }
                }
            };
        }
        PartitionState::Stopping => entry.state = State::Revoking { holder, tokens },
        PartitionState::Released | PartitionState::Failed => {
            entry.release(said.hand_over.clone().unwrap_or_default());
        }
    }
}
