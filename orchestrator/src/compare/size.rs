//! Pure. How many partitions and consumers a stream needs so that the worst latency keeps a limit.

use common::rate::nearest;
use thiserror::Error;

use super::budget::{Budget, Reaction};
use super::margin::{Layout, Limit, Margin};
use super::population::Population;

/// More partitions than this are never advised.
const PARTITIONS_MAX: usize = 1_000_000;

/// What is known of a stream, and what is asked.
#[derive(Clone, Debug, PartialEq)]
pub struct SizeInput {
    /// Of each partition, in bytes per second.
    pub rates: Vec<u64>,
    /// By how much the rates are to grow before anything may be changed, in per cent.
    pub growth_percent: u32,
    /// The highest load that a consumer sustains, in bytes per second.
    pub capacity: u64,
    /// How full a consumer is packed, in per cent of its capacity.
    pub plan_percent: u32,
    /// Above this a plan is made, in per cent of the capacity: consumers are as full as this.
    pub trigger_percent: u32,
    pub consumers_max: Option<u32>,
    /// All rates rise to so many times what they are, at once; at least 1.
    pub peak_factor: f64,
    /// The limit of the worst latency from produced to stored, in seconds.
    pub latency_max_seconds: f64,
    pub reaction: Reaction,
    /// How often the sink stores, in seconds.
    pub rotation_seconds: f64,
}

/// The answer: as it was asked for, and what to change.
#[derive(Clone, Debug, PartialEq)]
pub struct Sizing {
    /// With the partitions and percentages of the input.
    pub asked: Setting,
    /// With as many partitions and as much headroom as the limit takes; the same as `asked` where
    /// that keeps it.
    pub advised: Setting,
}

/// What one choice of partitions and headroom comes to.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    pub partitions: usize,
    pub plan_percent: u32,
    pub trigger_percent: u32,
    /// Consumers that the grown rates need, and those that they need after the jump.
    pub consumers: usize,
    pub consumers_at_peak: usize,
    /// Of the largest partition after growth and jump, in bytes per second.
    pub largest_at_peak: f64,
    /// After the jump.
    pub budget: Budget,
    /// What can break, what breaks first in front.
    pub margins: Vec<Margin>,
}

/// Why no size can be computed.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum SizeError {
    #[error("no partition has a rate above zero")]
    NoLoad,
    #[error("the capacity of a consumer must be above zero")]
    NoCapacity,
    #[error(
        "plan capacity {plan_percent} % and trigger capacity {trigger_percent} %: expected \
         1 ≤ plan ≤ trigger ≤ 100"
    )]
    Percent { plan_percent: u32, trigger_percent: u32 },
    #[error("a load that rises to {factor} times itself: expected 1 to 100")]
    PeakFactor { factor: f64 },
    #[error("{name} takes {seconds} s: expected a time of 0 s or more")]
    Time { name: &'static str, seconds: f64 },
    #[error(
        "rotation ({rotation_seconds} s) and hand-over ({hand_over_seconds} s) alone take \
         longer than the limit of {latency_max_seconds} s: no headroom helps; store more often"
    )]
    LimitTooLow { rotation_seconds: f64, hand_over_seconds: f64, latency_max_seconds: f64 },
    #[error("more than 1,000,000 partitions would be needed")]
    TooManyPartitions,
}

impl Setting {
    /// Whether the worst latency keeps the limit, and nothing else is broken.
    pub fn keeps_limits(&self) -> bool {
        !self.margins.iter().any(Margin::is_broken)
    }

    /// The worst latency in seconds. Infinite where waiting grows for as long as the jump lasts: a
    /// partition asks for more than a consumer, or more consumers are needed than there may be.
    pub fn worst_seconds(&self) -> f64 {
        let grows = |margin: &&Margin| match margin.limit {
            Limit::LargestPartition | Limit::Consumers => margin.is_broken(),
            Limit::Partitions | Limit::Headroom | Limit::Reaction => false,
        };
        let worst = self.budget.worst_seconds;
        self.margins.iter().find(grows).map_or(worst, |_| f64::INFINITY)
    }

    /// What breaks first when load, jump or reaction time grow; or what is broken most already.
    pub fn breaks_first(&self) -> Option<Margin> {
        self.margins.first().copied()
    }
}

