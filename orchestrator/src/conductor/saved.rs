//! Pure. The snapshot that a leader leaves to the next one, every while and whenever it is asked for.

use std::time::Duration;

use common::identity::{Nonce, TopicId};
use common::messages::Extra;
use common::messages::snapshot::{Ownership, Snapshot, SnapshotConsumer, SnapshotPartition};
use common::partition::TopicPartition;
use common::term::Sequence;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::ledger::{OPERATIONS, kept};
use crate::rebalance::{Entry, State};

use super::action::{Action, Destination};
use super::input::Now;
use super::reign::Reign;
use super::world::World;

/// Where a snapshot keeps what was learned of consumers, as JSON.
pub(super) const CAPACITIES: &str = "capacities";
/// Where it keeps the plan that waits for approval, as JSON.
pub const PROPOSAL: &str = "proposal";

const SAVE_INTERVAL: Duration = Duration::from_secs(30);

impl Reign {
    /// Writes a snapshot if something changed since the last one.
    pub(super) fn save_if_due(&mut self, world: &World, now: Now) -> Vec<Action> {
        if now.moment.saturating_since(self.saved_at) < SAVE_INTERVAL {
            return vec![];
        }
        self.saved_at = now.moment;
        let snapshot = self.snapshot(world, None);
        if self.saved.as_ref().is_some_and(|saved| is_same_state(saved, &snapshot)) {
            return vec![];
        }
        self.saved = Some(snapshot.clone());
        vec![Action::Write { to: Destination::Requests, message: snapshot.into() }]
    }

    /// A snapshot for whoever asked.
    pub(super) fn save(&mut self, world: &World, query: Option<Nonce>, now: Now) -> Action {
        let snapshot = self.snapshot(world, query);
        self.saved = Some(snapshot.clone());
        self.saved_at = now.moment;
        Action::Write { to: Destination::Requests, message: snapshot.into() }
    }

    fn snapshot(&self, world: &World, query: Option<Nonce>) -> Snapshot {
        let offsets = self.commands_next.iter();
        let partitions = self.rebalance.entries().iter();
        Snapshot {
            generation: self.generation,
            sequence: self.rebalance.sequence(),
            query,
            requests_offset: world.ledger.next(),
            events_offset: self.events_next,
            controller_offsets: offsets
                .map(|(consumer, next)| (consumer.0.to_string(), *next))
                .collect(),
            consumers: self.saved_consumers(),
            partitions: partitions
                .filter_map(|(partition, entry)| saved_partition(partition, entry))
                .collect(),
            requests: world.ledger.wishes().to_standing(),
            extra: self.kept(world),
        }
    }

    /// What the schema has no field for.
    fn kept(&self, world: &World) -> Extra {
        let operations = json(&world.ledger.operations());
        let capacities = json(self.capacities.histories());
        let proposal = self.proposing.proposal().map(|proposal| (PROPOSAL, json(proposal)));
        let kept = [(OPERATIONS, operations), (CAPACITIES, capacities)].into_iter().chain(proposal);
        kept.map(|(name, text)| (name.to_owned(), text)).collect()
    }

    fn saved_consumers(&self) -> Vec<SnapshotConsumer> {
        let seats = self.rebalance.seats().iter();
        let saved = seats.map(|(incarnation, seat)| SnapshotConsumer {
            consumer: seat.consumer,
            incarnation: *incarnation,
            assign: seat.sent.clone(),
            answer_read: seat.answer_read,
        });
        saved.collect()
    }
}

/// What the last snapshot keeps under this name.
pub(super) fn saved<T: DeserializeOwned>(world: &World, name: &str) -> Option<T> {
    kept(&world.ledger.snapshot()?.extra, name)
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("it has nothing that JSON lacks")
}

/// Whether two snapshots differ in nothing but how far was read, and who asked.
fn is_same_state(one: &Snapshot, other: &Snapshot) -> bool {
    let state = |snapshot: &Snapshot| Snapshot {
        sequence: Sequence::default(),
        query: None,
        requests_offset: 0,
        events_offset: 0,
        ..snapshot.clone()
    };
    state(one) == state(other)
}

/// A partition that was never given to anybody has nothing to tell.
fn saved_partition(partition: &TopicPartition, entry: &Entry) -> Option<SnapshotPartition> {
    let read_as = entry.read_as.as_ref()?;
    let topic_id: TopicId = read_as.topic_id;
    let holder = entry.holder();
    let ownership = match &entry.state {
        State::Unowned if entry.is_blocked() => Ownership::Blocked,
        State::Unowned => Ownership::Unowned,
        State::Assigning(_) => Ownership::Assigning,
        State::Owned { .. } => Ownership::Owned,
        State::Revoking { .. } => Ownership::Revoking,
    };
    Some(SnapshotPartition {
        partition: partition.clone(),
        topic_id,
        source: Some(read_as.source.clone()),
        ownership,
        consumer: holder.map(|holder| holder.consumer).or(entry.last_owner),
        incarnation: holder.map(|holder| holder.incarnation),
        since: entry.last_since(),
        hand_over: entry.hand_over.clone(),
        tokens: entry.tokens().to_vec(),
        reason: entry.failures.reason.clone(),
    })
}
