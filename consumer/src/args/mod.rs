//! IO. The flags of the consumer, each with its twin in the environment, checked once.

mod bigquery;
mod flow;
mod reading;
mod store;

use std::env;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::RangedU64ValueParser;
use clap::{CommandFactory, Parser, Subcommand};
use common::args::{GroupArgs, KafkaArgs, NameArgs, TelemetryArgs, with_run};
use common::crash_point::CrashPointArgs;
use common::identity::ConsumerId;
use common::messages::entry::EntryError;
use common::messages::service::SINKS;
use thiserror::Error;

use crate::command_line::bench::BenchArgs;
use crate::command_line::dead_letters::DeadLettersArgs;
use crate::compact::args::{CompactArgs, FilesArgs};

pub use bigquery::BigQueryArgs;
pub use flow::FlowArgs;
pub use reading::ReadingArgs;
pub(crate) use store::store_options;
pub use store::{RegistryArgs, StoreArgs};

/// Reads the partitions that it is told to, and stores their records
#[derive(Debug, Parser)]
#[command(name = "consumer", version)]
pub struct Program {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Reads and stores, until it is drained (what `consumer` does without a command)
    Run(Box<Args>),
    /// Shows the records that could not be stored, and sends them back through
    DeadLetters(DeadLettersArgs),
    /// Merges the small objects of tables into large files
    Compact(CompactArgs),
    /// Prints the files that hold a table now
    Files(FilesArgs),
    /// Measures what it costs to read a topic and to store its records, on this machine; Parquet goes into a
    /// folder that is removed, unless --sink-url says where
    Bench(Box<BenchArgs>),
}

/// What a consumer runs with.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub kafka: KafkaArgs,

    #[command(flatten)]
    pub telemetry: TelemetryArgs,

    #[command(flatten)]
    pub crash_points: CrashPointArgs,

    /// Number of this consumer, from 1; it obeys what stands on that partition of the controller topic
    #[arg(long, env, hide_env_values = true, value_name = "NUMBER",
          value_parser = RangedU64ValueParser::<u32>::new().range(1..=100_000))]
    pub consumer: u32,

    #[command(flatten)]
    pub group: GroupArgs,

    #[command(flatten)]
    pub names: NameArgs,

    #[command(flatten)]
    pub store: StoreArgs,

    #[command(flatten)]
    pub bigquery: BigQueryArgs,

    #[command(flatten)]
    pub registry: RegistryArgs,

    /// Folder for the consumer's state; without it each start is like the first
    #[arg(long, env, hide_env_values = true, value_name = "FOLDER")]
    pub state_dir: Option<PathBuf>,

    #[command(flatten)]
    pub flow: FlowArgs,

    /// Seconds for which the lease lasts from the sending of an acknowledged heartbeat
    #[arg(long, env, hide_env_values = true, value_name = "SECONDS", default_value_t = 10.0,
          value_parser = parse_seconds)]
    pub ttl_secs: f64,

    /// Seconds by which this consumer ends its lease earlier than others do
    #[arg(long, env, hide_env_values = true, value_name = "SECONDS", default_value_t = 1.0,
          value_parser = parse_seconds)]
    pub margin_secs: f64,

    /// Seconds between two heartbeats
    #[arg(long, env, hide_env_values = true, value_name = "SECONDS", default_value_t = 2.0,
          value_parser = parse_seconds)]
    pub heartbeat_secs: f64,

    /// Seconds that a stop may take until everything is stored, committed and released
    #[arg(long, env, hide_env_values = true, value_name = "SECONDS", default_value_t = 25.0,
          value_parser = parse_seconds)]
    pub grace_secs: f64,

    /// Seconds without a living leader after which the consumer ends; 0 means never
    #[arg(long, env, hide_env_values = true, value_name = "SECONDS", default_value_t = 60.0,
          value_parser = parse_seconds)]
    pub leaderless_secs: f64,

    /// Address of /healthz, /readyz and /metrics; port 0 lets the system choose
    #[arg(
        long,
        env,
        hide_env_values = true,
        value_name = "ADDRESS:PORT",
        default_value = "127.0.0.1:0"
    )]
    pub listen: SocketAddr,

    /// Obey people instead of a leader: StartConsuming and StopConsuming on the consumer's own
    /// partition; only for partitions that no plan has
    #[arg(long, env, hide_env_values = true)]
    pub by_hand: bool,

    #[command(flatten)]
    pub reading: ReadingArgs,

    /// Identity of the pod that this process runs in, from the downward API
    #[arg(long, env, hide_env_values = true, value_name = "UID")]
    pub pod_uid: Option<String>,
}

