//! Pure. The consumers that the fleet runs, as far as it told, and who of them can be counted on.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use common::identity::ConsumerId;
use common::messages::event::Heartbeat;
use common::messages::service::DeploymentEntry;
use common::moment::Moment;

use crate::fleet::{Found, ProcessId};

use crate::roster::End;

/// Failures in a row from which on a consumer is not counted on.
const FAILURES_MAX: u32 = 3;
/// For so long after the last of them.
const FAILING: Duration = Duration::from_secs(60);
/// How long a consumer may be silent after it was created or its process ended.
const START_PATIENCE: Duration = Duration::from_secs(20);
/// The same for one that cannot run for now: clusters take their time to make room.
const WAIT_PATIENCE: Duration = Duration::from_secs(60);
/// How long after its lease lapsed: whoever only lost touch knows it two margins earlier, and is back
/// at once. With the lease and the start of another consumer this has to stay below 15 s.
const LAPSE_PATIENCE: Duration = Duration::from_secs(1);

/// How much longer when most are silent at once: then it was Kafka that was away, and all come back.
const MOST_SILENT: Duration = Duration::from_secs(13);

#[derive(Clone, Debug, Default)]
pub(super) struct Workload {
    pub(super) process: Option<ProcessId>,
    /// What it was created with.
    pub(super) deployment: DeploymentEntry,
    /// Why it cannot run for now, and since when.
    waiting: Option<(String, Moment)>,
    pub(super) failures: u32,
    failed_at: Option<Moment>,
    /// The fleet was told to remove it.
    is_leaving: bool,
    /// It was created and has never been heard.
    is_new: bool,
}

