//! Pure. Turns sizes and offsets of partitions into write rates and lag.
//!
//! The size of a log grows by what is written to it, and shrinks by retention and compaction; and
//! the log of a new leader has another size for the same records. So the growth of the size counts
//! where it is one; over an interval in which the log shrank or its leader changed, the growth of the
//! high watermark counts instead, by records of the mean size. A topic of another id is another
//! topic. What was not answered is stale, and keeps the last known values.

use std::sync::Arc;
use std::time::Duration;

use common::messages::measurement::{MeasurementState, PartitionMeasurement};
use common::moment::Moment;
use common::rate::BytesPerSecond;

use crate::catalog::{BrokerId, Catalog, Entry};
use crate::filter::LowPass;
use crate::window::{Sample, Window};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MeasurePolicy {
    /// What the rate is the mean of.
    pub window: Duration,
    /// What the burst rate is the mean of; not longer than the window.
    pub burst: Duration,
    /// The filter's time constant.
    pub time_constant: Duration,
}

/// What one turn learned about one partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    pub volume: Option<Volume>,
    pub offsets: Option<Offsets>,
}

/// How much a partition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Volume {
    /// The bytes on the leader's log, and when they were measured.
    Measured { at: Moment, bytes: u64 },
    /// Sizes cannot be asked for: the offsets are taken for so many bytes a record.
    Counted { at: Moment, record_bytes: u64 },
}

/// What was asked together, the committed offset first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offsets {
    pub log_start: u64,
    pub high_watermark: u64,
    /// `None`: the group never committed.
    pub committed: Option<u64>,
}

/// What a reading showed that people may want to count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noticed {
    Shrunk,
    LeaderChanged,
}

/// The meters of all partitions of a catalog, by its indices.
#[derive(Clone, Debug)]
pub struct Meters {
    policy: MeasurePolicy,
    catalog: Arc<Catalog>,
    meters: Vec<Meter>,
}

impl Meters {
    pub fn new(policy: MeasurePolicy) -> Self {
        Self { policy, catalog: Arc::default(), meters: Vec::new() }
    }

    pub fn catalog(&self) -> &Arc<Catalog> {
        &self.catalog
    }

    /// Goes over to another catalog. Partitions that are in both, by the id of their topic, keep
    /// their history.
    pub fn adopt(&mut self, catalog: Arc<Catalog>) {
        let mut known: Vec<Option<Meter>> =
            std::mem::take(&mut self.meters).into_iter().map(Some).collect();
        let before = std::mem::replace(&mut self.catalog, catalog);
        let catalog = Arc::clone(&self.catalog);
        self.meters = catalog
            .entries()
            .map(|entry| {
                let index = before.index(entry.topic, entry.partition);
                let index = index.filter(|index| before.entry(*index).topic_id == entry.topic_id);
                let kept = index.and_then(|index| known[index].take());
                kept.unwrap_or_else(|| Meter::new(&self.policy))
            })
            .collect();
    }

    /// Takes what a turn learned about the partition of that index.
    ///
    /// # Panics
    /// If the index is not one of the catalog.
    pub fn take(&mut self, index: usize, reading: &Reading) -> Option<Noticed> {
        let leader = self.catalog.entry(index).leader;
        self.meters[index].take(leader, reading, &self.policy)
    }

    /// What is known about the partition of that index.
    ///
    /// # Panics
    /// If the index is not one of the catalog.
    pub fn measurement(&self, index: usize) -> PartitionMeasurement {
        self.meters[index].measurement(self.catalog.entry(index))
    }

    pub fn measurements(&self) -> impl Iterator<Item = PartitionMeasurement> {
        (0..self.meters.len()).map(|index| self.measurement(index))
    }
}