/// Flags that are well-formed, but not together.
#[derive(Debug, Error)]
pub enum ArgsError {
    #[error(
        "--margin-secs {margin} and two heartbeats of --heartbeat-secs {heartbeat} do not fit into --ttl-secs {ttl}"
    )]
    LeaseTooShort { ttl: f64, margin: f64, heartbeat: f64 },
    #[error("--batch-bytes {batch} is more than half of --buffer-bytes {buffer}")]
    BufferTooSmall { batch: usize, buffer: usize },
    #[error("--format, --sink and --format-option are for records that are read --by-hand")]
    OnlyByHand,
    #[error("the records that are read by hand cannot be read so")]
    Reading(#[source] EntryError),
    #[error("--by-hand with the sink `parquet` needs --sink-url")]
    NoSinkUrl,
    #[error("--by-hand with the sink `bigquery` needs --bigquery-project and --bigquery-dataset")]
    NoDataset,
}

/// Reads the command line. Without a command the consumer runs.
///
/// # Errors
/// With a text for people, if the flags are not ours, and if they ask for help.
pub fn command_line() -> Result<Command, clap::Error> {
    Ok(parse(env::args_os())?.command)
}

fn parse(command_line: impl IntoIterator<Item = OsString>) -> Result<Program, clap::Error> {
    Program::try_parse_from(with_run(command_line))
}

/// The flags, for the page that lists them.
pub fn program() -> clap::Command {
    Program::command()
}

impl Args {
    /// What a consumer runs with that people lead, and of whom nothing else is said.
    ///
    /// # Errors
    /// If a variable of the environment is malformed.
    pub fn by_hand(kafka: &KafkaArgs, consumer: u32) -> Result<Self, clap::Error> {
        let number = consumer.to_string();
        let servers = kafka.kafka_bootstrap_servers.as_str();
        let words = ["consumer", "run", "--by-hand", "--consumer", number.as_str()];
        let words = [&words[..], &["--kafka-bootstrap-servers", servers]].concat();
        let program = Program::try_parse_from(words)?;
        let Command::Run(args) = program.command else { unreachable!("`run` was said") };
        Ok(Self { kafka: kafka.clone(), ..*args })
    }

    /// # Errors
    /// If flags contradict each other.
    pub fn check(&self) -> Result<(), ArgsError> {
        let (ttl, margin, heartbeat) = (self.ttl_secs, self.margin_secs, self.heartbeat_secs);
        if margin + 2.0 * heartbeat > ttl || heartbeat <= 0.0 {
            return Err(ArgsError::LeaseTooShort { ttl, margin, heartbeat });
        }
        self.flow.check()?;
        if !self.by_hand && self.reading.is_given() {
            return Err(ArgsError::OnlyByHand);
        }
        self.reading.check().map_err(ArgsError::Reading)?;
        let reads_parquet = self.by_hand && self.reading.sink() == SINKS[0];
        if reads_parquet && self.store.sink_url.is_none() {
            return Err(ArgsError::NoSinkUrl);
        }
        let reads_bigquery = self.by_hand && self.reading.sink() == "bigquery";
        if reads_bigquery && self.bigquery.bigquery_dataset.is_none() {
            return Err(ArgsError::NoDataset);
        }
        Ok(())
    }

    pub fn id(&self) -> ConsumerId {
        ConsumerId(self.consumer)
    }

