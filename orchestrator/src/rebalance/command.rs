//! Pure. Which commands follow from who shall hold what: one whole assignment per incarnation.

use std::collections::BTreeMap;

use common::identity::{ConsumerId, Incarnation};
use common::messages::Extra;
use common::messages::command::{Assign, AssignedPartition, AssignedTopic};
use common::partition::TopicPartition;
use common::term::{Sequence, Term};

use super::Rebalance;
use super::entry::{Entry, Holder, Seat, State, TopicSource};

/// The terms of the commands that are about to be written, one for each incarnation concerned.
pub(super) type Given = BTreeMap<Incarnation, Term>;

type Command = (ConsumerId, Assign);

impl Rebalance {
    /// Gives every partition that nobody holds to its target, if that lives.
    pub(super) fn give_unowned(&mut self) -> Given {
        let mut given = Given::new();
        for (partition, consumer) in self.target.owners.clone() {
            let Some(desired) = self.sources.get(partition.topic()).cloned() else { continue };
            let Some(incarnation) = self.taker(consumer) else { continue };
            let (is_traced, now) = (self.is_traced, self.now);
            let entry = self.entries.entry(partition).or_default();
            let may_wait = entry.failures.not_before.is_some_and(|moment| now < moment);
            if entry.state != State::Unowned || may_wait || !(is_traced || entry.is_traced) {
                continue;
            }
            entry.is_traced = true;
            entry.prepare(desired);
            let since = *given.entry(incarnation).or_insert_with(|| {
                self.sequence = Sequence(self.sequence.0 + 1);
                Term { generation: self.generation, sequence: self.sequence }
            });
            entry.state = State::Assigning(Holder { consumer, incarnation, since });
        }
        given
    }

    /// The commands whose content differs from what their incarnation was sent last.
    pub(super) fn changed_commands(&mut self, given: &Given) -> Vec<Command> {
        let mut contents = self.contents();
        let mut commands = vec![];
        for (incarnation, seat) in &mut self.seats {
            let topics = contents.remove(incarnation).unwrap_or_default();
            let is_ending = seat.is_buried || self.target.ending.contains(&seat.consumer);
            let end = is_ending && topics.is_empty();
            let is_same = seat.sent.as_ref().is_some_and(|sent| {
                // Once told to end it ends, whatever is wanted since.
                let receipt_is_due = seat.awaits_receipt && sent.answer_read < seat.answer_read;
                sent.topics == topics && (sent.end || !end) && !receipt_is_due
            });
            if is_same {
                continue;
            }
            let term = given.get(incarnation).copied().unwrap_or_else(|| {
                self.sequence = Sequence(self.sequence.0 + 1);
                Term { generation: self.generation, sequence: self.sequence }
            });
            let end = end || seat.sent.as_ref().is_some_and(|sent| sent.end);
            let assign = Assign {
                term,
                incarnation: *incarnation,
                answer_read: seat.answer_read,
                end,
                topics,
                extra: Extra::new(),
            };
            seat.sent = Some(assign.clone());
            commands.push((seat.consumer, assign));
        }
        commands
    }

    /// What was sent and not answered, as it was.
    pub(super) fn unanswered_commands(&self) -> Vec<Command> {
        let waiting = self.seats.values().filter(|seat| !seat.has_answered());
        let command = |seat: &Seat| Some((seat.consumer, seat.sent.clone()?));
        waiting.filter_map(command).collect()
    }

    /// For each incarnation what it shall hold, by topic.
    fn contents(&self) -> BTreeMap<Incarnation, Vec<AssignedTopic>> {
        let mut contents: BTreeMap<Incarnation, Vec<AssignedTopic>> = BTreeMap::new();
        for (partition, entry) in &self.entries {
            let (Some(holder), Some(read_as)) = (entry.keeper(), &entry.read_as) else { continue };
            let topics = contents.entry(holder.incarnation).or_default();
            let assigned = assigned_partition(partition, entry, holder);
            // Partitions of one topic stand together; one of them may still be read the old way.
            match topics.last_mut().filter(|topic| {
                topic.topic == partition.topic()
                    && topic.topic_id == read_as.topic_id
                    && topic.source == read_as.source
            }) {
                Some(topic) => topic.partitions.push(assigned),
                None => topics.push(AssignedTopic {
                    topic: partition.topic().into(),
                    topic_id: read_as.topic_id,
                    source: read_as.source.clone(),
                    partitions: vec![assigned],
                }),
            }
        }
        contents
    }
}

impl Entry {
    /// Decides how the next owner reads: as desired, unless the last one did otherwise and did not
    /// stop cleanly. Then it goes on in the old way until it can stop cleanly.
    fn prepare(&mut self, desired: TopicSource) {
        let is_clean = self.hand_over.as_ref().is_none_or(|hand_over| hand_over.clean);
        let former = self.read_as.take();
        let same_topic = former.as_ref().is_some_and(|old| old.topic_id == desired.topic_id);
        match former {
            Some(old) if same_topic && old != desired && !is_clean => {
                self.read_as = Some(old);
            }
            Some(old) => {
                let was_read = self.hand_over.as_ref().is_some_and(|hand| hand.position.is_some());
                let place = |source: &TopicSource| {
                    (source.source.sink.clone(), source.source.table.clone())
                };
                let is_changed = self.new_table || place(&old) != place(&desired);
                self.new_table = same_topic && was_read && is_changed;
                self.read_as = Some(desired);
            }
            None => self.read_as = Some(desired),
        }
    }
}

fn assigned_partition(
    partition: &TopicPartition,
    entry: &Entry,
    holder: Holder,
) -> AssignedPartition {
    AssignedPartition {
        partition: partition.partition(),
        since: holder.since,
        hand_over: entry.hand_over.clone(),
        new_table: entry.new_table,
    }
}
