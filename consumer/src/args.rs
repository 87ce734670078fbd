//! IO. The flags of the consumer, each with its twin in the environment, checked once.

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
use common::messages::format::FORMATS;
use common::messages::service::SINKS;
use common::settings::{Settings, SettingsFileError, read_settings};
use thiserror::Error;
use url::Url;

use crate::batch::BatchLimits;
use crate::by_hand::Reading;
use crate::command_line::dead_letters::DeadLettersArgs;
use crate::lane::flow::FlowLimits;
use crate::object::Rotation;
use crate::schema_registry::settings::RegistrySettings;
use crate::sink::parquet::Compression;
use crate::sink::store::is_option;

/// What variables of the environment that concern stores begin with.
const STORE_VARIABLES: [&str; 3] = ["AWS_", "GOOGLE_", "AZURE_"];

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

    /// Where tables are: `file:///FOLDER` (or s3://, gs://, az://); without it only `discard` works
    #[arg(long, env, hide_env_values = true, value_name = "URL")]
    pub sink_url: Option<Url>,

    /// File with settings of the store behind --sink-url, a `key=value` a line, in object_store's words
    /// (aws_region, aws_endpoint, …); `aws_secret_access_key.file=PATH` reads a secret from a file.
    /// Variables of the environment that begin with AWS_, GOOGLE_ or AZURE_ count, too; the file wins
    #[arg(long, env, hide_env_values = true, value_name = "FILE", requires = "sink_url")]
    pub sink_config: Option<PathBuf>,

    /// Schema registry of the records that name their schemas by id
    #[arg(long, env, hide_env_values = true, value_name = "URL")]
    pub schema_registry_url: Option<Url>,

    /// File with settings of the schema registry, a `key=value` a line, in the words of Confluent's clients:
    /// basic.auth.user.info, bearer.auth.token, ssl.ca.location, ssl.certificate.location, ssl.key.location;
    /// `KEY.file=PATH` reads a secret from a file
    #[arg(
        long,
        env,
        hide_env_values = true,
        value_name = "FILE",
        requires = "schema_registry_url"
    )]
    pub schema_registry_config: Option<PathBuf>,

    /// Folder for the consumer's state; without it each start is like the first
    #[arg(long, env, hide_env_values = true, value_name = "FOLDER")]
    pub state_dir: Option<PathBuf>,

    /// Bytes of records that are decoded together at most
    #[arg(long, env, hide_env_values = true, value_name = "BYTES", default_value_t = 5_000_000,
          value_parser = RangedU64ValueParser::<usize>::new().range(1_000..=500_000_000))]
    pub batch_bytes: usize,

    /// Seconds that a record waits for others before it is decoded
    #[arg(long, env, hide_env_values = true, value_name = "SECONDS", default_value_t = 1.0,
          value_parser = parse_seconds)]
    pub wait_time_secs: f64,

    /// Bytes of rows in memory at which an object is stored
    #[arg(long, env, hide_env_values = true, value_name = "BYTES", default_value_t = 64 << 20,
          value_parser = RangedU64ValueParser::<usize>::new().range(1_000..))]
    pub rotation_bytes: usize,

    /// Seconds after which an object is stored, counted from the reading of its first record
    #[arg(long, env, hide_env_values = true, value_name = "SECONDS", default_value_t = 5.0,
          value_parser = parse_seconds)]
    pub rotation_secs: f64,

    /// Bytes of records and rows that all partitions hold together; beyond it the largest object is
    /// stored early, and reading waits
    #[arg(long, env, hide_env_values = true, value_name = "BYTES", default_value_t = 32 << 20,
          value_parser = RangedU64ValueParser::<usize>::new().range(1_000_000..))]
    pub buffer_bytes: usize,

    /// Compression of the objects, `zstd` or `snappy`
    #[arg(long, env, hide_env_values = true, value_name = "NAME", default_value = "zstd")]
    pub compression: Compression,

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

    /// Format of the records that are read by hand, `json` or `bytes`
    #[arg(long, env, hide_env_values = true, value_name = "NAME", requires = "by_hand",
          value_parser = FORMATS)]
    pub format: Option<String>,

    /// Sink of the records that are read by hand, `parquet` or `discard`
    #[arg(long, env, hide_env_values = true, value_name = "NAME", requires = "by_hand",
          value_parser = SINKS)]
    pub sink: Option<String>,

    /// Identity of the pod that this process runs in, from the downward API
    #[arg(long, env, hide_env_values = true, value_name = "UID")]
    pub pod_uid: Option<String>,
}

