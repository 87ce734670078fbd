//! Pure. What consumers say: that they live, what they hold, how they fare; and markers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Extra;
use crate::identity::{ConsumerId, Incarnation, Nonce};
use crate::partition::TopicPartition;
use crate::position::{HandOver, Position};
use crate::term::Term;

/// Set in `extra` of the heartbeats of a consumer that a person leads.
pub const BY_HAND: &str = "by_hand";

/// Set in `extra` of heartbeats: which incarnation of its process it is, counted from 1.
pub const LIFE: &str = "life";

/// Set in `extra` of reports: the share of the interval, in thousandths, that the partitions with
/// anything to do could do nothing but wait for the sink; a mean over them.
pub const SINK_WAIT: &str = "sink_wait_permille";

/// Set in `extra` of reports: the partitions that are held and not read on, because too many of their
/// records cannot become rows, each with the reason; JSON.
const PAUSED: &str = "paused";

/// What reports say in `extra`; see [`SINK_WAIT`] and [`PAUSED`].
pub fn report_extra(sink_wait_permille: u64, paused: &BTreeMap<TopicPartition, String>) -> Extra {
    let mut extra = Extra::from([(SINK_WAIT.to_owned(), sink_wait_permille.to_string())]);
    if !paused.is_empty() {
        let paused = serde_json::to_string(paused).expect("names and reasons are always JSON");
        extra.insert(PAUSED.to_owned(), paused);
    }
    extra
}

/// Renews the lease of an incarnation; below 1 kB.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    pub consumer: ConsumerId,
    pub incarnation: Incarnation,
    /// Counts the heartbeats of the incarnation.
    pub number: u64,
    /// Start of the process by the wall clock, milliseconds since 1970.
    pub process_started_ms: i64,
    pub pid: u32,
    /// From the downward API, on Kubernetes.
    pub pod_uid: Option<String>,
    /// How long the lease lasts from the send time of an acknowledged heartbeat.
    pub ttl_ms: u64,
    /// How much earlier than that the consumer stops by itself.
    pub margin_ms: u64,
    /// Whether the process holds the lock of its volume.
    pub lock_held: bool,
    /// The term of the last command that was read.
    pub command_read: Option<Term>,
    /// Where `/metrics` and `/readyz` are served.
    pub address: Option<String>,
    /// Set while the consumer finishes its work in order to exit.
    pub draining: bool,
    pub extra: Extra,
}

impl Heartbeat {
    /// Whether it is of the same process as `other`, under a later incarnation: then that process has
    /// dropped what it held under the other one.
    pub fn succeeds(&self, other: &Self) -> bool {
        let process = |beat: &Self| {
            let Self { consumer, pid, process_started_ms, pod_uid, .. } = beat;
            (*consumer, *pid, *process_started_ms, pod_uid.clone())
        };
        let life = |beat: &Self| beat.extra.get(LIFE)?.parse::<u64>().ok();
        let is_later = life(self).zip(life(other)).is_some_and(|(own, its)| own > its);
        is_later && process(self) == process(other)
    }
}

