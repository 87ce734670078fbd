//! Pure. From what is known to a plan, and from a plan to what is to be done.

use std::collections::{BTreeMap, BTreeSet};

use common::identity::ConsumerId;
use common::partition::TopicPartition;

use crate::decision::{Decision, JournalLine};
use crate::diff::{self, Diff};
use crate::fleet::FleetCommand;
use crate::plan::snapshot::{
    ConsumerFacts, Hold, Limits, PartitionFacts, Scope, Snapshot, Standing,
};
use crate::plan::{Assignment, Plan, plan};
use crate::rebalance::{Event, Rebalance, Target};
use crate::status::ConsumerStanding;
use crate::trigger::{Purpose, Trigger, Triggers, Trust};

use super::action::{Action, PlanningNote, planning_note};
use super::input::Now;
use super::reign::Reign;
use super::rollout::{Group, Progress, Wanted};
use super::workloads::Workloads;
use super::world::World;

/// Decisions that the status page shows.
const SHOWN: usize = 20;

/// What is to be done for a plan.
pub(super) struct SetOut {
    pub(super) create: Vec<ConsumerId>,
    pub(super) remove: Vec<ConsumerId>,
    pub(super) owners: Assignment,
}

impl Reign {
    /// Plans if there is a reason to, and sets out for what was planned; or proposes it.
    pub(super) fn plan(&mut self, world: &World, now: Now) -> Vec<Action> {
        let snapshot = self.planning_snapshot(world, now);
        let mut actions = self.note_hold(snapshot.limits.hold);
        if self.operations.may_improve() {
            actions.extend(self.carry_out(Purpose::Improve, &snapshot, world, now));
        } else {
            let limits = Limits { hold: Some(Hold::Paused), ..snapshot.limits.clone() };
            let repaired = Snapshot { limits, ..snapshot.clone() };
            actions.extend(self.carry_out(Purpose::Repair, &repaired, world, now));
        }
        if !self.operations.is_paused {
            actions.extend(self.propose(&snapshot, world, now));
        }
        actions
    }

    fn carry_out(
        &mut self,
        purpose: Purpose,
        snapshot: &Snapshot,
        world: &World,
        now: Now,
    ) -> Vec<Action> {
        let known = (&self.rebalance, &self.workloads);
        let worked_out = work_out(&mut self.triggers, purpose, snapshot, known, now);
        let Some((trigger, snapshot, plan)) = worked_out else { return vec![] };
        let decision = Decision::new(now.timestamp, &trigger, &plan, &snapshot);
        let decided = self.decided(decision, snapshot);
        let set_out = SetOut {
            create: plan.create.into_keys().collect(),
            remove: plan.remove.into_keys().collect(),
            owners: plan.assignment,
        };
        [vec![decided], self.set_out(set_out, world, now)].concat()
    }

    /// Remembers a decision that is carried out.
    pub(super) fn decided(&mut self, decision: Decision, snapshot: Snapshot) -> Action {
        self.totals.plans += 1;
        self.decisions.push_back(decision.clone());
        self.decisions.drain(..self.decisions.len().saturating_sub(SHOWN));
        Action::Decided(Box::new(JournalLine { decision, snapshot }))
    }

    /// Everything that the next plan may depend on.
    pub(super) fn planning_snapshot(&self, world: &World, now: Now) -> Snapshot {
        let wishes = world.ledger.wishes();
        let owners = &self.rebalance.target().owners;
        let consumers = self.consumer_facts(now);
        let facts = |partition: TopicPartition| {
            let held = || Some(self.rebalance.entries().get(&partition)?.keeper()?.consumer);
            // Until the next owner lives the present one holds it: it may as well stay there.
            let is_awaited = |owner: &ConsumerId| {
                consumers.get(owner).is_some_and(|facts| facts.standing == Standing::Awaited)
            };
            let planned = owners.get(&partition).copied().filter(|owner| !is_awaited(owner));
            let facts = PartitionFacts {
                demand: world.demands.demand(&partition),
                deviation: world.demands.deviation(&partition),
                owner: planned.or_else(held),
                wish: wishes.of(&partition),
            };
            (partition, facts)
        };
        let limits =
            Limits { capacity: self.capacities.typical(), ..world.settings.limits.clone() };
        let mut snapshot = Snapshot {
            scope: Scope::Relieve,
            policy: world.settings.policy,
            limits,
            partitions: self.partitions(world).into_iter().map(facts).collect(),
            consumers: consumers.clone(),
        };
        self.hold_back(&mut snapshot, now);
        if self.operations.is_scale_in_paused {
            let serving = u32::try_from(snapshot.serving()).unwrap_or(u32::MAX);
            let limits = &mut snapshot.limits;
            limits.consumers_min = limits.consumers_min.max(serving.min(limits.consumers_max));
        }
        snapshot
    }

