//! Pure. What a contestant makes of a trace: consumers, movement, overload, latency and cost.

use common::rate::nearest;
use std::collections::{BTreeMap, BTreeSet};

use thiserror::Error;

use super::contestant::Contestant;
use super::fluid::{Fluid, FluidOptions};
use super::latency::Percentiles;
use super::trace::{Step, Trace};

/// What holds for all of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RunOptions {
    pub fluid: FluidOptions,
    /// What a consumer costs in an hour, in any currency.
    pub price_per_consumer_hour: f64,
}

/// One contestant's figures over one trace.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    pub name: String,
    /// Consumers that hold at least one partition, step by step: what CBS is computed from.
    pub consumers: Vec<u32>,
    pub consumers_mean: f64,
    pub consumers_max: u32,
    /// Mean over the steps of: the rate of all partitions that had another consumer before, at
    /// present rates, ÷ capacity. The first step counts 0.
    pub r_score_mean: f64,
    /// Partitions that changed consumers, over all steps.
    pub moves: u64,
    /// Bytes per second of these partitions when they moved, over all steps.
    pub moved_bytes_per_second: u64,
    /// Of all consumers at all steps, the share that held more than one partition and more than
    /// its capacity.
    pub overloaded_share: f64,
    /// From produced to stored, in seconds, by bytes. What is left at the end counts as well.
    pub latency: Percentiles,
    /// Idle consumers and those that are started or left are included.
    pub consumer_hours: f64,
    pub cost: f64,
    /// From the end of the trace until no backlog is left, in seconds; `None` if there always is.
    pub seconds_to_consume: Option<f64>,
}

/// Why a contestant could not be run.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum OutcomeError {
    #[error("{name} assigned {assigned} partitions at step {step}, of {partitions}")]
    Incomplete { name: String, step: usize, assigned: usize, partitions: usize },
}

/// Runs a contestant over a trace. It is told the rates of a step as the step begins.
///
/// # Errors
/// If it assigns another number of partitions than the trace has.
pub fn run(
    contestant: &mut dyn Contestant,
    trace: &Trace,
    options: &RunOptions,
) -> Result<Outcome, OutcomeError> {
    let mut fluid = Fluid::new(trace.names.len(), options.fluid);
    let mut tally = Tally::default();
    for (index, (step, length)) in trace.steps_with_lengths().enumerate() {
        if index > 0 {
            let lag: Vec<u64> = fluid.lag().map(nearest).collect();
            contestant.observe(&lag, step.seconds);
        }
        let planned = contestant.assign(step);
        let (assigned, partitions) = (planned.len(), step.rates.len());
        if assigned != partitions {
            let name = contestant.name().to_owned();
            return Err(OutcomeError::Incomplete { name, step: index, assigned, partitions });
        }
        fluid.advance(length, step.capacity, &step.rates, &planned);
        let holding = tally.add(step, planned);
        let idle = contestant.running().map_or(0, |running| running.saturating_sub(holding));
        tally.idle_seconds += f64::from(idle) * length;
    }
    Ok(tally.outcome(contestant.name(), fluid, options))
}

/// The cardinal bin score: the mean of (z − z*) ÷ z* over the steps, z the consumers and z* those
/// of the reference (Landau, Andrade and Barbosa, arXiv 2206.11170). Steps whose reference is 0 are
/// left out; 0 if there are none.
pub fn cardinal_bin_score(consumers: &[u32], reference: &[u32]) -> f64 {
    let steps = consumers.iter().zip(reference).filter(|(_, reference)| **reference > 0);
    let excess = |(consumers, reference): (&u32, &u32)| {
        (f64::from(*consumers) - f64::from(*reference)) / f64::from(*reference)
    };
    mean(steps.map(excess))
}

/// The fewest consumers that any of these outcomes has, step by step: the reference of CBS.
pub fn fewest_consumers<'a>(outcomes: impl IntoIterator<Item = &'a Outcome>) -> Vec<u32> {
    let mut all = outcomes.into_iter().map(|outcome| outcome.consumers.clone());
    let first = all.next().unwrap_or_default();
    all.fold(first, |fewest, consumers| {
        fewest.into_iter().zip(consumers).map(|(fewest, consumers)| fewest.min(consumers)).collect()
    })
}

/// What adds up while a contestant runs.
#[derive(Default)]
struct Tally {
    previous: Option<Vec<u32>>,
    consumers: Vec<u32>,
    r_scores: Vec<f64>,
    moves: u64,
    moved: u64,
    overloaded: u64,
    idle_seconds: f64,
}

impl Tally {
    /// Returns how many consumers hold at least one partition.
    fn add(&mut self, step: &Step, planned: Vec<u32>) -> u32 {
        let holding = planned.iter().collect::<BTreeSet<_>>().len();
        let holding = u32::try_from(holding).unwrap_or(u32::MAX);
        self.consumers.push(holding);
        self.add_moves(step, &planned);
        let mut loads = BTreeMap::<u32, (u64, usize)>::new();
        for (consumer, rate) in planned.iter().zip(&step.rates) {
            let (load, partitions) = loads.entry(*consumer).or_default();
            *load = load.saturating_add(*rate);
            *partitions += 1;
        }
        let is_overloaded =
            |(load, partitions): &&(u64, usize)| *load > step.capacity && *partitions > 1;
        self.overloaded += count(loads.values().filter(is_overloaded));
        self.previous = Some(planned);
        holding
    }

