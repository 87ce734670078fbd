//! Pure. From what is known to a plan, and from a plan to what is to be done.

use std::collections::{BTreeMap, BTreeSet};

use common::identity::ConsumerId;
use common::partition::TopicPartition;

use crate::decision::{Decision, JournalLine};
use crate::diff::{Diff, Group};
use crate::fleet::FleetCommand;
use crate::plan::snapshot::{ConsumerFacts, PartitionFacts, Scope, Snapshot, Standing};
use crate::plan::{Plan, plan};
use crate::rebalance::{Event, Target};
use crate::status::ConsumerStanding;

use super::action::Action;
use super::input::Now;
use super::reign::Reign;
use super::world::World;

/// Decisions that the status page shows.
const SHOWN: usize = 20;

impl Reign {
    /// Plans if there is a reason to, and sets out for what was planned.
    pub(super) fn plan(&mut self, world: &World, now: Now) -> Vec<Action> {
        let snapshot = self.planning_snapshot(world, now);
        let Some(trigger) = self.triggers.decide(now.moment, &snapshot) else { return vec![] };
        let snapshot = Snapshot { scope: trigger.scope, ..snapshot };
        let plan = plan(&snapshot);
        self.totals.plans += 1;
        if self.diff(&snapshot, &plan).is_empty() {
            self.triggers.fruitless(now.moment);
            return vec![];
        }
        let decision = Decision::new(now.timestamp, &trigger, &plan, &snapshot);
        self.decisions.push_back(decision.clone());
        self.decisions.drain(..self.decisions.len().saturating_sub(SHOWN));
        let decided = Action::Decided(Box::new(JournalLine { decision, snapshot }));
        [vec![decided], self.set_out(plan, world, now)].concat()
    }

    /// What the plan changes. Consumers that were told to end before are no change.
    fn diff(&self, snapshot: &Snapshot, plan: &Plan) -> Diff {
        let stays = |consumer: &&ConsumerId| !self.workloads.ending().contains(consumer);
        let consumers: BTreeSet<_> = snapshot.consumers.keys().filter(stays).copied().collect();
        let is_kept = |consumer: &&ConsumerId| !plan.remove.contains_key(consumer);
        let kept = consumers.iter().filter(is_kept).chain(plan.create.keys()).copied().collect();
        // Not by the snapshot: that does not know of partitions that are not to be read any more.
        let owners = self.rebalance.target().owners.clone();
        let observed = Group { assignment: owners, consumers: consumers.clone() };
        Diff::between(&observed, &Group { consumers: kept, assignment: plan.assignment.clone() })
    }

    /// Everything that the next plan may depend on.
    pub(super) fn planning_snapshot(&self, world: &World, now: Now) -> Snapshot {
        let wishes = world.ledger.wishes();
        let owners = &self.rebalance.target().owners;
        let facts = |partition: TopicPartition| {
            let held = || Some(self.rebalance.entries().get(&partition)?.keeper()?.consumer);
            let facts = PartitionFacts {
                demand: world.demands.demand(&partition),
                deviation: world.demands.deviation(&partition),
                owner: owners.get(&partition).copied().or_else(held),
                wish: wishes.of(&partition),
            };
            (partition, facts)
        };
        Snapshot {
            scope: Scope::Relieve,
            policy: world.settings.policy,
            limits: world.settings.limits.clone(),
            partitions: self.partitions(world).into_iter().map(facts).collect(),
            consumers: self.consumer_facts(world, now),
        }
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

    fn consumer_facts(&self, world: &World, now: Now) -> BTreeMap<ConsumerId, ConsumerFacts> {
        let capacity = world.settings.limits.capacity;
        let standings = self.standings(now);
        let counts = |standing: &ConsumerStanding| {
            matches!(standing, ConsumerStanding::Serving | ConsumerStanding::Starting)
        };
        let others_serve = standings.values().any(counts);
        let facts = |(consumer, standing): (ConsumerId, ConsumerStanding)| {
            let standing = match standing {
                ConsumerStanding::Starting | ConsumerStanding::Serving => Standing::Serving,
                ConsumerStanding::ByHand => Standing::ByHand,
                // Where all fail, another one would fail as well.
                ConsumerStanding::Failing if !others_serve => Standing::Serving,
                ConsumerStanding::Failing | ConsumerStanding::Draining => Standing::Draining,
                ConsumerStanding::Absent => Standing::Gone,
            };
            (consumer, ConsumerFacts { capacity, standing })
        };
        standings.into_iter().map(facts).collect()
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
        } else if self.workloads.ending().contains(&consumer) {
            ConsumerStanding::Draining
        } else if self.workloads.is_failing(consumer, now.moment) {
            ConsumerStanding::Failing
        } else if self.workloads.is_absent(consumer, now.moment) {
            ConsumerStanding::Absent
        } else if self.workloads.is_heard(consumer) {
            ConsumerStanding::Serving
        } else {
            ConsumerStanding::Starting
        }
    }

    fn set_out(&mut self, plan: Plan, world: &World, now: Now) -> Vec<Action> {
        let mut actions = vec![];
        for consumer in plan.create.keys().copied() {
            self.workloads.created(consumer);
            self.totals.consumers_created += 1;
            let deployment = world.services.deployment().clone();
            actions.push(Action::Fleet(FleetCommand::Create { consumer, deployment }));
        }
        self.workloads.end(plan.remove.keys().copied());
        let ending = self.workloads.ending().clone();
        let target = Target { owners: plan.assignment, ending };
        actions.extend(self.rebalance(Event::Planned(target), now));
        actions
    }
}