impl Workload {
    pub(super) fn pid(&self) -> Option<u32> {
        self.process.as_ref().and_then(ProcessId::pid)
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct Workloads {
    known: BTreeMap<ConsumerId, Workload>,
    /// Those that are to end once they hold nothing.
    ending: BTreeSet<ConsumerId>,
    /// When a consumer that is not heard counts as absent.
    absent_from: BTreeMap<ConsumerId, Moment>,
    /// Those that are absent because their lease lapsed.
    lapsed: BTreeSet<ConsumerId>,
    is_surveyed: bool,
    /// Those that their fleet would make from something else by now.
    outdated: BTreeSet<ConsumerId>,
    /// Counts what the fleet would make consumers from.
    templates: u64,
}

impl Workloads {
    pub(super) fn survey(&mut self, found: BTreeMap<ConsumerId, Found>) {
        self.is_surveyed = true;
        for (consumer, Found { process, deployment }) in found {
            let workload = self.known.entry(consumer).or_default();
            (workload.process, workload.deployment) = (process, deployment);
        }
    }

    /// That some are outdated who were not says that there is something new.
    pub(super) fn outdated(&mut self, consumers: BTreeSet<ConsumerId>) {
        self.templates += u64::from(!consumers.is_subset(&self.outdated));
        self.outdated = consumers;
    }

    pub(super) fn templates(&self) -> u64 {
        self.templates
    }

    /// Those that run with something else than `wanted`, or than their fleet would make them from.
    pub(super) fn who_is_outdated(&self, wanted: &DeploymentEntry) -> BTreeSet<ConsumerId> {
        let is_old = |(consumer, workload): &(&ConsumerId, &Workload)| {
            workload.deployment != *wanted || self.outdated.contains(consumer)
        };
        self.known.iter().filter(is_old).map(|(consumer, _)| *consumer).collect()
    }

    pub(super) fn is_surveyed(&self) -> bool {
        self.is_surveyed
    }

    pub(super) fn created(&mut self, consumer: ConsumerId, deployment: DeploymentEntry) {
        self.forget(consumer);
        let workload = Workload { deployment, is_new: true, ..Workload::default() };
        self.known.insert(consumer, workload);
    }

    /// One that had to wait has the usual time from now on.
    pub(super) fn started(&mut self, consumer: ConsumerId, process: ProcessId, now: Moment) {
        let workload = self.known.entry(consumer).or_default();
        workload.process = Some(process);
        let has_waited = workload.waiting.take().is_some();
        if let Some(from) = self.absent_from.get_mut(&consumer)
            && has_waited
            && !self.lapsed.contains(&consumer)
        {
            *from = now + START_PATIENCE;
        }
    }

    /// Of two runs of one consumer the end of the earlier may be told last.
    pub(super) fn exited(&mut self, consumer: ConsumerId, process: &ProcessId) {
        if let Some(workload) = self.known.get_mut(&consumer)
            && workload.process.as_ref().is_some_and(|known| known.is_same_as(process))
        {
            workload.process = None;
        }
    }

    /// It cannot run for now.
    pub(super) fn waiting(&mut self, consumer: ConsumerId, reason: String, now: Moment) {
        let Some(workload) = self.known.get_mut(&consumer) else { return };
        let since = workload.waiting.take().map_or(now, |(_, since)| since);
        (workload.waiting, workload.process) = (Some((reason, since)), None);
    }

    /// Why a consumer cannot run for now.
    pub(super) fn waits_for(&self, consumer: ConsumerId) -> Option<&str> {
        let (reason, _) = self.known.get(&consumer)?.waiting.as_ref()?;
        Some(reason)
    }

    /// It has been waited for long enough, and goes on waiting for a place to run.
    pub(super) fn is_awaited(&self, consumer: ConsumerId, now: Moment) -> bool {
        self.is_absent(consumer, now) && self.patience_ends(consumer).is_some()
    }

    /// Until when a consumer is waited for that cannot run. Whoever lost its lease is not waited for
    /// any longer because of that.
    fn patience_ends(&self, consumer: ConsumerId) -> Option<Moment> {
        let (_, since) = self.known.get(&consumer)?.waiting.as_ref()?;
        (!self.lapsed.contains(&consumer)).then(|| *since + WAIT_PATIENCE)
    }

    pub(super) fn failing(&mut self, consumer: ConsumerId, failures: u32, now: Moment) {
        let workload = self.known.entry(consumer).or_default();
        workload.failures = failures;
        workload.failed_at = Some(now);
    }

    /// It gets on, whatever happened before.
    pub(super) fn forgive(&mut self, consumer: ConsumerId) {
        if let Some(workload) = self.known.get_mut(&consumer) {
            workload.failures = 0;
        }
    }

    /// The fleet has it no more. It goes on to count as one that ends until its incarnation has.
    pub(super) fn removed(&mut self, consumer: ConsumerId) {
        self.known.remove(&consumer);
        self.ending.insert(consumer);
    }

    /// Neither the fleet has it nor does an incarnation of it live.
    pub(super) fn forget(&mut self, consumer: ConsumerId) {
        self.ending.remove(&consumer);
        self.absent_from.remove(&consumer);
        self.lapsed.remove(&consumer);
    }

    /// Whether the fleet is to be told now: it is told once.
    pub(super) fn leave(&mut self, consumer: ConsumerId) -> bool {
        let workload = self.known.get_mut(&consumer);
        workload.is_some_and(|workload| !std::mem::replace(&mut workload.is_leaving, true))
    }

    pub(super) fn end(&mut self, consumers: impl IntoIterator<Item = ConsumerId>) {
        self.ending.extend(consumers);
    }

    /// It is not to end after all, unless the fleet was told so.
    pub(super) fn stay(&mut self, consumer: ConsumerId) {
        if self.known.get(&consumer).is_some_and(|workload| !workload.is_leaving) {
            self.ending.remove(&consumer);
        }
    }

    pub(super) fn ending(&self) -> &BTreeSet<ConsumerId> {
        &self.ending
    }

    pub(super) fn known(&self) -> &BTreeMap<ConsumerId, Workload> {
        &self.known
    }

    /// Whether the fleet knows the process that sent this.
    pub(super) fn knows(&self, heartbeat: &Heartbeat) -> bool {
        let workload = self.known.get(&heartbeat.consumer);
        let process = workload.and_then(|workload| workload.process.as_ref());
        process.is_some_and(|process| process.is_of(heartbeat))
    }

    /// A living incarnation takes partitions, or none does.
    pub(super) fn note_heard(&mut self, consumer: ConsumerId, is_heard: bool, now: Moment) {
        if is_heard {
            self.absent_from.remove(&consumer);
            self.lapsed.remove(&consumer);
            self.note_life(consumer);
        } else {
            self.absent_from.entry(consumer).or_insert(now + START_PATIENCE);
        }
    }

    fn note_life(&mut self, consumer: ConsumerId) {
        if let Some(workload) = self.known.get_mut(&consumer) {
            workload.is_new = false;
        }
    }

    /// Forgets about those that do not exist any more.
    pub(super) fn retain_absences(&mut self, consumers: &BTreeSet<ConsumerId>) {
        self.absent_from.retain(|consumer, _| consumers.contains(consumer));
        self.lapsed.retain(|consumer| consumers.contains(consumer));
    }

    pub(super) fn incarnation_ended(&mut self, consumer: ConsumerId, why: End, now: Moment) {
        let patience = match why {
            End::LeaseLapsed => {
                self.lapsed.insert(consumer);
                LAPSE_PATIENCE
            }
            End::Confirmed => START_PATIENCE,
        };
        self.absent_from.insert(consumer, now + patience);
        self.note_life(consumer);
    }

    pub(super) fn is_heard(&self, consumer: ConsumerId) -> bool {
        !self.absent_from.contains_key(&consumer)
    }

    pub(super) fn is_absent(&self, consumer: ConsumerId, now: Moment) -> bool {
        let longer = if self.are_most_silent() { MOST_SILENT } else { Duration::ZERO };
        self.absent_from.get(&consumer).is_some_and(|from| {
            let waited_for = self.patience_ends(consumer).unwrap_or_default();
            now >= (*from + longer).max(waited_for)
        })
    }

    /// Whoever never came says nothing of Kafka.
    fn are_most_silent(&self) -> bool {
        let known = self.known.iter().filter(|(_, workload)| !workload.is_new);
        let heard = known.map(|(consumer, _)| self.is_heard(*consumer));
        let (heard, silent): (Vec<bool>, Vec<bool>) = heard.partition(|is_heard| *is_heard);
        silent.len() > 1 && silent.len() > heard.len()
    }

    pub(super) fn is_failing(&self, consumer: ConsumerId, now: Moment) -> bool {
        self.known.get(&consumer).is_some_and(|workload| {
            let is_recent = |at: Moment| now.saturating_since(at) < FAILING;
            workload.failures >= FAILURES_MAX && workload.failed_at.is_some_and(is_recent)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: ConsumerId = ConsumerId(1);

    fn at(seconds: u64) -> Moment {
        Moment::since_boot(Duration::from_secs(seconds))
    }

    #[test]
    fn who_only_lost_touch_is_waited_for_less_than_who_has_to_start() {
        let mut workloads = Workloads::default();
        workloads.created(ONE, DeploymentEntry::default());
        workloads.note_heard(ONE, false, at(0));
        workloads.note_heard(ONE, false, at(19));
        assert!(!workloads.is_absent(ONE, at(19)) && workloads.is_absent(ONE, at(20)));
        workloads.note_heard(ONE, true, at(21));
        assert!(workloads.is_heard(ONE));
        workloads.incarnation_ended(ONE, End::LeaseLapsed, at(30));
        assert!(!workloads.is_absent(ONE, at(30)) && workloads.is_absent(ONE, at(31)));
    }

    #[test]
    fn who_cannot_run_is_waited_for_longer_but_not_after_its_lease_lapsed() {
        let mut workloads = Workloads::default();
        workloads.created(ONE, DeploymentEntry::default());
        workloads.note_heard(ONE, false, at(0));
        workloads.waiting(ONE, "no node has room".into(), at(5));
        workloads.waiting(ONE, "no node has room for it".into(), at(50));
        assert!(!workloads.is_absent(ONE, at(64)) && workloads.is_awaited(ONE, at(65)));
        workloads.started(ONE, ProcessId::Pid(1), at(70));
        assert!(!workloads.is_absent(ONE, at(89)) && workloads.is_absent(ONE, at(90)));
        assert!(!workloads.is_awaited(ONE, at(90)), "it runs and is not heard");
        workloads.note_heard(ONE, true, at(91));
        workloads.incarnation_ended(ONE, End::LeaseLapsed, at(100));
        workloads.waiting(ONE, "no node has room".into(), at(100));
        assert!(workloads.is_absent(ONE, at(101)) && !workloads.is_awaited(ONE, at(101)));
    }

    #[test]
    fn when_most_fall_silent_at_once_they_are_waited_for() {
        let mut workloads = Workloads::default();
        for number in 1..=3 {
            workloads.created(ConsumerId(number), DeploymentEntry::default());
        }
        workloads.incarnation_ended(ONE, End::LeaseLapsed, at(0));
        assert!(workloads.is_absent(ONE, at(1)), "it is the only one");
        workloads.incarnation_ended(ConsumerId(2), End::LeaseLapsed, at(0));
        assert!(!workloads.is_absent(ONE, at(13)) && workloads.is_absent(ONE, at(14)));
    }

    #[test]
    fn the_fleet_is_told_once_to_remove_a_consumer() {
        let mut workloads = Workloads::default();
        assert!(!workloads.leave(ONE), "it has none");
        workloads.created(ONE, DeploymentEntry::default());
        assert!(workloads.leave(ONE) && !workloads.leave(ONE));
        workloads.removed(ONE);
        workloads.created(ONE, DeploymentEntry::default());
        assert!(workloads.leave(ONE), "it is another one");
    }

    /// Else its number, still in use, would get partitions.
    #[test]
    fn who_was_removed_counts_as_ending_until_its_incarnation_has_ended() {
        let mut workloads = Workloads::default();
        workloads.created(ONE, DeploymentEntry::default());
        workloads.end([ONE]);
        workloads.removed(ONE);
        assert!(workloads.ending().contains(&ONE));
        workloads.forget(ONE);
        assert!(!workloads.ending().contains(&ONE));
        workloads.end([ONE]);
        workloads.created(ONE, DeploymentEntry::default());
        assert!(!workloads.ending().contains(&ONE), "it is another one");
    }

    #[test]
    fn failures_are_forgiven_after_a_while() {
        let mut workloads = Workloads::default();
        workloads.failing(ONE, 2, at(0));
        assert!(!workloads.is_failing(ONE, at(0)));
        workloads.failing(ONE, 3, at(1));
        assert!(workloads.is_failing(ONE, at(60)) && !workloads.is_failing(ONE, at(61)));
    }
}
