//! IO. `orchestrator compare`: every way to assign partitions on one stream of rates.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;

use clap::Args;
use clap::builder::RangedU64ValueParser;
use thiserror::Error;

use super::trace::{TraceArgs, TraceFileError};
use crate::compare::assignor::{Assignor, Strategy, raised};
use crate::compare::autoscaler::{Autoscaler, AutoscalerOptions};
use crate::compare::contestant::Contestant;
use crate::compare::csv::csv;
use crate::compare::fluid::FluidOptions;
use crate::compare::outcome::{Outcome, OutcomeError, RunOptions, fewest_consumers, run};
use crate::compare::planner::Planner;
use crate::compare::svg::{Horizontal, front};
use crate::compare::table::table;
use crate::compare::trace::{Step, Trace};
use crate::pack::published::Heuristic;
use crate::plan::policy::{Algorithm, ConsumerPrice, Policy};

/// How many more consumers the raised assignor has, in per cent.
const RAISED_PERCENT: u32 = 60;

#[derive(Args, Clone, Debug)]
pub struct CompareArgs {
    #[command(flatten)]
    pub trace: TraceArgs,

    /// Bytes per second that a consumer sustains, where the recording does not say
    #[arg(long, value_name = "BYTES", default_value_t = 5_000_000,
          value_parser = RangedU64ValueParser::<u64>::new().range(1..))]
    pub capacity: u64,

    /// Prices of a consumer at which our algorithm takes part
    #[arg(
        long,
        value_name = "TIMES,…",
        value_delimiter = ',',
        default_value = "inf,2,1.5,1,0.75,0.5"
    )]
    pub consumer_prices: Vec<ConsumerPrice>,

    /// What a consumer costs in an hour
    #[arg(long, value_name = "PRICE", default_value_t = 0.05)]
    pub price_per_hour: f64,

    /// Seconds from a consumer's creation until it reads: 0 for processes, 10 to 50 for pods
    #[arg(long, value_name = "SECONDS", default_value_t = 0.0)]
    pub start_secs: f64,

    /// Seconds for which a partition is not read when we, or a published heuristic, move it
    #[arg(long, value_name = "SECONDS", default_value_t = 0.5)]
    pub gap_secs: f64,

    /// The same when a group of Kafka's own rebalances; by default its members' heartbeat interval,
    /// by which they learn of it
    #[arg(long, value_name = "SECONDS", default_value_t = 3.0)]
    pub rebalance_secs: f64,

    /// Seconds after which an object is stored
    #[arg(long, value_name = "SECONDS", default_value_t = 5.0)]
    pub rotation_secs: f64,

    /// Write the table as CSV to this file, too
    #[arg(long, value_name = "FILE")]
    pub csv: Option<PathBuf>,

    /// Plot consumers against movement into this file
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
}

