//! Pure. What matters of the objects of the API: small facts, each from one object.

use std::collections::BTreeMap;

use common::identity::ConsumerId;
use common::messages::service::DeploymentEntry;
use common::term::Generation;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{
    ConfigMap, ContainerState, ContainerStateTerminated, ContainerStatus, Node,
    PersistentVolumeClaim, Pod, PodStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};

use super::desired::consumer_of;
use super::names::{DEPLOYMENT, GENERATION, TEMPLATE_HASH, UNUSED_SINCE};
use super::template::CONTAINER;
use crate::fleet::{ContainerRun, ProcessId};

const CRASHING: &str = "CrashLoopBackOff";

/// What every object has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    pub name: String,
    pub uid: String,
    pub resource_version: String,
    pub is_deleting: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeploymentFacts {
    pub identity: Identity,
    pub consumer: ConsumerId,
    /// Counts the changes of what is wanted of it.
    pub revision: i64,
    /// The leader that it belongs to.
    pub stamp: Option<Generation>,
    pub hash: Option<String>,
    pub entry: DeploymentEntry,
    pub replicas: i32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimFacts {
    pub identity: Identity,
    pub consumer: ConsumerId,
    pub is_bound: bool,
    /// Milliseconds since 1970.
    pub unused_since: Option<i64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodFacts {
    pub identity: Identity,
    pub consumer: ConsumerId,
    pub created_ms: i64,
    pub grace_secs: u64,
    pub node: Option<String>,
    pub is_ready: bool,
    /// The consumer's container runs, since then.
    pub running_since_ms: Option<i64>,
    /// Runs of it that are over, the earlier first.
    pub ended: Vec<EndedRun>,
    /// Why it does not run.
    pub waits_for: Option<String>,
    /// It ended too often, and is not started again at once.
    pub is_crashing: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndedRun {
    pub run: ContainerRun,
    /// How long it lasted, to the second.
    pub lasted_secs: u64,
    pub how: String,
}

/// Data and annotations of a ConfigMap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MapFacts {
    pub identity: Identity,
    pub annotations: BTreeMap<String, String>,
    pub data: BTreeMap<String, String>,
}

impl Identity {
    pub fn of(metadata: &ObjectMeta) -> Self {
        Self {
            name: metadata.name.clone().unwrap_or_default(),
            uid: metadata.uid.clone().unwrap_or_default(),
            resource_version: metadata.resource_version.clone().unwrap_or_default(),
            is_deleting: metadata.deletion_timestamp.is_some(),
        }
    }
}

impl DeploymentFacts {
    pub fn of(object: &Deployment) -> Option<Self> {
        let metadata = &object.metadata;
        let entry =
            annotation(metadata, DEPLOYMENT).and_then(|text| serde_json::from_str(text).ok());
        Some(Self {
            identity: Identity::of(metadata),
            consumer: consumer_of(metadata)?,
            revision: metadata.generation.unwrap_or_default(),
            stamp: annotation(metadata, GENERATION)
                .and_then(|text| text.parse().ok())
                .map(Generation),
            hash: annotation(metadata, TEMPLATE_HASH).map(str::to_owned),
            entry: entry.unwrap_or_default(),
            replicas: object.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1),
        })
    }
}

impl ClaimFacts {
    pub fn of(object: &PersistentVolumeClaim) -> Option<Self> {
        let metadata = &object.metadata;
        let phase = object.status.as_ref().and_then(|status| status.phase.as_deref());
        let unused_since = annotation(metadata, UNUSED_SINCE).and_then(|text| text.parse().ok());
        Some(Self {
            identity: Identity::of(metadata),
            consumer: consumer_of(metadata)?,
            is_bound: phase == Some("Bound"),
            unused_since: unused_since
                .map(|time: k8s_openapi::jiff::Timestamp| time.as_millisecond()),
        })
    }
}

impl PodFacts {
    pub fn of(object: &Pod) -> Option<Self> {
        let metadata = &object.metadata;
        let status = object.status.clone().unwrap_or_default();
        let containers = status.container_statuses.iter().flatten();
        let container = containers.into_iter().find(|found| found.name == CONTAINER);
        let identity = Identity::of(metadata);
        let running = container.and_then(|found| found.state.as_ref()?.running.as_ref());
        let grace = object.spec.as_ref().and_then(|spec| spec.termination_grace_period_seconds);
        let grace = metadata.deletion_grace_period_seconds.or(grace).unwrap_or(30);
        Some(Self {
            consumer: consumer_of(metadata)?,
            created_ms: metadata.creation_timestamp.as_ref().map_or(0, milliseconds),
            grace_secs: u64::try_from(grace).unwrap_or(0),
            node: object.spec.as_ref().and_then(|spec| spec.node_name.clone()),
            is_ready: condition(&status, "Ready").is_some_and(|(is_so, _)| is_so),
            running_since_ms: running
                .and_then(|running| running.started_at.as_ref())
                .map(milliseconds),
            ended: container.map(|found| ended_runs(&identity.uid, found)).unwrap_or_default(),
            waits_for: waits_for(&status, container),
            is_crashing: waiting(container).is_some_and(|(reason, _)| reason == Some(CRASHING)),
            identity,
        })
    }

    /// The run that goes on.
    pub fn running(&self) -> Option<ProcessId> {
        let from_ms = self.running_since_ms?;
        let pod = self.identity.uid.clone();
        Some(ProcessId::Container(ContainerRun { pod, from_ms, until_ms: None }))
    }
}

impl MapFacts {
    pub fn of(object: &ConfigMap) -> Self {
        Self {
            identity: Identity::of(&object.metadata),
            annotations: object.metadata.annotations.clone().unwrap_or_default(),
            data: object.data.clone().unwrap_or_default(),
        }
    }
}

/// Whether a node says that it is well.
pub fn is_node_ready(object: &Node) -> bool {
    let conditions = object.status.as_ref().and_then(|status| status.conditions.as_ref());
    let mut conditions = conditions.into_iter().flatten();
    conditions.any(|found| found.type_ == "Ready" && found.status == "True")
}

/// The runs that are over: the last one, and the one before the present one.
fn ended_runs(pod: &str, container: &ContainerStatus) -> Vec<EndedRun> {
    let terminated = |state: &Option<ContainerState>| state.as_ref()?.terminated.clone();
    let running = container.state.as_ref().and_then(|state| state.running.as_ref());
    let (last, before) = (terminated(&container.state), terminated(&container.last_state));
    let last_began = last.as_ref().and_then(|last| last.started_at.clone());
    let present = running.and_then(|running| running.started_at.clone()).or(last_began);
    let before = before.and_then(|run| ended_run(pod, &run, present.as_ref()));
    let last = last.and_then(|run| ended_run(pod, &run, None));
    before.into_iter().chain(last).collect()
}

/// Times are whole seconds, the rest of which is cut off. What began in the second in which a run
/// ended may be of the next one, unless that is known to have begun later.
fn ended_run(pod: &str, run: &ContainerStateTerminated, next: Option<&Time>) -> Option<EndedRun> {
    let from_ms = milliseconds(run.started_at.as_ref()?);
    let finished_ms = milliseconds(run.finished_at.as_ref()?);
    let next_ms = next.map_or(finished_ms, milliseconds);
    let until_ms = Some(next_ms.clamp(finished_ms, finished_ms.saturating_add(1_000)));
    Some(EndedRun {
        run: ContainerRun { pod: pod.to_owned(), from_ms, until_ms },
        lasted_secs: u64::try_from((finished_ms - from_ms) / 1_000).unwrap_or(0),
        how: how(run),
    })
}

fn how(run: &ContainerStateTerminated) -> String {
    let end = match run.signal {
        Some(signal) if signal > 0 => format!("signal {signal}"),
        Some(_) | None => format!("exit status {}", run.exit_code),
    };
    let words = [run.reason.as_deref(), run.message.as_deref().map(str::trim)];
    let words =
        words.into_iter().flatten().filter(|word| !["", "Completed", "Error"].contains(word));
    [&*end].into_iter().chain(words).collect::<Vec<_>>().join(": ")
}

/// In the pod's own words, from the first thing that it lacks.
fn waits_for(status: &PodStatus, container: Option<&ContainerStatus>) -> Option<String> {
    if ["Failed", "Succeeded"].contains(&status.phase.as_deref().unwrap_or_default()) {
        let words = [status.reason.as_deref(), status.message.as_deref()];
        return Some(in_words("the pod is over", words));
    }
    if let Some((false, message)) = condition(status, "PodScheduled") {
        return Some(in_words("no node takes the pod", [message, None]));
    }
    if let Some((reason, message)) = waiting(container) {
        return Some(in_words("its container waits", [reason, message]));
    }
    let state = container.and_then(|found| found.state.as_ref());
    let runs = state.is_some_and(|state| state.running.is_some());
    (!runs).then(|| "its container is being created".to_owned())
}

/// Reason and message of a container that cannot be started for now.
fn waiting(container: Option<&ContainerStatus>) -> Option<(Option<&str>, Option<&str>)> {
    let waiting = container?.state.as_ref()?.waiting.as_ref()?;
    Some((waiting.reason.as_deref(), waiting.message.as_deref()))
}

fn in_words(what: &str, words: [Option<&str>; 2]) -> String {
    let words = words.into_iter().flatten().filter(|word| !word.is_empty());
    [what].into_iter().chain(words).collect::<Vec<_>>().join(": ")
}

/// Whether a condition holds, and its message; nothing if the pod does not speak of it.
fn condition<'a>(status: &'a PodStatus, name: &str) -> Option<(bool, Option<&'a str>)> {
    let mut conditions = status.conditions.iter().flatten();
    let found = conditions.find(|condition| condition.type_ == name)?;
    Some((found.status == "True", found.message.as_deref()))
}