    /// Tells when it changes whether consumers may be created, and why not.
    fn note_hold(&mut self, hold: Option<Hold>) -> Vec<Action> {
        let was = std::mem::replace(&mut self.held, hold);
        if was == hold { vec![] } else { vec![planning_note(PlanningNote::Held(hold))] }
    }

    /// All partitions that are to be read.
    pub(super) fn partitions(&self, world: &World) -> BTreeSet<TopicPartition> {
        let mut partitions = BTreeSet::new();
        for topic in self.rebalance.sources().keys() {
            if world.services.topics().contains_key(topic) {
                let count = world.catalog.topic(topic).map_or(0, |known| known.partitions);
                partitions.extend((0..count).map(|number| TopicPartition::new(topic, number)));
            } else {
                let entries = self.rebalance.entries().keys();
                let known = entries.filter(|partition| partition.topic() == topic);
                partitions.extend(known.cloned());
            }
        }
        partitions
    }

    fn consumer_facts(&self, now: Now) -> BTreeMap<ConsumerId, ConsumerFacts> {
        let standings = self.standings(now);
        let counts = |standing: &ConsumerStanding| {
            matches!(standing, ConsumerStanding::Serving | ConsumerStanding::Starting)
        };
        let others_serve = standings.values().any(counts);
        let facts = |(consumer, standing): (ConsumerId, ConsumerStanding)| {
            let standing = match standing {
                ConsumerStanding::Starting | ConsumerStanding::Serving => Standing::Serving,
                ConsumerStanding::ByHand | ConsumerStanding::Unreachable => Standing::ByHand,
                // Where all fail, another one would fail as well.
                ConsumerStanding::Failing if !others_serve => Standing::Serving,
                ConsumerStanding::Failing | ConsumerStanding::Draining => Standing::Draining,
                ConsumerStanding::Awaited => Standing::Awaited,
                ConsumerStanding::Absent => Standing::Gone,
            };
            (consumer, ConsumerFacts { capacity: self.capacities.of(consumer), standing })
        };
        // Numbers that cannot be used, whether or not a process has them.
        let unreachable = self.unreachable.consumers().iter();
        let unreachable = unreachable.map(|consumer| (*consumer, ConsumerStanding::Unreachable));
        standings.into_iter().chain(unreachable).map(facts).collect()
    }

    /// How every consumer stands that exists, in the fleet or elsewhere.
    pub(super) fn standings(&self, now: Now) -> BTreeMap<ConsumerId, ConsumerStanding> {
        let all = self.consumers();
        all.into_iter().map(|consumer| (consumer, self.standing(consumer, now))).collect()
    }

    /// Those of the fleet, and whoever else lives. Of one that only old heartbeats tell of it is not
    /// known whether it does: it is no consumer until it is heard.
    pub(super) fn consumers(&self) -> BTreeSet<ConsumerId> {
        let lives = self.roster.lives().values().map(|life| life.heartbeat.consumer);
        let elsewhere = lives.filter(|consumer| {
            let takes = self.rebalance.taker(*consumer).is_some();
            takes || self.is_by_hand(*consumer) || self.workloads.ending().contains(consumer)
        });
        self.workloads.known().keys().copied().chain(elsewhere).collect()
    }

    fn standing(&self, consumer: ConsumerId, now: Now) -> ConsumerStanding {
        if self.is_by_hand(consumer) {
            ConsumerStanding::ByHand
        } else if self.unreachable.contains(consumer) {
            ConsumerStanding::Unreachable
        } else if self.workloads.ending().contains(&consumer)
            || self.operations.draining.contains(&consumer)
            || self.rollout.is_draining(consumer)
        {
            ConsumerStanding::Draining
        } else if self.workloads.is_failing(consumer, now.moment) {
            self.unless_awaited(consumer, ConsumerStanding::Failing, now)
        } else if self.workloads.is_awaited(consumer, now.moment) {
            ConsumerStanding::Awaited
        } else if self.workloads.is_absent(consumer, now.moment) {
            self.unless_awaited(consumer, ConsumerStanding::Absent, now)
        } else if self.workloads.is_heard(consumer) {
            ConsumerStanding::Serving
        } else {
            ConsumerStanding::Starting
        }
    }

