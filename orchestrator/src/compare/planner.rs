//! Pure. The planner as a contestant, by our algorithm or by a published one.

use super::contestant::Contestant;
use super::trace::Step;
use crate::pack::drift::Drift;
use crate::pack::fit::Input;
use crate::plan::policy::{Algorithm, Policy};
use crate::simulate::contest::plan_step;

/// Plans each step from the plan before. The any-fit heuristics take partitions by topic, then by
/// number.
#[derive(Clone, Debug)]
pub struct Planner {
    name: String,
    policy: Policy,
    drift: Drift,
    owners: Vec<Option<u32>>,
}

impl Planner {
    pub fn new(policy: Policy) -> Self {
        let name = match policy.algorithm {
            Algorithm::Stowage => format!("stowage λ {}", policy.consumer_price),
            Algorithm::Published(heuristic) => heuristic.name().to_owned(),
        };
        Self { name, policy, drift: Drift::default(), owners: Vec::new() }
    }
}

impl Contestant for Planner {
    fn name(&self) -> &str {
        &self.name
    }

    fn assign(&mut self, step: &Step) -> Vec<u32> {
        self.drift.observe(&step.rates);
        self.owners.resize(step.rates.len(), None);
        let input = Input { capacity: step.capacity, sizes: &step.rates, current: &self.owners };
        let owners = plan_step(self.policy, &input, |item| self.drift.variance(item));
        self.owners = owners.iter().copied().map(Some).collect();
        owners
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_that_fits_where_it_is_stays_there() {
        let mut planner = Planner::new(Policy::default());
        let step = |rates: &[u64]| Step { seconds: 1.0, capacity: 100, rates: rates.to_vec() };
        let first = planner.assign(&step(&[20, 50, 30, 40]));
        assert_eq!(planner.assign(&step(&[21, 49, 30, 40])), first);
        assert_eq!(planner.name(), "stowage λ 2");
    }
}