/// Sizes a stream. Asks for no fewer partitions than there are, and for no more headroom than the
/// limit takes: of all trigger capacities up to the given one the highest that keeps it, the plan
/// capacity lowered in proportion. Of partitions as many as let the largest one fit, after growth
/// and jump, into the plan capacity; that presumes that keys spread over more partitions as they
/// do now.
///
/// # Errors
/// If the input contradicts itself, or nothing keeps the limit.
pub fn size(input: &SizeInput) -> Result<Sizing, SizeError> {
    check(input)?;
    let growth = 1.0 + f64::from(input.growth_percent) / 100.0;
    let rates = input.rates.iter().map(|rate| *rate as f64 * growth);
    let population = Population::new(rates.collect());
    let asked = setting(&Layout {
        input,
        population: &population,
        plan_percent: input.plan_percent,
        trigger_percent: input.trigger_percent,
    });
    if is_enough(&asked) {
        return Ok(Sizing { advised: asked.clone(), asked });
    }
    for trigger_percent in (1..=input.trigger_percent).rev() {
        // Rounded up: a smaller plan capacity than needed costs consumers.
        let plan_percent = (input.plan_percent * trigger_percent).div_ceil(input.trigger_percent);
        let population = fitting(input, &population, plan_percent)?;
        let layout = Layout { input, population: &population, plan_percent, trigger_percent };
        if layout.keeps_latency(&layout.budget(input.peak_factor)) {
            return Ok(Sizing { asked, advised: setting(&layout) });
        }
    }
    Err(SizeError::TooManyPartitions)
}

fn check(input: &SizeInput) -> Result<(), SizeError> {
    let (plan_percent, trigger_percent) = (input.plan_percent, input.trigger_percent);
    if input.rates.iter().all(|rate| *rate == 0) {
        return Err(SizeError::NoLoad);
    }
    if input.capacity == 0 {
        return Err(SizeError::NoCapacity);
    }
    if !(1..=trigger_percent).contains(&plan_percent) || trigger_percent > 100 {
        return Err(SizeError::Percent { plan_percent, trigger_percent });
    }
    if !(1.0..=100.0).contains(&input.peak_factor) {
        return Err(SizeError::PeakFactor { factor: input.peak_factor });
    }
    let own = [("rotation", input.rotation_seconds), ("the limit", input.latency_max_seconds)];
    for (name, seconds) in input.reaction.parts().into_iter().chain(own) {
        if !(seconds >= 0.0 && seconds.is_finite()) {
            return Err(SizeError::Time { name, seconds });
        }
    }
    let hand_over_seconds = input.reaction.hand_over_seconds;
    let least = input.rotation_seconds + hand_over_seconds;
    if least > input.latency_max_seconds {
        let SizeInput { rotation_seconds, latency_max_seconds, .. } = *input;
        return Err(SizeError::LimitTooLow {
            rotation_seconds,
            hand_over_seconds,
            latency_max_seconds,
        });
    }
    Ok(())
}

/// Whether nothing but the maximum of consumers, which no partition and no headroom changes, is
/// broken.
fn is_enough(setting: &Setting) -> bool {
    let mut broken = setting.margins.iter().filter(|margin| margin.is_broken());
    broken.all(|margin| margin.limit == Limit::Consumers)
}

fn setting(layout: &Layout<'_>) -> Setting {
    let (input, population) = (layout.input, layout.population);
    let limit = layout.plan_capacity();
    Setting {
        partitions: population.partitions(),
        plan_percent: layout.plan_percent,
        trigger_percent: layout.trigger_percent,
        consumers: population.consumers(1.0, limit),
        consumers_at_peak: population.consumers(input.peak_factor, limit),
        largest_at_peak: population.largest() * input.peak_factor,
        budget: layout.budget(input.peak_factor),
        margins: layout.margins(),
    }
}

