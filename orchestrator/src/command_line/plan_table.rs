//! Pure. A plan as a page for people, and as JSON for programs.

use std::collections::BTreeMap;

use common::identity::ConsumerId;
use common::moment::Timestamp;
use common::rate::BytesPerSecond;
use serde::Serialize;

use super::table::{rate, table};
use crate::decision::Changes;
use crate::plan::snapshot::Snapshot;
use crate::plan::{Assignment, Plan};

#[derive(Serialize)]
struct Document<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<Timestamp>,
    assignment: &'a Assignment,
    #[serde(flatten)]
    changes: Changes,
}

pub(super) fn json(at: Option<Timestamp>, snapshot: &Snapshot, plan: &Plan) -> String {
    let changes = Changes::of(plan, snapshot);
    let document = Document { at, assignment: &plan.assignment, changes };
    serde_json::to_string(&document).expect("a plan is always JSON")
}

/// The loads before and after, then what changes and why.
pub(super) fn page(snapshot: &Snapshot, plan: &Plan) -> String {
    let owned = snapshot.partitions.iter();
    let before = loads(snapshot, owned.filter_map(|(name, facts)| Some((name, facts.owner?))));
    let after = loads(snapshot, plan.assignment.iter().map(|(name, owner)| (name, *owner)));
    let ids: std::collections::BTreeSet<_> =
        snapshot.consumers.keys().chain(plan.create.keys()).chain(after.keys()).collect();
    let row = |id: &ConsumerId| {
        let held = |loads: &BTreeMap<ConsumerId, Held>| loads.get(id).copied().unwrap_or_default();
        let (before, after) = (held(&before), held(&after));
        let facts = snapshot.consumers.get(id);
        let capacity = facts.map_or(snapshot.limits.capacity, |facts| facts.capacity);
        let percent = u128::from(after.peak.0) * 100 / u128::from(capacity.0.max(1));
        vec![
            id.0.to_string(),
            before.partitions.to_string(),
            rate(before.peak),
            after.partitions.to_string(),
            rate(after.peak),
            format!("{percent} %"),
        ]
    };
    let head = ["consumer", "held", "load", "is to hold", "load then", "of capacity"];
    let rows = ids.into_iter().map(row).collect();
    format!("{}\n{plan}", table(&head, rows))
}

#[derive(Clone, Copy, Default)]
struct Held {
    partitions: usize,
    peak: BytesPerSecond,
}

fn loads<'a>(
    snapshot: &Snapshot,
    owners: impl Iterator<Item = (&'a common::partition::TopicPartition, ConsumerId)>,
) -> BTreeMap<ConsumerId, Held> {
    let mut loads = BTreeMap::<ConsumerId, Held>::new();
    for (partition, owner) in owners {
        let held = loads.entry(owner).or_default();
        held.partitions += 1;
        let facts = snapshot.partitions.get(partition);
        held.peak = held.peak + facts.map_or(BytesPerSecond::ZERO, |facts| facts.demand.peak);
    }
    loads
}
