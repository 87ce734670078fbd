//! Pure. What each partition asks of a consumer: its write rate, and its lag spread over the time to catch up.
//!
//! ```text
//!  lag in bytes = lag × size ÷ (high watermark − log start)
//!  demand       = rate + lag in bytes ÷ catch-up time
//! ```
//!
//! The rate is the filtered one, or for the peak the larger of filtered and burst rate. Lag raises a
//! demand at most to the plan capacity: a partition is read by one consumer, so that more would
//! ask for what nobody can give. A partition without a commit lags by its whole log.

use std::collections::BTreeMap;
use std::time::Duration;

use common::messages::measurement::{Measurement, MeasurementState, PartitionMeasurement};
use common::moment::Timestamp;
use common::partition::TopicPartition;
use common::rate::BytesPerSecond;

use crate::plan::snapshot::Demand;
use crate::swing::Swing;

/// No partition is written faster: what claims to be is a fault of the measurement.
pub const RATE_MAX: BytesPerSecond = BytesPerSecond(10_000_000_000);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DemandPolicy {
    /// The time in which a consumer is to catch up with a lag; not zero.
    pub catch_up: Duration,
    /// What a consumer is packed to.
    pub plan_capacity: BytesPerSecond,
}

/// What the measurements so far say about every partition.
#[derive(Clone, Debug, Default)]
pub struct Demands {
    known: BTreeMap<TopicPartition, Known>,
}

/// The last good measurement of one partition, and what it asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Known {
    pub demand: Demand,
    pub measured: PartitionMeasurement,
    pub swing: Swing,
    /// Whether the last measurement could not say anything about this partition.
    pub is_stale: bool,
}

/// What cannot be true of a measurement. A value was replaced by the nearest one that can be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Anomaly {
    #[error("the measured rate of {partition}, {rate}, is above {RATE_MAX}")]
    RateTooHigh { partition: TopicPartition, rate: BytesPerSecond },
    #[error(
        "{partition} has a committed offset, {committed}, above its high watermark, {high_watermark}"
    )]
    CommittedAboveEnd { partition: TopicPartition, committed: u64, high_watermark: u64 },
    #[error("{partition} has a log start, {log_start}, above its high watermark, {high_watermark}")]
    StartAboveEnd { partition: TopicPartition, log_start: u64, high_watermark: u64 },
    #[error("{other} measures, too: what it says is left out while {followed} does")]
    SecondMonitor { followed: String, other: String },
    #[error("{monitor} measures {seconds} s in the future: what it says counts as of now")]
    FromTheFuture { monitor: String, seconds: u64 },
}

impl Demands {
    /// Takes one chunk of a measurement. A partition that it calls stale keeps what was known.
    pub fn take(&mut self, measurement: &Measurement, policy: &DemandPolicy) -> Vec<Anomaly> {
        let mut anomalies = Vec::new();
        for measured in &measurement.partitions {
            let partition = measured.topic_partition();
            if measured.state == MeasurementState::Stale
                && let Some(known) = self.known.get_mut(&partition)
            {
                known.is_stale = true;
                continue;
            }
            anomalies.extend(find_anomalies(measured));
            let (at, rate) = (Timestamp(measurement.measured_at), measured.filtered.min(RATE_MAX));
            let before = self.known.get(&partition).map(|known| known.swing);
            let mut swing = before.unwrap_or_else(|| Swing::new(at, rate));
            // While its window fills, a rate grows without that anything changes.
            if measured.state == MeasurementState::Steady {
                swing.take(at, rate);
            }
            let known = Known {
                demand: demand_of(measured, policy),
                measured: measured.clone(),
                swing,
                is_stale: measured.state == MeasurementState::Stale,
            };
            self.known.insert(partition, known);
        }
        anomalies
    }

    /// What `partition` asks for; nothing while nothing is known about it.
    pub fn demand(&self, partition: &TopicPartition) -> Demand {
        self.known.get(partition).map_or(Demand::NONE, |known| known.demand)
    }

