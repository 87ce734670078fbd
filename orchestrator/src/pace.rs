//! Pure. How many bytes of the log consumers read per second, by their reports.
//!
//! Consumers count what they unpack; the monitor measures what stands on the log, compressed. So the
//! offsets between two reports are taken, and the mean size of a record on the log:
//! `bytes = Δposition × size ÷ (high watermark − log start)`.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use common::identity::{ConsumerId, Incarnation};
use common::messages::event::Report;
use common::messages::measurement::PartitionMeasurement;
use common::partition::TopicPartition;
use common::rate::BytesPerSecond;

use crate::demand::log_bytes;

/// Samples that are kept per consumer: seconds, as reports come once a second.
const SAMPLES: usize = 10;
/// A partition is behind if its lag would take so many milliseconds at its present pace.
const BEHIND_MS: u64 = 2_000;
/// A consumer is behind if partitions that are make up so much of what it reads, in per cent.
const BEHIND_PERCENT: u64 = 80;

/// What one consumer did between two of its reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Read, in bytes of the log.
    pub bytes: u64,
    pub interval: Duration,
    /// Whether there was more to read all the time: then this is all that it could.
    pub is_behind: bool,
    /// Share of the time in which it could only wait for the sink, in thousandths.
    pub sink_wait_permille: u32,
}

/// The last samples of every consumer.
#[derive(Clone, Debug, Default)]
pub struct Paces {
    known: BTreeMap<ConsumerId, Pace>,
}

#[derive(Clone, Debug)]
struct Pace {
    incarnation: Incarnation,
    reported_at_ms: i64,
    positions: BTreeMap<TopicPartition, u64>,
    samples: VecDeque<Sample>,
}

impl Paces {
    /// Takes a report. Returns what the consumer did since the one before, if there is one of this
    /// incarnation; `measured` is what is known of a partition's log.
    pub fn take<'a>(
        &mut self,
        report: &Report,
        measured: impl Fn(&TopicPartition) -> Option<&'a PartitionMeasurement>,
    ) -> Option<Sample> {
        let positions = report.partitions.iter();
        let positions = positions.map(|said| (said.partition.clone(), said.position)).collect();
        let next = Pace {
            incarnation: report.incarnation,
            reported_at_ms: report.reported_at_ms,
            positions,
            samples: VecDeque::new(),
        };
        let before = self.known.insert(report.consumer, next)?;
        let pace = self.known.get_mut(&report.consumer)?;
        if before.incarnation != report.incarnation {
            return None;
        }
        pace.samples = before.samples;
        if report.reported_at_ms <= before.reported_at_ms {
            return None; // Repeated, or the clock was set back.
        }
        let sample = sample(report, &before.positions, measured);
        pace.samples.push_back(sample);
        let surplus = pace.samples.len().saturating_sub(SAMPLES);
        pace.samples.drain(..surplus);
        Some(sample)
    }

    /// What all consumers together read, on average over the last samples.
    pub fn total(&self) -> BytesPerSecond {
        self.known.values().map(|pace| mean(pace.samples.iter())).sum()
    }

    /// Whether anything is known of what a consumer reads.
    pub fn knows(&self, consumer: ConsumerId) -> bool {
        self.known.get(&consumer).is_some_and(|pace| !pace.samples.is_empty())
    }

    /// Share of the last samples' time in which a consumer could only wait for the sink, in
    /// thousandths.
    pub fn sink_wait_permille(&self, consumer: ConsumerId) -> u64 {
        let Some(pace) = self.known.get(&consumer) else { return 0 };
        let waited = pace.samples.iter().map(|sample| u64::from(sample.sink_wait_permille)).sum();
        u64::checked_div(waited, pace.samples.len() as u64).unwrap_or(0)
    }

    /// Forgets whom `lives` does not know.
    pub fn retain(&mut self, lives: impl Fn(Incarnation) -> bool) {
        self.known.retain(|_, pace| lives(pace.incarnation));
    }
}

/// Bytes per second over all of these samples.
pub fn mean<'a>(samples: impl Iterator<Item = &'a Sample> + Clone) -> BytesPerSecond {
    let bytes: u64 = samples.clone().map(|sample| sample.bytes).sum();
    BytesPerSecond::mean(bytes, samples.map(|sample| sample.interval).sum()).unwrap_or_default()
}

