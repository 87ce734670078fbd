//! Pure. The partitions that a size is computed for: packed, spread, and overloaded.

/// Partitions by ascending rate, in bytes per second, with running sums.
#[derive(Clone, Debug)]
pub(super) struct Population {
    rates: Vec<f64>,
    /// `sums[k]`: of the `k` smallest.
    sums: Vec<f64>,
}

impl Population {
    pub(super) fn new(mut rates: Vec<f64>) -> Self {
        rates.sort_by(f64::total_cmp);
        let mut sum = 0.0;
        let running = rates.iter().map(|rate| {
            sum += rate;
            sum
        });
        let sums = [0.0].into_iter().chain(running).collect();
        Self { rates, sums }
    }

    pub(super) fn partitions(&self) -> usize {
        self.rates.len()
    }

    pub(super) fn largest(&self) -> f64 {
        self.rates.last().copied().unwrap_or(0.0)
    }

    pub(super) fn total(&self) -> f64 {
        self.sums.last().copied().unwrap_or(0.0)
    }

    /// The same stream over another number of partitions, as uneven as now: the rates at even
    /// distances in the order of size, with the same sum.
    pub(super) fn spread_over(&self, partitions: usize) -> Self {
        let rank = |index: usize| index * self.rates.len() / partitions.max(1);
        let rates: Vec<f64> = (0..partitions).map(|index| self.rates[rank(index)]).collect();
        let scale = self.total() / rates.iter().sum::<f64>();
        Self::new(rates.into_iter().map(|rate| rate * scale).collect())
    }

    /// Consumers that first-fit decreasing needs when all rates are `factor` times as high, each
    /// packed up to `limit`. A partition above that has a consumer of its own.
    pub(super) fn consumers(&self, factor: f64, limit: f64) -> usize {
        let mut loads: Vec<f64> = Vec::new();
        for rate in self.rates.iter().rev().map(|rate| rate * factor).filter(|rate| *rate > 0.0) {
            match loads.iter_mut().find(|load| **load + rate <= limit) {
                Some(load) => *load += rate,
                None => loads.push(rate),
            }
        }
        loads.len()
    }

    /// All rates rise to `jump` times what they are, while consumers are as full as `trigger`
    /// allows. The least share of its arrivals that any partition is then served, by max-min fair
    /// shares of `capacity`.
    ///
    /// The largest partition of a consumer gets the least. It is the worse off the smaller those
    /// beside it are, since these are served first. So each partition is looked at beside the
    /// smallest ones that fill its consumer up to `trigger`.
    pub(super) fn least_served_share(&self, capacity: f64, trigger: f64, jump: f64) -> f64 {
        let shares = self.rates.iter().enumerate().filter(|(_, rate)| **rate > 0.0);
        shares.fold(1.0, |least: f64, (place, rate)| {
            least
                .min(self.level_beside_the_smallest(place, capacity, trigger, jump) / (jump * rate))
        })
    }

    /// The max-min fair level at the consumer of the partition at `place`: what it is served.
    fn level_beside_the_smallest(
        &self,
        place: usize,
        capacity: f64,
        trigger: f64,
        jump: f64,
    ) -> f64 {
        let room = (trigger - self.rates[place]).max(0.0);
        let beside = self.sums[1..=place].partition_point(|sum| *sum <= room);
        // Part of the next smallest, if there is one: the consumer is as full as it may be.
        let rest = if beside < place { room - self.sums[beside] } else { 0.0 };
        let left = |served: usize| capacity - jump * (rest + self.sums[served]);
        let level = |served: usize| left(served) / (beside - served + 1) as f64;
        // The smallest are served in full as long as they want no more than the level.
        let (mut low, mut high) = (0, beside);
        while low < high {
            let middle = usize::midpoint(low, high);
            if jump * self.rates[middle] <= level(middle) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        level(low).max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::share::max_min_level;
    use super::*;

    fn assert_near(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-9, "{found} is not {expected}");
    }

    /// 60 and 3 × 10 become 90 and 3 × 15, of 100: the three are served, 55 of 90 are left.
    #[test]
    fn the_largest_beside_the_smallest_is_served_least() {
        let population = Population::new(vec![10.0, 60.0, 10.0, 10.0]);
        assert_near(population.least_served_share(100.0, 90.0, 1.5), 55.0 / 90.0);
        assert_near(population.least_served_share(100.0, 90.0, 1.1), 1.0);
    }

    /// Alone because it is above the trigger capacity; even ones share the loss evenly.
    #[test]
    fn partitions_alone_and_even_ones_are_served_the_inverse_of_the_overload() {
        let alone = Population::new(vec![95.0, 1.0]);
        assert_near(alone.least_served_share(100.0, 90.0, 2.0), 100.0 / 190.0);
        let even = Population::new(vec![9.0; 10]);
        assert_near(even.least_served_share(100.0, 90.0, 2.0), 1.0 / 1.8);
    }

    /// 50, 50, 30, 30, 30 at most 100 each: 50 + 50, 30 + 30 + 30.
    #[test]
    fn consumers_are_counted_by_first_fit_decreasing() {
        let population = Population::new(vec![30.0, 50.0, 30.0, 50.0, 30.0, 0.0]);
        assert_eq!(population.consumers(1.0, 100.0), 2);
        assert_eq!(population.consumers(1.5, 100.0), 4);
        assert_eq!(population.consumers(4.0, 100.0), 5);
    }

    #[test]
    fn more_partitions_are_smaller_and_as_uneven() {
        let spread = Population::new(vec![30.0, 10.0]).spread_over(4);
        assert_eq!(spread.rates, [5.0, 5.0, 15.0, 15.0]);
        assert_eq!((spread.partitions(), spread.largest(), spread.total()), (4, 15.0, 40.0));
    }

    proptest! {
        /// The level is the one that max-min sharing gives to the same partitions one by one.
        #[test]
        fn the_level_is_that_of_the_shares(
            rates in prop::collection::vec(1.0..60.0_f64, 1..12),
            place in 0_usize..12,
            jump in 1.0..4.0_f64,
        ) {
            let population = Population::new(rates);
            let place = place % population.partitions();
            let own = population.rates[place];
            let room: f64 = 90.0 - own;
            let mut beside: Vec<f64> = Vec::new();
            let mut left = room;
            for rate in &population.rates[..place] {
                if *rate > left {
                    break;
                }
                left -= rate;
                beside.push(rate * jump);
            }
            let rest = if beside.len() < place { left } else { 0.0 };
            beside.push(own * jump);
            let expected = max_min_level(100.0 - rest * jump, &beside).min(own * jump).max(0.0);
            let found = population.level_beside_the_smallest(place, 100.0, 90.0, jump);
            prop_assert!((found.min(own * jump) - expected).abs() < 1e-6, "{found} {expected}");
        }
    }
}
