//! Pure. The objects of a consumer as they are to be, from a template, its number and its options.

use std::collections::BTreeMap;

use common::identity::ConsumerId;
use common::messages::service::DeploymentEntry;
use common::term::Generation;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec, DeploymentStrategy};
use k8s_openapi::api::core::v1::{
    Container, EmptyDirVolumeSource, EnvVar, EnvVarSource, ObjectFieldSelector,
    PersistentVolumeClaim, PersistentVolumeClaimVolumeSource, PodSpec, PodTemplateSpec, Volume,
    VolumeMount,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta, OwnerReference};
use twox_hash::XxHash3_128;

use super::names::{
    CONSUMER, DEPLOYMENT, GENERATION, TEMPLATE_HASH, claim_name, deployment_name, labels, selector,
};
use super::template::{CONTAINER, Template};

/// The volume that a consumer's state lies on.
const VOLUME: &str = "state";
const STATE_DIR: &str = "/var/lib/stowage";

/// What all consumers of a group have in common.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    pub id: String,
    /// Environment that nobody else sets: with other values they would be other consumers.
    pub owned: BTreeMap<String, String>,
    /// Environment that the template or a deployment may override.
    pub defaults: BTreeMap<String, String>,
    /// Environment that only a deployment may override.
    pub options: BTreeMap<String, String>,
}

/// Options of the command line as what they are called in the environment. A switch has no value.
pub fn environment(options: BTreeMap<String, String>) -> BTreeMap<String, String> {
    let variable = |(option, value): (String, String)| {
        let value = if value.is_empty() { "true".to_owned() } else { value };
        (option.to_uppercase().replace('-', "_"), value)
    };
    options.into_iter().map(variable).collect()
}

/// A consumer's objects are rendered from these.
#[derive(Clone, Copy, Debug)]
pub struct Recipe<'a> {
    pub group: &'a Group,
    /// The object that all of them vanish with.
    pub owner: &'a OwnerReference,
    pub template: &'a Template,
    pub entry: &'a DeploymentEntry,
    pub consumer: ConsumerId,
    pub generation: Generation,
}

