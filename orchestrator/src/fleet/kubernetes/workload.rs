//! Pure. What is to be done about the Deployment of one consumer, and about the claim that it needs.

use common::term::Generation;

use super::desired::Recipe;
use super::facts::{ClaimFacts, DeploymentFacts};
use super::member::Member;
use super::request::{Grace, Kind, Request};

/// What there is of one consumer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sight<'a> {
    pub(super) found: Option<&'a DeploymentFacts>,
    pub(super) claim: Option<&'a ClaimFacts>,
    pub(super) generation: Generation,
    /// Until then a leader of before may still change things: nothing is made or removed.
    pub(super) is_surveyed: bool,
}

/// What is to be done next, if anything.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Step {
    pub(super) request: Option<(Kind, Request)>,
    /// What somebody did by hand that this puts right.
    pub(super) mended: Option<String>,
    /// Why nothing can be done.
    pub(super) trouble: Option<String>,
}

/// `recipe` is what is to be, or why nobody knows.
pub(super) fn step(member: &Member, recipe: &Result<Recipe<'_>, String>, sight: Sight<'_>) -> Step {
    match sight.found {
        None if member.is_leaving || !sight.is_surveyed => Step::default(),
        None => match recipe {
            Ok(recipe) => create(member, recipe, sight.claim),
            Err(error) => Step { trouble: Some(error.clone()), ..Step::default() },
        },
        Some(found) if found.identity.is_deleting => Step::default(),
        Some(found) if member.is_leaving && sight.is_surveyed => {
            let (identity, grace) = (found.identity.clone(), Grace::Own);
            request(Kind::Deployment, Request::Delete { identity, grace })
        }
        Some(found) => keep(member, recipe.as_ref().ok(), found, sight.generation),
    }
}

/// First the claim: a pod that lacks it would only be in the way of the scheduler.
fn create(member: &Member, recipe: &Recipe<'_>, claim: Option<&ClaimFacts>) -> Step {
    match (recipe.claim(), claim) {
        (Some(wanted), None) => request(Kind::Claim, Request::CreateClaim(Box::new(wanted))),
        // It goes as soon as nobody uses it, and is made anew.
        (Some(_), Some(claim)) if claim.identity.is_deleting => {
            let trouble = Some("its former volume is being deleted".to_owned());
            Step { trouble, ..Step::default() }
        }
        (Some(_), Some(_)) | (None, _) => {
            let create = Request::CreateDeployment(Box::new(recipe.deployment()));
            let mended = member.was_seen.then(|| "its Deployment was deleted".to_owned());
            Step { mended, ..request(Kind::Deployment, create) }
        }
    }
}

/// One that was made from another template stays as it is: a restart is the leader's to decide.
fn keep(
    member: &Member,
    recipe: Option<&Recipe<'_>>,
    found: &DeploymentFacts,
    generation: Generation,
) -> Step {
    let is_current = |recipe: &&Recipe<'_>| found.hash.as_ref() == Some(&recipe.hash());
    if found.stamp != Some(generation) {
        let stamp = || {
            let stamp = Some(generation.0.to_string());
            Request::annotate(&found.identity, super::names::GENERATION, stamp)
        };
        let current = recipe.filter(is_current).map(|recipe| apply(recipe, found));
        return request(Kind::Deployment, current.unwrap_or_else(stamp));
    }
    if found.replicas != 1 {
        let mended = Some(format!("it was scaled to {}", found.replicas));
        let scale = Request::scale(&found.identity, 1);
        return Step { mended, ..request(Kind::Deployment, scale) };
    }
    let is_changed = member.revision.is_some_and(|known| found.revision > known);
    match recipe.filter(|_| is_changed) {
        Some(recipe) => {
            let mended = Some("its Deployment was changed".to_owned());
            Step { mended, ..request(Kind::Deployment, apply(recipe, found)) }
        }
        None => Step::default(),
    }
}

fn apply(recipe: &Recipe<'_>, found: &DeploymentFacts) -> Request {
    let mut deployment = recipe.deployment();
    deployment.metadata.uid = Some(found.identity.uid.clone());
    deployment.metadata.resource_version = Some(found.identity.resource_version.clone());
    Request::ApplyDeployment(Box::new(deployment))
}

fn request(kind: Kind, request: Request) -> Step {
    Step { request: Some((kind, request)), ..Step::default() }
}
