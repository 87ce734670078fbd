//! Pure. One reign: who lives, who holds what, and what becomes of it as time goes by.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use common::identity::{ConsumerId, Incarnation};
use common::messages::Extra;
use common::messages::event::{BY_HAND, Heartbeat, Report};
use common::messages::snapshot::Snapshot;
use common::moment::Moment;
use common::term::Generation;
use rand::rngs::ChaCha8Rng;

use crate::capacity::{Capacities, CapacityPolicy};
use crate::decision::Decision;
use crate::expansion::Expansion;
use crate::fleet::FleetCommand;
use crate::ledger::Request;
use crate::operations::Operations;
use crate::pace::Paces;
use crate::plan::snapshot::Hold;
use crate::rebalance::{self, Rebalance, Seat, TopicSource};
use crate::roster::{Roster, Verdict};
use crate::status::Totals;
use crate::trigger::{Occasion, Triggers};

use super::action::{Action, Destination, Note};
use super::care::Care;
use super::gaps::Gaps;
use super::input::Now;
use super::newcomers::Newcomers;
use super::openings::{Openings, Step};
use super::proposing::Proposing;
use super::rollout::Rollout;
use super::saved::{CAPACITIES, PROPOSAL, saved};
use super::takeover::TakeOver;
use super::unreachable::Unreachable;
use super::workloads::Workloads;
use super::world::{World, marker};

/// Commands without an answer are repeated this often.
const REPEAT_INTERVAL: Duration = Duration::from_secs(1);
/// TTL and margin of an incarnation of which no heartbeat was read.
pub(super) const TTL_MS: u64 = 10_000;
pub(super) const MARGIN_MS: u64 = 1_000;

#[derive(Debug)]
pub(super) struct Reign {
    pub(super) generation: Generation,
    pub(super) author: String,
    pub(super) roster: Roster,
    pub(super) rebalance: Rebalance,
    pub(super) triggers: Triggers,
    pub(super) proposing: Proposing,
    /// What people ordered about the group, but for what was done since.
    pub(super) operations: Operations,
    /// Consumers that were drained: when the record that says so was written. It was not read yet.
    pub(super) lifted: BTreeMap<ConsumerId, Moment>,
    pub(super) paces: Paces,
    pub(super) capacities: Capacities,
    pub(super) expansion: Expansion,
    pub(super) care: Care,
    /// Why no consumer is created, as it was told last.
    pub(super) held: Option<Hold>,
    pub(super) workloads: Workloads,
    pub(super) unreachable: Unreachable,
    pub(super) openings: Openings,
    pub(super) newcomers: Newcomers,
    pub(super) rollout: Rollout,
    /// How topics were read that somebody held when the reign began.
    pub(super) inherited: BTreeMap<String, TopicSource>,
    pub(super) reports: BTreeMap<Incarnation, Report>,
    pub(super) decisions: VecDeque<Decision>,
    pub(super) totals: Totals,
    pub(super) gaps: Gaps,
    /// The first offsets that were not read, or written, by this reign.
    pub(super) events_next: u64,
    pub(super) commands_next: BTreeMap<ConsumerId, u64>,
    pub(super) saved: Option<Snapshot>,
    pub(super) saved_at: Moment,
    pub(super) began: Moment,
    pub(super) is_traced: bool,
    repeated_at: Moment,
}

impl Reign {
    pub(super) fn begin(takeover: TakeOver, world: &World, now: Now) -> (Self, Vec<Action>) {
        let (generation, events_next) = (takeover.generation(), takeover.events_next);
        let (is_traced, fleet) = (takeover.is_first, takeover.fleet.clone());
        let (mut recovered, heartbeats, commands_next) = takeover.finish();
        let all = (1..=world.settings.consumer_partitions).map(ConsumerId);
        let unreachable: BTreeSet<_> = all.filter(|n| !commands_next.contains_key(n)).collect();
        if !unreachable.is_empty() {
            recovered.doubt();
        }
        let mut roster = Roster::default();
        for heartbeat in heartbeats {
            roster.expect(heartbeat, now.moment);
        }
        for (incarnation, seat) in &recovered.seats {
            roster.expect(trace(*incarnation, seat), now.moment);
        }
        let took_over = Note::TookOver {
            partitions: recovered.entries.len(),
            incarnations: recovered.seats.len(),
        };
        let held = recovered.entries.iter().filter(|(_, entry)| entry.keeper().is_some());
        let inherited = held.filter_map(|(partition, entry)| {
            Some((partition.topic().to_owned(), entry.read_as.clone()?))
        });
        let out_of_reach = (!unreachable.is_empty()).then(|| unreachable.clone());
        let mut reign = Self {
            generation,
            author: world.settings.author.clone(),
            roster,
            inherited: inherited.collect(),
            rebalance: Rebalance::new(generation, recovered.entries, recovered.seats),
            triggers: Triggers::new(world.settings.trigger, now.moment),
            proposing: Proposing::resume(saved(world, PROPOSAL), now.moment),
            operations: world.ledger.operations(),
            lifted: BTreeMap::new(),
            paces: Paces::default(),
            capacities: capacities(world),
            expansion: Expansion::default(),
            care: Care::new(now.moment),
            held: None,
            workloads: Workloads::default(),
            unreachable: Unreachable::new(unreachable),
            openings: Openings::default(),
            newcomers: Newcomers::default(),
            rollout: Rollout::default(),
            reports: BTreeMap::new(),
            decisions: VecDeque::new(),
            totals: Totals::default(),
            gaps: Gaps::default(),
            events_next,
            commands_next,
            saved: None,
            saved_at: now.moment,
            began: now.moment,
            is_traced: false,
            repeated_at: now.moment,
        };
        let notes = [Some(took_over), out_of_reach.map(Note::Unreachable)];
        let mut actions: Vec<_> = notes.into_iter().flatten().map(Action::Note).collect();
        if is_traced && reign.unreachable.is_empty() {
            reign.is_traced = true;
            actions.extend(reign.rebalance(rebalance::Event::Traced, now));
        }
        actions.extend(fleet.into_iter().flat_map(|event| reign.hear_fleet(event, now)));
        // The first commands of the reign: everybody learns of it, and answers it.
        actions.extend(reign.rebalance(rebalance::Event::Tick, now));
        (reign, actions)
    }

