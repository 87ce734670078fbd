//! Pure. Single calls of the API: what may be asked of it, and what may come of that.

use common::identity::ConsumerId;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use serde_json::{Value, json};

use super::facts::Identity;
use super::observed::News;

/// What a call concerns: of each there is one call at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    pub consumer: ConsumerId,
    pub kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Deployment,
    Claim,
    Pod,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// Fails if there is one.
    CreateClaim(Box<PersistentVolumeClaim>),
    /// Fails if there is one.
    CreateDeployment(Box<Deployment>),
    /// Takes back all that we want of it. Fails unless it is as it was seen.
    ApplyDeployment(Box<Deployment>),
    /// Changes a little. Fails unless it is as it was seen.
    Patch {
        name: String,
        patch: Value,
    },
    Delete {
        identity: Identity,
        grace: Grace,
    },
}

/// How long a pod is given to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grace {
    /// As it says itself.
    Own,
    /// None: it is removed although nobody knows whether it ended.
    None,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// With what is there now, if the call says so.
    Done(Option<News>),
    /// It is not as it was seen.
    Conflict,
    Failed(String),
}

impl Request {
    /// Sets an annotation, or removes it.
    pub fn annotate(identity: &Identity, name: &str, value: Option<String>) -> Self {
        Self::patch(identity, json!({ "annotations": { name: value } }), None)
    }

    pub fn scale(identity: &Identity, replicas: i32) -> Self {
        Self::patch(identity, json!({}), Some(json!({ "replicas": replicas })))
    }

    fn patch(identity: &Identity, mut metadata: Value, spec: Option<Value>) -> Self {
        metadata["resourceVersion"] = json!(identity.resource_version);
        metadata["uid"] = json!(identity.uid);
        let mut patch = json!({ "metadata": metadata });
        if let Some(spec) = spec {
            patch["spec"] = spec;
        }
        Self::Patch { name: identity.name.clone(), patch }
    }
}