/// What is remembered of one partition.
#[derive(Clone, Debug)]
struct Meter {
    /// Bytes since it is measured.
    written: u64,
    /// What the growth is counted from, once there was a volume.
    base: Option<Base>,
    offsets: Option<Offsets>,
    window: Window,
    filter: LowPass,
    rates: Rates,
    is_answered: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Base {
    leader: Option<BrokerId>,
    is_measured: bool,
    size: u64,
    records: u64,
    high_watermark: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Rates {
    window: BytesPerSecond,
    filtered: BytesPerSecond,
    burst: BytesPerSecond,
}

impl Meter {
    fn new(policy: &MeasurePolicy) -> Self {
        Self {
            written: 0,
            base: None,
            offsets: None,
            window: Window::new(policy.window),
            filter: LowPass::default(),
            rates: Rates::default(),
            is_answered: false,
        }
    }

    fn take(
        &mut self,
        leader: Option<BrokerId>,
        reading: &Reading,
        policy: &MeasurePolicy,
    ) -> Option<Noticed> {
        self.offsets = reading.offsets.or(self.offsets);
        let offsets = self.offsets.filter(|_| reading.is_sufficient());
        self.is_answered = offsets.is_some();
        let (volume, offsets) = (reading.volume?, offsets?);
        let (at, base) = volume.base(leader, &offsets);
        let (growth, noticed) = self.base.map_or((0, None), |before| before.growth_to(&base));
        self.base = Some(base);
        self.written = self.written.saturating_add(growth);
        self.window.push(Sample::new(at, self.written, offsets.high_watermark));
        self.rate(at, policy);
        noticed
    }

    fn rate(&mut self, at: Moment, policy: &MeasurePolicy) {
        let Some(rate) = self.window.rate(policy.window) else { return };
        let burst = self.window.rate(policy.burst).unwrap_or(rate);
        self.rates = Rates {
            window: BytesPerSecond::from_f64(rate),
            filtered: BytesPerSecond::from_f64(self.filter.update(at, rate, policy.time_constant)),
            burst: BytesPerSecond::from_f64(burst),
        };
    }

    fn measurement(&self, entry: Entry<'_>) -> PartitionMeasurement {
        let offsets = self.offsets.unwrap_or(Offsets::NONE);
        let size = self.base.map_or(0, |base| base.size);
        PartitionMeasurement {
            topic: entry.topic.to_string(),
            partition: entry.partition,
            rate: self.rates.window,
            filtered: self.rates.filtered,
            burst: self.rates.burst,
            size,
            log_start: offsets.log_start,
            high_watermark: offsets.high_watermark,
            committed: offsets.committed,
            lag: offsets.lag(),
            lag_seconds: self.lag_seconds(&offsets),
            bytes_per_record: offsets.bytes_per_record(size),
            state: self.state(),
        }
    }

    fn state(&self) -> MeasurementState {
        if !self.is_answered {
            MeasurementState::Stale
        } else if self.window.is_full() {
            MeasurementState::Steady
        } else {
            MeasurementState::Warming
        }
    }

    fn lag_seconds(&self, offsets: &Offsets) -> Option<f64> {
        let next = offsets.committed?.max(offsets.log_start);
        self.window.age(next).map(|age| age.as_secs_f64())
    }
}

impl Reading {
    /// Whether it says how much there is: a counted volume is nothing without offsets.
    fn is_sufficient(&self) -> bool {
        match self.volume {
            Some(Volume::Measured { .. }) => true,
            Some(Volume::Counted { .. }) => self.offsets.is_some(),
            None => false,
        }
    }
}

impl Volume {
    fn base(self, leader: Option<BrokerId>, offsets: &Offsets) -> (Moment, Base) {
        let (high_watermark, records) = (offsets.high_watermark, offsets.records());
        let (at, size, is_measured) = match self {
            Self::Measured { at, bytes } => (at, bytes, true),
            Self::Counted { at, record_bytes } => (at, records.saturating_mul(record_bytes), false),
        };
        (at, Base { leader, is_measured, size, records, high_watermark })
    }
}

impl Base {
    /// The bytes written between this and `later`.
    fn growth_to(&self, later: &Self) -> (u64, Option<Noticed>) {
        let is_same_leader = self.leader == later.leader;
        let is_same_log = is_same_leader && self.is_measured && later.is_measured;
        if is_same_log && later.size >= self.size {
            return (later.size - self.size, None);
        }
        let noticed = match (is_same_leader, is_same_log) {
            (false, _) => Some(Noticed::LeaderChanged),
            (true, true) => Some(Noticed::Shrunk),
            (true, false) => None,
        };
        (self.growth_by_records(later), noticed)
    }

    fn growth_by_records(&self, later: &Self) -> u64 {
        let records = later.high_watermark.saturating_sub(self.high_watermark);
        let bytes = u128::from(records) * u128::from(later.size);
        let bytes = bytes.checked_div(u128::from(later.records)).unwrap_or(0);
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }
}

impl Offsets {
    const NONE: Self = Self { log_start: 0, high_watermark: 0, committed: None };

    /// At most so many records are in the log; there may be gaps.
    fn records(&self) -> u64 {
        self.high_watermark.saturating_sub(self.log_start)
    }

    fn lag(&self) -> Option<u64> {
        let next = self.committed?.max(self.log_start);
        Some(self.high_watermark.saturating_sub(next))
    }

    fn bytes_per_record(&self, size: u64) -> f64 {
        match self.records() {
            0 => 0.0,
            records => size as f64 / records as f64,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::catalog::TopicFacts;

    const POLICY: MeasurePolicy = MeasurePolicy {
        window: Duration::from_secs(30),
        burst: Duration::from_secs(3),
        time_constant: Duration::from_secs(10),
    };

    fn at(seconds: u64) -> Moment {
        Moment::since_boot(Duration::from_secs(seconds))
    }

    fn catalog(topic_id: u128, leader: Option<i32>) -> Arc<Catalog> {
        Arc::new(Catalog::new(vec![TopicFacts {
            name: "orders".into(),
            id: format!("{topic_id:032x}").parse().unwrap(),
            leaders: vec![leader.map(BrokerId)],
        }]))
    }

    fn meters() -> Meters {
        let mut meters = Meters::new(POLICY);
        meters.adopt(catalog(1, Some(1)));
        meters
    }

    /// A log of records of 100 bytes that starts at 0; nothing is committed.
    fn reading(second: u64, bytes: u64) -> Reading {
        let high_watermark = bytes / 100;
        Reading {
            volume: Some(Volume::Measured { at: at(second), bytes }),
            offsets: Some(Offsets { log_start: 0, high_watermark, committed: None }),
        }
    }

    /// A steady 1,000 bytes a second for so long.
    fn fed(seconds: u64) -> Meters {
        let mut meters = meters();
        for second in 0..=seconds {
            assert_eq!(meters.take(0, &reading(second, second * 1_000)), None);
        }
        meters
    }

    #[test]
    fn a_steady_stream_is_warming_for_a_window_and_then_steady() {
        let early = fed(5).measurement(0);
        assert_eq!(early.state, MeasurementState::Warming);
        assert_eq!(early.rate, BytesPerSecond(1_000), "what is known so far");
        let later = fed(30).measurement(0);
        assert_eq!(later.state, MeasurementState::Steady);
        let rates = [later.rate, later.filtered, later.burst];
        assert_eq!(rates, [BytesPerSecond(1_000); 3]);
        assert_eq!((later.size, later.bytes_per_record), (30_000, 100.0));
    }

    #[test]
    fn the_filtered_rate_follows_a_step_later_than_the_window() {
        let mut meters = fed(60);
        for second in 61..=75 {
            meters.take(0, &reading(second, 60_000 + (second - 60) * 9_000));
        }
        let measured = meters.measurement(0);
        assert_eq!(measured.burst, BytesPerSecond(9_000));
        assert_eq!(measured.rate, BytesPerSecond(5_000), "half of the window");
        // The ramp's response: 1000 + 8000/30 · (15 − 10 · (1 − e^−1.5)), for small intervals.
        assert!((2_900..3_150).contains(&measured.filtered.0), "{}", measured.filtered);
    }

    /// A log that loses its oldest 20,000 bytes and records with them.
    fn trimmed(second: u64) -> Reading {
        let whole = reading(second, second * 1_000);
        let offsets = whole.offsets.map(|offsets| Offsets { log_start: 200, ..offsets });
        let bytes = second * 1_000 - 20_000;
        Reading { volume: Some(Volume::Measured { at: at(second), bytes }), offsets }
    }

    #[test]
    fn over_a_log_that_shrinks_the_growth_of_its_offsets_counts() {
        let mut meters = fed(30);
        assert_eq!(meters.take(0, &trimmed(31)), Some(Noticed::Shrunk));
        for second in 32..=61 {
            assert_eq!(meters.take(0, &trimmed(second)), None);
            let measured = meters.measurement(0);
            let rates = [measured.rate, measured.filtered, measured.burst];
            assert_eq!(rates, [BytesPerSecond(1_000); 3], "in second {second}");
        }
    }

    #[test]
    fn a_log_that_shrinks_while_nothing_is_written_has_no_rate() {
        let mut meters = meters();
        for second in 0..=60 {
            let still = reading(0, 60_000).offsets;
            let bytes = 60_000 - second * 1_000;
            let volume = Some(Volume::Measured { at: at(second), bytes });
            meters.take(0, &Reading { volume, offsets: still });
        }
        assert_eq!(meters.measurement(0).rate, BytesPerSecond::ZERO);
    }

    #[test]
    fn the_larger_log_of_a_new_leader_is_no_burst() {
        let mut meters = fed(30);
        meters.adopt(catalog(1, Some(2)));
        let mut later = reading(31, 31_000);
        later.volume = Some(Volume::Measured { at: at(31), bytes: 31_000_000 });
        assert_eq!(meters.take(0, &later), Some(Noticed::LeaderChanged));
        // Ten records came, of the mean size on the new leader.
        assert_eq!(meters.measurement(0).burst.0, (2_000 + 1_000_000) / 3);
    }

    #[test]
    fn a_topic_that_was_created_again_starts_again() {
        let mut meters = fed(30);
        meters.adopt(catalog(2, Some(1)));
        assert_eq!(meters.measurement(0).state, MeasurementState::Stale);
        meters.take(0, &reading(31, 500));
        let measured = meters.measurement(0);
        assert_eq!((measured.state, measured.rate), (MeasurementState::Warming, BytesPerSecond(0)));
        assert_eq!(measured.size, 500);
    }

    #[test]
    fn what_is_not_answered_is_stale_with_the_last_values_and_not_lost() {
        let mut meters = fed(30);
        let before = meters.measurement(0);
        meters.take(0, &Reading::default());
        let stale = PartitionMeasurement { state: MeasurementState::Stale, ..before };
        assert_eq!(meters.measurement(0), stale);
        // A broker that was away for a minute: what came meanwhile is spread over it.
        meters.take(0, &reading(90, 90_000));
        let back = meters.measurement(0);
        assert_eq!((back.state, back.rate), (MeasurementState::Steady, BytesPerSecond(1_000)));
    }

    #[test]
    fn offsets_that_could_not_be_asked_keep_their_last_values_together() {
        let mut meters = fed(30);
        let sizes_only = Reading { offsets: None, ..reading(31, 31_000) };
        meters.take(0, &sizes_only);
        let measured = meters.measurement(0);
        assert_eq!((measured.high_watermark, measured.size), (300, 31_000));
        assert_eq!(measured.state, MeasurementState::Steady);
        let mut never_asked = super::tests::meters();
        never_asked.take(0, &sizes_only);
        assert_eq!(never_asked.measurement(0).state, MeasurementState::Stale, "lag is not known");
    }

    #[test]
    fn without_sizes_the_growth_of_the_offsets_counts() {
        let mut meters = meters();
        for second in 0..=30 {
            let volume = Some(Volume::Counted { at: at(second), record_bytes: 50 });
            meters.take(0, &Reading { volume, ..reading(second, second * 1_000) });
        }
        let measured = meters.measurement(0);
        assert_eq!((measured.rate, measured.size), (BytesPerSecond(500), 15_000));
    }

    #[test]
    fn lag_is_counted_from_the_commit_or_the_log_start_and_never_negative() {
        let lag = |log_start, high_watermark, committed| {
            Offsets { log_start, high_watermark, committed }.lag()
        };
        assert_eq!(lag(0, 10, None), None);
        assert_eq!(lag(0, 10, Some(4)), Some(6));
        assert_eq!(lag(8, 10, Some(4)), Some(2));
        assert_eq!(lag(0, 10, Some(14)), Some(0));
    }

    #[test]
    fn lag_in_seconds_is_the_age_of_the_committed_offset() {
        let mut meters = fed(30);
        let mut lagging = reading(31, 31_000);
        let committed = Some(210);
        lagging.offsets = lagging.offsets.map(|offsets| Offsets { committed, ..offsets });
        meters.take(0, &lagging);
        assert_eq!(meters.measurement(0).lag_seconds, Some(10.0));
        assert_eq!(fed(30).measurement(0).lag_seconds, None, "nothing is committed");
    }

    #[derive(Clone, Debug)]
    enum Step {
        Grow(u64),
        Shrink(u64),
        MoveTo(i32),
        Recreate(u128),
        Silence,
        NoOffsets,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            6 => (0u64..100_000).prop_map(Step::Grow),
            1 => any::<u64>().prop_map(Step::Shrink),
            1 => (1i32..4).prop_map(Step::MoveTo),
            1 => (1u128..3).prop_map(Step::Recreate),
            1 => Just(Step::Silence),
            1 => Just(Step::NoOffsets),
        ]
    }

    proptest! {
        /// Whatever happens to a log, no rate is above the fastest that it grew, and what is
        /// silent is stale with the values of before.
        #[test]
        fn no_rate_exceeds_what_was_written(
            steps in prop::collection::vec((1u64..10, step()), 1..80),
        ) {
            let mut meters = meters();
            let (mut now, mut size, mut high_watermark) = (0, 0u64, 0u64);
            let (mut topic_id, mut leader) = (1, 1);
            let mut fastest = 0;
            for (interval, step) in steps {
                now += interval;
                let before = meters.measurement(0);
                let mut reading = Reading::default();
                let mut has_offsets = true;
                match step {
                    Step::Grow(bytes) => {
                        // Whole records of 100 bytes.
                        (size, high_watermark) = (size + bytes / 100 * 100, high_watermark + bytes / 100);
                        fastest = fastest.max(bytes / interval + 1);
                    }
                    Step::Shrink(to) => size = to % (size + 1),
                    Step::MoveTo(broker) => leader = broker,
                    Step::Recreate(id) => topic_id = id,
                    Step::Silence => {
                        meters.take(0, &reading);
                        let after = meters.measurement(0);
                        prop_assert_eq!(after.state, MeasurementState::Stale);
                        prop_assert_eq!((after.rate, after.size), (before.rate, before.size));
                        continue;
                    }
                    Step::NoOffsets => has_offsets = false,
                }
                meters.adopt(catalog(topic_id, Some(leader)));
                let offsets = Offsets { log_start: 0, high_watermark, committed: Some(0) };
                reading.offsets = has_offsets.then_some(offsets);
                reading.volume = Some(Volume::Measured { at: at(now), bytes: size });
                meters.take(0, &reading);
                let measured = meters.measurement(0);
                for rate in [measured.rate, measured.filtered, measured.burst] {
                    prop_assert!(rate.0 <= fastest, "{rate}, while at most {fastest} B/s came");
                }
                prop_assert!(measured.bytes_per_record.is_finite());
                prop_assert!(measured.lag_seconds.is_none_or(|age| age.is_finite() && age >= 0.0));
            }
        }
    }
}