#[derive(Debug, Error)]
pub enum CompareError {
    #[error("there are no rates to compare on")]
    Trace {
        #[source]
        source: TraceFileError,
    },
    #[error("{name} must be a number from 0 to 86400, not {value}")]
    Option { name: &'static str, value: f64 },
    #[error("a contestant failed")]
    Outcome {
        #[source]
        source: OutcomeError,
    },
    #[error("{} cannot be written", path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// Returns the table.
///
/// # Errors
/// If the recording cannot be read, an option makes no sense, or a file cannot be written.
pub fn compare(args: &CompareArgs) -> Result<String, CompareError> {
    let options = args.options()?;
    let trace = args.trace.load(args.capacity);
    let trace = trace.map_err(|source| CompareError::Trace { source })?;
    let outcomes = outcomes(args, &trace, &options);
    let outcomes = outcomes.map_err(|source| CompareError::Outcome { source })?;
    let reference = fewest_consumers(&outcomes[..Heuristic::ALL.len()]);
    if let Some(path) = &args.csv {
        write(path, &csv(&outcomes, &reference))?;
    }
    if let Some(path) = &args.svg {
        write(path, &front(&outcomes, Horizontal::Consumers))?;
    }
    Ok(table(&outcomes, &reference))
}

fn write(path: &Path, text: &str) -> Result<(), CompareError> {
    fs::write(path, text).map_err(|source| CompareError::Write { path: path.into(), source })
}

/// The published heuristics first, then ours, then what people run today.
fn outcomes(
    args: &CompareArgs,
    trace: &Trace,
    options: &RunOptions,
) -> Result<Vec<Outcome>, OutcomeError> {
    let published = Heuristic::ALL.map(|heuristic| Policy {
        algorithm: Algorithm::Published(heuristic),
        ..Policy::default()
    });
    let ours = args.consumer_prices.iter().map(|consumer_price| Policy {
        algorithm: Algorithm::Stowage,
        consumer_price: *consumer_price,
    });
    let mut outcomes = side_by_side(published.into_iter().chain(ours), trace, options)?;
    let first = outcomes.get(Heuristic::ALL.len());
    let members = first.map(|first| first.consumers.clone()).unwrap_or_default();
    let rebalanced = RunOptions {
        fluid: FluidOptions { move_gap_seconds: args.rebalance_secs, ..options.fluid },
        ..*options
    };
    for mut peer in peers(trace, members) {
        outcomes.push(run(peer.as_mut(), trace, &rebalanced)?);
    }
    Ok(outcomes)
}

/// What each policy makes of the trace, each on a thread of its own.
fn side_by_side(
    policies: impl Iterator<Item = Policy>,
    trace: &Trace,
    options: &RunOptions,
) -> Result<Vec<Outcome>, OutcomeError> {
    thread::scope(|scope| {
        let running: Vec<_> = policies
            .map(|policy| scope.spawn(move || run(&mut Planner::new(policy), trace, options)))
            .collect();
        running.into_iter().map(|one| one.join().expect("a plan does not panic")).collect()
    })
}

/// Kafka's assignor with as many consumers as our first price had and with more, and an autoscaler
/// that goes by lag: each consumer may lag by what it reads in five seconds.
fn peers(trace: &Trace, members: Vec<u32>) -> Vec<Box<dyn Contestant>> {
    let sticky = Strategy::CooperativeSticky;
    let more = raised(&members, RAISED_PERCENT);
    let first = trace.steps.first();
    let capacity = first.map_or(1, |step| step.capacity);
    let needed = first.map_or(1, Step::rate_total).div_ceil(capacity.max(1));
    let options = AutoscalerOptions {
        consumers_initial: u32::try_from(needed).unwrap_or(u32::MAX),
        ..AutoscalerOptions::with_lag_threshold(capacity.saturating_mul(5))
    };
    vec![
        Box::new(Assignor::new("kafka sticky", sticky, &trace.names, members)),
        Box::new(Assignor::new("kafka sticky +60 %", sticky, &trace.names, more)),
        Box::new(Autoscaler::new("lag autoscaler", options)),
    ]
}

impl CompareArgs {
    fn options(&self) -> Result<RunOptions, CompareError> {
        let checked = |name, value: f64| {
            let is_fine = (0.0..=86_400.0).contains(&value);
            if is_fine { Ok(value) } else { Err(CompareError::Option { name, value }) }
        };
        checked("--rebalance-secs", self.rebalance_secs)?;
        Ok(RunOptions {
            fluid: FluidOptions {
                move_gap_seconds: checked("--gap-secs", self.gap_secs)?,
                start_seconds: checked("--start-secs", self.start_secs)?,
                rotation_seconds: checked("--rotation-secs", self.rotation_secs)?,
                ..FluidOptions::PROCESSES
            },
            price_per_consumer_hour: checked("--price-per-hour", self.price_per_hour)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Flags {
        #[command(flatten)]
        compare: CompareArgs,
    }

    fn args(flags: &[&str]) -> CompareArgs {
        Flags::parse_from(["x"].iter().chain(flags)).compare
    }

    #[test]
    fn everybody_takes_part_and_a_plot_is_drawn() {
        let folder = tempfile::tempdir().unwrap();
        let svg = folder.path().join("front.svg");
        let mut args = args(&["--partitions", "12", "--iterations", "20", "--delta", "15"]);
        args.svg = Some(svg.clone());
        let table = compare(&args).unwrap();
        let names = Heuristic::ALL.map(Heuristic::name);
        for name in names.iter().chain(&["stowage λ inf", "kafka sticky +60 %", "lag autoscaler"])
        {
            assert!(table.lines().any(|line| line.starts_with(name)), "{name}: {table}");
        }
        assert!(fs::read_to_string(svg).unwrap().starts_with("<svg"));
    }

    #[test]
    fn an_option_that_makes_no_sense_is_named() {
        let error = compare(&args(&["--gap-secs", "NaN"])).unwrap_err();
        assert!(error.to_string().starts_with("--gap-secs must be a number"), "{error}");
        let error = compare(&args(&["--trace", "/nonexistent"])).unwrap_err();
        assert!(matches!(error, CompareError::Trace { .. }), "{error}");
    }
}
