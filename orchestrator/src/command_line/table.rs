//! Pure. The status document as text for a terminal.

use std::fmt::Write as _;

pub(super) use common::columns::columns as table;
use common::moment::Timestamp;
use common::rate::BytesPerSecond;

use crate::decision::{Changes, Decision};
use crate::plan::snapshot::Hold;
use crate::proposal::Proposal;
use crate::status::{ConsumerStatus, PartitionStatus, RateTrust, Role, Status};

/// Decisions that are shown.
const DECISIONS: usize = 5;

/// Who leads, who reads what, and why the last plans were made.
pub fn page(status: &Status) -> String {
    let mut page = headline(status);
    if !status.consumers.is_empty() {
        page.push('\n');
        let rows = status.consumers.iter().map(consumer_row);
        let head = [
            "consumer",
            "standing",
            "pid",
            "partitions",
            "load",
            "peak",
            "of capacity",
            "capacity",
            "address",
        ];
        page.push_str(&table(&head, rows.collect()));
    }
    if !status.partitions.is_empty() {
        page.push('\n');
        let rows = status.partitions.iter().map(|(partition, found)| {
            let mut row = vec![partition.to_string()];
            row.extend(partition_cells(found));
            row
        });
        let head = ["partition", "state", "owner", "rate", "demand", "lag", "stored", "remark"];
        page.push_str(&table(&head, rows.collect()));
    }
    for decision in status.decisions.iter().rev().take(DECISIONS) {
        page.push('\n');
        page.push_str(&decision_text(decision, status.at));
    }
    for line in orders(status) {
        let _ = writeln!(page, "\n{line}");
    }
    if let Some(proposed) = &status.proposal {
        page.push('\n');
        page.push_str(&proposal(proposed));
    }
    for (key, error) in &status.service_errors {
        let _ = writeln!(page, "\n! service entry `{key}`: {error}");
    }
    for request in &status.requests {
        let wish = match request.pinned_to {
            None => "not to be read".to_owned(),
            Some(consumer) if consumer == crate::wishes::ANYWHERE => "to be read".to_owned(),
            Some(consumer) => format!("pinned to {consumer}"),
        };
        let _ = writeln!(page, "\nrequest: {}{:?} {wish}", request.topic, request.partitions);
    }
    page
}

/// What people ordered about the group as a whole, and what holds it back.
fn orders(status: &Status) -> Vec<String> {
    let operations = &status.operations;
    let orders = [
        (operations.is_paused, "PAUSED: only what lost its owner is given one"),
        (operations.is_scale_in_paused, "PAUSED: no consumer is closed"),
        (operations.is_scale_out_paused, "PAUSED: no consumer is created"),
        (operations.is_dry_run, "DRY RUN: plans wait for approval"),
    ];
    let ordered = orders.into_iter().filter(|(holds, _)| *holds).map(|(_, text)| text.to_owned());
    let draining = operations.draining.iter().map(|consumer| format!("request: drain {consumer}"));
    let held = status.hold.filter(|hold| *hold != Hold::Paused).map(|hold| format!("HELD: {hold}"));
    ordered.chain(draining).chain(held).collect()
}

/// A plan that waits for approval.
pub(super) fn proposal(proposal: &Proposal) -> String {
    let Proposal { name, decision } = proposal;
    let changes = changes_text(&decision.changes);
    format!("proposed as {name} (`orchestrator approve {name}`): {}\n{changes}", decision.reason)
}

fn headline(status: &Status) -> String {
    let role = match status.role {
        Role::Standby => "standby",
        Role::TakingOver => "taking over",
        Role::Leading => "leading",
    };
    let generation =
        status.generation.map_or_else(|| "none".to_owned(), |generation| generation.to_string());
    let trust = match status.trust {
        RateTrust::Waiting => "no measurement yet",
        RateTrust::Measuring => "measuring",
        RateTrust::Frozen => "FROZEN: no measurement comes, nothing is moved that need not be",
    };
    let settled = if status.is_settled { "settled" } else { "moving" };
    let moves = status.totals.moves;
    format!("{role} · generation {generation} · {trust} · {settled} · {moves} moves\n")
}

fn consumer_row(consumer: &ConsumerStatus) -> Vec<String> {
    let percent = (consumer.load_peak.0 * 100).checked_div(consumer.capacity.0).unwrap_or(0);
    vec![
        consumer.consumer.0.to_string(),
        format!("{:?}", consumer.standing).to_lowercase(),
        consumer.pid.map(|pid| pid.to_string()).unwrap_or_default(),
        consumer.partitions.to_string(),
        rate(consumer.load),
        rate(consumer.load_peak),
        format!("{percent} %"),
        capacity(consumer),
        consumer.address.clone().unwrap_or_default(),
    ]
}

