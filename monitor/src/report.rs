//! Pure. One measurement as the records that carry it, each below the size that brokers take.

use std::time::Duration;

use common::messages::measurement::{Measurement, PartitionMeasurement};
use common::moment::Timestamp;

/// A partition takes below 700 bytes with the longest name and the largest numbers, so that a record
/// stays below 512 KiB.
const CHUNK_PARTITIONS: usize = 700;

/// What the measurements of one life of a monitor have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reporter {
    monitor: String,
    interval_ms: u64,
    window_ms: u64,
    sequence: u64,
}

impl Reporter {
    /// `monitor` names this life of this monitor.
    pub fn new(monitor: String, interval: Duration, window: Duration) -> Self {
        let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let (interval_ms, window_ms) = (milliseconds(interval), milliseconds(window));
        Self { monitor, interval_ms, window_ms, sequence: 0 }
    }

    /// The next measurement, in chunks; one without partitions if there are none.
    pub fn report(
        &mut self,
        measured_at: Timestamp,
        mut partitions: impl Iterator<Item = PartitionMeasurement>,
    ) -> Vec<Measurement> {
        let mut chunks = Vec::new();
        loop {
            let taken: Vec<_> = partitions.by_ref().take(CHUNK_PARTITIONS).collect();
            if taken.is_empty() && !chunks.is_empty() {
                break;
            }
            let is_last = taken.len() < CHUNK_PARTITIONS;
            chunks.push(self.chunk(measured_at, taken));
            if is_last {
                break;
            }
        }
        self.sequence += 1;
        number(&mut chunks);
        chunks
    }

    fn chunk(&self, measured_at: Timestamp, partitions: Vec<PartitionMeasurement>) -> Measurement {
        Measurement {
            measured_at: measured_at.0,
            monitor: self.monitor.clone(),
            sequence: self.sequence,
            chunk: 0,
            chunks: 0,
            interval_ms: self.interval_ms,
            window_ms: self.window_ms,
            partitions,
        }
    }
}

/// The bytes that a day of measurements takes at most, uncompressed, if one record is so large.
pub fn bytes_per_day(measurement_bytes: usize, interval: Duration) -> u64 {
    let day = Duration::from_secs(24 * 60 * 60).as_millis();
    let turns = day.checked_div(interval.as_millis()).unwrap_or(0);
    let bytes = u128::try_from(measurement_bytes).unwrap_or(u128::MAX).saturating_mul(turns);
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

fn number(chunks: &mut [Measurement]) {
    let count = u32::try_from(chunks.len()).unwrap_or(u32::MAX);
    for (index, chunk) in (0..).zip(chunks) {
        chunk.chunk = index;
        chunk.chunks = count;
    }
}

#[cfg(test)]
mod tests {
    use common::messages::measurement::MeasurementState;
    use common::rate::BytesPerSecond;

    use super::*;

    const CHUNK_BYTES_MAX: usize = 512 << 10;

    /// The partition that takes the most bytes.
    fn largest() -> PartitionMeasurement {
        let rate = BytesPerSecond(u64::MAX);
        PartitionMeasurement {
            topic: "t".repeat(249),
            partition: u32::MAX,
            rate,
            filtered: rate,
            burst: rate,
            size: u64::MAX,
            log_start: u64::MAX,
            high_watermark: u64::MAX,
            committed: Some(u64::MAX),
            lag: Some(u64::MAX),
            lag_seconds: Some(f64::MIN_POSITIVE),
            bytes_per_record: 1.0 / 3.0,
            state: MeasurementState::Warming,
        }
    }

    fn report(partitions: usize) -> Vec<Measurement> {
        let second = Duration::from_secs(1);
        let mut reporter = Reporter::new("host:1-0".into(), second, second * 30);
        reporter.report(Timestamp(7), std::iter::repeat_n(largest(), partitions))
    }

    #[test]
    fn every_chunk_is_below_the_size_that_brokers_take() {
        for chunk in report(3 * CHUNK_PARTITIONS) {
            let bytes = serde_json::to_vec(&chunk).unwrap().len();
            assert!(bytes < CHUNK_BYTES_MAX, "{bytes}");
        }
    }

    #[test]
    fn chunks_are_numbered_and_hold_every_partition_once() {
        let sizes = [0, 1, CHUNK_PARTITIONS, CHUNK_PARTITIONS + 1, 2 * CHUNK_PARTITIONS];
        for (partitions, expected) in sizes.into_iter().zip([1, 1, 1, 2, 2]) {
            let chunks = report(partitions);
            assert_eq!(chunks.len(), expected, "{partitions} partitions");
            let numbers: Vec<_> = chunks.iter().map(|chunk| (chunk.chunk, chunk.chunks)).collect();
            let count = u32::try_from(expected).unwrap();
            assert_eq!(numbers, (0..count).map(|chunk| (chunk, count)).collect::<Vec<_>>());
            let held: usize = chunks.iter().map(|chunk| chunk.partitions.len()).sum();
            assert_eq!(held, partitions);
        }
    }

    #[test]
    fn measurements_are_counted() {
        let second = Duration::from_secs(1);
        let mut reporter = Reporter::new("host:1-0".into(), second, second * 30);
        let sequence =
            |reporter: &mut Reporter| reporter.report(Timestamp(7), std::iter::empty())[0].sequence;
        assert_eq!([sequence(&mut reporter), sequence(&mut reporter)], [0, 1]);
    }

    #[test]
    fn a_days_growth_is_what_a_turn_writes_times_its_turns() {
        assert_eq!(bytes_per_day(300, Duration::from_secs(1)), 300 * 86_400);
        assert_eq!(bytes_per_day(300, Duration::ZERO), 0);
    }
}
