//! Pure. Claims outlive their consumers for a while: one that returns finds its state.

use std::time::Duration;

use common::identity::ConsumerId;
use common::moment::Timestamp;
use k8s_openapi::jiff;

use super::facts::ClaimFacts;
use super::names::UNUSED_SINCE;
use super::observed::Observed;
use super::request::{Grace, Kind, Request, Target};

/// What is to be done about claims. `is_member` says whose are in use.
pub(super) fn requests(
    observed: &Observed,
    is_member: impl Fn(ConsumerId) -> bool,
    keep: Duration,
    now: Timestamp,
) -> Vec<(Target, Request)> {
    let request = |claim: &ClaimFacts| {
        let consumer = claim.consumer;
        let is_used = is_member(consumer) || observed.deployment(consumer).is_some();
        let request = match claim.unused_since {
            Some(_) if is_used => Request::annotate(&claim.identity, UNUSED_SINCE, None),
            None if !is_used => Request::annotate(&claim.identity, UNUSED_SINCE, Some(text(now))),
            Some(since) if !is_used && has_passed(since, keep, now) => {
                Request::Delete { identity: claim.identity.clone(), grace: Grace::Own }
            }
            Some(_) | None => return None,
        };
        Some((Target { consumer, kind: Kind::Claim }, request))
    };
    let claims = observed.claims.values().filter(|claim| !claim.identity.is_deleting);
    claims.filter_map(request).collect()
}

fn has_passed(since_ms: i64, keep: Duration, now: Timestamp) -> bool {
    u128::from(now.saturating_ms_since(Timestamp(since_ms))) >= keep.as_millis()
}

/// As people write it.
fn text(now: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(now.0).unwrap_or_default().to_string()
}
