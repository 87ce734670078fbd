//! Pure. How long to wait before trying again: exponential, bounded, with jitter.

use std::time::Duration;

use rand::rngs::ChaCha8Rng;
use rand::{Rng, RngExt as _};

/// Bounds of the delays between attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackoffPolicy {
    /// Upper bound of the first delay.
    pub initial: Duration,
    /// Upper bound of every delay.
    pub max: Duration,
    /// What a delay's upper bound is multiplied by after each failure.
    pub factor: u32,
}

impl BackoffPolicy {
    /// The upper bound of the delay after so many failures in a row, the first one being 1.
    pub fn bound(&self, failures: u32) -> Duration {
        let factor = self.factor.saturating_pow(failures.saturating_sub(1));
        self.initial.saturating_mul(factor).min(self.max)
    }

    /// How long to wait after so many failures in a row: between half of the bound and all of it.
    pub fn delay(&self, failures: u32, rng: &mut impl Rng) -> Duration {
        let bound = self.bound(failures);
        let half = bound / 2;
        half + rng.random_range(Duration::ZERO..=bound - half)
    }
}

impl Default for BackoffPolicy {
    /// For requests to servers near by: 100 ms, doubled up to 10 s.
    fn default() -> Self {
        Self { initial: Duration::from_millis(100), max: Duration::from_secs(10), factor: 2 }
    }
}

/// The delays of one thing that is tried again and again. Jitter comes from the generator that is
/// handed in, so that a simulation can repeat a run.
#[derive(Debug)]
pub struct Backoff {
    policy: BackoffPolicy,
    rng: ChaCha8Rng,
    failures: u32,
}

impl Backoff {
    pub fn new(policy: BackoffPolicy, rng: ChaCha8Rng) -> Self {
        Self { policy, rng, failures: 0 }
    }

    /// Counts a failure and returns how long to wait before the next attempt.
    pub fn next_delay(&mut self) -> Duration {
        self.failures = self.failures.saturating_add(1);
        self.policy.delay(self.failures, &mut self.rng)
    }

    /// Failures since the last success, for callers that give up.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// To be called after a success.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng;

    use super::*;

    proptest! {
        /// Every delay lies between half of its bound and its bound, the bounds grow by the factor,
        /// and none exceeds the maximum.
        #[test]
        fn delays_grow_within_their_bounds(
            seed: u64, initial_ms in 1_u64..5_000, max_ms in 1_u64..60_000, factor in 1_u32..5,
        ) {
            let max = Duration::from_millis(max_ms);
            let policy = BackoffPolicy { initial: Duration::from_millis(initial_ms), max, factor };
            let mut backoff = Backoff::new(policy, ChaCha8Rng::seed_from_u64(seed));
            let mut bound = policy.initial.min(max);
            for failures in 1..=20 {
                let delay = backoff.next_delay();
                prop_assert!(delay >= bound / 2 && delay <= bound, "{delay:?} for {bound:?}");
                prop_assert_eq!(backoff.failures(), failures);
                bound = (bound * factor).min(max);
            }
            backoff.reset();
            prop_assert_eq!(backoff.failures(), 0);
            prop_assert!(backoff.next_delay() <= policy.initial);
        }
    }

    #[test]
    fn two_generators_do_not_retry_in_step() {
        let delays = |seed| {
            let rng = ChaCha8Rng::seed_from_u64(seed);
            let mut backoff = Backoff::new(BackoffPolicy::default(), rng);
            std::array::from_fn::<_, 8, _>(|_| backoff.next_delay())
        };
        assert_ne!(delays(1), delays(2));
        assert_eq!(delays(1), delays(1));
    }
}
