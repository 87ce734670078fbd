//! Pure. How fast each partition is written to: the total over time, and how partitions share it.

use std::time::Duration;

use common::rate::BytesPerSecond;
use rand::rngs::ChaCha8Rng;
use rand::{RngExt as _, SeedableRng as _};

/// How the total develops within a cycle, after which it begins anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Shape {
    /// The peak all the time.
    Constant,
    /// Each partition on its own, a random walk between nothing and its share of the peak.
    Walk,
    /// A sixth of the peak, a rise to the peak, a fall back to a sixth.
    RiseAndFall,
    /// A fifth of the peak for the first third of a cycle, then the peak.
    Step,
}

/// What the rates of a load depend on; equal plans give equal rates.
#[derive(Clone, Copy, Debug)]
pub struct RatePlan {
    pub shape: Shape,
    /// Of all partitions together, at the peak.
    pub peak: BytesPerSecond,
    /// The time that the shape takes.
    pub cycle: Duration,
    /// Largest change of a partition's level in one step of its walk, in per cent of its highest.
    pub delta: u32,
    /// Time between two steps of the walk.
    pub step: Duration,
    /// How unlike the partitions are: each of eight draws multiplies or divides a weight by
    /// `1 + skew %`, which spreads them nearly log-normally. 0 makes them all alike.
    pub skew: u32,
    pub seed: u64,
}

const LEVEL_MAX: u32 = 100;
const LEVEL_MIN_SHARED: u32 = 25;
const SKEW_DRAWS: u32 = 8;
const WEIGHT: u64 = 1_000_000;
const PER_MILLE: u64 = 1_000;
const LOW: u64 = 160;

/// The rate of every partition at a time since the start.
#[derive(Debug)]
pub struct Rates {
    plan: RatePlan,
    rng: ChaCha8Rng,
    weights: Vec<u64>,
    /// Whole per cents of a partition's highest.
    levels: Vec<u32>,
    steps: u128,
}

impl Rates {
    pub fn new(plan: RatePlan, partitions: u32) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(plan.seed);
        let weights = (0..partitions).map(|_| weight(plan.skew, &mut rng)).collect();
        let first = match (plan.shape, plan.delta) {
            (Shape::Walk, _) => 0..=LEVEL_MAX,
            (_, 0) => LEVEL_MAX..=LEVEL_MAX,
            (_, _) => LEVEL_MIN_SHARED..=LEVEL_MAX,
        };
        let levels = (0..partitions).map(|_| rng.random_range(first.clone())).collect();
        Self { plan, rng, weights, levels, steps: 0 }
    }

    /// The rates at `elapsed` since the start. Time only goes on: an earlier one than before finds
    /// the walk where it was.
    pub fn at(&mut self, elapsed: Duration) -> Vec<BytesPerSecond> {
        let due = elapsed.as_nanos() / self.plan.step.as_nanos().max(1);
        while self.steps < due {
            self.walk();
            self.steps += 1;
        }
        let now = self.weights.iter().zip(&self.levels);
        let parts: Vec<u64> = now.map(|(weight, level)| weight * u64::from(*level)).collect();
        let whole = match self.plan.shape {
            Shape::Walk => self.weights.iter().sum::<u64>() * u64::from(LEVEL_MAX),
            Shape::Constant | Shape::RiseAndFall | Shape::Step => parts.iter().sum(),
        };
        let total = u128::from(self.plan.peak.0) * u128::from(self.per_mille(elapsed));
        parts.iter().map(|part| share(total, *part, whole)).collect()
    }

    fn walk(&mut self) {
        let delta = i64::from(self.plan.delta);
        let lowest = match self.plan.shape {
            Shape::Walk => 0,
            Shape::Constant | Shape::RiseAndFall | Shape::Step => LEVEL_MIN_SHARED,
        };
        for level in &mut self.levels {
            let moved = i64::from(*level) + self.rng.random_range(-delta..=delta);
            let moved = moved.clamp(i64::from(lowest), i64::from(LEVEL_MAX));
            *level = u32::try_from(moved).expect("clamped between two levels");
        }
    }

    /// The total in thousandths of the peak.
    fn per_mille(&self, elapsed: Duration) -> u64 {
        let cycle = self.plan.cycle.as_millis().max(1);
        let progress = elapsed.as_millis() % cycle * u128::from(PER_MILLE) / cycle;
        let progress = u64::try_from(progress).expect("at most a thousand");
        match self.plan.shape {
            Shape::Constant | Shape::Walk => PER_MILLE,
            Shape::Step => {
                if progress < 333 {
                    200
                } else {
                    PER_MILLE
                }
            }
            Shape::RiseAndFall => match progress {
                0..100 => LOW,
                100..400 => LOW + (PER_MILLE - LOW) * (progress - 100) / 300,
                400..550 => PER_MILLE,
                550..750 => PER_MILLE - (PER_MILLE - LOW) * (progress - 550) / 200,
                _ => LOW,
            },
        }
    }
}

