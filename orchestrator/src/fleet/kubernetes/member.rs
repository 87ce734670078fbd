//! Pure. One consumer of the fleet: what was wanted of it, and what was told of it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use common::identity::ConsumerId;
use common::messages::service::DeploymentEntry;
use common::moment::Moment;

use super::facts::{EndedRun, PodFacts};
use super::observed::Observed;
use crate::fleet::{ContainerRun, FleetEvent, Found, Phase, ProcessId};

/// Whoever lives so long before it ends did not fail at once.
const STABLE_SECS: u64 = 10;
/// What is over sooner is no waiting worth telling of.
const TELL_AFTER: Duration = Duration::from_secs(3);
/// A crash loop is told of again and again: between two starts nothing else happens.
const TELL_AGAIN: Duration = Duration::from_secs(20);

#[derive(Clone, Debug, Default)]
pub(super) struct Member {
    pub(super) entry: DeploymentEntry,
    pub(super) is_leaving: bool,
    /// Its Deployment was seen.
    pub(super) was_seen: bool,
    /// What is wanted of its Deployment, as we left it.
    pub(super) revision: Option<i64>,
    /// Pods that are to be ended, and started again.
    pub(super) restart: BTreeSet<String>,
    /// Why the last call failed.
    pub(super) trouble: Option<String>,
    running: Option<ProcessId>,
    /// Runs whose end was told: the beginning of each, by pod.
    ended: BTreeMap<String, BTreeSet<i64>>,
    phase: Option<Phase>,
    /// In a row.
    failures: u32,
    failing_told: Moment,
    waits_since: Option<Moment>,
    waiting: Option<String>,
}

impl Member {
    pub(super) fn new(entry: DeploymentEntry) -> Self {
        Self { entry, ..Self::default() }
    }

    /// A member that an earlier leader made.
    pub(super) fn found(&mut self, consumer: ConsumerId, observed: &Observed) -> Found {
        let pods = observed.pods_of(consumer);
        self.running = pods.iter().find_map(|pod| pod.running());
        self.phase = Some(Phase::Ready);
        Found { process: self.running.clone(), deployment: self.entry.clone() }
    }

    /// Runs that are certainly over and whose end was not told yet.
    pub(super) fn new_ends(&mut self, consumer: ConsumerId, observed: &Observed) -> Vec<EndedRun> {
        let pods = observed.pods_of(consumer);
        // A node that is silent says nothing about what goes on there.
        let certain = pods.iter().filter(|pod| observed.is_node_ready(pod) == Some(true));
        let mut ends = vec![];
        for ended in certain.flat_map(|pod| &pod.ended) {
            if self.ended.entry(ended.run.pod.clone()).or_default().insert(ended.run.from_ms) {
                ends.push(ended.clone());
            }
        }
        self.ended.retain(|pod, _| pods.iter().any(|found| found.identity.uid == *pod));
        ends
    }

    /// What there is to tell of it.
    pub(super) fn tell(
        &mut self,
        consumer: ConsumerId,
        observed: &Observed,
        now: Moment,
    ) -> Vec<FleetEvent> {
        let mut events = vec![];
        for EndedRun { run, lasted_secs, how } in self.new_ends(consumer, observed) {
            events.extend(self.end(consumer, run, how.clone()));
            if !self.is_leaving {
                self.failures = if lasted_secs >= STABLE_SECS { 1 } else { self.failures + 1 };
                self.failing_told = now;
                let failures = self.failures;
                events.push(FleetEvent::Failing { consumer, failures, reason: how });
            }
        }
        let pods = observed.pods_of(consumer);
        let present = pods.first().copied().filter(|pod| !pod.identity.is_deleting);
        events.extend(self.advance(consumer, observed, present));
        let running = pods.iter().find_map(|pod| pod.running());
        if let Some(process) = running.filter(|process| self.running.as_ref() != Some(process)) {
            self.running = Some(process.clone());
            events.push(FleetEvent::Started { consumer, process });
        }
        events.extend(self.wait(consumer, &pods, now));
        events
    }

    fn end(&mut self, consumer: ConsumerId, run: ContainerRun, how: String) -> Option<FleetEvent> {
        let process = ProcessId::Container(run);
        if self.running.as_ref().is_some_and(|known| known.is_same_as(&process)) {
            self.running = None;
        }
        let is_expected = self.is_leaving;
        Some(FleetEvent::Exited { consumer, process, how, is_expected })
    }

    /// How far it has come, if that is further than before.
    fn advance(
        &mut self,
        consumer: ConsumerId,
        observed: &Observed,
        pod: Option<&PodFacts>,
    ) -> Vec<FleetEvent> {
        let has = |phase: Phase| match phase {
            Phase::Applied => observed.deployment(consumer).is_some(),
            Phase::Scheduled => pod.is_some_and(|pod| pod.node.is_some()),
            Phase::Started => pod.is_some_and(|pod| pod.running_since_ms.is_some()),
            Phase::Ready => pod.is_some_and(|pod| pod.is_ready),
        };
        let all = [Phase::Applied, Phase::Scheduled, Phase::Started, Phase::Ready];
        let before = self.phase;
        let reached = all.into_iter().filter(|phase| before < Some(*phase) && has(*phase));
        let events: Vec<_> = reached.map(|phase| FleetEvent::Reached { consumer, phase }).collect();
        if let Some(FleetEvent::Reached { phase, .. }) = events.last() {
            self.phase = Some(*phase);
        }
        events
    }

    /// Why it does not run, once that has lasted a moment.
    fn wait(
        &mut self,
        consumer: ConsumerId,
        pods: &[&PodFacts],
        now: Moment,
    ) -> Option<FleetEvent> {
        if self.is_leaving || pods.iter().any(|pod| pod.running_since_ms.is_some()) {
            (self.waits_since, self.waiting) = (None, None);
            return None;
        }
        let since = *self.waits_since.get_or_insert(now);
        if now.saturating_since(since) < TELL_AFTER {
            return None;
        }
        let present = pods.iter().find(|pod| !pod.identity.is_deleting);
        if present.is_some_and(|pod| pod.is_crashing) {
            return self.crash_loop(consumer, now);
        }
        let of_pod = || present.and_then(|pod| pod.waits_for.clone());
        let leaves = || pods.first().map(|_| "its former pod has not gone yet".to_owned());
        let reason = self.trouble.clone().or_else(of_pod).or_else(leaves);
        let reason = reason.unwrap_or_else(|| "its pod is being created".to_owned());
        if self.waiting.as_ref() == Some(&reason) {
            return None;
        }
        self.waiting = Some(reason.clone());
        Some(FleetEvent::Waiting { consumer, reason })
    }

    fn crash_loop(&mut self, consumer: ConsumerId, now: Moment) -> Option<FleetEvent> {
        if now.saturating_since(self.failing_told) < TELL_AGAIN || self.failures == 0 {
            return None;
        }
        self.failing_told = now;
        let reason = "it is not started again at once (CrashLoopBackOff)".to_owned();
        Some(FleetEvent::Failing { consumer, failures: self.failures, reason })
    }
}