/// Flags that are well-formed, but not together.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum ArgsError {
    #[error(
        "--margin-secs {margin} and two heartbeats of --heartbeat-secs {heartbeat} do not fit into --ttl-secs {ttl}"
    )]
    LeaseTooShort { ttl: f64, margin: f64, heartbeat: f64 },
    #[error("--batch-bytes {batch} is more than half of --buffer-bytes {buffer}")]
    BufferTooSmall { batch: usize, buffer: usize },
    #[error("--by-hand with the sink `parquet` needs --sink-url")]
    NoSinkUrl,
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
    /// # Errors
    /// If flags contradict each other.
    pub fn check(&self) -> Result<(), ArgsError> {
        let (ttl, margin, heartbeat) = (self.ttl_secs, self.margin_secs, self.heartbeat_secs);
        if margin + 2.0 * heartbeat > ttl || heartbeat <= 0.0 {
            return Err(ArgsError::LeaseTooShort { ttl, margin, heartbeat });
        }
        if self.batch_bytes > self.buffer_bytes / 2 {
            let (batch, buffer) = (self.batch_bytes, self.buffer_bytes);
            return Err(ArgsError::BufferTooSmall { batch, buffer });
        }
        let reads_parquet = self.by_hand && self.reading().sink == SINKS[0];
        if reads_parquet && self.sink_url.is_none() {
            return Err(ArgsError::NoSinkUrl);
        }
        Ok(())
    }

    pub fn id(&self) -> ConsumerId {
        ConsumerId(self.consumer)
    }

    pub fn limits(&self) -> FlowLimits {
        let batch = BatchLimits { bytes: self.batch_bytes, wait: seconds(self.wait_time_secs) };
        let rotation = Rotation { bytes: self.rotation_bytes, age: seconds(self.rotation_secs) };
        FlowLimits { batch, rotation }
    }

    /// How records are read by hand.
    pub fn reading(&self) -> Reading {
        let or_default = |given: &Option<String>, known: &[&str]| {
            given.clone().unwrap_or_else(|| known[0].to_owned())
        };
        Reading { format: or_default(&self.format, &FORMATS), sink: or_default(&self.sink, &SINKS) }
    }

    /// What the environment says of the store behind the sink's URL, and the file, which wins.
    ///
    /// # Errors
    /// If the file cannot be read or understood.
    pub fn store_options(&self) -> Result<Settings, SettingsFileError> {
        let Some(url) = &self.sink_url else { return Ok(Settings::new()) };
        let given = env::vars_os().filter_map(|(key, value)| {
            let (key, value) = (key.into_string().ok()?, value.into_string().ok()?);
            let is_meant = STORE_VARIABLES.iter().any(|prefix| key.starts_with(prefix));
            let key = key.to_ascii_lowercase();
            (is_meant && is_option(url, &key)).then_some((key, value))
        });
        let mut options: Settings = given.collect();
        if let Some(file) = &self.sink_config {
            options.extend(read_settings("sink", file, |_| None)?);
        }
        Ok(options)
    }

    /// How to reach the schema registry, if one was named.
    ///
    /// # Errors
    /// If the file cannot be read or understood.
    pub fn schema_registry(&self) -> anyhow::Result<Option<RegistrySettings>> {
        let Some(url) = &self.schema_registry_url else { return Ok(None) };
        let settings = match &self.schema_registry_config {
            Some(file) => read_settings("schema registry", file, |_| None)?,
            None => Settings::new(),
        };
        Ok(Some(RegistrySettings::new(url.clone(), &settings)?))
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
        assert!(parsed(&servers).unwrap_err().to_string().contains("--consumer <NUMBER>"));
        assert!(parsed(&["--help"]).unwrap_err().to_string().contains("dead-letters"));
    }

    #[test]
    fn the_defaults_fit_together() {
        let args = parsed(&[]).unwrap();
        assert_eq!(args.check(), Ok(()));
        assert_eq!((args.id(), args.limits()), (ConsumerId(3), FlowLimits::default()));
        assert_eq!(args.leaderless(), Some(Duration::from_secs(60)));
        assert_eq!(args.names.topics().controller, "data-engineering-controller");
    }

    #[test]
    fn contradictions_are_refused_by_name() {
        let refused = |flags: &[&str]| parsed(flags).unwrap().check().unwrap_err().to_string();
        assert!(refused(&["--ttl-secs", "4"]).contains("--ttl-secs 4"));
        assert!(refused(&["--buffer-bytes", "1000000"]).contains("--batch-bytes 5000000"));
        assert!(refused(&["--by-hand"]).contains("needs --sink-url"));
        assert_eq!(parsed(&["--by-hand", "--sink", "discard"]).unwrap().check(), Ok(()));
    }

    #[test]
    fn what_is_no_value_is_refused_when_it_is_given() {
        for flags in [
            ["--consumer", "0"],
            ["--compression", "gzip"],
            ["--sink-url", "nonsense"],
            ["--rotation-secs", "-1"],
            ["--format", "json"],
        ] {
            assert!(parsed(&flags).is_err(), "{flags:?}");
        }
    }
}