/// The whole state of an incarnation; of two, the one with the higher number is the later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    pub consumer: ConsumerId,
    pub incarnation: Incarnation,
    /// Counts the answers of the incarnation from 1.
    pub number: u64,
    /// The highest term obeyed so far.
    pub term: Term,
    /// Set once the consumer, told to end or stopped by a signal, takes nothing new.
    pub draining: bool,
    pub partitions: Vec<PartitionAnswer>,
    pub extra: Extra,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum PartitionState {
    /// The sink is being opened; nothing is read yet.
    Opening,
    Held,
    /// Told to stop; what is in flight is being finished.
    Stopping,
    /// Could not be opened, or could not go on: `reason` says why, `hand_over` is given back.
    Failed,
    /// Stopped: `hand_over` is what the next owner gets.
    Released,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionAnswer {
    pub partition: TopicPartition,
    pub state: PartitionState,
    /// The term of the `Assign` that first gave it to this incarnation.
    pub since: Term,
    /// Held, Stopping: where reading began.
    pub position: Option<Position>,
    /// Held, Stopping: fence tokens of the present writer.
    pub tokens: Vec<String>,
    /// Released, Failed: what the next owner gets.
    pub hand_over: Option<HandOver>,
    /// Failed: why.
    pub reason: Option<String>,
    /// Held: the first answered poll; Released: the last one. Milliseconds since 1970, for
    /// measuring how long a partition was not read.
    pub polled_at_ms: Option<i64>,
}

/// How an incarnation fares, at a fixed interval.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    pub consumer: ConsumerId,
    pub incarnation: Incarnation,
    pub reported_at_ms: i64,
    pub interval_ms: u64,
    /// Share of the interval in which decoding or writing went on, in thousandths of one core.
    pub busy_permille: u32,
    /// Bytes buffered: queues, open objects, writes in flight.
    pub buffered_bytes: u64,
    pub partitions: Vec<PartitionReport>,
    pub extra: Extra,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionReport {
    pub partition: TopicPartition,
    /// Next offset to read from Kafka.
    pub position: u64,
    /// Everything below is stored.
    pub stored: u64,
    /// While everything that may be read has been: where that ends.
    pub high_watermark: Option<u64>,
    /// Since the previous report.
    pub records: u64,
    pub bytes: u64,
    /// Rows stored and records dead-lettered since the partition was opened.
    pub rows_stored: u64,
    pub dead_letters: u64,
    /// Produce-to-stored latency of the slowest record stored since the previous report.
    pub latency_max_ms: Option<u64>,
}

impl Report {
    /// See [`SINK_WAIT`]; zero if it does not say.
    pub fn sink_wait_permille(&self) -> u32 {
        self.extra.get(SINK_WAIT).and_then(|text| text.parse().ok()).unwrap_or(0)
    }

    /// The partitions that are held and not read on, each with the reason.
    pub fn paused(&self) -> BTreeMap<TopicPartition, String> {
        let told = self.extra.get(PAUSED).and_then(|text| serde_json::from_str(text).ok());
        told.unwrap_or_default()
    }
}

/// What a person should know about one partition or consumer: each class is also a metric.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    pub consumer: ConsumerId,
    pub incarnation: Incarnation,
    pub class: NoticeClass,
    pub partition: Option<TopicPartition>,
    /// The offsets concerned, from (inclusive) and to (exclusive), if any.
    pub from: Option<u64>,
    pub to: Option<u64>,
    pub text: String,
    pub extra: Extra,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum NoticeClass {
    /// Records were removed before they were read.
    Gap,
    /// A position that Kafka does not have (above the high watermark, or the log was cut).
    PositionLost,
    /// The topic was deleted and created again.
    TopicReplaced,
    /// A committed offset that is not ours was overwritten.
    ForeignCommit,
    /// The sink refused a late writer.
    Fenced,
    /// The lease ran out: the assignment was dropped.
    LeaseLapsed,
    /// A partition cannot go on until a person acts.
    Blocked,
    /// The state file was unusable and was set aside.
    StateSetAside,
}

impl NoticeClass {
    /// A word for metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::Gap => "gap",
            Self::PositionLost => "position_lost",
            Self::TopicReplaced => "topic_replaced",
            Self::ForeignCommit => "foreign_commit",
            Self::Fenced => "fenced",
            Self::LeaseLapsed => "lease_lapsed",
            Self::Blocked => "blocked",
            Self::StateSetAside => "state_set_aside",
        }
    }
}

/// A record on the consumer's own partition that changed nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    pub consumer: ConsumerId,
    pub incarnation: Incarnation,
    pub class: RefusalClass,
    /// What the record said it was.
    pub event_type: String,
    /// Where it stands on the controller topic.
    pub controller_partition: u32,
    pub controller_offset: u64,
    pub text: String,
    pub extra: Extra,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum RefusalClass {
    UnknownKind,
    Malformed,
    /// Of an earlier generation than the one obeyed, or of one never announced.
    StaleGeneration,
    /// For another incarnation of this consumer.
    OtherIncarnation,
    /// A kind that does not belong on this partition.
    NotForConsumers,
}

impl RefusalClass {
    /// A word for metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::UnknownKind => "unknown_kind",
            Self::Malformed => "malformed",
            Self::StaleGeneration => "stale_generation",
            Self::OtherIncarnation => "other_incarnation",
            Self::NotForConsumers => "not_for_consumers",
        }
    }
}

/// Written to a topic and read back: then everything written before it has been read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marker {
    pub nonce: Nonce,
    pub author: String,
    pub extra: Extra,
}