fn weight(skew: u32, rng: &mut ChaCha8Rng) -> u64 {
    let factor = 100 + u64::from(skew);
    (0..SKEW_DRAWS).fold(WEIGHT, |weight, _| {
        if rng.random::<bool>() { weight * factor / 100 } else { (weight * 100 / factor).max(1) }
    })
}

fn share(total_per_mille: u128, part: u64, whole: u64) -> BytesPerSecond {
    let rate = total_per_mille * u128::from(part) / u128::from(whole.max(1)) / 1_000;
    BytesPerSecond(u64::try_from(rate).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(shape: Shape) -> RatePlan {
        RatePlan {
            shape,
            peak: BytesPerSecond(4_000_000),
            cycle: Duration::from_secs(100),
            delta: 10,
            step: Duration::from_secs(1),
            skew: 15,
            seed: 7,
        }
    }

    fn totals(shape: Shape) -> Vec<u64> {
        let mut rates = Rates::new(plan(shape), 16);
        (0..200).map(|second| total(&rates.at(Duration::from_secs(second)))).collect()
    }

    fn total(rates: &[BytesPerSecond]) -> u64 {
        rates.iter().map(|rate| rate.0).sum()
    }

    #[test]
    fn no_shape_ever_exceeds_the_peak_and_all_but_the_walk_reach_it() {
        for shape in [Shape::Constant, Shape::Walk, Shape::RiseAndFall, Shape::Step] {
            let highest = totals(shape).into_iter().max().unwrap();
            assert!(highest <= 4_000_000, "{shape:?} reached {highest}");
            assert!(shape == Shape::Walk || highest >= 3_999_900, "{shape:?} reached {highest}");
        }
    }

    #[test]
    fn what_rises_falls_back_and_what_steps_stays() {
        let hill = totals(Shape::RiseAndFall);
        assert!(hill[0] < 700_000 && hill[45] > 3_999_900 && hill[99] < 700_000);
        assert!(hill[145] > 3_999_900 && hill[199] < 700_000, "it begins anew");
        let step = totals(Shape::Step);
        assert!(step[32] < 801_000 && step[34] > 3_999_900 && step[99] > 3_999_900);
    }

    #[test]
    fn a_step_of_the_walk_is_at_most_delta_in_whole_per_cents() {
        let mut even = RatePlan { skew: 0, ..plan(Shape::Walk) };
        even.peak = BytesPerSecond(1_600);
        let mut rates = Rates::new(even, 16);
        let mut before = rates.at(Duration::ZERO);
        for second in 1..500 {
            let now = rates.at(Duration::from_secs(second));
            for (was, is) in before.iter().zip(&now) {
                assert!(was.0.abs_diff(is.0) <= 10 && is.0 <= 100);
            }
            assert_ne!(before, now);
            before = now;
        }
    }

    #[test]
    fn equal_seeds_give_equal_rates_and_other_seeds_others() {
        assert_eq!(totals(Shape::Walk), totals(Shape::Walk));
        let mut other = Rates::new(RatePlan { seed: 8, ..plan(Shape::Walk) }, 16);
        assert_ne!(other.at(Duration::ZERO), Rates::new(plan(Shape::Walk), 16).at(Duration::ZERO));
    }

    #[test]
    fn skewed_partitions_differ_and_even_ones_do_not() {
        let still = |skew| RatePlan { skew, delta: 0, ..plan(Shape::Constant) };
        let even = Rates::new(still(0), 16).at(Duration::ZERO);
        assert!(even.iter().all(|rate| *rate == even[0]));
        let skewed = Rates::new(still(15), 16).at(Duration::ZERO);
        let (low, high) = (skewed.iter().min().unwrap().0, skewed.iter().max().unwrap().0);
        assert!(high > 2 * low, "{low} to {high}");
    }
}
