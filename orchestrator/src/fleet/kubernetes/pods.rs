//! Pure. Pods that are to be started again, that do not go by themselves, or that outlive their Deployment.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use common::identity::ConsumerId;
use common::moment::Moment;

use super::facts::PodFacts;
use super::member::Member;
use super::observed::Observed;
use super::request::{Grace, Kind, Request, Target};
use crate::fleet::FleetEvent;

/// A pod that is still there so long after its time is stuck.
const LATE: Duration = Duration::from_secs(10);
/// That it is stuck is told again and again, until somebody who knows more lets it go.
const TELL_AGAIN: Duration = Duration::from_secs(5);
/// A Deployment never has two pods that are to run. What runs beside a newer one for so long is of a
/// Deployment before this one, whose garbage was not collected: it holds the volume that the newer needs.
const OUTLIVED: Duration = Duration::from_secs(20);

#[derive(Clone, Debug, Default)]
pub(super) struct Pods {
    /// Since when they are being deleted, by uid.
    deleting: BTreeMap<String, Moment>,
    /// Since when a newer one of their consumer is beside them, by uid.
    beside: BTreeMap<String, Moment>,
    /// Those that need not be waited for.
    buried: BTreeSet<String>,
    told: Option<Moment>,
}

impl Pods {
    pub(super) fn bury(&mut self, uid: String) {
        self.buried.insert(uid);
    }

    /// Tells which pods are stuck.
    pub(super) fn look(&mut self, observed: &Observed, now: Moment) -> Vec<FleetEvent> {
        self.deleting.retain(|uid, _| observed.pods.contains_key(uid));
        self.buried.retain(|uid| observed.pods.contains_key(uid));
        for (uid, _) in observed.pods.iter().filter(|(_, pod)| pod.identity.is_deleting) {
            self.deleting.entry(uid.clone()).or_insert(now);
        }
        let older = older(observed);
        self.beside.retain(|uid, _| older.contains(uid.as_str()));
        for uid in older {
            self.beside.entry(uid.to_owned()).or_insert(now);
        }
        if self.told.is_some_and(|told| now.saturating_since(told) < TELL_AGAIN) {
            return vec![];
        }
        self.told = Some(now);
        let tell = |pod: &PodFacts| {
            let (consumer, pod_uid) = (pod.consumer, pod.identity.uid.clone());
            let reason = self.why_stuck(pod, observed, now)?;
            Some(FleetEvent::Stuck { consumer, pod: pod_uid, reason })
        };
        observed.pods.values().filter_map(tell).collect()
    }

    fn why_stuck(&self, pod: &PodFacts, observed: &Observed, now: Moment) -> Option<String> {
        let name = &pod.identity.name;
        if observed.is_node_ready(pod) == Some(false) {
            let node = pod.node.as_deref().unwrap_or_default();
            return Some(format!("{name} is on {node}, which is not ready"));
        }
        let since = self.deleting.get(&pod.identity.uid)?;
        let waited = now.saturating_since(*since);
        let is_late = waited >= Duration::from_secs(pod.grace_secs) + LATE;
        is_late.then(|| format!("{name} was to end {} s ago", waited.as_secs()))
    }

    pub(super) fn requests(
        &self,
        members: &BTreeMap<ConsumerId, Member>,
        observed: &Observed,
        now: Moment,
    ) -> Vec<(Target, Request)> {
        let delete = |pod: &PodFacts| {
            let target = Target { consumer: pod.consumer, kind: Kind::Pod };
            let uid = &pod.identity.uid;
            let is_buried =
                self.buried.contains(uid) && self.why_stuck(pod, observed, now).is_some();
            let member = members.get(&pod.consumer);
            let is_restarted = member.is_some_and(|member| member.restart.contains(uid));
            let beside = self.beside.get(uid);
            let is_outlived = beside.is_some_and(|since| now.saturating_since(*since) >= OUTLIVED);
            let is_to_end = is_restarted || is_outlived;
            let grace = match () {
                () if is_buried => Grace::None,
                () if is_to_end && !pod.identity.is_deleting => Grace::Own,
                () => return None,
            };
            Some((target, Request::Delete { identity: pod.identity.clone(), grace }))
        };
        observed.pods.values().filter_map(delete).collect()
    }
}

/// The pods that run on although there is a newer one of their consumer. Those that are over, evicted ones
/// for instance, are left to whoever wants to know why.
fn older(observed: &Observed) -> BTreeSet<&str> {
    let mut newest: BTreeMap<ConsumerId, &PodFacts> = BTreeMap::new();
    let mut older = BTreeSet::new();
    for pod in observed.pods.values().filter(|pod| !pod.identity.is_deleting) {
        let Some(other) = newest.insert(pod.consumer, pod) else { continue };
        let (new, old) =
            if other.created_ms > pod.created_ms { (other, pod) } else { (pod, other) };
        newest.insert(pod.consumer, new);
        if old.running_since_ms.is_some() {
            older.insert(old.identity.uid.as_str());
        }
    }
    older
}