    pub fn ttl(&self) -> Duration {
        seconds(self.ttl_secs)
    }

    pub fn margin(&self) -> Duration {
        seconds(self.margin_secs)
    }

    pub fn heartbeat_interval(&self) -> Duration {
        seconds(self.heartbeat_secs)
    }

    pub fn grace(&self) -> Duration {
        seconds(self.grace_secs)
    }

    /// How long this consumer reads on without a leader; `None` is for ever.
    pub fn leaderless(&self) -> Option<Duration> {
        (self.leaderless_secs > 0.0 && !self.by_hand).then(|| seconds(self.leaderless_secs))
    }
}

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

fn parse_seconds(text: &str) -> Result<f64, String> {
    let seconds = text.parse().ok().filter(|seconds| (0.0..=86_400.0).contains(seconds));
    seconds.ok_or_else(|| "expected a number of seconds from 0 to 86400".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lane::flow::FlowLimits;

    fn parsed(flags: &[&str]) -> Result<Args, String> {
        let needed = ["consumer", "--kafka-bootstrap-servers", "k:9092", "--consumer", "3"];
        match parse(needed.iter().chain(flags).map(OsString::from)) {
            Ok(Program { command: Command::Run(args) }) => Ok(*args),
            Ok(other) => Err(format!("{other:?}")),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn a_command_needs_no_number_of_a_consumer() {
        let parsed = |words: &[&str]| {
            let words = ["consumer"].iter().chain(words).map(OsString::from);
            parse(words).map(|program| program.command)
        };
        let servers = ["--kafka-bootstrap-servers", "k:9092"];
        let list = parsed(&[&["dead-letters", "list"], &servers[..]].concat());
        assert!(matches!(list, Ok(Command::DeadLetters(_))), "{list:?}");
        let lake = ["--sink-url", "file:///lake"];
        let compact = parsed(&[&["compact", "orders", "--by-date"], &lake[..]].concat());
        assert!(matches!(compact, Ok(Command::Compact(_))), "{compact:?}");
        assert!(parsed(&["compact", "orders"]).unwrap_err().to_string().contains("--sink-url"));
        assert!(matches!(parsed(&[&["files", "t"], &lake[..]].concat()), Ok(Command::Files(_))));
        assert!(parsed(&servers).unwrap_err().to_string().contains("--consumer <NUMBER>"));
        assert!(parsed(&["--help"]).unwrap_err().to_string().contains("dead-letters"));
    }

    #[test]
    fn the_defaults_fit_together() {
        let args = parsed(&[]).unwrap();
        args.check().unwrap();
        assert_eq!((args.id(), args.flow.limits()), (ConsumerId(3), FlowLimits::default()));
        assert_eq!(args.leaderless(), Some(Duration::from_secs(60)));
        assert_eq!(args.names.topics().controller, "data-engineering-controller");
    }

    #[test]
    fn contradictions_are_refused_by_name() {
        let refused = |flags: &[&str]| parsed(flags).unwrap().check().unwrap_err().to_string();
        assert!(refused(&["--ttl-secs", "4"]).contains("--ttl-secs 4"));
        assert!(refused(&["--buffer-bytes", "1000000"]).contains("--batch-bytes 5000000"));
        assert!(refused(&["--by-hand"]).contains("needs --sink-url"));
        parsed(&["--by-hand", "--sink", "discard"]).unwrap().check().unwrap();
        assert!(refused(&["--format", "json"]).contains("--by-hand"));
        let flags = ["--by-hand", "--sink", "discard", "--format-option", "schema=1"];
        assert!(refused(&flags).contains("cannot be read so"));
    }

    #[test]
    fn what_is_no_value_is_refused_when_it_is_given() {
        for flags in [
            ["--consumer", "0"],
            ["--compression", "gzip"],
            ["--sink-url", "nonsense"],
            ["--rotation-secs", "-1"],
            ["--format", "xml"],
            ["--format-option", "schema=@/no/such/file"],
        ] {
            assert!(parsed(&flags).is_err(), "{flags:?}");
        }
    }
}
