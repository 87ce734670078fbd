//! Pure. How a consumer's capacity is shared among the partitions that want some of it.

/// The max-min fair shares of `capacity`: whoever wants less than the fair level gets what it
/// wants, all others get the level (Bertsekas and Gallager, Data Networks, section 6.5.2).
/// Demands may be infinite; all in one unit.
pub(super) fn max_min(capacity: f64, demands: &[f64]) -> Vec<f64> {
    let level = max_min_level(capacity, demands);
    demands.iter().map(|demand| demand.min(level)).collect()
}

/// The fair level: the highest that a demand is served to. Infinite if everything is served.
pub(super) fn max_min_level(capacity: f64, demands: &[f64]) -> f64 {
    let mut ascending = demands.to_vec();
    ascending.sort_by(f64::total_cmp);
    let mut left = capacity;
    for (served, demand) in ascending.iter().enumerate() {
        let level = left / (ascending.len() - served) as f64;
        if *demand > level {
            return level;
        }
        left -= demand;
    }
    f64::INFINITY
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// 10 for three: 2 is less than a third, the other two share 8.
    #[test]
    fn small_demands_are_met_and_large_ones_get_the_same() {
        assert_eq!(max_min(10.0, &[f64::INFINITY, 2.0, 5.0]), [4.0, 2.0, 4.0]);
        assert_eq!(max_min(10.0, &[1.0, 2.0]), [1.0, 2.0]);
        assert_eq!(max_min(10.0, &[]), [0.0; 0]);
    }

    proptest! {
        /// No capacity is wasted while somebody wants more, and none is given twice.
        #[test]
        fn capacity_is_used_up_or_everybody_is_served(
            capacity in 1.0..100.0_f64,
            demands in prop::collection::vec(0.0..50.0_f64, 1..10),
        ) {
            let shares: f64 = max_min(capacity, &demands).iter().sum();
            let wanted: f64 = demands.iter().sum();
            prop_assert!((shares - wanted.min(capacity)).abs() < 1e-9);
        }
    }
}
