//! Pure. How many bytes of the log each consumer sustains, learned from what it does while it is behind.
//!
//! A consumer that has more to read all the time, and does not wait for its sink, shows what it
//! sustains. The mean over ten such seconds is a lesson: the estimate goes half the way there. Whoever
//! reads more than the estimate without being behind raises it. An estimate stays within a factor of
//! the configured capacity. Consumers without a lesson of their own are taken for the median of the
//! others.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use common::identity::ConsumerId;
use common::moment::Timestamp;
use common::rate::BytesPerSecond;
use serde::{Deserialize, Serialize};

use crate::pace::{Sample, mean};

/// So much time makes a lesson.
const LESSON: Duration = Duration::from_secs(10);
/// A consumer that waits longer for its sink shows what the sink sustains, in thousandths.
const SINK_WAIT_MAX: u32 = 200;
/// A change by less than this share changes no estimate: one part in so many.
const NOTICEABLE: u64 = 20;
/// Lessons that are remembered.
const REMEMBERED: usize = 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CapacityPolicy {
    pub configured: BytesPerSecond,
    /// Estimates stay between `configured` ÷ this and `configured` × this; 1: nothing is learned.
    pub factor: u64,
}

/// A changed estimate, and what it was learned from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lesson {
    pub at: Timestamp,
    /// What the consumer read on average.
    pub sustained: BytesPerSecond,
    /// Whether it had more to read all the time.
    pub is_behind: bool,
    pub before: BytesPerSecond,
    pub after: BytesPerSecond,
}

/// What was learned of each consumer, oldest first; never empty.
pub type Histories = BTreeMap<ConsumerId, VecDeque<Lesson>>;

/// The estimates of all consumers.
#[derive(Clone, Debug)]
pub struct Capacities {
    policy: CapacityPolicy,
    histories: Histories,
    /// What may become the next lesson.
    runs: BTreeMap<ConsumerId, Run>,
}

/// Samples in a row of the same kind.
#[derive(Clone, Debug, Default)]
struct Run {
    samples: Vec<Sample>,
    is_behind: bool,
}

impl Capacities {
    /// With what was learned before, by this or another leader.
    pub fn new(policy: CapacityPolicy, mut histories: Histories) -> Self {
        histories.retain(|_, lessons| policy.factor > 1 && !lessons.is_empty());
        Self { policy, histories, runs: BTreeMap::new() }
    }

    /// What a consumer sustains.
    pub fn of(&self, consumer: ConsumerId) -> BytesPerSecond {
        let lesson = self.histories.get(&consumer).and_then(VecDeque::back);
        lesson.map_or_else(|| self.typical(), |lesson| self.bounded(lesson.after))
    }

    /// What a consumer is taken for of which nothing is known: the median of the others.
    pub fn typical(&self) -> BytesPerSecond {
        let last = self.histories.values().filter_map(VecDeque::back);
        let mut known: Vec<_> = last.map(|lesson| self.bounded(lesson.after)).collect();
        known.sort_unstable();
        known.get(known.len() / 2).copied().unwrap_or(self.policy.configured)
    }

    pub fn histories(&self) -> &Histories {
        &self.histories
    }

    /// Takes what a consumer did for a moment. Returns the lesson if that makes one.
    pub fn take(&mut self, consumer: ConsumerId, sample: Sample, at: Timestamp) -> Option<Lesson> {
        if self.policy.factor <= 1 {
            return None;
        }
        let run = self.runs.entry(consumer).or_default();
        let is_throttled = sample.sink_wait_permille > SINK_WAIT_MAX;
        if is_throttled || sample.is_behind != run.is_behind {
            *run = Run { samples: Vec::new(), is_behind: sample.is_behind };
        }
        if is_throttled {
            return None;
        }
        run.samples.push(sample);
        if run.samples.iter().map(|sample| sample.interval).sum::<Duration>() < LESSON {
            return None;
        }
        let run = self.runs.remove(&consumer)?;
        let (sustained, before) = (mean(run.samples.iter()), self.of(consumer));
        let target = if run.is_behind { sustained } else { sustained.max(before) };
        let after = self.bounded(BytesPerSecond(before.0.midpoint(target.0)));
        if after.0.abs_diff(before.0) < before.0.div_ceil(NOTICEABLE) {
            return None;
        }
        let lesson = Lesson { at, sustained, is_behind: run.is_behind, before, after };
        let history = self.histories.entry(consumer).or_default();
        history.push_back(lesson.clone());
        history.drain(..history.len().saturating_sub(REMEMBERED));
        Some(lesson)
    }

