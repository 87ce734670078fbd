//! Pure. What the orchestrator knows and does, as one document for people and programs.

use std::collections::BTreeMap;

use common::identity::{ConsumerId, Incarnation, TopicId};
use common::messages::command::Source;
use common::messages::snapshot::{Ownership, StandingRequest};
use common::moment::Timestamp;
use common::partition::TopicPartition;
use common::rate::BytesPerSecond;
use common::term::{Generation, Term};
use serde::{Deserialize, Serialize};

use crate::capacity::Lesson;
use crate::decision::Decision;
use crate::operations::Operations;
use crate::plan::snapshot::{Hold, Wish};
use crate::proposal::Proposal;

/// The page `/status`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    pub at: Timestamp,
    pub role: Role,
    /// The reign that is the last by the log, this orchestrator's or another's.
    pub generation: Option<Generation>,
    pub trust: RateTrust,
    /// Whether every partition is where it is planned to be.
    pub is_settled: bool,
    pub partitions: BTreeMap<TopicPartition, PartitionStatus>,
    pub consumers: Vec<ConsumerStatus>,
    /// The last ones, the newest at the end.
    pub decisions: Vec<Decision>,
    pub requests: Vec<StandingRequest>,
    /// What people ordered about the group as a whole.
    pub operations: Operations,
    /// Why no consumer is created, if none is.
    pub hold: Option<Hold>,
    /// What waits for approval.
    pub proposal: Option<Proposal>,
    pub topics: BTreeMap<String, TopicStatus>,
    /// What is wrong with entries of the service topic, by key.
    pub service_errors: BTreeMap<String, String>,
    pub totals: Totals,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    #[default]
    Standby,
    /// It leads, and reads what the reigns before it left.
    TakingOver,
    Leading,
}

/// How far the rates can be trusted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RateTrust {
    /// No measurement has come yet.
    #[default]
    Waiting,
    Measuring,
    /// None has come for a while: nothing is moved that need not be.
    Frozen,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PartitionStatus {
    pub state: Ownership,
    /// Who holds it, or may.
    pub owner: Option<ConsumerId>,
    /// Who is to hold it.
    pub planned: Option<ConsumerId>,
    /// The term of the command that gave it to its owner.
    pub since: Option<Term>,
    pub wish: Wish,
    /// Mean over the monitor's window.
    pub rate: BytesPerSecond,
    pub filtered: BytesPerSecond,
    pub burst: BytesPerSecond,
    /// What it asks of its owner, steadily and at its peak.
    pub demand: BytesPerSecond,
    pub demand_peak: BytesPerSecond,
    pub is_stale: bool,
    pub high_watermark: Option<u64>,
    pub committed: Option<u64>,
    pub lag: Option<u64>,
    pub lag_seconds: Option<f64>,
    /// By the owner's last report: everything below is stored.
    pub stored: Option<u64>,
    pub rows_stored: u64,
    pub dead_letters: u64,
    pub latency_max_ms: Option<u64>,
    /// Why it could not be opened, as often as it was tried.
    pub failures: u32,
    pub reason: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConsumerStatus {
    pub consumer: ConsumerId,
    pub standing: ConsumerStanding,
    pub incarnation: Option<Incarnation>,
    pub pid: Option<u32>,
    /// Where its health and metrics are served.
    pub address: Option<String>,
    pub partitions: usize,
    /// The sum of its partitions' demands, steadily and at their peak.
    pub load: BytesPerSecond,
    pub load_peak: BytesPerSecond,
    /// What it sustains: learned, or assumed.
    pub capacity: BytesPerSecond,
    /// What it was learned from, the newest at the end; empty if it is assumed.
    pub lessons: Vec<Lesson>,
    /// Times that it failed in a row.
    pub failures: u32,
    /// Why it cannot run for now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<String>,
    pub heartbeat_age_ms: Option<u64>,
    /// By its last report.
    pub busy_permille: Option<u32>,
    pub buffered_bytes: Option<u64>,
    /// Share of the last seconds in which it could only wait for its sink, in thousandths.
    pub sink_wait_permille: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConsumerStanding {
    /// Its process runs or is being started; it was not heard of yet.
    Starting,
    Serving,
    /// Hands over what it holds, and ends.
    Draining,
    /// It exists and cannot run for now, for longer than it is waited for: others read meanwhile.
    Awaited,
    /// It was not heard of for a while: what it holds goes to others.
    Absent,
    /// It ends again and again: what it holds goes to others.
    Failing,
    /// Its partition of the controller topic can be neither written nor read: it is told nothing.
    Unreachable,
    /// Led by a person.
    ByHand,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicStatus {
    pub source: Source,
    /// `None`: Kafka does not know the topic.
    pub topic_id: Option<TopicId>,
    pub partitions: u32,
}

/// Counted over this reign.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Partitions that passed from one consumer to another.
    pub moves: u64,
    /// How long the last ones of them were not read (last poll at the old owner to the first
    /// answered one at the new), in milliseconds; the newest at the end.
    pub move_gaps_ms: Vec<u64>,
    pub plans: u64,
    pub consumers_created: u64,
    pub consumers_removed: u64,
    /// Processes that ended without being told to.
    pub consumers_crashed: u64,
    pub refused: u64,
    pub notices: u64,
}