    /// Goes on with the replacement of consumers that run with something old.
    pub(super) fn roll_out(&mut self, world: &World, now: Now) -> Vec<Action> {
        let (standings, outdated) =
            (self.standings(now), self.workloads.who_is_outdated(world.services.deployment()));
        let (deployment, template) =
            (world.services.deployment().clone(), self.workloads.templates());
        let wanted = Wanted { deployment, template };
        self.newcomers.note_wanted(&wanted);
        let is_measuring = self.triggers.trust(now.moment) == Trust::Measuring;
        let draining = self.rollout.draining();
        let group = Group {
            standings: &standings,
            outdated: &outdated,
            wanted: &wanted,
            is_settled: self.rebalance.is_settled(),
            may_change: is_measuring && self.operations.may_improve(),
            may_create: self.held.is_none(),
        };
        let progress = self.rollout.tick(group, now.moment);
        if let Some(Progress::Stopped { .. }) = progress {
            draining.into_iter().for_each(|consumer| self.workloads.stay(consumer));
            self.configuration_changed("the roll-out was stopped");
        }
        // One that holds nothing, since it never came, gives no other reason to plan.
        if let Some(Progress::Replaces { consumer, .. }) = progress {
            self.configuration_changed(&format!("{consumer} runs with something old"));
        }
        let note = |progress| planning_note(PlanningNote::RolledOut(progress));
        progress.map(note).into_iter().collect()
    }

    pub(super) fn set_out(&mut self, plan: SetOut, world: &World, now: Now) -> Vec<Action> {
        let mut actions = vec![];
        // Whoever only takes another's place brings nothing.
        if self.rollout.draining().is_none() {
            self.expand(plan.create.iter().copied().collect(), now);
        }
        for consumer in plan.create {
            let deployment = world.services.deployment().clone();
            self.workloads.created(consumer, deployment.clone());
            self.openings.began(consumer, now.moment);
            self.newcomers.created(consumer);
            self.totals.consumers_created += 1;
            actions.push(Action::Fleet(FleetCommand::Create { consumer, deployment }));
        }
        self.workloads.end(plan.remove);
        let ending = self.workloads.ending().clone();
        let target = Target { owners: plan.owners, ending };
        actions.extend(self.rebalance(Event::Planned(target), now));
        actions
    }
}

/// The plan that there is a reason for, with the reason and what it was made from, if it changes
/// anything. A reason whose plan changes nothing rests for a while.
pub(super) fn work_out(
    triggers: &mut Triggers,
    purpose: Purpose,
    snapshot: &Snapshot,
    (rebalance, workloads): (&Rebalance, &Workloads),
    now: Now,
) -> Option<(Trigger, Snapshot, Plan)> {
    let trigger = triggers.decide(now.moment, snapshot, purpose)?;
    let snapshot = Snapshot { scope: trigger.scope, ..snapshot.clone() };
    let plan = plan(&snapshot);
    if diff(rebalance, workloads, &snapshot, &plan).is_empty() {
        triggers.fruitless(now.moment);
        return None;
    }
    Some((trigger, snapshot, plan))
}

/// What the plan changes. Consumers that were told to end before are no change.
fn diff(rebalance: &Rebalance, workloads: &Workloads, snapshot: &Snapshot, plan: &Plan) -> Diff {
    let stays = |consumer: &&ConsumerId| !workloads.ending().contains(consumer);
    let consumers: BTreeSet<_> = snapshot.consumers.keys().filter(stays).copied().collect();
    let is_kept = |consumer: &&ConsumerId| !plan.remove.contains_key(consumer);
    let kept = consumers.iter().filter(is_kept).chain(plan.create.keys()).copied().collect();
    // Not by the snapshot: that does not know of partitions that are not to be read any more.
    let owners = rebalance.target().owners.clone();
    let observed = diff::Group { assignment: owners, consumers: consumers.clone() };
    Diff::between(&observed, &diff::Group { consumers: kept, assignment: plan.assignment.clone() })
}
