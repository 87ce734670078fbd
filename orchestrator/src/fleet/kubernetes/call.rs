//! IO. Makes a single call of the API, in limited time.

use std::time::Duration;

use common::chain::Chain;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::{Api, Client};
use tokio::time::timeout;

use super::facts::{ClaimFacts, DeploymentFacts, Identity};
use super::names::MANAGER;
use super::observed::{Change, News};
use super::request::{Grace, Kind, Outcome, Request, Target};

/// An answer that comes later is as good as none: what became of the call is seen anyway.
const LIMIT: Duration = Duration::from_secs(10);

/// The API, as far as calls go.
#[derive(Clone)]
pub struct Caller {
    deployments: Api<Deployment>,
    claims: Api<PersistentVolumeClaim>,
    pods: Api<Pod>,
}

impl Caller {
    pub fn new(client: &Client) -> Self {
        Self {
            deployments: Api::default_namespaced(client.clone()),
            claims: Api::default_namespaced(client.clone()),
            pods: Api::default_namespaced(client.clone()),
        }
    }

    pub async fn call(&self, target: Target, request: Request) -> Outcome {
        match timeout(LIMIT, self.make(target.kind, request)).await {
            Ok(Ok(news)) => Outcome::Done(news),
            Ok(Err(error)) => outcome(&error),
            Err(_) => Outcome::Failed(format!("no answer within {} s", LIMIT.as_secs())),
        }
    }

    async fn make(&self, kind: Kind, request: Request) -> kube::Result<Option<News>> {
        let post = PostParams { field_manager: Some(MANAGER.into()), ..PostParams::default() };
        match request {
            Request::CreateClaim(claim) => {
                Ok(claim_news(&self.claims.create(&post, &claim).await?))
            }
            Request::CreateDeployment(deployment) => {
                Ok(deployment_news(&self.deployments.create(&post, &deployment).await?))
            }
            Request::ApplyDeployment(deployment) => {
                let name = deployment.metadata.name.clone().unwrap_or_default();
                let apply = PatchParams::apply(MANAGER).force();
                let found =
                    self.deployments.patch(&name, &apply, &Patch::Apply(&deployment)).await?;
                Ok(deployment_news(&found))
            }
            Request::Patch { name, patch } => {
                let options =
                    PatchParams { field_manager: Some(MANAGER.into()), ..PatchParams::default() };
                let patch = Patch::Merge(patch);
                match kind {
                    Kind::Claim => {
                        Ok(claim_news(&self.claims.patch(&name, &options, &patch).await?))
                    }
                    Kind::Deployment | Kind::Pod => {
                        let found = self.deployments.patch(&name, &options, &patch).await?;
                        Ok(deployment_news(&found))
                    }
                }
            }
            Request::Delete { identity, grace } => {
                self.delete(kind, &identity, grace).await?;
                Ok(None)
            }
        }
    }

    async fn delete(&self, kind: Kind, identity: &Identity, grace: Grace) -> kube::Result<()> {
        let options = DeleteParams {
            grace_period_seconds: (grace == Grace::None).then_some(0),
            ..DeleteParams::background().preconditions(preconditions(kind, identity))
        };
        let name = &identity.name;
        match kind {
            Kind::Deployment => drop(self.deployments.delete(name, &options).await?),
            Kind::Claim => drop(self.claims.delete(name, &options).await?),
            Kind::Pod => drop(self.pods.delete(name, &options).await?),
        }
        Ok(())
    }
}

/// A pod changes all the time: of that it is the same one is enough.
fn preconditions(kind: Kind, identity: &Identity) -> Preconditions {
    let resource_version = (kind != Kind::Pod).then(|| identity.resource_version.clone());
    Preconditions { resource_version, uid: Some(identity.uid.clone()) }
}

fn deployment_news(found: &Deployment) -> Option<News> {
    DeploymentFacts::of(found).map(|facts| News::Deployments(Change::Set(facts)))
}

fn claim_news(found: &PersistentVolumeClaim) -> Option<News> {
    ClaimFacts::of(found).map(|facts| News::Claims(Change::Set(facts)))
}

fn outcome(error: &kube::Error) -> Outcome {
    match error {
        // Gone already, or not as it was seen: both will be seen.
        kube::Error::Api(status) if [404, 409].contains(&status.code) => Outcome::Conflict,
        kube::Error::Api(status) => Outcome::Failed(status.message.clone()),
        other => Outcome::Failed(Chain(other).to_string()),
    }
}
