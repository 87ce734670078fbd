//! Pure. Pods that are to be started again, and pods that do not go by themselves.

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

#[derive(Clone, Debug, Default)]
pub(super) struct Pods {
    /// Since when they are being deleted, by uid.
    deleting: BTreeMap<String, Moment>,
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
            let grace = match () {
                () if is_buried => Grace::None,
                () if is_restarted && !pod.identity.is_deleting => Grace::Own,
                () => return None,
            };
            Some((target, Request::Delete { identity: pod.identity.clone(), grace }))
        };
        observed.pods.values().filter_map(delete).collect()
    }
}
