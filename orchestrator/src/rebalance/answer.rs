//! Pure. What an incarnation's answer changes: what it holds, what it released, what it never took.

use std::collections::BTreeMap;

use common::messages::event::{Answer, PartitionAnswer, PartitionState};
use common::moment::Moment;
use common::partition::TopicPartition;

use super::entry::{Entry, Failures, State};
use super::{Action, Rebalance};

impl Rebalance {
    /// Takes the whole state of an incarnation; of two answers only the later counts.
    pub(super) fn take_answer(&mut self, answer: &Answer) -> Vec<Action> {
        let Some(seat) = self.seats.get_mut(&answer.incarnation) else { return vec![] };
        if answer.number <= seat.answer_read {
            return vec![]; // Repeated, or overtaken.
        }
        let is_gone = |partition: &PartitionAnswer| {
            matches!(partition.state, PartitionState::Released | PartitionState::Failed)
        };
        seat.answer_read = answer.number;
        seat.awaits_receipt = answer.partitions.iter().any(is_gone);
        seat.is_draining |= answer.draining;
        if answer.term.generation == self.generation {
            if seat.answered < Some(answer.term) {
                // It answers, if not yet the last one.
                seat.silent_since = None;
            }
            seat.answered = seat.answered.max(Some(answer.term));
        }
        let sent = seat.sent.as_ref().map(|assign| assign.term);
        let is_current = sent == Some(answer.term);

        let said: BTreeMap<_, _> =
            answer.partitions.iter().map(|said| (&said.partition, said)).collect();
        let mut actions = vec![];
        for said in answer.partitions.iter().filter(|said| !said.tokens.is_empty()) {
            let entry = self.entries.entry(said.partition.clone()).or_default();
            entry.hear_stranger(said.since, &said.tokens);
        }
        for (partition, entry) in &mut self.entries {
            let holder = entry.holder().filter(|holder| holder.incarnation == answer.incarnation);
            let Some(holder) = holder else { continue };
            match said.get(partition).filter(|said| said.since == holder.since) {
                Some(said) => actions.extend(hear(partition, entry, said, self.now)),
                // It knows the command and yet has nothing to say: it never took the partition.
                None if is_current => not_taken(entry),
                None => {}
            }
        }
        actions
    }
}

/// What an incarnation says of a partition that it was given.
fn hear(
    partition: &TopicPartition,
    entry: &mut Entry,
    said: &PartitionAnswer,
    now: Moment,
) -> Option<Action> {
    let holder = entry.holder()?;
    entry.is_traced = true;
    match said.state {
        PartitionState::Opening => None,
        PartitionState::Held => {
            let tokens = said.tokens.clone();
            let has_arrived = matches!(entry.state, State::Assigning(_));
            entry.state = match entry.state {
                State::Revoking { .. } => State::Revoking { holder, tokens },
                State::Unowned | State::Assigning(_) | State::Owned { .. } => {
                    State::Owned { holder, tokens }
                }
            };
            entry.failures = Failures::default();
            let (from, to) = (entry.last_owner, holder.consumer);
            has_arrived.then(|| Action::Owned { partition: partition.clone(), from, to })
        }
        PartitionState::Stopping => {
            let tokens = said.tokens.clone();
            entry.state = State::Revoking { holder, tokens };
            None
        }
        PartitionState::Released => {
            entry.release(said.hand_over.clone().unwrap_or_default());
            None
        }
        PartitionState::Failed => {
            let reason = said.reason.clone().unwrap_or_else(|| "no reason given".into());
            entry.release(said.hand_over.clone().unwrap_or_default());
            entry.failures.note(partition, &reason, now);
            Some(Action::Failed { partition: partition.clone(), consumer: holder.consumer, reason })
        }
    }
}

fn not_taken(entry: &mut Entry) {
    match entry.state {
        State::Unowned => {}
        // It never opened it, nor will it: a command is obeyed once.
        State::Assigning(_) => entry.take_back(),
        // It may have held it, and does not any more, without a release: nothing is certain.
        State::Owned { .. } | State::Revoking { .. } => entry.lose_holder(),
    }
}