    fn bounded(&self, capacity: BytesPerSecond) -> BytesPerSecond {
        let CapacityPolicy { configured, factor } = self.policy;
        let (least, most) = (configured.0.div_ceil(factor), configured.0.saturating_mul(factor));
        BytesPerSecond(capacity.0.clamp(least.max(1), most.max(1)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ONE: ConsumerId = ConsumerId(1);
    const TWO: ConsumerId = ConsumerId(2);

    fn policy(factor: u64) -> CapacityPolicy {
        CapacityPolicy { configured: BytesPerSecond(1_000), factor }
    }

    fn sample(bytes: u64, is_behind: bool, sink_wait_permille: u32) -> Sample {
        Sample { bytes, interval: Duration::from_secs(1), is_behind, sink_wait_permille }
    }

    fn take(capacities: &mut Capacities, sample: Sample, seconds: u32) -> Vec<Lesson> {
        (0..seconds).filter_map(|_| capacities.take(ONE, sample, Timestamp(5))).collect()
    }

    #[test]
    fn ten_seconds_behind_are_a_lesson() {
        let mut capacities = Capacities::new(policy(2), Histories::new());
        assert_eq!(take(&mut capacities, sample(600, true, 100), 9), []);
        let lesson = take(&mut capacities, sample(600, true, 100), 1);
        let expected = Lesson {
            at: Timestamp(5),
            sustained: BytesPerSecond(600),
            is_behind: true,
            before: BytesPerSecond(1_000),
            after: BytesPerSecond(800),
        };
        assert_eq!(lesson, [expected]);
        assert_eq!(capacities.of(ONE), BytesPerSecond(800));
        assert_eq!(capacities.of(TWO), BytesPerSecond(800), "nothing else is known of it");
        let again = Capacities::new(policy(2), capacities.histories().clone());
        assert_eq!(again.of(ONE), BytesPerSecond(800));
        assert_eq!(Capacities::new(policy(1), capacities.histories().clone()).of(ONE).0, 1_000);
    }

    #[test]
    fn a_throttled_sink_and_an_idle_consumer_teach_nothing() {
        let mut capacities = Capacities::new(policy(2), Histories::new());
        assert_eq!(take(&mut capacities, sample(600, true, 201), 100), []);
        assert_eq!(take(&mut capacities, sample(600, false, 0), 100), []);
        // Nor do nine seconds, a wait for the sink, and nine more.
        assert_eq!(take(&mut capacities, sample(600, true, 0), 9), []);
        assert_eq!(take(&mut capacities, sample(600, true, 900), 1), []);
        assert_eq!(take(&mut capacities, sample(600, true, 0), 9), []);
    }

    #[test]
    fn whoever_reads_more_than_was_thought_sustains_it() {
        let mut capacities = Capacities::new(policy(2), Histories::new());
        let lessons = take(&mut capacities, sample(1_500, false, 0), 10);
        assert_eq!(lessons[0].after, BytesPerSecond(1_250));
    }

    #[test]
    fn an_estimate_comes_to_rest_and_keeps_a_short_history() {
        let mut capacities = Capacities::new(policy(4), Histories::new());
        let lessons = take(&mut capacities, sample(3_000, true, 0), 1_000);
        assert!(lessons.len() < 8, "{lessons:?}");
        let last = capacities.of(ONE).0;
        assert!((2_700..=3_000).contains(&last), "{last}");
        for round in 0..100 {
            take(&mut capacities, sample(if round % 2 == 0 { 500 } else { 3_000 }, true, 0), 10);
        }
        assert_eq!(capacities.histories()[&ONE].len(), REMEMBERED);
    }

    proptest! {
        /// Whatever consumers do, and whatever a leader of before left, estimates are bounded.
        #[test]
        fn estimates_stay_within_the_factor(
            factor in 1u64..10,
            left in any::<u64>(),
            samples in prop::collection::vec((any::<u64>(), any::<bool>(), 0u32..1_000), 0..200),
        ) {
            let left = Lesson {
                at: Timestamp(0),
                sustained: BytesPerSecond(left),
                is_behind: true,
                before: BytesPerSecond(left),
                after: BytesPerSecond(left),
            };
            let histories = Histories::from([(TWO, VecDeque::from([left]))]);
            let mut capacities = Capacities::new(policy(factor), histories);
            for (bytes, is_behind, wait) in samples {
                capacities.take(ONE, sample(bytes >> 12, is_behind, wait), Timestamp(0));
                for consumer in [ONE, TWO] {
                    let capacity = capacities.of(consumer).0;
                    prop_assert!(capacity * factor >= 1_000 && capacity <= 1_000 * factor);
                }
            }
        }
    }
}
