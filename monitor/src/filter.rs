//! Pure. A first-order low-pass filter for values that come at irregular intervals.

use std::time::Duration;

use common::moment::Moment;

/// Follows its input with a time constant τ: after a step the distance to the new value shrinks by
/// e in each τ, however often a value comes in between.
///
/// value ← value + (1 − exp(−Δt ÷ τ)) · (input − value)
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LowPass {
    last: Option<(Moment, f64)>,
}

impl LowPass {
    /// Takes the next value and returns the filtered one. The first is taken as it is; one that is
    /// not later than the one before, or is no number, changes nothing.
    pub fn update(&mut self, at: Moment, input: f64, time_constant: Duration) -> f64 {
        let Some((before, value)) = self.last else {
            return if input.is_finite() { self.set(at, input) } else { 0.0 };
        };
        let elapsed = at.saturating_since(before);
        if elapsed.is_zero() || !input.is_finite() {
            return value;
        }
        let time_constant = time_constant.as_secs_f64().max(f64::MIN_POSITIVE);
        let gain = 1.0 - (-elapsed.as_secs_f64() / time_constant).exp();
        self.set(at, value + gain * (input - value))
    }

    /// The last filtered value; nothing before the first.
    pub fn value(&self) -> Option<f64> {
        self.last.map(|(_, value)| value)
    }

    fn set(&mut self, at: Moment, value: f64) -> f64 {
        self.last = Some((at, value));
        value
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TAU: Duration = Duration::from_secs(10);

    fn at(milliseconds: u64) -> Moment {
        Moment::since_boot(Duration::from_millis(milliseconds))
    }

    #[test]
    fn a_step_is_followed_by_a_factor_of_e_in_each_time_constant() {
        for interval in [100, 1_000, 2_500] {
            let mut filter = LowPass::default();
            filter.update(at(0), 0.0, TAU);
            for time in (interval..=10_000).step_by(interval) {
                filter.update(at(time as u64), 1_000.0, TAU);
            }
            let value = filter.value().unwrap();
            assert!((value - 632.12).abs() < 0.01, "{value} at {interval} ms");
        }
    }

    #[test]
    fn the_first_value_is_taken_as_it_is() {
        assert_eq!(LowPass::default().update(at(5), 7.0, TAU), 7.0);
    }

    proptest! {
        /// The filtered value stays between the smallest and the largest that came, whatever the
        /// intervals, and is always a number.
        #[test]
        fn it_never_overshoots(
            steps in prop::collection::vec((0u64..100_000, 0.0f64..1e12), 1..50),
            junk in prop::collection::vec(prop::sample::select(vec![f64::NAN, f64::INFINITY]), 3),
            tau in 0u64..20_000,
        ) {
            let mut filter = LowPass::default();
            let mut now = 0;
            let (mut low, mut high) = (f64::INFINITY, 0.0f64);
            for (index, (interval, input)) in steps.into_iter().enumerate() {
                now += interval;
                (low, high) = (low.min(input), high.max(input));
                let value = filter.update(at(now), input, Duration::from_millis(tau));
                prop_assert!(value >= low * 0.999_999 && value <= high * 1.000_001, "{value}");
                if let Some(junk) = junk.get(index) {
                    prop_assert_eq!(filter.update(at(now + 1), *junk, TAU), value);
                }
            }
        }
    }
}