    pub(super) fn generation(&self) -> Generation {
        self.generation
    }

    pub(super) fn tick(&mut self, world: &World, now: Now, rng: &mut ChaCha8Rng) -> Vec<Action> {
        let mut actions = self.update_sources(world, now);
        actions.extend(self.trace(now));
        for verdict in self.roster.tick(now.moment, rng) {
            actions.extend(self.obey_roster(verdict, now));
        }
        if now.moment.saturating_since(self.repeated_at) >= REPEAT_INTERVAL {
            self.repeated_at = now.moment;
            actions.extend(self.rebalance(rebalance::Event::Tick, now));
        }
        self.note_who_is_heard(now);
        actions.extend(self.give_up_newcomers(now, rng));
        actions.extend(self.remove_whom_nobody_can_tell());
        actions.extend(self.update_operations(world, now));
        actions.extend(self.care(world, now, rng));
        if world.is_complete() && self.workloads.is_surveyed() {
            actions.extend(self.judge_expansion(world, now));
            actions.extend(self.roll_out(world, now));
            actions.extend(self.plan(world, now));
        }
        actions.extend(self.save_if_due(world, now));
        actions
    }

    /// How topics are read from now on: by their entries, or, where a topic has neither an entry nor
    /// a tombstone, as before.
    fn update_sources(&mut self, world: &World, now: Now) -> Vec<Action> {
        if !world.is_complete() {
            return vec![];
        }
        let services = &world.services;
        let is_orphan =
            |topic: &str| !services.is_stopped(topic) && !services.topics().contains_key(topic);
        let orphans = self.inherited.iter().filter(|(topic, _)| is_orphan(topic));
        let mut sources = world.sources();
        sources.extend(orphans.map(|(topic, source)| (topic.clone(), source.clone())));
        if *self.rebalance.sources() == sources {
            return vec![];
        }
        self.rebalance(rebalance::Event::Sources(sources), now)
    }

    pub(super) fn obey_roster(&mut self, verdict: Verdict, now: Now) -> Vec<Action> {
        let (consumer, incarnation, why) = match verdict {
            Verdict::WriteMarker(nonce) => {
                return vec![marker(Destination::Events, &self.author, nonce)];
            }
            Verdict::Ended { consumer, incarnation, why } => (consumer, incarnation, why),
        };
        let entries = self.rebalance.entries().values();
        let held = entries
            .filter(|entry| entry.holder().is_some_and(|holder| holder.incarnation == incarnation));
        let partitions = held.count();
        self.reports.remove(&incarnation);
        let is_current = self.rebalance.taker(consumer).is_none_or(|taker| taker == incarnation);
        let actions = self.rebalance(rebalance::Event::Ended(incarnation), now);
        if is_current {
            self.workloads.incarnation_ended(consumer, why, now.moment);
        }
        if partitions > 0 && !self.workloads.ending().contains(&consumer) {
            self.note_occasion(Occasion::ConsumerDied(consumer));
        }
        let note = Note::IncarnationEnded { consumer, incarnation, why, partitions };
        [vec![Action::Note(note)], actions].concat()
    }

    fn note_who_is_heard(&mut self, now: Now) {
        let consumers = self.consumers();
        self.workloads.retain_absences(&consumers);
        for consumer in consumers {
            let is_heard = self.rebalance.taker(consumer).is_some() || self.is_by_hand(consumer);
            self.workloads.note_heard(consumer, is_heard, now.moment);
            if self.newcomers.note_heard(consumer, is_heard, now.moment) {
                self.workloads.forgive(consumer);
            }
        }
    }

