//! Pure. The beginning of a reign: everything is read that the ones before may have given away.
//!
//! The commands up to the own `LeaderStarted` on each consumer's partition, the events up to a
//! marker written since. Only then is anything decided.

use std::collections::BTreeMap;
use std::time::Duration;

use common::identity::{ConsumerId, Incarnation, Nonce};
use common::messages::Message;
use common::messages::event::Heartbeat;
use common::moment::Moment;
use common::term::Generation;
use rand::rngs::ChaCha8Rng;

use crate::fleet::{FleetCommand, FleetEvent};
use crate::inbox::Received;
use crate::recover::{Recovered, Recovery};

use super::action::{Action, Destination, Reading};
use super::input::{CommandsRead, Now};
use super::world::{World, marker};

/// A marker that did not come back is written again; any of them will do.
const MARKER_PATIENCE: Duration = Duration::from_secs(3);

#[derive(Debug)]
pub(super) struct TakeOver {
    generation: Generation,
    author: String,
    recovery: Recovery,
    /// Under which reign commands stood before the first that is read, by consumer.
    reigns: BTreeMap<ConsumerId, Generation>,
    /// The last heartbeat of each incarnation.
    heartbeats: BTreeMap<Incarnation, Heartbeat>,
    markers: Vec<Nonce>,
    marker_written: Moment,
    is_events_end_read: bool,
    commands: Option<CommandsRead>,
    /// What the fleet said meanwhile.
    pub(super) fleet: Vec<FleetEvent>,
    pub(super) events_next: u64,
    /// Nobody led before.
    pub(super) is_first: bool,
}

impl TakeOver {
    pub(super) fn begin(
        generation: Generation,
        world: &World,
        now: Now,
        rng: &mut ChaCha8Rng,
    ) -> (Self, Vec<Action>) {
        let snapshot = world.ledger.snapshot();
        let mut recovery = Recovery::default();
        let mut reigns = BTreeMap::new();
        let mut starts: BTreeMap<ConsumerId, Option<u64>> =
            (1..=world.settings.consumer_partitions).map(|n| (ConsumerId(n), None)).collect();
        for (number, offset) in snapshot.iter().flat_map(|saved| &saved.controller_offsets) {
            let Some(consumer) = number.parse().ok().map(ConsumerId) else { continue };
            if let Some(start) = starts.get_mut(&consumer) {
                *start = Some(*offset);
                reigns.extend(snapshot.map(|saved| (consumer, saved.generation)));
            }
        }
        let from = snapshot.map(|saved| saved.events_offset);
        let is_first = snapshot.is_none() && generation == Generation(0);
        if let Some(snapshot) = snapshot {
            recovery.take_snapshot(snapshot.clone());
        }
        let takeover = Self {
            generation,
            author: world.settings.author.clone(),
            recovery,
            reigns,
            heartbeats: BTreeMap::new(),
            markers: vec![],
            marker_written: now.moment - MARKER_PATIENCE,
            is_events_end_read: false,
            commands: None,
            fleet: vec![],
            events_next: from.unwrap_or(0),
            is_first,
        };
        let reading = Reading { generation, nonce: Nonce::from_rng(rng), starts };
        let actions = vec![
            Action::Fleet(FleetCommand::Survey { generation }),
            Action::TakeOver(reading),
            Action::ReadEvents { generation, from },
        ];
        (takeover, actions)
    }

    pub(super) fn generation(&self) -> Generation {
        self.generation
    }

    pub(super) fn tick(&mut self, now: Now, rng: &mut ChaCha8Rng) -> Vec<Action> {
        // A marker written before our commands' partitions are closed to others proves nothing.
        let is_due = now.moment.saturating_since(self.marker_written) >= MARKER_PATIENCE;
        if self.commands.is_none() || self.is_events_end_read || !is_due {
            return vec![];
        }
        let nonce = Nonce::from_rng(rng);
        self.markers.push(nonce);
        self.marker_written = now.moment;
        vec![marker(Destination::Events, &self.author, nonce)]
    }

    pub(super) fn take_commands(&mut self, read: CommandsRead) {
        if read.generation != self.generation {
            return;
        }
        for (consumer, message) in &read.messages {
            match message {
                Message::LeaderStarted(started) => {
                    let Some(generation) = started.generation else { continue };
                    let reign = self.reigns.entry(*consumer).or_insert(generation);
                    *reign = generation.max(*reign);
                }
                Message::Assign(assign)
                    if self.reigns.get(consumer) == Some(&assign.term.generation) =>
                {
                    self.recovery.take_assign(*consumer, assign.clone());
                }
                // A deposed leader's, or nothing that a consumer obeys.
                _ => {}
            }
        }
        self.commands = Some(read);
    }

    pub(super) fn take_event(&mut self, received: Received) {
        self.events_next = self.events_next.max(received.next);
        match received.message {
            Message::Heartbeat(heartbeat) => {
                self.heartbeats.insert(heartbeat.incarnation, heartbeat);
            }
            Message::Answer(answer) => self.recovery.take_answer(answer),
            Message::Marker(marker) => {
                self.is_events_end_read |= self.markers.contains(&marker.nonce);
            }
            _ => {}
        }
    }

    pub(super) fn keep_fleet(&mut self, event: FleetEvent) {
        self.fleet.push(event);
    }

    pub(super) fn is_ready(&self) -> bool {
        self.commands.is_some() && self.is_events_end_read
    }

    /// What was found, the last heartbeats, and the first offset that was not read of each consumer's
    /// partition that could be reached.
    pub(super) fn finish(self) -> (Recovered, Vec<Heartbeat>, BTreeMap<ConsumerId, u64>) {
        let next = self.commands.unwrap_or_default().next.into_iter().collect();
        (self.recovery.finish(), self.heartbeats.into_values().collect(), next)
    }
}