    fn add_moves(&mut self, step: &Step, planned: &[u32]) {
        let previous = self.previous.as_deref().unwrap_or(planned);
        let owners = previous.iter().zip(planned).zip(&step.rates);
        let moved = owners.filter(|((before, after), _)| before != after);
        let moved: Vec<u64> = moved.map(|(_, rate)| *rate).collect();
        let rate = moved.iter().fold(0_u64, |sum, rate| sum.saturating_add(*rate));
        self.moves += count(moved);
        self.moved = self.moved.saturating_add(rate);
        self.r_scores.push(rate as f64 / step.capacity as f64);
    }

    fn outcome(self, name: &str, mut fluid: Fluid, options: &RunOptions) -> Outcome {
        let seconds_to_consume = fluid.drain();
        let consumer_hours = (fluid.consumer_seconds() + self.idle_seconds) / 3600.0;
        let consumer_steps: u64 =
            self.consumers.iter().map(|consumers| u64::from(*consumers)).sum();
        Outcome {
            name: name.to_owned(),
            consumers_mean: mean(self.consumers.iter().copied().map(f64::from)),
            consumers_max: self.consumers.iter().copied().max().unwrap_or(0),
            consumers: self.consumers,
            r_score_mean: mean(self.r_scores.into_iter()),
            moves: self.moves,
            moved_bytes_per_second: self.moved,
            overloaded_share: self.overloaded as f64 / consumer_steps.max(1) as f64,
            latency: fluid.latency().percentiles(options.fluid.rotation_seconds),
            consumer_hours,
            cost: consumer_hours * options.price_per_consumer_hour,
            seconds_to_consume,
        }
    }
}

fn count<T>(items: impl IntoIterator<Item = T>) -> u64 {
    items.into_iter().fold(0, |count, _| count + 1)
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    if count > 0.0 { sum / count } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Assigns what it was given, step by step.
    struct Script(Vec<Vec<u32>>, Vec<Vec<u64>>);

    impl Contestant for Script {
        fn name(&self) -> &str {
            "script"
        }

        fn assign(&mut self, _step: &Step) -> Vec<u32> {
            self.0.remove(0)
        }

        fn observe(&mut self, lag_bytes: &[u64], _seconds: f64) {
            self.1.push(lag_bytes.to_vec());
        }
    }

    fn trace(rates: &[[u64; 3]]) -> Trace {
        let names = (0..3).map(|partition| format!("orders/{partition}")).collect();
        let step = |rates: &[u64; 3]| Step { seconds: 10.0, capacity: 100, rates: rates.to_vec() };
        Trace { names, steps: rates.iter().map(step).collect() }
    }

    const OPTIONS: RunOptions =
        RunOptions { fluid: FluidOptions::PROCESSES, price_per_consumer_hour: 36.0 };

    /// Partition 1 moves at 60 B/s of 100 in one of two steps: R-score 0.3 in the mean. Consumer 1
    /// holds 120 of 100 in one of three consumer-steps.
    #[test]
    fn figures_are_those_computed_by_hand() {
        let trace = trace(&[[50, 70, 0], [50, 60, 0]]);
        let mut script = Script(vec![vec![1, 1, 1], vec![1, 2, 1]], Vec::new());
        let outcome = run(&mut script, &trace, &OPTIONS).unwrap();
        assert_eq!(outcome.consumers, [1, 2]);
        assert_eq!((outcome.consumers_mean, outcome.consumers_max), (1.5, 2));
        assert_eq!(outcome.r_score_mean, 0.3);
        assert_eq!((outcome.moves, outcome.moved_bytes_per_second), (1, 60));
        assert_eq!(outcome.overloaded_share, 1.0 / 3.0);
        // One for 10 s, two for 10 s, at 36 an hour: 0.01 a second.
        assert!((outcome.cost - 0.3).abs() < 1e-9);
        assert_eq!(outcome.seconds_to_consume, Some(0.0));
        // 20 B/s too many for 10 s, taken from partition 1 alone, which is served at 50 and stops
        // for half a second: byte 500 arrives at 7.14 s and is read at 10.5 s.
        assert!((outcome.latency.max - (10.5 - 50.0 / 7.0 + 5.0)).abs() < 1e-5);
        // Before the second step: 200 B of backlog, and 2.5 s of what is read.
        assert_eq!(script.1, [[125, 200 + 125, 0]]);
    }

    /// A consumer that holds a single partition is not counted as overloaded, nor is a full one.
    #[test]
    fn a_partition_larger_than_a_consumer_is_nobodys_fault() {
        let trace = trace(&[[150, 70, 30]]);
        let outcome = run(&mut Script(vec![vec![1, 2, 2]], Vec::new()), &trace, &OPTIONS).unwrap();
        assert_eq!(outcome.overloaded_share, 0.0);
        // 500 B left at 100 B/s.
        assert!((outcome.seconds_to_consume.unwrap() - 5.0).abs() < 1e-9);
    }

    #[test]
    fn an_incomplete_assignment_is_refused() {
        let error = run(&mut Script(vec![vec![1]], Vec::new()), &trace(&[[1, 1, 1]]), &OPTIONS);
        let message = error.unwrap_err().to_string();
        assert_eq!(message, "script assigned 1 partitions at step 0, of 3");
    }

    #[test]
    fn the_cardinal_bin_score_is_relative_to_the_fewest() {
        let trace = trace(&[[1, 1, 1], [1, 1, 1]]);
        let outcome = |plans: [[u32; 3]; 2]| {
            let plans = plans.map(Vec::from).to_vec();
            run(&mut Script(plans, Vec::new()), &trace, &OPTIONS).unwrap()
        };
        let all = [outcome([[1, 2, 2], [1, 2, 3]]), outcome([[1, 2, 3], [1, 1, 2]])];
        let fewest = fewest_consumers(&all);
        assert_eq!(fewest, [2, 2]);
        assert_eq!(all.map(|outcome| cardinal_bin_score(&outcome.consumers, &fewest)), [0.25; 2]);
    }
}
