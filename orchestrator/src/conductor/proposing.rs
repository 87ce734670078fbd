//! Pure. Plans that are proposed rather than carried out, and consumers that people drain.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use common::identity::ConsumerId;
use common::messages::Extra;
use common::messages::request::Drain;
use common::moment::Moment;
use common::partition::TopicPartition;

use crate::decision::Decision;
use crate::plan::snapshot::{Snapshot, Wish};
use crate::proposal::{Approved, Proposal};
use crate::trigger::{Purpose, Triggers};

use super::action::{Action, Destination, PlanningNote, planning_note};
use super::input::Now;
use super::planning::{SetOut, work_out};
use super::reign::Reign;
use super::world::World;

/// A proposal that can be carried out stands for so long before it is thought over.
const STANDS: Duration = Duration::from_secs(60);
/// A record that ends the order to drain somebody is to be read back within this.
const LIFT_PATIENCE: Duration = Duration::from_secs(5);

/// What a reign knows about plans that wait for approval.
#[derive(Debug, Default)]
pub(super) struct Proposing {
    /// Reasons to propose; those to repair are taken apart from these.
    triggers: Option<Triggers>,
    /// What is proposed, and when it was thought over last.
    standing: Option<(Proposal, Moment)>,
    /// The last approval that was acted upon, or could not be.
    answered: Option<String>,
}

impl Proposing {
    /// What a leader of before proposed last.
    pub(super) fn resume(saved: Option<Proposal>, now: Moment) -> Self {
        Self { standing: saved.map(|proposal| (proposal, now)), ..Self::default() }
    }

    pub(super) fn proposal(&self) -> Option<&Proposal> {
        self.standing.as_ref().map(|(proposal, _)| proposal)
    }

    pub(super) fn triggers(&mut self) -> Option<&mut Triggers> {
        self.triggers.as_mut()
    }
}

impl Reign {
    /// Brings up to date what people ordered. That a consumer was drained is written to the log, so
    /// that the order ends for every leader.
    pub(super) fn update_operations(&mut self, world: &World, now: Now) -> Vec<Action> {
        self.operations = world.ledger.operations();
        let ordered = &self.operations.draining;
        self.lifted.retain(|consumer, written| {
            // A record that was lost on its way is written again.
            ordered.contains(consumer) && now.moment.saturating_since(*written) < LIFT_PATIENCE
        });
        if !self.workloads.is_surveyed() {
            return vec![];
        }
        let consumers = self.consumers();
        let drained: Vec<_> = ordered.difference(&consumers).copied().collect();
        let mut actions = vec![];
        for consumer in drained {
            self.operations.draining.remove(&consumer);
            if self.lifted.insert(consumer, now.moment).is_none() {
                let lift = Drain { consumer, lift: true, extra: Extra::new() };
                let (to, message) = (Destination::Requests, lift.into());
                actions.push(planning_note(PlanningNote::Drained(consumer)));
                actions.push(Action::Write { to, message });
            }
        }
        actions
    }

    /// Carries out what was approved, and proposes what would be done next.
    pub(super) fn propose(&mut self, snapshot: &Snapshot, world: &World, now: Now) -> Vec<Action> {
        if !self.operations.is_dry_run {
            self.proposing = Proposing::default();
            return vec![];
        }
        let triggers = self.proposing.triggers.get_or_insert_with(|| self.triggers.clone());
        if let Some(name) = self.operations.approved.clone()
            && self.proposing.answered.as_ref() != Some(&name)
        {
            return self.carry_out_approved(name, snapshot, world, now);
        }
        if let Some((proposal, thought_over)) = &self.proposing.standing
            && now.moment.saturating_since(*thought_over) < STANDS
            && approved(proposal, snapshot).is_some()
        {
            return vec![];
        }
        let (rebalance, workloads) = (&self.rebalance, &self.workloads);
        let worked_out =
            work_out(triggers, Purpose::Improve, snapshot, (rebalance, workloads), now);
        let Some((trigger, snapshot, plan)) = worked_out else {
            self.proposing.standing = None;
            return vec![];
        };
        let decision = Decision::new(now.timestamp, &trigger, &plan, &snapshot);
        if let Some((known, thought_over)) = &mut self.proposing.standing
            && known.decision.changes == decision.changes
        {
            *thought_over = now.moment;
            return vec![];
        }
        let proposal = Proposal::new(decision);
        let note = planning_note(PlanningNote::Proposed(proposal.clone()));
        self.proposing.standing = Some((proposal, now.moment));
        vec![note, self.save(world, None, now)]
    }

    fn carry_out_approved(
        &mut self,
        name: String,
        snapshot: &Snapshot,
        world: &World,
        now: Now,
    ) -> Vec<Action> {
        self.proposing.answered = Some(name.clone());
        let standing = self.proposing.standing.take_if(|(proposal, _)| proposal.name == name);
        let found = standing.and_then(|(proposal, _)| {
            let approved = approved(&proposal, snapshot)?;
            Some((proposal.decision, approved))
        });
        let Some((decision, Approved { create, remove, owners })) = found else {
            return vec![planning_note(PlanningNote::NotApproved { name })];
        };
        let reason = format!("{} (proposed as {name}, and approved)", decision.reason);
        let decision = Decision { at: now.timestamp, reason, ..decision };
        let snapshot = Snapshot { scope: decision.scope, ..snapshot.clone() };
        let mut actions = vec![self.decided(decision, snapshot)];
        actions.extend(self.set_out(SetOut { create, remove, owners }, world, now));
        actions.push(self.save(world, None, now));
        actions
    }
}

/// What the proposal leads to, if all is as it was when it was made.
fn approved(proposal: &Proposal, snapshot: &Snapshot) -> Option<Approved> {
    let read = snapshot.partitions.iter().filter(|(_, facts)| facts.wish != Wish::Excluded);
    let owners: BTreeMap<TopicPartition, ConsumerId> = read
        .filter_map(|(partition, _)| Some((partition.clone(), snapshot.living_owner(partition)?)))
        .collect();
    let consumers: BTreeSet<ConsumerId> = snapshot.consumers.keys().copied().collect();
    proposal.from(&owners, &consumers)
}
