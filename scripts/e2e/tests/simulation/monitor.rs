//! Pure. The monitor: rates of all partitions every second, unless it is away.

use std::collections::BTreeMap;
use std::time::Duration;

use common::messages::measurement::{Measurement, MeasurementState, PartitionMeasurement};
use common::moment::Moment;
use common::partition::TopicPartition;
use common::rate::BytesPerSecond;
use orchestrator::conductor::input::Input;
use rand::RngExt as _;

use super::orchestrator::CAPACITY;
use super::outside::Outside;

const INTERVAL: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(crate) struct Monitor {
    measured_at: Moment,
    pub(crate) away_until: Moment,
    sequence: u64,
    rates: BTreeMap<TopicPartition, u64>,
}

impl Monitor {
    /// A partition is written faster or slower from now on.
    pub(crate) fn change(&mut self, outside: &mut Outside) {
        let count = self.rates.len();
        if count == 0 {
            return;
        }
        let index = outside.rng.random_range(0..count);
        let rate = self.rates.values_mut().nth(index).expect("within bounds");
        *rate = draw(outside);
    }

    pub(crate) fn turn(&mut self, outside: &mut Outside) -> Option<Input> {
        let now = outside.now;
        if outside.are_brokers_away()
            || self.away_until > now
            || now.saturating_since(self.measured_at) < INTERVAL
        {
            return None;
        }
        self.measured_at = now;
        self.sequence += 1;
        let partitions: Vec<_> = outside.kafka.partitions().collect();
        let measure = |partition: TopicPartition| {
            let rate = *self.rates.entry(partition.clone()).or_insert_with(|| draw(outside));
            measured(&partition, rate, outside)
        };
        Some(Input::Measured(Measurement {
            partitions: partitions.into_iter().map(measure).collect(),
            measured_at: outside.timestamp().0,
            monitor: "simulated".into(),
            sequence: self.sequence,
            chunk: 0,
            chunks: 1,
            interval_ms: 1_000,
            window_ms: 30_000,
        }))
    }
}

fn draw(outside: &mut Outside) -> u64 {
    outside.rng.random_range(0..CAPACITY / 2)
}

fn measured(partition: &TopicPartition, rate: u64, outside: &Outside) -> PartitionMeasurement {
    let (_, log) = outside.kafka.log(partition).expect("it was listed");
    let rate = BytesPerSecond(rate);
    PartitionMeasurement {
        topic: partition.topic().into(),
        partition: partition.partition(),
        rate,
        filtered: rate,
        burst: rate,
        size: 1_000 * (log.end - log.start),
        log_start: log.start,
        high_watermark: log.end,
        committed: outside.kafka.committed.get(partition).map(|found| found.offset.min(log.end)),
        lag: None,
        lag_seconds: None,
        bytes_per_record: 1_000.0,
        state: MeasurementState::Steady,
    }
}
