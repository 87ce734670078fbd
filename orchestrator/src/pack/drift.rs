//! Pure. How much sizes change from step to step, learned from the sizes themselves.

/// Estimates the variance of each item's next change: its own decaying average of squared changes,
/// drawn towards that of all items as long as it has been seen for few steps only.
#[derive(Clone, Debug, Default)]
pub struct Drift {
    last: Vec<Option<u64>>,
    own: Vec<f64>,
    steps: Vec<f64>,
    pooled: f64,
    pooled_steps: f64,
}

/// What an older step counts relative to the one after it.
const DECAY: f64 = 0.98;

/// So many steps the average over all items weighs in that of one.
const PRIOR_STEPS: f64 = 20.0;

impl Drift {
    /// Takes note of the sizes of all items at this step. Items keep their positions; further ones
    /// may follow.
    pub fn observe(&mut self, sizes: &[u64]) {
        self.last.resize(sizes.len(), None);
        self.own.resize(sizes.len(), 0.0);
        self.steps.resize(sizes.len(), 0.0);
        let (mut sum, mut count) = (0.0, 0.0);
        for (item, size) in sizes.iter().enumerate() {
            if let Some(last) = self.last[item].replace(*size) {
                let change = size.abs_diff(last) as f64;
                self.own[item] = self.own[item] * DECAY + change * change;
                self.steps[item] = self.steps[item] * DECAY + 1.0;
                sum += change * change;
                count += 1.0;
            }
        }
        if count > 0.0 {
            self.pooled = self.pooled * DECAY + sum / count;
            self.pooled_steps = self.pooled_steps * DECAY + 1.0;
        }
    }

    /// The variance of the item's next change; 0 as long as nothing is known.
    pub fn variance(&self, item: usize) -> f64 {
        if self.pooled_steps == 0.0 {
            return 0.0;
        }
        let pooled = self.pooled / self.pooled_steps;
        let (own, steps) = match (self.own.get(item), self.steps.get(item)) {
            (Some(own), Some(steps)) => (*own, *steps),
            _ => (0.0, 0.0),
        };
        (own + pooled * PRIOR_STEPS) / (steps + PRIOR_STEPS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_seen_for_long_has_its_own_variance_and_a_new_one_that_of_all() {
        let mut drift = Drift::default();
        assert!(drift.variance(0) == 0.0);
        for step in 0..400 {
            drift.observe(&[50 + step % 2 * 10, 50]);
        }
        assert!(drift.variance(0) > 80.0 && drift.variance(0) < 100.0);
        assert!(drift.variance(1) < 20.0);
        assert!((drift.variance(2) - 50.0).abs() < 1.0);
    }
}
