//! A cluster in memory: it stores what is asked of it, and makes a pod for each Deployment.

use std::collections::BTreeMap;
use std::time::Duration;

use common::identity::ConsumerId;
use common::moment::{Moment, Timestamp};
use common::term::Generation;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use orchestrator::conductor::input::Now;
use orchestrator::fleet::kubernetes::desired::Group;
use orchestrator::fleet::kubernetes::facts::{
    ClaimFacts, DeploymentFacts, EndedRun, Identity, MapFacts, PodFacts,
};
use orchestrator::fleet::kubernetes::keeper::{Keeper, KeeperSettings};
use orchestrator::fleet::kubernetes::observed::{Change, News, NodeFacts, Observed};
use orchestrator::fleet::kubernetes::request::{Grace, Kind, Outcome, Request, Target};
use orchestrator::fleet::{ContainerRun, FleetCommand, FleetEvent};
use rand::rngs::ChaCha8Rng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::Value;

const STEP: Duration = Duration::from_millis(500);
pub(crate) const KEEP: Duration = Duration::from_secs(600);
const POD: &str = "spec: {containers: [{name: consumer, image: stowage/consumer:1}]}";
const CLAIM: &str = "resources: {requests: {storage: 1Gi}}";

pub(crate) struct Cluster {
    pub(crate) keeper: Keeper,
    pub(crate) observed: Observed,
    pub(crate) deployments: BTreeMap<String, Deployment>,
    pub(crate) claims: BTreeMap<String, PersistentVolumeClaim>,
    pub(crate) pods: BTreeMap<String, PodFacts>,
    /// Every event that was told.
    pub(crate) told: Vec<FleetEvent>,
    /// Calls that were made.
    pub(crate) calls: Vec<(Target, Request)>,
    /// Pods stay where they are: nobody starts or removes any.
    pub(crate) is_kubelet_away: bool,
    /// No call is carried out.
    pub(crate) is_refusing: bool,
    /// Of so many in a hundred calls nobody learns what became of them.
    pub(crate) lost_percent: u32,
    version: u64,
    now: Now,
    rng: ChaCha8Rng,
}

impl Cluster {
    pub(crate) fn new() -> Self {
        let now = Now {
            moment: Moment::since_boot(Duration::from_secs(1_000)),
            timestamp: Timestamp(1_000_000),
        };
        let mut cluster = Self {
            keeper: Keeper::new(KeeperSettings { group: group(), keep_volumes: KEEP }),
            observed: Observed::default(),
            deployments: BTreeMap::new(),
            claims: BTreeMap::new(),
            pods: BTreeMap::new(),
            told: vec![],
            calls: vec![],
            is_kubelet_away: false,
            is_refusing: false,
            lost_percent: 0,
            version: 1,
            now,
            rng: ChaCha8Rng::seed_from_u64(1),
        };
        cluster.template(POD);
        cluster.list();
        cluster
    }

    /// A new leader, of this generation, sees all that there is.
    pub(crate) fn lead(&mut self, generation: u64) {
        self.keeper = Keeper::new(KeeperSettings { group: group(), keep_volumes: KEEP });
        self.keeper.command(survey(generation), &self.observed);
        self.pass(2);
    }

    pub(crate) fn command(&mut self, command: FleetCommand) {
        self.keeper.command(command, &self.observed);
    }

    pub(crate) fn create(&mut self, consumer: u32) {
        let (consumer, deployment) = (ConsumerId(consumer), Default::default());
        self.command(FleetCommand::Create { consumer, deployment });
    }

    pub(crate) fn template(&mut self, pod: &str) {
        let data = [("pod-template.yaml", pod), ("volume-claim.yaml", CLAIM)];
        let data = data.map(|(key, text)| (key.to_owned(), text.to_owned())).into();
        let map = MapFacts { identity: self.identity("template"), data, ..MapFacts::default() };
        self.observed.take(News::Template(Change::Listed(vec![map])));
    }

    /// Lets seconds go by; after each half of one everything is seen.
    pub(crate) fn pass(&mut self, seconds: u64) {
        for _ in 0..2 * seconds {
            self.now.moment = self.now.moment + STEP;
            self.now.timestamp.0 += 500;
            for (target, request) in self.keeper.look(&self.observed, self.now) {
                self.calls.push((target, request.clone()));
                let is_lost = self.rng.random_range(0..100) < self.lost_percent;
                let is_late = is_lost && self.rng.random();
                let outcome = if is_late { Outcome::Conflict } else { self.call(target, request) };
                let outcome = if is_lost { Outcome::Failed("no answer".into()) } else { outcome };
                self.keeper.answered(target, &outcome, self.now.moment, &mut self.rng);
                if let Outcome::Done(Some(news)) = outcome {
                    self.observed.take(news);
                }
            }
            self.told.extend(self.keeper.events());
            self.run_pods();
            self.list();
        }
    }

