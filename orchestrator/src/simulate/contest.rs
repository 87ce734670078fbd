//! Pure. One algorithm on one stream of rates: each plan starts from the one before.

use std::collections::{BTreeMap, BTreeSet};

use common::partition::TopicPartition;

use super::line::Step;
use crate::pack::drift::Drift;
use crate::pack::fit::Input;
use crate::pack::pack;
use crate::pack::problem::{Bin, Item, Problem, Scope};
use crate::pack::score::r_score;
use crate::plan::policy::{Algorithm, Policy};

/// What one step led to.
#[derive(Clone, Debug, PartialEq)]
pub struct Planned {
    pub assignment: BTreeMap<TopicPartition, u32>,
    pub consumers: usize,
    pub r_score: f64,
}

/// The state between two steps. Plan and trigger capacity are the capacity itself, nothing is pinned
/// and nobody limits consumers: the problem of the papers.
#[derive(Clone, Debug, Default)]
pub struct Contest {
    policy: Policy,
    /// Partitions in the order in which they first came: drift remembers positions.
    seen: BTreeMap<TopicPartition, usize>,
    drift: Drift,
    owners: BTreeMap<TopicPartition, u32>,
}

impl Contest {
    pub fn new(policy: Policy) -> Self {
        Self { policy, ..Self::default() }
    }

    /// Plans one step. A partition that is missing in it has no consumer any more.
    pub fn plan(&mut self, step: &Step) -> Planned {
        self.observe(step);
        let sizes: Vec<u64> = step.rates.values().copied().collect();
        let current: Vec<Option<u32>> =
            step.rates.keys().map(|partition| self.owners.get(partition).copied()).collect();
        let places: Vec<usize> = step.rates.keys().map(|partition| self.seen[partition]).collect();
        let variance = |item: usize| self.drift.variance(places[item]);
        let input = Input { capacity: step.capacity, sizes: &sizes, current: &current };
        let owners = plan_step(self.policy, &input, variance);
        let r_score = r_score(step.capacity, &sizes, &current, &owners);
        self.owners = step.rates.keys().cloned().zip(owners).collect();
        let mut used: Vec<u32> = self.owners.values().copied().collect();
        used.sort_unstable();
        used.dedup();
        Planned { assignment: self.owners.clone(), consumers: used.len(), r_score }
    }

    fn observe(&mut self, step: &Step) {
        for partition in step.rates.keys() {
            let next = self.seen.len();
            self.seen.entry(partition.clone()).or_insert(next);
        }
        let mut sizes = vec![0; self.seen.len()];
        for (partition, rate) in &step.rates {
            sizes[self.seen[partition]] = *rate;
        }
        self.drift.observe(&sizes);
    }
}

/// The consumer of each size, by the algorithm of the policy. Plan and trigger capacity are the
/// capacity itself; `variance` is that of the next change of each size.
pub fn plan_step(policy: Policy, input: &Input<'_>, variance: impl Fn(usize) -> f64) -> Vec<u32> {
    if let Algorithm::Published(heuristic) = policy.algorithm {
        return heuristic.pack(input);
    }
    let sizes = input.sizes.iter().zip(input.current).enumerate();
    let items = sizes.map(|(item, (size, owner))| Item {
        size: *size,
        home: owner.map(bin_of),
        is_pinned: false,
        variance: variance(item),
    });
    let items: Vec<Item> = items.collect();
    let used: BTreeSet<u32> = input.current.iter().flatten().copied().collect();
    let capacity = input.capacity;
    let bin = |exists| Bin { capacity, ceiling: capacity, may_receive: true, exists };
    let problem = Problem {
        effort: Problem::usual_effort(items.len()),
        items,
        bins: (1..=used.last().copied().unwrap_or(0)).map(|id| bin(used.contains(&id))).collect(),
        new_bin: bin(false),
        scope: Scope::Pack,
        price: policy.consumer_price.0,
        bins_min: 0,
        bins_max: usize::MAX,
        create_max: usize::MAX,
    };
    pack(&problem).bin_of.into_iter().map(id_of).collect()
}

fn bin_of(id: u32) -> usize {
    usize::try_from(id).unwrap_or(usize::MAX).saturating_sub(1)
}

fn id_of(bin: usize) -> u32 {
    u32::try_from(bin + 1).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(rates: &[u64]) -> Step {
        let rates = (0..).zip(rates).map(|(n, rate)| (TopicPartition::new("orders", n), *rate));
        Step { capacity: 100, rates: rates.collect() }
    }

    fn owners(planned: &Planned) -> Vec<u32> {
        planned.assignment.values().copied().collect()
    }

    /// By hand: 55 stays at 1, 50 finds 1 full and goes to 2, 30 follows to 1, 20 stays at 2.
    #[test]
    fn best_fit_decreasing_is_the_published_one() {
        let policy = Policy { algorithm: "bfd".parse().unwrap(), ..Policy::default() };
        let mut contest = Contest::new(policy);
        let first = contest.plan(&step(&[20, 50, 30, 40]));
        assert_eq!((owners(&first), first.consumers), (vec![2, 1, 2, 1], 2));
        assert!(first.r_score == 0.0);
        let second = contest.plan(&step(&[20, 50, 30, 55]));
        assert_eq!(owners(&second), vec![2, 2, 1, 1]);
        assert!((second.r_score - 0.8).abs() < 1e-9, "{}", second.r_score);
    }

    #[test]
    fn what_fits_where_it_is_stays_there() {
        let mut contest = Contest::new(Policy::default());
        let first = contest.plan(&step(&[20, 50, 30, 40]));
        let second = contest.plan(&step(&[21, 49, 30, 40]));
        assert_eq!(first.assignment, second.assignment);
        assert!(second.r_score == 0.0);
    }

    #[test]
    fn a_partition_that_is_gone_leaves_its_consumer() {
        let mut contest = Contest::new(Policy::default());
        contest.plan(&step(&[60, 60]));
        let planned = contest.plan(&step(&[60]));
        assert_eq!((planned.assignment.len(), planned.consumers), (1, 1));
    }
}