    /// By how much its rate changes within a minute: a standard deviation.
    pub fn deviation(&self, partition: &TopicPartition) -> BytesPerSecond {
        self.known.get(partition).map_or(BytesPerSecond::ZERO, |known| known.swing.deviation())
    }

    pub fn known(&self, partition: &TopicPartition) -> Option<&Known> {
        self.known.get(partition)
    }

    /// Forgets the partitions that do not exist any more.
    pub fn retain(&mut self, exists: impl Fn(&TopicPartition) -> bool) {
        self.known.retain(|partition, _| exists(partition));
    }
}

/// The demand by one measurement, with values that cannot be true replaced.
pub fn demand_of(measured: &PartitionMeasurement, policy: &DemandPolicy) -> Demand {
    let filtered = measured.filtered.min(RATE_MAX);
    let highest = filtered.max(measured.burst.min(RATE_MAX));
    let catching_up =
        BytesPerSecond::mean(lag_bytes(measured), policy.catch_up).unwrap_or_default();
    let with_lag = |rate: BytesPerSecond| rate.max((rate + catching_up).min(policy.plan_capacity));
    Demand { steady: with_lag(filtered), peak: with_lag(highest) }
}

/// The bytes between the committed offset and the high watermark, by the mean size of a record.
pub fn lag_bytes(measured: &PartitionMeasurement) -> u64 {
    let next = measured.committed.unwrap_or(0).max(measured.log_start);
    log_bytes(measured.high_watermark.saturating_sub(next), measured)
}

/// What so many offsets take on the log, by the mean size of a record there.
pub fn log_bytes(offsets: u64, measured: &PartitionMeasurement) -> u64 {
    let records = measured.high_watermark.saturating_sub(measured.log_start);
    let bytes = u128::from(offsets) * u128::from(measured.size);
    u64::try_from(bytes.checked_div(u128::from(records)).unwrap_or(0)).unwrap_or(u64::MAX)
}

