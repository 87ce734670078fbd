//! Pure. What the monitor publishes: the write rate of every partition at one instant.

use serde::{Deserialize, Serialize};

use crate::partition::TopicPartition;
use crate::rate::BytesPerSecond;

/// One chunk of one measurement, as JSON. Chunks of one measurement share `monitor` and
/// `sequence`; each carries whole partitions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// Milliseconds since 1970, by the monitor's wall clock.
    pub measured_at: i64,
    /// Which monitor, and which life of it.
    pub monitor: String,
    /// Counts the measurements of one life of a monitor.
    pub sequence: u64,
    /// Which chunk this is, from 0.
    pub chunk: u32,
    pub chunks: u32,
    pub interval_ms: u64,
    pub window_ms: u64,
    pub partitions: Vec<PartitionMeasurement>,
}

/// What is known about one partition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PartitionMeasurement {
    pub topic: String,
    pub partition: u32,
    /// Mean over the window.
    pub rate: BytesPerSecond,
    /// `rate` after the low-pass filter.
    pub filtered: BytesPerSecond,
    /// Mean over a few seconds, for fast scale-up.
    pub burst: BytesPerSecond,
    /// Bytes on the leader's log.
    pub size: u64,
    pub log_start: u64,
    pub high_watermark: u64,
    /// `None`: nothing was committed, or it could not be asked.
    pub committed: Option<u64>,
    /// High watermark − committed offset, in records.
    pub lag: Option<u64>,
    /// How long ago the committed offset was the high watermark.
    pub lag_seconds: Option<f64>,
    /// `size` ÷ (high watermark − log start); 0 for an empty log.
    pub bytes_per_record: f64,
    pub state: MeasurementState,
}

impl PartitionMeasurement {
    pub fn topic_partition(&self) -> TopicPartition {
        TopicPartition::new(&self.topic, self.partition)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MeasurementState {
    /// Known for less than a window: what is known so far.
    Warming,
    Steady,
    /// Could not be measured this time: the last known values.
    Stale,
}