    fn call(&mut self, target: Target, request: Request) -> Outcome {
        if self.is_refusing {
            return Outcome::Failed("it refuses".into());
        }
        match request {
            Request::CreateClaim(claim) => {
                let name = claim.metadata.name.clone().unwrap();
                if self.claims.contains_key(&name) {
                    return Outcome::Conflict;
                }
                let metadata = self.born(claim.metadata.clone());
                self.claims.insert(name, PersistentVolumeClaim { metadata, ..*claim });
                Outcome::Done(None)
            }
            Request::CreateDeployment(deployment) => {
                let name = deployment.metadata.name.clone().unwrap();
                if self.deployments.contains_key(&name) {
                    return Outcome::Conflict;
                }
                let metadata = self.born(deployment.metadata.clone());
                let deployment = Deployment { metadata, ..*deployment };
                self.deployments.insert(name, deployment.clone());
                done(&deployment)
            }
            Request::ApplyDeployment(wanted) => {
                let name = wanted.metadata.name.clone().unwrap();
                let version = self.next();
                match self.deployments.get_mut(&name) {
                    Some(found) if is_same(&found.metadata, &wanted.metadata) => {
                        found.spec = wanted.spec;
                        found.metadata.annotations = wanted.metadata.annotations;
                        changed(&mut found.metadata, version);
                        done(found)
                    }
                    Some(_) | None => Outcome::Conflict,
                }
            }
            Request::Patch { name, patch } => self.patch(target.kind, &name, &patch),
            Request::Delete { identity, grace } => self.delete(target.kind, &identity, grace),
        }
    }

    fn patch(&mut self, kind: Kind, name: &str, patch: &Value) -> Outcome {
        let version = self.next();
        let metadata = match kind {
            Kind::Claim => self.claims.get_mut(name).map(|found| &mut found.metadata),
            Kind::Deployment | Kind::Pod => {
                self.deployments.get_mut(name).map(|found| &mut found.metadata)
            }
        };
        let Some(metadata) = metadata else { return Outcome::Conflict };
        if patch["metadata"]["resourceVersion"].as_str() != metadata.resource_version.as_deref() {
            return Outcome::Conflict;
        }
        for (name, value) in patch["metadata"]["annotations"].as_object().into_iter().flatten() {
            let annotations = metadata.annotations.get_or_insert_default();
            match value.as_str() {
                Some(value) => drop(annotations.insert(name.clone(), value.into())),
                None => drop(annotations.remove(name)),
            }
        }
        changed(metadata, version);
        if kind == Kind::Claim {
            return Outcome::Done(None);
        }
        let found = self.deployments.get_mut(name).unwrap();
        if let Some(replicas) = patch["spec"]["replicas"].as_i64() {
            found.spec.as_mut().unwrap().replicas = Some(i32::try_from(replicas).unwrap());
        }
        done(found)
    }

    fn delete(&mut self, kind: Kind, identity: &Identity, grace: Grace) -> Outcome {
        let is_it = |metadata: &ObjectMeta| metadata.uid.as_ref() == Some(&identity.uid);
        match kind {
            Kind::Deployment => self.deployments.retain(|_, found| !is_it(&found.metadata)),
            Kind::Claim => self.claims.retain(|_, found| !is_it(&found.metadata)),
            Kind::Pod if grace == Grace::None => drop(self.pods.remove(&identity.uid)),
            Kind::Pod => {
                if let Some(pod) = self.pods.get_mut(&identity.uid) {
                    pod.identity.is_deleting = true;
                }
            }
        }
        Outcome::Done(None)
    }

    /// What the controllers and the kubelet do, at once.
    fn run_pods(&mut self) {
        if self.is_kubelet_away {
            return;
        }
        let deployments = self.deployments.values().filter_map(DeploymentFacts::of);
        let wanted: Vec<ConsumerId> =
            deployments.filter(|found| found.replicas > 0).map(|found| found.consumer).collect();
        self.pods.retain(|_, pod| wanted.contains(&pod.consumer) && !pod.identity.is_deleting);
        for consumer in wanted {
            if !self.pods.values().any(|pod| pod.consumer == consumer) {
                let pod = self.pod(consumer);
                self.pods.insert(pod.identity.uid.clone(), pod);
            }
        }
    }

