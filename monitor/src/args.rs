//! IO. The flags of the monitor, each with its twin in the environment, checked once.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use common::args::{GroupArgs, KafkaArgs, NameArgs, TelemetryArgs, with_run};
use regex::Regex;
use thiserror::Error;

use crate::measure::MeasurePolicy;
use crate::selection::Selection;

/// Measures how many bytes per second each partition receives
#[derive(Debug, Parser)]
#[command(name = "monitor", version)]
pub struct Program {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Measures and publishes, until it is asked to end (what `monitor` does without a command)
    Run(RunArgs),
    /// Prints what is published, as a table that refreshes or as JSON lines
    Tail(TailArgs),
}

#[derive(Args, Clone, Debug)]
pub struct RunArgs {
    #[command(flatten)]
    pub kafka: KafkaArgs,

    #[command(flatten)]
    pub telemetry: TelemetryArgs,

    #[command(flatten)]
    pub names: NameArgs,

    #[command(flatten)]
    pub group: GroupArgs,

    /// Topics to measure, separated by commas; without names and pattern all but Kafka's own and ours
    #[arg(long, env, hide_env_values = true, value_name = "TOPIC,…", value_delimiter = ',')]
    pub topics: Vec<String>,

    /// Topics to measure by a regular expression that matches the whole name
    #[arg(long, env, hide_env_values = true, value_name = "REGEX")]
    pub topic_pattern: Option<Regex>,

    /// Time between two measurements, in milliseconds
    #[arg(long, env, hide_env_values = true, value_name = "MS", default_value_t = 1_000,
          value_parser = clap::value_parser!(u64).range(100..=60_000))]
    pub interval_ms: u64,

    /// What the rate is the mean of, in seconds
    #[arg(long, env, hide_env_values = true, value_name = "SECONDS", default_value_t = 30,
          value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub window_secs: u64,

    /// What the burst rate is the mean of, in seconds
    #[arg(long, env, hide_env_values = true, value_name = "SECONDS", default_value_t = 3,
          value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub burst_secs: u64,

    /// Time constant of the low-pass filter, in seconds
    #[arg(long, env, hide_env_values = true, value_name = "SECONDS", default_value_t = 10,
          value_parser = clap::value_parser!(u64).range(0..=3_600))]
    pub filter_secs: u64,

    /// Bytes that a record is taken for where sizes may not be asked for
    #[arg(long, env, hide_env_values = true, value_name = "BYTES", default_value_t = 1_000)]
    pub record_bytes: u64,

    /// Retention of the monitor's topic when it is created, in milliseconds; -1 keeps everything
    #[arg(long, env, hide_env_values = true, value_name = "MS", default_value_t = -1,
          allow_negative_numbers = true, value_parser = clap::value_parser!(i64).range(-1..))]
    pub retention_ms: i64,

    /// Whether rates and lag are served as metrics of each partition, or of each topic only
    #[arg(long, env, hide_env_values = true, value_name = "BOOL", default_value_t = true,
          action = clap::ArgAction::Set)]
    pub partition_metrics: bool,

    /// Address of /healthz, /readyz and /metrics
    #[arg(
        long,
        env,
        hide_env_values = true,
        value_name = "ADDRESS:PORT",
        default_value = "127.0.0.1:8081"
    )]
    pub listen: SocketAddr,
}

#[derive(Args, Clone, Debug)]
pub struct TailArgs {
    #[command(flatten)]
    pub kafka: KafkaArgs,

    #[command(flatten)]
    pub telemetry: TelemetryArgs,

    #[command(flatten)]
    pub names: NameArgs,

    #[command(flatten)]
    pub group: GroupArgs,

    /// Print each measurement as a line of JSON
    #[arg(long)]
    pub json: bool,

    /// End after one measurement
    #[arg(long)]
    pub once: bool,
}