fn sample<'a>(
    report: &Report,
    before: &BTreeMap<TopicPartition, u64>,
    measured: impl Fn(&TopicPartition) -> Option<&'a PartitionMeasurement>,
) -> Sample {
    let (mut bytes, mut bytes_behind, mut behind) = (0u64, 0u64, 0);
    for said in &report.partitions {
        let (Some(measured), Some(from)) = (measured(&said.partition), before.get(&said.partition))
        else {
            continue;
        };
        let read = log_bytes(said.position.saturating_sub(*from), measured);
        let lag = log_bytes(measured.high_watermark.saturating_sub(said.position), measured);
        bytes = bytes.saturating_add(read);
        let read_meanwhile = u128::from(read) * u128::from(BEHIND_MS);
        if lag > 0 && u128::from(lag) * u128::from(report.interval_ms) >= read_meanwhile {
            behind += 1;
            bytes_behind = bytes_behind.saturating_add(read);
        }
    }
    // One partition is decoded by one core: alone it does not show what a consumer sustains.
    let is_enough = behind > 1 || behind == report.partitions.len();
    let is_most = u128::from(bytes_behind) * 100 >= u128::from(bytes) * u128::from(BEHIND_PERCENT);
    Sample {
        bytes,
        interval: Duration::from_millis(report.interval_ms),
        is_behind: bytes > 0 && is_enough && is_most,
        sink_wait_permille: report.sink_wait_permille(),
    }
}

#[cfg(test)]
mod tests {
    use common::messages::event::{PartitionReport, SINK_WAIT};
    use common::messages::measurement::MeasurementState;

    use super::*;

    /// 10,000 records of 100 bytes on the log.
    fn log(partition: u32) -> PartitionMeasurement {
        PartitionMeasurement {
            topic: "orders".into(),
            partition,
            rate: BytesPerSecond(0),
            filtered: BytesPerSecond(0),
            burst: BytesPerSecond(0),
            size: 1_000_000,
            log_start: 0,
            high_watermark: 10_000,
            committed: None,
            lag: None,
            lag_seconds: None,
            bytes_per_record: 100.0,
            state: MeasurementState::Steady,
        }
    }

    fn report(at: i64, positions: &[u64], sink_wait: u32) -> Report {
        let partitions = positions.iter().zip(0..).map(|(position, number)| PartitionReport {
            partition: TopicPartition::new("orders", number),
            position: *position,
            stored: 0,
            high_watermark: None,
            records: 0,
            bytes: 0,
            rows_stored: 0,
            dead_letters: 0,
            latency_max_ms: None,
        });
        Report {
            consumer: ConsumerId(1),
            incarnation: Incarnation(7),
            reported_at_ms: at * 1_000,
            interval_ms: 1_000,
            busy_permille: 0,
            buffered_bytes: 0,
            partitions: partitions.collect(),
            extra: [(SINK_WAIT.to_owned(), sink_wait.to_string())].into(),
        }
    }

    fn samples(reports: &[Report]) -> (Paces, Vec<Option<Sample>>) {
        let logs = [log(0), log(1)];
        let mut paces = Paces::default();
        let taken = reports.iter().map(|report| {
            paces.take(report, |partition| {
                logs.iter().find(|log| log.topic_partition() == *partition)
            })
        });
        let taken = taken.collect();
        (paces, taken)
    }

    #[test]
    fn what_is_read_is_counted_in_bytes_on_the_log() {
        let (paces, taken) = samples(&[report(1, &[100, 0], 0), report(2, &[400, 100], 250)]);
        let interval = Duration::from_secs(1);
        let expected = Sample { bytes: 40_000, interval, is_behind: true, sink_wait_permille: 250 };
        assert_eq!(taken, [None, Some(expected)]);
        assert_eq!(paces.total(), BytesPerSecond(40_000));
        assert_eq!(paces.sink_wait_permille(ConsumerId(1)), 250);
        assert_eq!(paces.sink_wait_permille(ConsumerId(2)), 0);
    }

    #[test]
    fn whoever_has_read_to_the_end_is_not_behind() {
        for (positions, is_behind) in [
            ([9_000, 9_000], false), // 1,000 records are left, 3,000 were read in a second
            ([4_000, 4_000], true),
            ([4_000, 9_000], false),
        ] {
            let before = positions.map(|position| position - 3_000);
            let (_, taken) = samples(&[report(1, &before, 0), report(2, &positions, 0)]);
            assert_eq!(taken[1].map(|sample| sample.is_behind), Some(is_behind), "{positions:?}");
        }
    }

    #[test]
    fn one_partition_of_several_shows_nothing_and_the_only_one_does() {
        let (_, taken) = samples(&[report(1, &[0, 10_000], 0), report(2, &[500, 10_000], 0)]);
        assert_eq!(taken[1].map(|sample| sample.is_behind), Some(false));
        let (_, taken) = samples(&[report(1, &[0], 0), report(2, &[500], 0)]);
        assert_eq!(taken[1].map(|sample| sample.is_behind), Some(true));
    }

    #[test]
    fn another_incarnation_and_a_repeated_report_begin_anew() {
        let other = Report { incarnation: Incarnation(8), ..report(2, &[400], 0) };
        let (paces, taken) = samples(&[report(1, &[100], 0), other]);
        assert_eq!((taken[1], paces.total()), (None, BytesPerSecond(0)));
        let (_, taken) = samples(&[report(1, &[100], 0), report(1, &[100], 0)]);
        assert_eq!(taken[1], None);
    }
}