    fn pod(&mut self, consumer: ConsumerId) -> PodFacts {
        PodFacts {
            identity: self.identity("pod"),
            consumer,
            created_ms: self.now.timestamp.0,
            grace_secs: 30,
            node: Some("n".into()),
            is_ready: true,
            running_since_ms: Some(self.now.timestamp.0),
            ended: vec![],
            waits_for: None,
            is_crashing: false,
        }
    }

    /// Another pod of a consumer, as of another Deployment; its uid.
    pub(crate) fn second_pod(&mut self, consumer: u32) -> String {
        let pod = self.pod(ConsumerId(consumer));
        let uid = pod.identity.uid.clone();
        self.pods.insert(uid.clone(), pod);
        uid
    }

    /// The container of a consumer ends, and is started again.
    pub(crate) fn crash(&mut self, consumer: u32) {
        let now = self.now.timestamp.0;
        let pod = self.pod_of(consumer);
        let (from_ms, until_ms) = (pod.running_since_ms.replace(now).unwrap(), Some(now));
        let run = ContainerRun { pod: pod.identity.uid.clone(), from_ms, until_ms };
        pod.ended = vec![EndedRun { run, lasted_secs: 1, how: "exit status 1".into() }];
        self.list();
    }

    pub(crate) fn pod_of(&mut self, consumer: u32) -> &mut PodFacts {
        self.pods.values_mut().find(|pod| pod.consumer == ConsumerId(consumer)).unwrap()
    }

    pub(crate) fn node(&mut self, is_ready: bool) {
        let identity = Identity { name: "n".into(), ..self.identity("n") };
        self.observed.take(News::Nodes(Change::Listed(vec![NodeFacts { identity, is_ready }])));
    }

    /// Nothing is known of any node.
    pub(crate) fn forget_nodes(&mut self) {
        self.observed.take(News::NoNodes);
    }

    /// Somebody changes a Deployment.
    pub(crate) fn edit(&mut self, consumer: u32, edit: impl FnOnce(&mut Deployment)) {
        let version = self.next();
        let found = self.deployments.get_mut(&format!("de-consumer-{consumer}")).unwrap();
        edit(found);
        changed(&mut found.metadata, version);
        self.list();
    }

    pub(crate) fn names(&self) -> Vec<&str> {
        self.deployments.keys().map(String::as_str).collect()
    }

    pub(crate) fn list(&mut self) {
        let deployments = self.deployments.values().filter_map(DeploymentFacts::of).collect();
        self.observed.take(News::Deployments(Change::Listed(deployments)));
        let claims = self.claims.values().filter_map(ClaimFacts::of).collect();
        self.observed.take(News::Claims(Change::Listed(claims)));
        let pods = self.pods.values().cloned().collect();
        self.observed.take(News::Pods(Change::Listed(pods)));
        let group = MapFacts { identity: self.identity("group"), ..MapFacts::default() };
        self.observed.take(News::Group(Change::Listed(vec![group])));
        if !self.observed.is_complete() {
            self.node(true);
        }
    }

    fn born(&mut self, metadata: ObjectMeta) -> ObjectMeta {
        let identity = self.identity("");
        ObjectMeta {
            uid: Some(identity.uid),
            resource_version: Some(identity.resource_version),
            generation: Some(1),
            ..metadata
        }
    }

    fn identity(&mut self, name: &str) -> Identity {
        let version = self.next();
        let uid = format!("{name}{version}");
        Identity {
            name: name.into(),
            uid,
            resource_version: version.to_string(),
            is_deleting: false,
        }
    }

    fn next(&mut self) -> u64 {
        self.version += 1;
        self.version
    }
}

pub(crate) fn survey(generation: u64) -> FleetCommand {
    FleetCommand::Survey { generation: Generation(generation) }
}

fn group() -> Group {
    Group { id: "g".into(), ..Group::default() }
}

fn done(found: &Deployment) -> Outcome {
    Outcome::Done(DeploymentFacts::of(found).map(|facts| News::Deployments(Change::Set(facts))))
}

fn is_same(found: &ObjectMeta, wanted: &ObjectMeta) -> bool {
    (&found.uid, &found.resource_version) == (&wanted.uid, &wanted.resource_version)
}

fn changed(metadata: &mut ObjectMeta, version: u64) {
    metadata.resource_version = Some(version.to_string());
    *metadata.generation.get_or_insert_default() += 1;
}
