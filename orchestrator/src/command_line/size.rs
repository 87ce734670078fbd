//! IO. `orchestrator size`: how many partitions and consumers keep the worst latency below a limit.

use clap::Args;
use clap::builder::RangedU64ValueParser;
use thiserror::Error;

use super::trace::{TraceArgs, TraceFileError};
use crate::compare::budget::Reaction;
use crate::compare::report::report;
use crate::compare::size::{SizeError, SizeInput, size};
use crate::compare::skew::log_normal_rates;

#[derive(Args, Clone, Debug)]
pub struct SizeArgs {
    /// Bytes per second of all partitions together, instead of a recording
    #[arg(long, value_name = "BYTES", conflicts_with = "trace")]
    pub total: Option<u64>,

    /// How unlike the partitions are, with --total: the standard deviation of the logarithm of their
    /// rates; 0 makes them all alike
    #[arg(long, value_name = "SIGMA", default_value_t = 0.5, requires = "total")]
    pub skew: f64,

    #[command(flatten)]
    pub trace: TraceArgs,

    /// The limit of the worst time from produced to stored, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0)]
    pub max_latency: f64,

    /// By how much the rates are to grow before anything is changed by hand, in per cent
    #[arg(long, value_name = "PERCENT", default_value_t = 0)]
    pub growth: u32,

    /// The load rises to so many times itself at once; the largest rise within a minute of the recording
    /// unless given
    #[arg(long, value_name = "TIMES")]
    pub jump: Option<f64>,

    /// Bytes per second that a consumer sustains
    #[arg(long, value_name = "BYTES", default_value_t = 5_000_000,
          value_parser = RangedU64ValueParser::<u64>::new().range(1..))]
    pub capacity: u64,

    /// How full a consumer is packed, in per cent of its capacity
    #[arg(long, value_name = "PERCENT", default_value_t = 75)]
    pub plan_percent: u32,

    /// Above this a consumer counts as overloaded, in per cent of its capacity
    #[arg(long, value_name = "PERCENT", default_value_t = 90)]
    pub trigger_percent: u32,

    /// At most so many consumers
    #[arg(long, value_name = "NUMBER")]
    pub max_consumers: Option<u32>,

    /// Seconds until a jump shows in the measured rate
    #[arg(long, value_name = "SECONDS", default_value_t = 3.0)]
    pub measure_secs: f64,

    /// Seconds from there to a plan
    #[arg(long, value_name = "SECONDS", default_value_t = 0.2)]
    pub decide_secs: f64,

    /// Seconds until a new consumer reads: 1 for processes, 10 to 50 for pods
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0)]
    pub start_secs: f64,

    /// Seconds for which a partition is not read when it moves
    #[arg(long, value_name = "SECONDS", default_value_t = 0.5)]
    pub gap_secs: f64,

    /// Seconds after which an object is stored
    #[arg(long, value_name = "SECONDS", default_value_t = 5.0)]
    pub rotation_secs: f64,
}

#[derive(Debug, Error)]
pub enum SizeArgsError {
    #[error("there are no rates to size for")]
    Trace {
        #[source]
        source: TraceFileError,
    },
    #[error("--skew must be a number from 0 to 5, not {0}")]
    Skew(f64),
    #[error("nothing keeps that limit")]
    Size {
        #[source]
        source: SizeError,
    },
}

/// Returns the budget, phase by phase, and what breaks first.
///
/// # Errors
/// If the rates cannot be read, or nothing keeps the limit.
pub fn run(args: &SizeArgs) -> Result<String, SizeArgsError> {
    let (rates, jump) = args.rates()?;
    let input = SizeInput {
        rates,
        growth_percent: args.growth,
        capacity: args.capacity,
        plan_percent: args.plan_percent,
        trigger_percent: args.trigger_percent,
        consumers_max: args.max_consumers,
        peak_factor: args.jump.unwrap_or(jump),
        latency_max_seconds: args.max_latency,
        reaction: Reaction {
            measure_seconds: args.measure_secs,
            decide_seconds: args.decide_secs,
            start_seconds: args.start_secs,
            hand_over_seconds: args.gap_secs,
        },
        rotation_seconds: args.rotation_secs,
    };
    let sizing = size(&input).map_err(|source| SizeArgsError::Size { source })?;
    Ok(report(&input, &sizing))
}

impl SizeArgs {
    /// The rates at the busiest step, and the largest jump.
    fn rates(&self) -> Result<(Vec<u64>, f64), SizeArgsError> {
        if let Some(total) = self.total {
            if !(0.0..=5.0).contains(&self.skew) {
                return Err(SizeArgsError::Skew(self.skew));
            }
            let partitions = usize::try_from(self.trace.stream.partitions).unwrap_or(usize::MAX);
            return Ok((log_normal_rates(total, partitions, self.skew), 1.0));
        }
        let trace = self.trace.load(self.capacity);
        let trace = trace.map_err(|source| SizeArgsError::Trace { source })?;
        let busiest = trace.busiest_step().map(|step| step.rates.clone()).unwrap_or_default();
        Ok((busiest, trace.jump_factor(60.0)))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Flags {
        #[command(flatten)]
        size: SizeArgs,
    }

    fn report_of(flags: &[&str]) -> Result<String, SizeArgsError> {
        run(&Flags::parse_from(["x"].iter().chain(flags)).size)
    }

    #[test]
    fn a_total_is_sized_and_an_impossible_limit_is_named() {
        let report = report_of(&["--total", "40000000", "--partitions", "64", "--jump", "1.5"]);
        let report = report.unwrap();
        assert!(report.contains("partitions") && report.contains("consumers"), "{report}");
        let error = report_of(&["--total", "40000000", "--max-latency", "3"]).unwrap_err();
        assert!(matches!(error, SizeArgsError::Size { source: SizeError::LimitTooLow { .. } }));
        assert!(matches!(report_of(&["--total", "1", "--skew", "9"]), Err(SizeArgsError::Skew(_))));
    }
}