    /// One that is to end but has no living incarnation cannot be told by a command.
    fn remove_whom_nobody_can_tell(&mut self) -> Vec<Action> {
        let has_seat =
            |consumer| self.rebalance.seats().values().any(|seat| seat.consumer == consumer);
        let untold: Vec<ConsumerId> = self
            .workloads
            .ending()
            .iter()
            .copied()
            .filter(|consumer| !has_seat(*consumer))
            .collect();
        let mut actions = vec![];
        for consumer in untold {
            if !self.workloads.known().contains_key(&consumer) {
                self.workloads.forget(consumer); // Nobody's: it ended.
            } else if self.workloads.leave(consumer) {
                actions.push(Action::Fleet(FleetCommand::Remove { consumer }));
            }
        }
        actions
    }

    /// Passes an event to the rebalance, and turns what it wants into actions.
    pub(super) fn rebalance(&mut self, event: rebalance::Event, now: Now) -> Vec<Action> {
        let wanted = self.rebalance.handle(event, now.moment);
        wanted.into_iter().flat_map(|action| self.obey_rebalance(action, now)).collect()
    }

    fn obey_rebalance(&mut self, action: rebalance::Action, now: Now) -> Vec<Action> {
        match action {
            rebalance::Action::Send { consumer, assign } => {
                let leaves = assign.end
                    && self.workloads.ending().contains(&consumer)
                    && self.workloads.leave(consumer);
                let to = Destination::Consumer(consumer);
                let write = Action::Write { to, message: assign.into() };
                let remove = Action::Fleet(FleetCommand::Remove { consumer });
                if leaves { vec![remove, write] } else { vec![write] }
            }
            rebalance::Action::Owned { partition, from, to } => {
                self.totals.moves += u64::from(from.is_some_and(|from| from != to));
                let opened = self.openings.reached(to, Step::HandedOver, now.moment);
                [vec![Action::Note(Note::Moved { partition, from, to })], opened].concat()
            }
            rebalance::Action::Failed { partition, consumer, reason } => {
                vec![Action::Note(Note::OpenFailed { partition, consumer, reason })]
            }
        }
    }

    pub(super) fn is_by_hand(&self, consumer: ConsumerId) -> bool {
        let mut lives = self.roster.lives().values();
        lives.any(|life| life.heartbeat.consumer == consumer && is_by_hand(&life.heartbeat))
    }

    pub(super) fn configuration_changed(&mut self, what: &str) {
        self.note_occasion(Occasion::ConfigurationChanged(what.into()));
    }

    pub(super) fn catalog_changed(&mut self, changes: &[String]) {
        for change in changes {
            self.configuration_changed(change);
        }
    }

    pub(super) fn asked(&mut self, request: &Request) {
        let by = match request {
            Request::Start(start) => format!("a request to read {}", start.topic),
            Request::Stop(stop) => format!("a request not to read {}", stop.topic),
            Request::Unpin(unpin) => format!("a request to unpin {}", unpin.topic),
            Request::Resume(_) => "a request to resume".into(),
            Request::Drain(drain) => {
                // An order of now, whatever became of an earlier one.
                self.lifted.remove(&drain.consumer);
                // One that holds nothing gives no other reason to plan.
                self.configuration_changed(&format!("{} is to be drained", drain.consumer));
                return;
            }
            Request::DryRun(_) => "a request to propose".into(),
            Request::Pause(_) | Request::Approve(_) => return,
        };
        self.note_occasion(Occasion::Asked(by));
    }

    pub(super) fn measured(&mut self, now: Moment) {
        let proposing = self.proposing.triggers();
        [Some(&mut self.triggers), proposing].into_iter().flatten().for_each(|t| t.measured(now));
    }

    fn note_occasion(&mut self, occasion: Occasion) {
        if let Some(triggers) = self.proposing.triggers() {
            triggers.note(occasion.clone());
        }
        self.triggers.note(occasion);
    }

    pub(super) fn written(&mut self, consumer: ConsumerId, next: u64) {
        if self.unreachable.contains(consumer) {
            return; // What stands before that was not read.
        }
        let known = self.commands_next.entry(consumer).or_default();
        *known = next.max(*known);
    }
}

/// What is known of consumers: as configured, and as the last snapshot keeps it.
fn capacities(world: &World) -> Capacities {
    let (configured, factor) = (world.settings.limits.capacity, world.settings.capacity_factor);
    let policy = CapacityPolicy { configured, factor };
    Capacities::new(policy, saved(world, CAPACITIES).unwrap_or_default())
}

pub(super) fn is_by_hand(heartbeat: &Heartbeat) -> bool {
    heartbeat.extra.contains_key(BY_HAND)
}

/// An incarnation of which only commands tell: it has the usual time to show that it lives.
fn trace(incarnation: Incarnation, seat: &Seat) -> Heartbeat {
    Heartbeat {
        consumer: seat.consumer,
        incarnation,
        number: 0,
        process_started_ms: 0,
        pid: 0,
        pod_uid: None,
        ttl_ms: TTL_MS,
        margin_ms: MARGIN_MS,
        lock_held: false,
        command_read: None,
        address: None,
        draining: false,
        extra: Extra::new(),
    }
}
