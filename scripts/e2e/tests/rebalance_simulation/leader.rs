//! Pure. One reign: recovered from the log, then the real roster and rebalance.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use common::identity::{ConsumerId, Nonce};
use common::messages::Extra;
use common::messages::command::{LeaderStarted, Source};
use common::moment::Moment;
use common::partition::TopicPartition;
use common::term::Generation;
use orchestrator::rebalance::{Action, Event, Rebalance, Target, TopicSource};
use orchestrator::recover::Recovery;
use orchestrator::roster::{Roster, Verdict};
use rand::rngs::ChaCha8Rng;

use super::broker::{Broker, Command, Event as Logged};
use super::process::{heartbeat, topic_id};
use super::world::Seen;

#[derive(Debug)]
pub(crate) struct Leader {
    pub(crate) rebalance: Rebalance,
    roster: Roster,
    cursor: usize,
    ticked: Moment,
    /// When the events were read to their end; after TTL + margin every owner is known.
    began: Moment,
}

impl Leader {
    pub(crate) fn begin(broker: &mut Broker, now: Moment, rng: &mut ChaCha8Rng) -> Self {
        let started = LeaderStarted {
            nonce: Nonce::from_rng(rng),
            author: "simulated".into(),
            generation: None,
            controller_topic_id: topic_id(),
            extra: Extra::new(),
        };
        let generation = broker.begin_reign(started);
        let recovered = recovery(broker).finish();
        let mut roster = Roster::default();
        for (incarnation, seat) in &recovered.seats {
            roster.expect(heartbeat(seat.consumer, *incarnation, 0, 0, false), now);
        }
        let mut rebalance = Rebalance::new(generation, recovered.entries, recovered.seats);
        let sources = BTreeMap::from([("orders".to_owned(), source())]);
        let mut leader_actions = rebalance.handle(Event::Sources(sources), now);
        leader_actions.extend(rebalance.handle(Event::Tick, now));
        let cursor = broker.events.len();
        let leader = Self { rebalance, roster, cursor, ticked: now, began: now };
        leader.execute(leader_actions, broker, &mut Seen::default());
        leader
    }

    pub(crate) fn plan(
        &mut self,
        owners: BTreeMap<TopicPartition, ConsumerId>,
        broker: &mut Broker,
        now: Moment,
        seen: &mut Seen,
    ) {
        let target = Target { owners, ending: BTreeSet::new() };
        let actions = self.rebalance.handle(Event::Planned(target), now);
        self.execute(actions, broker, seen);
    }

    pub(crate) fn confirm_end(&mut self, consumer: ConsumerId, pid: u32) {
        self.roster.confirm_end(consumer, pid);
    }

    /// Reads one event, and ticks when a second has passed.
    pub(crate) fn turn(
        &mut self,
        broker: &mut Broker,
        now: Moment,
        rng: &mut ChaCha8Rng,
        seen: &mut Seen,
    ) {
        if let Some(event) = broker.events.get(self.cursor).cloned() {
            self.cursor += 1;
            self.read(event, broker, now, seen);
        }
        if now.saturating_since(self.began) > Duration::from_secs(11) {
            let actions = self.rebalance.handle(Event::Traced, now);
            self.execute(actions, broker, seen);
        }
        if now.saturating_since(self.ticked) >= Duration::from_secs(1) {
            self.ticked = now;
            for verdict in self.roster.tick(now, rng) {
                self.obey(verdict, broker, now, seen);
            }
            let actions = self.rebalance.handle(Event::Tick, now);
            self.execute(actions, broker, seen);
        }
    }

    fn read(&mut self, event: Logged, broker: &mut Broker, now: Moment, seen: &mut Seen) {
        match event {
            Logged::Heartbeat(heartbeat) => {
                let (consumer, incarnation) = (heartbeat.consumer, heartbeat.incarnation);
                let draining = heartbeat.draining;
                self.roster.heartbeat(heartbeat, now);
                let event = Event::Seen { consumer, incarnation, draining };
                let actions = self.rebalance.handle(event, now);
                self.execute(actions, broker, seen);
            }
            Logged::Answer(answer) => {
                let actions = self.rebalance.handle(Event::Answered(answer), now);
                self.execute(actions, broker, seen);
            }
            Logged::Marker(nonce) => {
                for verdict in self.roster.marker(nonce, now) {
                    self.obey(verdict, broker, now, seen);
                }
            }
        }
    }

    fn obey(&mut self, verdict: Verdict, broker: &mut Broker, now: Moment, seen: &mut Seen) {
        match verdict {
            Verdict::WriteMarker(nonce) => broker.send_event(Logged::Marker(nonce)),
            Verdict::Ended { incarnation, .. } => {
                let actions = self.rebalance.handle(Event::Ended(incarnation), now);
                self.execute(actions, broker, seen);
            }
        }
    }

    fn execute(&self, actions: Vec<Action>, broker: &mut Broker, seen: &mut Seen) {
        for action in actions {
            match action {
                Action::Send { consumer, assign } => {
                    broker.send_command(consumer.0, Command::Assign(assign));
                }
                Action::Owned { .. } => seen.moves += 1,
                Action::Failed { .. } => {}
            }
        }
    }
}

fn source() -> TopicSource {
    let source = Source {
        table: "orders".into(),
        format: "json".into(),
        sink: "parquet".into(),
        options: BTreeMap::new(),
    };
    TopicSource { topic_id: topic_id(), source }
}

/// What the log tells up to the `LeaderStarted` that was just written: of each reign only what
/// stands before the next one's.
fn recovery(broker: &Broker) -> Recovery {
    let mut recovery = Recovery::default();
    for (consumer, partition) in (0u32..).zip(&broker.controller).skip(1) {
        let mut reign: Option<Generation> = None;
        for command in partition {
            match command {
                Command::LeaderStarted(started) => reign = reign.max(started.generation),
                Command::Assign(assign) if Some(assign.term.generation) == reign => {
                    recovery.take_assign(ConsumerId(consumer), assign.clone());
                }
                Command::Assign(_) => {}
            }
        }
    }
    for event in &broker.events {
        if let Logged::Answer(answer) = event {
            recovery.take_answer(answer.clone());
        }
    }
    recovery
}