/// With where it comes from, if it was learned.
fn capacity(consumer: &ConsumerStatus) -> String {
    let learned = if consumer.lessons.is_empty() { "" } else { ", learned" };
    format!("{}{learned}", rate(consumer.capacity))
}

fn partition_cells(found: &PartitionStatus) -> Vec<String> {
    let number = |number: Option<u64>| number.map_or_else(|| "?".to_owned(), |n| n.to_string());
    let owner = match (found.owner, found.planned) {
        (Some(owner), Some(planned)) if owner != planned => format!("{} > {}", owner.0, planned.0),
        (Some(owner), _) => owner.0.to_string(),
        (None, Some(planned)) => format!("> {}", planned.0),
        (None, None) => String::new(),
    };
    vec![
        format!("{:?}", found.state).to_lowercase(),
        owner,
        rate(found.rate),
        rate(found.demand_peak),
        number(found.lag),
        number(found.stored),
        found.reason.clone().unwrap_or_default(),
    ]
}

fn decision_text(decision: &Decision, now: Timestamp) -> String {
    let ago = now.saturating_ms_since(decision.at) / 1_000;
    format!("{ago} s ago: {}\n{}", decision.reason, changes_text(&decision.changes))
}

fn changes_text(changes: &Changes) -> String {
    let mut text = String::new();
    for created in &changes.create {
        let _ = writeln!(text, "  + {}: {}", created.consumer, created.reason);
    }
    for planned in &changes.moves {
        let _ = writeln!(text, "  > {} to {}: {}", planned.partition, planned.to, planned.reason);
    }
    for removed in &changes.remove {
        let _ = writeln!(text, "  - {}: {}", removed.consumer, removed.reason);
    }
    for warning in &changes.warnings {
        let _ = writeln!(text, "  ! {warning}");
    }
    text
}

/// Bytes per second with the unit that leaves few digits.
pub(super) fn rate(rate: BytesPerSecond) -> String {
    match rate.0 {
        0..10_000 => format!("{} B/s", rate.0),
        10_000..10_000_000 => format!("{} kB/s", rate.0 / 1_000),
        _ => format!("{} MB/s", rate.0 / 1_000_000),
    }
}

#[cfg(test)]
mod tests {
    use common::identity::ConsumerId;
    use common::messages::snapshot::Ownership;
    use common::partition::TopicPartition;

    use super::*;
    use crate::plan::snapshot::Wish;
    use crate::status::ConsumerStanding;

    fn partition() -> PartitionStatus {
        PartitionStatus {
            state: Ownership::Owned,
            owner: Some(ConsumerId(1)),
            planned: Some(ConsumerId(2)),
            since: None,
            wish: Wish::None,
            rate: BytesPerSecond(123_456),
            filtered: BytesPerSecond(0),
            burst: BytesPerSecond(0),
            demand: BytesPerSecond(0),
            demand_peak: BytesPerSecond(20_000_000),
            is_stale: false,
            high_watermark: None,
            committed: None,
            lag: None,
            lag_seconds: None,
            stored: Some(7),
            rows_stored: 0,
            dead_letters: 0,
            latency_max_ms: None,
            failures: 0,
            reason: None,
        }
    }

    #[test]
    fn a_person_sees_who_reads_what_and_what_is_on_its_way() {
        let consumer = ConsumerStatus {
            consumer: ConsumerId(1),
            standing: ConsumerStanding::Serving,
            incarnation: None,
            pid: Some(42),
            address: None,
            partitions: 1,
            load: BytesPerSecond(500),
            load_peak: BytesPerSecond(500),
            capacity: BytesPerSecond(1_000),
            lessons: vec![],
            failures: 0,
            waits_for: None,
            heartbeat_age_ms: None,
            busy_permille: None,
            buffered_bytes: None,
            sink_wait_permille: 0,
        };
        let status = Status {
            role: Role::Leading,
            partitions: [(TopicPartition::new("orders", 0), partition())].into(),
            consumers: vec![consumer],
            ..Status::default()
        };
        let expected = "\
leading · generation none · no measurement yet · moving · 0 moves

consumer  standing  pid  partitions  load     peak     of capacity  capacity  address
1         serving   42   1           500 B/s  500 B/s  50 %         1000 B/s

partition  state  owner  rate      demand   lag  stored  remark
orders/0   owned  1 > 2  123 kB/s  20 MB/s  ?    7
";
        assert_eq!(page(&status), expected);
    }
}