/// Flags that are well-formed, but not together.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ArgsError {
    #[error("--window-secs {window_secs} is shorter than two intervals of {interval_ms} ms")]
    WindowTooShort { window_secs: u64, interval_ms: u64 },
    #[error("--burst-secs {burst_secs} is longer than --window-secs {window_secs}")]
    BurstTooLong { burst_secs: u64, window_secs: u64 },
}

/// What this process was started with, and its environment.
///
/// # Errors
/// With a text for people, if the flags are not ours, and if they ask for help.
pub fn command_line() -> Result<Command, clap::Error> {
    Ok(parse(std::env::args_os())?.command)
}

/// Reads a command line. Without a command the monitor runs.
fn parse(command_line: impl IntoIterator<Item = OsString>) -> Result<Program, clap::Error> {
    Program::try_parse_from(with_run(command_line))
}

impl RunArgs {
    pub fn interval(&self) -> Duration {
        Duration::from_millis(self.interval_ms)
    }

    pub fn selection(&self) -> Selection {
        Selection {
            names: self.topics.iter().filter(|name| !name.is_empty()).cloned().collect(),
            pattern: self.topic_pattern.clone(),
            own_topics: self.names.topics(),
        }
    }

    /// # Errors
    /// If the times contradict each other.
    pub fn policy(&self) -> Result<MeasurePolicy, ArgsError> {
        let &Self { interval_ms, window_secs, burst_secs, .. } = self;
        if window_secs * 1_000 < 2 * interval_ms {
            return Err(ArgsError::WindowTooShort { window_secs, interval_ms });
        }
        if burst_secs > window_secs {
            return Err(ArgsError::BurstTooLong { burst_secs, window_secs });
        }
        Ok(MeasurePolicy {
            window: Duration::from_secs(window_secs),
            burst: Duration::from_secs(burst_secs),
            time_constant: Duration::from_secs(self.filter_secs),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVERS: [&str; 2] = ["--kafka-bootstrap-servers", "k:9092"];

    fn parsed(flags: &[&str]) -> Result<Program, String> {
        let words = ["monitor"].iter().chain(flags).map(OsString::from);
        parse(words).map_err(|error| error.to_string())
    }

    fn run(flags: &[&str]) -> RunArgs {
        match parsed(&[&SERVERS, flags].concat()).unwrap().command {
            Command::Run(run) => run,
            Command::Tail(_) => panic!("no command means to run"),
        }
    }

    #[test]
    fn without_a_command_the_monitor_runs() {
        assert_eq!(run(&[]).interval(), Duration::from_secs(1));
        let tail = parsed(&[&["tail", "--json"], &SERVERS[..]].concat()).unwrap();
        assert!(matches!(tail.command, Command::Tail(TailArgs { json: true, .. })));
        assert!(parsed(&["--help"]).unwrap_err().contains("tail"));
        assert!(parsed(&["walk"]).unwrap_err().contains("unrecognized subcommand 'walk'"));
    }

    #[test]
    fn times_that_contradict_each_other_are_refused_by_name() {
        let error = run(&["--window-secs", "1"]).policy().unwrap_err();
        assert_eq!(error.to_string(), "--window-secs 1 is shorter than two intervals of 1000 ms");
        let error = run(&["--burst-secs", "31"]).policy().unwrap_err();
        assert_eq!(error.to_string(), "--burst-secs 31 is longer than --window-secs 30");
    }

    #[test]
    fn topics_and_names_are_checked_and_split() {
        let run = run(&["--topics", "orders,payments", "--topic-prefix", "etl"]);
        assert!(run.selection().includes("payments") && !run.selection().includes("refunds"));
        assert_eq!(run.names.topics().monitor, "etl-monitor");
        assert!(parsed(&[&SERVERS[..], &["--topic-prefix", "a/b"]].concat()).is_err());
        assert!(parsed(&[&SERVERS[..], &["--topic-pattern", "("]].concat()).is_err());
    }
}