fn annotation<'a>(metadata: &'a ObjectMeta, name: &str) -> Option<&'a str> {
    metadata.annotations.as_ref()?.get(name).map(String::as_str)
}

fn milliseconds(time: &Time) -> i64 {
    time.0.as_millisecond()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(status: Value) -> PodFacts {
        let labels = json!({"stowage.dev/consumer": "3"});
        let object = json!({
            "metadata": {"name": "p", "uid": "u", "labels": labels},
            "status": status,
        });
        PodFacts::of(&serde_json::from_value(object).unwrap()).unwrap()
    }

    fn container(state: Value, last: Value) -> Value {
        json!({"phase": "Running", "containerStatuses": [{
            "name": "consumer", "image": "i", "imageID": "i", "ready": true, "restartCount": 1,
            "state": state, "lastState": last,
        }]})
    }

    fn terminated(from: &str, to: &str) -> Value {
        json!({"terminated": {
            "startedAt": from, "finishedAt": to, "exitCode": 137, "reason": "OOMKilled",
        }})
    }

    /// The windows of two runs never overlap, whatever fractions of seconds were cut off.
    #[test]
    fn what_began_within_the_last_second_of_a_run_may_be_of_the_next() {
        let first = terminated("1970-01-01T00:00:05Z", "1970-01-01T00:00:09Z");
        let until = |status| pod(status).ended[0].run.until_ms.unwrap();
        let running = |at: &str| json!({"running": {"startedAt": at}});
        assert_eq!(until(container(running("1970-01-01T00:00:09Z"), first.clone())), 9_000);
        assert_eq!(until(container(running("1970-01-01T00:00:10Z"), first.clone())), 10_000);
        assert_eq!(until(container(running("1970-01-01T00:01:10Z"), first.clone())), 10_000);
        assert_eq!(until(container(first.clone(), json!({}))), 9_000, "a next one may have begun");
        let second = terminated("1970-01-01T00:00:10Z", "1970-01-01T00:00:12Z");
        let both = pod(container(second, first)).ended;
        assert_eq!(both.len(), 2);
        assert_eq!((both[0].run.until_ms, both[1].run.from_ms), (Some(10_000), 10_000));
        assert_eq!((both[0].lasted_secs, &*both[0].how), (4, "exit status 137: OOMKilled"));
    }

    #[test]
    fn a_pod_says_in_its_own_words_what_it_waits_for() {
        let unschedulable = json!({"phase": "Pending", "conditions": [
            {"type": "PodScheduled", "status": "False", "message": "0/3 nodes are available"}]});
        let image = json!({"waiting": {"reason": "ImagePullBackOff", "message": "not found"}});
        let evicted = json!({"phase": "Failed", "reason": "Evicted", "message": "low on memory"});
        for (status, expected) in [
            (unschedulable, "no node takes the pod: 0/3 nodes are available"),
            (container(image, json!({})), "its container waits: ImagePullBackOff: not found"),
            (evicted, "the pod is over: Evicted: low on memory"),
            (json!({"phase": "Pending"}), "its container is being created"),
        ] {
            assert_eq!(pod(status).waits_for.as_deref(), Some(expected));
        }
        let running = json!({"running": {"startedAt": "1970-01-01T00:00:05Z"}});
        assert_eq!(pod(container(running, json!({}))).waits_for, None);
    }
}