/// The same stream over so many partitions that, after the jump, none asks for more than a
/// consumer and all for no more than one packed consumer each. If it takes more for that, so many
/// that the largest fits into the plan capacity.
fn fitting(
    input: &SizeInput,
    population: &Population,
    plan_percent: u32,
) -> Result<Population, SizeError> {
    let capacity = input.capacity as f64;
    let plan_capacity = capacity * f64::from(plan_percent) / 100.0;
    let (largest, total) = (population.largest(), population.total());
    let mean = total / population.partitions() as f64;
    if largest * input.peak_factor <= capacity && mean * input.peak_factor <= plan_capacity {
        return Ok(population.clone());
    }
    let mut spread = population.clone();
    loop {
        let excess = spread.largest() * input.peak_factor / plan_capacity;
        // What is computed from whole rates may be off by rounding.
        if excess <= 1.0 + 1e-9 {
            return Ok(spread);
        }
        let partitions = spread.partitions();
        let wanted = usize::try_from(nearest((partitions as f64 * excess - 1e-9).ceil()));
        let wanted = wanted.unwrap_or(usize::MAX).max(partitions + 1);
        if wanted > PARTITIONS_MAX {
            return Err(SizeError::TooManyPartitions);
        }
        spread = population.spread_over(wanted);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn assert_near(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-6, "{found} is not {expected}");
    }

    /// 8 × 25 of 100, packed to 75 %, trigger at 90 %, a jump to 1.5 times, 10 s and 0.5 s.
    fn input() -> SizeInput {
        SizeInput {
            rates: vec![25; 8],
            growth_percent: 0,
            capacity: 100,
            plan_percent: 75,
            trigger_percent: 90,
            consumers_max: None,
            peak_factor: 1.5,
            latency_max_seconds: 10.0,
            reaction: Reaction {
                measure_seconds: 4.0,
                decide_seconds: 1.0,
                start_seconds: 5.0,
                hand_over_seconds: 0.5,
            },
            rotation_seconds: 5.0,
        }
    }

    /// Three a consumer: ⌈8 ÷ 3⌉ = 3; after the jump 37.5, two a consumer: 4. At 90 %: three and
    /// 15 of the next; 135 after the jump, of which the 22.5 are served and the three share 77.5:
    /// 25.83 of 37.5 each. Worst: 5.5 + 10 × (1 − 0.6889).
    #[test]
    fn what_keeps_the_limit_is_left_as_it_is() {
        let sizing = size(&input()).unwrap();
        assert_eq!(sizing.asked, sizing.advised);
        let Setting { partitions, consumers, consumers_at_peak, .. } = sizing.asked;
        assert_eq!((partitions, consumers, consumers_at_peak), (8, 3, 4));
        assert_near(sizing.asked.largest_at_peak, 37.5);
        assert_near(sizing.asked.budget.worst_seconds, 5.5 + 10.0 * (1.0 - 77.5 / 3.0 / 37.5));
        assert!(sizing.asked.keeps_limits());
    }

    /// Of 10 s, 5 are rotation; 10.5 s of reaction add 3.611 s, so the reaction may be 1.385 times
    /// as long. The load may grow by 100 ÷ 37.5, to 8 × 75 ÷ 300 consumers.
    #[test]
    fn margins_are_those_computed_by_hand() {
        let sizing = size(&SizeInput { consumers_max: Some(5), ..input() }).unwrap();
        let factor = |limit| {
            let margins = &sizing.asked.margins;
            margins.iter().find(|margin| margin.limit == limit).unwrap().factor
        };
        let waits = 0.5 + 10.0 * (1.0 - 77.5 / 3.0 / 37.5);
        assert_near(factor(Limit::Reaction), 5.0 / waits);
        assert_near(factor(Limit::LargestPartition), 100.0 / 37.5);
        assert_near(factor(Limit::Partitions), 8.0 * 75.0 / 300.0);
        assert_near(factor(Limit::Consumers), 5.0 * 75.0 / 300.0);
        // 4.5 s of 10: 55 % served. With j the jump: (100 − 15 j) ÷ 3 = 0.55 × 25 j, j = 1.7778.
        assert_near(factor(Limit::Headroom), 100.0 / (15.0 + 3.0 * 13.75) / 1.5);
        assert_eq!(sizing.asked.breaks_first().unwrap().limit, Limit::Headroom);
    }

    /// At 8 s: 2.5 s of 10, so 75 % is to be served. At 82 %: three and 7 of the next, (100 − 10.5)
    /// ÷ 3 = 29.83 of 37.5 is 79.6 %; at 85 %: 28.33, 75.6 %; at 86 %: 74.2 %. Plan 75 × 85 ÷ 90,
    /// rounded up.
    #[test]
    fn headroom_is_added_until_the_limit_is_kept() {
        let sizing = size(&SizeInput { latency_max_seconds: 8.0, ..input() }).unwrap();
        assert!(!sizing.asked.keeps_limits() && sizing.advised.keeps_limits());
        assert_eq!((sizing.advised.trigger_percent, sizing.advised.plan_percent), (85, 71));
        assert_eq!(sizing.advised.partitions, 8);
    }

    /// 150 at a jump to 1.5 is 225: three times 75. So six, three of 16.7 and three of 50; after
    /// the jump three consumers hold one each of the large ones, and one the small ones.
    #[test]
    fn partitions_are_added_until_the_largest_fits() {
        let lax = SizeInput { latency_max_seconds: 60.0, rates: vec![150, 50], ..input() };
        let sizing = size(&lax).unwrap();
        assert_eq!(sizing.asked.breaks_first().unwrap().limit, Limit::LargestPartition);
        assert!(!sizing.asked.keeps_limits() && sizing.asked.worst_seconds().is_infinite());
        assert_eq!((sizing.advised.partitions, sizing.advised.consumers_at_peak), (6, 4));
        assert!(sizing.advised.keeps_limits());
    }

    /// 5.5 s and 10 s × (1 − 0.6889) with four consumers; with three the backlog grows.
    #[test]
    fn too_few_consumers_keep_no_limit_and_are_no_reason_for_partitions() {
        let sizing = size(&SizeInput { consumers_max: Some(3), ..input() }).unwrap();
        assert_eq!(
            sizing.asked.breaks_first(),
            Some(Margin { limit: Limit::Consumers, factor: 0.75 })
        );
        assert!(!sizing.asked.keeps_limits() && sizing.asked.worst_seconds().is_infinite());
        assert_eq!(sizing.asked, sizing.advised);
    }

    #[test]
    fn growth_is_sized_for() {
        let sizing = size(&SizeInput { growth_percent: 20, ..input() }).unwrap();
        assert_near(sizing.advised.largest_at_peak, 45.0);
        assert_eq!(sizing.advised.consumers, 4);
    }

    #[test]
    fn without_headroom_a_backlog_would_stay() {
        let full = SizeInput { plan_percent: 90, latency_max_seconds: 60.0, ..input() };
        let full = SizeInput { trigger_percent: 100, plan_percent: 100, ..full };
        let sizing = size(&full).unwrap();
        assert_eq!(sizing.asked.breaks_first().unwrap().limit, Limit::Headroom);
        assert_eq!(sizing.advised.plan_percent, 99);
    }

    #[test]
    fn what_cannot_work_is_refused() {
        let cases = [
            (SizeInput { rates: vec![0; 3], ..input() }, "no partition has a rate above zero"),
            (SizeInput { capacity: 0, ..input() }, "the capacity of a consumer must be above zero"),
            (
                SizeInput { plan_percent: 95, ..input() },
                "plan capacity 95 % and trigger capacity 90 %: expected 1 ≤ plan ≤ trigger ≤ 100",
            ),
            (
                SizeInput { peak_factor: 0.5, ..input() },
                "a load that rises to 0.5 times itself: expected 1 to 100",
            ),
            (
                SizeInput { rotation_seconds: f64::NAN, ..input() },
                "rotation takes NaN s: expected a time of 0 s or more",
            ),
            (
                SizeInput { latency_max_seconds: 5.2, ..input() },
                "rotation (5 s) and hand-over (0.5 s) alone take longer than the limit of 5.2 s: \
                 no headroom helps; store more often",
            ),
        ];
        for (input, message) in cases {
            assert_eq!(size(&input).unwrap_err().to_string(), message);
        }
    }

    proptest! {
        /// Whatever is advised keeps the limit, with no fewer partitions and no less headroom; and
        /// nothing is advised where nothing is wrong.
        #[test]
        fn advice_keeps_the_limit(
            rates in (2_u64..400)
                .prop_flat_map(|largest| prop::collection::vec(1..largest, 1..20)),
            trigger_percent in 1_u32..=100,
            plan_share in 1_u32..=100,
            peak_factor in 1.0..5.0_f64,
            latency_max_seconds in 5.5..40.0_f64,
        ) {
            let plan_percent = (trigger_percent * plan_share).div_ceil(100);
            let changed = SizeInput { rates, plan_percent, trigger_percent, ..input() };
            let changed = SizeInput { peak_factor, latency_max_seconds, ..changed };
            let Sizing { asked, advised } = size(&changed).unwrap();
            prop_assert!(advised.keeps_limits(), "{:?}", advised.breaks_first());
            prop_assert!(advised.worst_seconds() <= latency_max_seconds);
            prop_assert!(advised.largest_at_peak <= 100.0 * (1.0 + 1e-6));
            prop_assert!(advised.partitions >= asked.partitions);
            prop_assert!(advised.consumers_at_peak <= advised.partitions);
            prop_assert!(advised.trigger_percent <= trigger_percent);
            prop_assert_eq!(asked.keeps_limits(), asked == advised);
        }
    }
}