fn find_anomalies(measured: &PartitionMeasurement) -> Vec<Anomaly> {
    let mut anomalies = Vec::new();
    let partition = measured.topic_partition();
    let rate = measured.filtered.max(measured.burst);
    let &PartitionMeasurement { high_watermark, log_start, .. } = measured;
    if rate > RATE_MAX {
        anomalies.push(Anomaly::RateTooHigh { partition: partition.clone(), rate });
    }
    if let Some(committed) = measured.committed.filter(|committed| *committed > high_watermark) {
        let partition = partition.clone();
        anomalies.push(Anomaly::CommittedAboveEnd { partition, committed, high_watermark });
    }
    if log_start > high_watermark {
        anomalies.push(Anomaly::StartAboveEnd { partition, log_start, high_watermark });
    }
    anomalies
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const POLICY: DemandPolicy = DemandPolicy {
        catch_up: Duration::from_secs(60),
        plan_capacity: BytesPerSecond(3_750_000),
    };

    /// 1,000 records of 100 bytes, all read.
    fn measured() -> PartitionMeasurement {
        PartitionMeasurement {
            topic: "orders".into(),
            partition: 3,
            rate: BytesPerSecond(900),
            filtered: BytesPerSecond(1_000),
            burst: BytesPerSecond(1_000),
            size: 100_000,
            log_start: 500,
            high_watermark: 1_500,
            committed: Some(1_500),
            lag: Some(0),
            lag_seconds: Some(0.0),
            bytes_per_record: 100.0,
            state: MeasurementState::Steady,
        }
    }

    fn measurement(partitions: Vec<PartitionMeasurement>) -> Measurement {
        Measurement {
            measured_at: 0,
            monitor: "host:1-0".into(),
            sequence: 0,
            chunk: 0,
            chunks: 1,
            interval_ms: 1_000,
            window_ms: 30_000,
            partitions,
        }
    }

    #[test]
    fn a_partition_without_lag_asks_for_its_rate() {
        assert_eq!(demand_of(&measured(), &POLICY), Demand::constant(BytesPerSecond(1_000)));
    }

    #[test]
    fn only_the_peak_follows_a_burst() {
        let burst = PartitionMeasurement { burst: BytesPerSecond(5_000), ..measured() };
        let expected = Demand { steady: BytesPerSecond(1_000), peak: BytesPerSecond(5_000) };
        assert_eq!(demand_of(&burst, &POLICY), expected);
    }

    #[test]
    fn lag_is_caught_up_with_in_the_time_set() {
        let lagging = PartitionMeasurement { committed: Some(900), ..measured() };
        assert_eq!(lag_bytes(&lagging), 60_000);
        assert_eq!(demand_of(&lagging, &POLICY), Demand::constant(BytesPerSecond(2_000)));
    }

    #[test]
    fn without_a_commit_and_below_the_log_start_the_whole_log_is_lag() {
        for committed in [None, Some(0), Some(499)] {
            assert_eq!(lag_bytes(&PartitionMeasurement { committed, ..measured() }), 100_000);
        }
    }

    #[test]
    fn lag_never_asks_for_more_than_the_plan_capacity_but_a_rate_may() {
        let size = 1 << 40;
        let behind = PartitionMeasurement { committed: None, size, ..measured() };
        assert_eq!(demand_of(&behind, &POLICY), Demand::constant(POLICY.plan_capacity));
        let fast = BytesPerSecond(9_000_000);
        let fast_too = PartitionMeasurement { filtered: fast, burst: fast, ..behind };
        assert_eq!(demand_of(&fast_too, &POLICY), Demand::constant(fast));
    }

    #[test]
    fn what_is_stale_keeps_what_was_known() {
        let mut demands = Demands::default();
        demands.take(&measurement(vec![measured()]), &POLICY);
        let stale = PartitionMeasurement {
            filtered: BytesPerSecond::ZERO,
            burst: BytesPerSecond::ZERO,
            state: MeasurementState::Stale,
            ..measured()
        };
        demands.take(&measurement(vec![stale.clone()]), &POLICY);
        let partition = stale.topic_partition();
        assert_eq!(demands.demand(&partition), Demand::constant(BytesPerSecond(1_000)));
        assert!(demands.known(&partition).unwrap().is_stale);
        demands.retain(|_| false);
        assert_eq!(demands.demand(&partition), Demand::NONE);
    }

    #[test]
    fn what_cannot_be_true_is_clamped_and_reported() {
        let untrue = PartitionMeasurement {
            filtered: BytesPerSecond(u64::MAX),
            committed: Some(u64::MAX),
            log_start: u64::MAX,
            ..measured()
        };
        let mut demands = Demands::default();
        let anomalies = demands.take(&measurement(vec![untrue.clone()]), &POLICY);
        assert_eq!(anomalies.len(), 3, "{anomalies:?}");
        assert_eq!(demands.demand(&untrue.topic_partition()), Demand::constant(RATE_MAX));
    }

    proptest! {
        /// Whatever a measurement claims, a demand is bounded and its peak is not below it.
        #[test]
        fn demands_are_bounded_and_ordered(
            rates in any::<[u64; 3]>(),
            size in any::<u64>(),
            offsets in any::<[u64; 2]>(),
            committed in any::<Option<u64>>(),
        ) {
            let measured = PartitionMeasurement {
                rate: BytesPerSecond(rates[0]),
                filtered: BytesPerSecond(rates[1]),
                burst: BytesPerSecond(rates[2]),
                size,
                log_start: offsets[0],
                high_watermark: offsets[1],
                committed,
                ..measured()
            };
            let demand = demand_of(&measured, &POLICY);
            prop_assert!(demand.steady <= demand.peak);
            prop_assert!(demand.peak <= RATE_MAX);
            prop_assert!(demand.steady >= measured.filtered.min(RATE_MAX));
        }
    }
}