impl Recipe<'_> {
    /// What the pod is made from, in short: whoever has another one runs with something else.
    pub fn hash(&self) -> String {
        let Group { owned, defaults, options, .. } = self.group;
        let made_from = (&self.template.pod, self.entry, owned, defaults, options);
        let text = serde_json::to_vec(&made_from).expect("it has nothing that JSON lacks");
        format!("{:032x}", XxHash3_128::oneshot(&text))
    }

    pub fn claim(&self) -> Option<PersistentVolumeClaim> {
        let spec = self.template.claim.clone()?;
        let metadata = self.metadata(claim_name(self.consumer), BTreeMap::new());
        Some(PersistentVolumeClaim { metadata, spec: Some(spec), status: None })
    }

    pub fn deployment(&self) -> Deployment {
        let entry = serde_json::to_string(self.entry).expect("it has nothing that JSON lacks");
        let annotations = [
            (GENERATION.to_owned(), self.generation.0.to_string()),
            (TEMPLATE_HASH.to_owned(), self.hash()),
            (DEPLOYMENT.to_owned(), entry),
        ];
        let match_labels = Some(selector(&self.group.id, self.consumer));
        let spec = DeploymentSpec {
            replicas: Some(1),
            revision_history_limit: Some(1),
            // Two pods of one consumer would wait for each other's volume.
            strategy: Some(DeploymentStrategy {
                type_: Some("Recreate".into()),
                ..Default::default()
            }),
            selector: LabelSelector { match_labels, ..LabelSelector::default() },
            template: self.pod(),
            ..DeploymentSpec::default()
        };
        let metadata = self.metadata(deployment_name(self.consumer), annotations.into());
        Deployment { metadata, spec: Some(spec), status: None }
    }

    fn metadata(&self, name: String, annotations: BTreeMap<String, String>) -> ObjectMeta {
        ObjectMeta {
            name: Some(name),
            labels: Some(labels(&self.group.id, self.consumer)),
            annotations: (!annotations.is_empty()).then_some(annotations),
            owner_references: Some(vec![self.owner.clone()]),
            ..ObjectMeta::default()
        }
    }

    fn pod(&self) -> PodTemplateSpec {
        let mut pod = self.template.pod.clone();
        let metadata = pod.metadata.get_or_insert_default();
        metadata.name = None;
        let own = labels(&self.group.id, self.consumer);
        metadata.labels.get_or_insert_default().extend(own);
        let spec = pod.spec.get_or_insert_default();
        self.give_volume(spec);
        for container in spec.containers.iter_mut().filter(|found| found.name == CONTAINER) {
            self.dress(container);
        }
        pod
    }

    fn give_volume(&self, spec: &mut PodSpec) {
        let claim = || PersistentVolumeClaimVolumeSource {
            claim_name: claim_name(self.consumer),
            read_only: None,
        };
        let is_kept = self.template.claim.is_some();
        let volumes = spec.volumes.get_or_insert_default();
        volumes.retain(|volume| volume.name != VOLUME);
        volumes.push(Volume {
            name: VOLUME.to_owned(),
            persistent_volume_claim: is_kept.then(claim),
            empty_dir: (!is_kept).then(EmptyDirVolumeSource::default),
            ..Volume::default()
        });
    }

    /// What the container is told of itself and its group.
    fn dress(&self, container: &mut Container) {
        let mounts = container.volume_mounts.get_or_insert_default();
        if !mounts.iter().any(|mount| mount.name == VOLUME) {
            mounts.push(VolumeMount {
                name: VOLUME.to_owned(),
                mount_path: STATE_DIR.to_owned(),
                ..VolumeMount::default()
            });
        }
        let mounted = mounts.iter().find(|mount| mount.name == VOLUME);
        let state_dir = mounted.map_or(STATE_DIR, |mount| &mount.mount_path).to_owned();
        if let Some(image) = &self.entry.image {
            container.image = Some(image.clone());
        }
        container.env = Some(self.environment(container.env.take().unwrap_or_default(), state_dir));
    }

    /// What others refer to comes first: a variable can name only those before it.
    fn environment(&self, template: Vec<EnvVar>, state_dir: String) -> Vec<EnvVar> {
        let own = [("STATE_DIR".to_owned(), state_dir), ("CONSUMER".to_owned(), self.number())];
        let listen = ("LISTEN".to_owned(), "$(POD_IP):8080".to_owned());
        // The later wins.
        let options =
            self.group.options.clone().into_iter().chain(environment(self.entry.options.clone()));
        let fixed: BTreeMap<String, String> =
            options.chain(self.group.owned.clone()).chain(own).collect();
        let told = [
            ("POD_UID", "metadata.uid"),
            ("POD_NAME", "metadata.name"),
            ("POD_IP", "status.podIP"),
        ];
        let mut environment: Vec<EnvVar> = told.map(|(name, path)| field(name, path)).into();
        let is_free = |found: &EnvVar| {
            !fixed.contains_key(&found.name) && !told.iter().any(|(name, _)| *name == found.name)
        };
        environment.extend(template.into_iter().filter(is_free));
        let defaults: BTreeMap<String, String> =
            [listen].into_iter().chain(self.group.defaults.clone()).collect();
        for (name, value) in defaults {
            if !fixed.contains_key(&name) && !environment.iter().any(|found| found.name == name) {
                environment.push(variable(name, value));
            }
        }
        environment.extend(fixed.into_iter().map(|(name, value)| variable(name, value)));
        environment
    }

    fn number(&self) -> String {
        self.consumer.0.to_string()
    }
}

/// The consumer that an object belongs to.
pub fn consumer_of(metadata: &ObjectMeta) -> Option<ConsumerId> {
    metadata.labels.as_ref()?.get(CONSUMER)?.parse().ok().map(ConsumerId)
}

fn variable(name: String, value: String) -> EnvVar {
    EnvVar { name, value: Some(value), value_from: None }
}

fn field(name: &str, path: &str) -> EnvVar {
    let field = ObjectFieldSelector { field_path: path.to_owned(), api_version: Some("v1".into()) };
    let source = EnvVarSource { field_ref: Some(field), ..EnvVarSource::default() };
    EnvVar { name: name.to_owned(), value: None, value_from: Some(source) }
}
