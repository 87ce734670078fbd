//! Pure. How unevenly partitions are written to, and rates that are as uneven.

use common::rate::nearest;

/// The standard deviation of the logarithms of the rates above zero: σ, if they are log-normal.
/// 0 for fewer than two.
pub fn log_normal_sigma(rates: &[u64]) -> f64 {
    let logarithms: Vec<f64> =
        rates.iter().filter(|rate| **rate > 0).map(|rate| (*rate as f64).ln()).collect();
    if logarithms.len() < 2 {
        return 0.0;
    }
    let count = logarithms.len() as f64;
    let mean = logarithms.iter().sum::<f64>() / count;
    let squares: f64 = logarithms.iter().map(|logarithm| (logarithm - mean).powi(2)).sum();
    (squares / count).sqrt()
}

/// Rates of this many partitions that are log-normal with σ `sigma`, descending, whose sum is
/// `total` but for rounding (bytes per second). Not drawn: the k-th is in proportion to the
/// quantile exp(σ Φ⁻¹((k − ½) ÷ partitions)), so that the same question has the same answer.
pub fn log_normal_rates(total: u64, partitions: usize, sigma: f64) -> Vec<u64> {
    let weight = |index: usize| {
        let share = (index as f64 + 0.5) / partitions as f64;
        (-sigma * normal_quantile(share)).exp()
    };
    let weights: Vec<f64> = (0..partitions).map(weight).collect();
    let sum: f64 = weights.iter().sum();
    weights.into_iter().map(|weight| nearest(total as f64 * weight / sum)).collect()
}

/// Φ⁻¹, the quantile of the standard normal distribution, for 0 < share < 1, to 4.5 × 10⁻⁴
/// (Abramowitz and Stegun, Handbook of Mathematical Functions, 26.2.23).
fn normal_quantile(share: f64) -> f64 {
    let tail = share.min(1.0 - share);
    let t = (-2.0 * tail.ln()).sqrt();
    let numerator = 2.515_517 + t * (0.802_853 + t * 0.010_328);
    let denominator = 1.0 + t * (1.432_788 + t * (0.189_269 + t * 0.001_308));
    let upper = t - numerator / denominator;
    if share < 0.5 { -upper } else { upper }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tabulated: Φ⁻¹(0.975) = 1.95996, Φ⁻¹(0.5) = 0.
    #[test]
    fn quantiles_are_those_of_the_tables() {
        for (share, expected) in [(0.975, 1.959_96), (0.025, -1.959_96), (0.5, 0.0)] {
            assert!((normal_quantile(share) - expected).abs() < 4.5e-4);
        }
    }

    #[test]
    fn rates_have_the_skew_and_the_sum_that_were_asked_for() {
        let rates = log_normal_rates(10_000_000, 1000, 1.0);
        assert!((log_normal_sigma(&rates) - 1.0).abs() < 0.01);
        assert!(rates.iter().sum::<u64>().abs_diff(10_000_000) < 1000);
        assert!(rates.is_sorted_by(|one, next| one >= next));
    }

    #[test]
    fn no_skew_is_even() {
        assert_eq!(log_normal_rates(100, 4, 0.0), [25; 4]);
        assert_eq!((log_normal_sigma(&[25; 4]), log_normal_sigma(&[7, 0])), (0.0, 0.0));
        // ln 1 and ln e² lie 1 from their mean.
        assert!((log_normal_sigma(&[1_000_000, 7_389_056]) - 1.0).abs() < 1e-6);
    }
}
