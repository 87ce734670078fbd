//! Pure. What a reign learns from the reports of its consumers: what each sustains, whether more of them help.

use std::collections::BTreeSet;

use common::identity::ConsumerId;
use common::messages::event::Report;
use common::partition::TopicPartition;

use crate::expansion::Group;
use crate::plan::snapshot::{Hold, Snapshot};
use crate::trigger::overloads;

use super::action::{Action, PlanningNote, planning_note};
use super::input::Now;
use super::reign::Reign;
use super::world::World;

/// A consumer that can only wait for its sink for so much of the time is limited by that, in
/// thousandths.
const SINK_LIMITS: u64 = 500;

impl Reign {
    pub(super) fn hear_report(&mut self, report: Report, world: &World, now: Now) -> Vec<Action> {
        if !self.roster.lives().contains_key(&report.incarnation) {
            return vec![];
        }
        let consumer = report.consumer;
        let measured = |partition: &TopicPartition| {
            let known = world.demands.known(partition)?;
            (!known.is_stale).then_some(&known.measured)
        };
        let sample = self.paces.take(&report, measured);
        let mut actions = self.give_up_stuck(&report, world, now);
        self.reports.insert(report.incarnation, report);
        let lesson = sample
            .filter(|_| !self.is_by_hand(consumer))
            .and_then(|sample| self.capacities.take(consumer, sample, now.timestamp));
        let learned =
            lesson.map(|lesson| planning_note(PlanningNote::Learned { consumer, lesson }));
        actions.extend(learned);
        actions
    }

    /// Judges what the last consumers that were created brought, if it is time to.
    pub(super) fn judge_expansion(&mut self, world: &World, now: Now) -> Vec<Action> {
        let lives = self.roster.lives();
        self.paces.retain(|incarnation| lives.contains_key(&incarnation));
        let entries = self.rebalance.entries().values();
        let holders = entries.filter_map(|entry| Some(entry.holder()?.consumer));
        let readers: BTreeSet<ConsumerId> =
            holders.filter(|consumer| self.paces.knows(*consumer)).collect();
        let partitions = self.partitions(world).into_iter();
        let group = Group {
            readers: &readers,
            read: self.paces.total(),
            demand: partitions.map(|partition| world.demands.demand(&partition).steady).sum(),
            capacity: self.capacities.typical(),
        };
        let found = self.expansion.tick(&group, now.moment);
        found
            .map(|shortfall| planning_note(PlanningNote::Shortfall(shortfall)))
            .into_iter()
            .collect()
    }

    /// Consumers are about to be created: what all read now is what they are measured by.
    pub(super) fn expand(&mut self, created: BTreeSet<ConsumerId>, now: Now) {
        self.expansion.began(created, self.paces.total(), now.moment);
    }

    /// Sees to it that no consumer is created, or only some, if something speaks against it.
    pub(super) fn hold_back(&self, snapshot: &mut Snapshot, now: Now) {
        let hold = self.hold_of_newcomers(snapshot, now);
        // Whoever had come and is lost leaves its place: another one takes it at once.
        let lost = u32::try_from(self.lost(now)).unwrap_or(u32::MAX);
        let limits = &mut snapshot.limits;
        if hold.is_some() && lost > 0 {
            limits.create_max = limits.create_max.min(lost);
        }
        snapshot.limits.hold = self.hold(snapshot, hold.filter(|_| lost == 0));
    }

    /// Why another new consumer would not come, either.
    fn hold_of_newcomers(&self, snapshot: &Snapshot, now: Now) -> Option<Hold> {
        if self.newcomers.is_resting(now.moment) {
            return Some(Hold::NeverCame);
        }
        (snapshot.awaited() > 0).then_some(Hold::Awaited)
    }

    /// Why no consumer is to be created, if something speaks against it.
    fn hold(&self, snapshot: &Snapshot, of_newcomers: Option<Hold>) -> Option<Hold> {
        if self.operations.is_paused || self.operations.is_scale_out_paused {
            return Some(Hold::Paused);
        }
        if of_newcomers.is_some() {
            return of_newcomers;
        }
        let overloaded = overloads(snapshot);
        let waiting = overloaded
            .iter()
            .filter(|(consumer, _)| self.paces.sink_wait_permille(*consumer) >= SINK_LIMITS);
        if !overloaded.is_empty() && waiting.count() * 2 >= overloaded.len() {
            return Some(Hold::Sink);
        }
        // Where nobody serves, somebody has to.
        self.expansion.held().filter(|_| snapshot.serving() > 0).map(|_| Hold::Fruitless)
    }
}
