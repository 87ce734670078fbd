//! IO. The flags that every service has, each with its twin in the environment.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;
use tracing_subscriber::filter::Targets;

use crate::kafka::config::KafkaConfig;
use crate::kafka::config_file::{self, ConfigFileError};
use crate::telemetry::{self, LogFormat, TelemetryError};
use crate::topics::TopicNames;

/// The words of a command line, with `run` put in where they begin with a flag of it. What is no flag
/// is a command, and questions about the program stay as they are.
pub fn with_run(command_line: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut words: Vec<OsString> = command_line.into_iter().collect();
    let first = words.get(1).map(|word| word.to_string_lossy().into_owned());
    let about = ["-h", "--help", "-V", "--version"];
    if first.is_none_or(|word| word.starts_with('-') && !about.contains(&word.as_str())) {
        words.insert(1.min(words.len()), "run".into());
    }
    words
}

/// Where Kafka is and how to reach it.
#[derive(Args, Clone, Debug)]
pub struct KafkaArgs {
    /// Brokers to begin with, separated by commas
    #[arg(long, env, hide_env_values = true, value_name = "HOST:PORT,…")]
    pub kafka_bootstrap_servers: String,

    /// File with further settings of the Kafka clients, a `key=value` a line, in librdkafka's words
    /// (security.protocol, ssl.ca.location, …); `sasl.password.file=PATH` reads a secret from a file
    #[arg(long, env, hide_env_values = true, value_name = "FILE")]
    pub kafka_config: Option<PathBuf>,
}

impl KafkaArgs {
    /// Reads and checks the file.
    ///
    /// # Errors
    /// If a file cannot be read, or a setting is malformed, unknown or not the user's to make.
    pub fn load(&self) -> Result<KafkaConfig, ConfigFileError> {
        config_file::load(&self.kafka_bootstrap_servers, self.kafka_config.as_deref())
    }
}

/// What our own topics are called.
#[derive(Args, Clone, Debug)]
pub struct NameArgs {
    /// What our own topics begin with
    #[arg(long, env, hide_env_values = true, value_name = "PREFIX",
          default_value = "data-engineering", value_parser = parse_prefix)]
    pub topic_prefix: String,
}

impl NameArgs {
    pub fn topics(&self) -> TopicNames {
        TopicNames::new(&self.topic_prefix)
    }
}

fn parse_prefix(text: &str) -> Result<String, String> {
    let is_legal = |character: char| character.is_ascii_alphanumeric() || "._-".contains(character);
    if text.is_empty() || text.len() > 200 || !text.chars().all(is_legal) {
        return Err("expected letters, digits, `.`, `_` and `-`, as in a topic's name".into());
    }
    Ok(text.into())
}

/// The consumer group.
#[derive(Args, Clone, Debug)]
pub struct GroupArgs {
    /// Consumer group under whose name offsets are committed and tables are claimed
    #[arg(
        long,
        env,
        hide_env_values = true,
        value_name = "NAME",
        default_value = "data-engineering"
    )]
    pub group_id: String,
}

/// What a service writes to its log.
#[derive(Args, Clone, Debug)]
pub struct TelemetryArgs {
    /// Level of the log, also by module: `info,consumer::write=debug`
    #[arg(long, env, hide_env_values = true, value_name = "LEVELS", default_value = "info")]
    pub log_filter: Targets,

    /// Form of the log
    #[arg(long, env, hide_env_values = true, value_enum, default_value_t = LogFormat::Auto)]
    pub log_format: LogFormat,
}

impl TelemetryArgs {
    /// Installs the process's log, see [`telemetry::install`].
    pub fn install(&self) -> Result<(), TelemetryError> {
        telemetry::install(self.log_filter.clone(), self.log_format)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Flags {
        #[command(flatten)]
        kafka: KafkaArgs,
        #[command(flatten)]
        names: NameArgs,
        #[command(flatten)]
        telemetry: TelemetryArgs,
    }

    fn parse(flags: &[&str]) -> Result<Flags, String> {
        let flags = ["x"].iter().chain(flags);
        Flags::try_parse_from(flags).map_err(|error| error.to_string())
    }

    #[test]
    fn a_program_without_a_command_runs() {
        let words = |given: &[&str]| -> Vec<String> {
            let given = ["x"].iter().chain(given).map(OsString::from);
            with_run(given).iter().map(|word| word.to_string_lossy().into_owned()).collect()
        };
        assert_eq!(words(&[]), ["x", "run"]);
        assert_eq!(words(&["--flag", "tail"]), ["x", "run", "--flag", "tail"]);
        for said in [&["tail", "--flag"][..], &["--help"], &["-V"], &["walk"]] {
            assert_eq!(words(said)[1..], *said);
        }
    }

    #[test]
    fn a_prefix_is_one_that_a_topic_may_have() {
        let parse =
            |prefix| parse(&["--kafka-bootstrap-servers", "k:9092", "--topic-prefix", prefix]);
        assert_eq!(parse("etl").unwrap().names.topics().events, "etl-events");
        assert!(parse("a/b").is_err() && parse("").is_err());
    }

    #[test]
    fn a_log_filter_is_checked_when_it_is_given() {
        let given = ["--kafka-bootstrap-servers", "k:9092", "--log-filter", "info,a::b=debug"];
        let flags = parse(&given).unwrap();
        assert_eq!(flags.telemetry.log_filter.to_string(), "a::b=debug,info");
        assert_eq!(flags.kafka.load().unwrap().bootstrap_servers(), "k:9092");
        let flags = parse(&["--kafka-bootstrap-servers", "k:9092"]).unwrap();
        assert_eq!(flags.telemetry.log_filter.to_string(), "info");
        let error = parse(&["--kafka-bootstrap-servers", "k:9092", "--log-filter", "a=loud"]);
        assert!(error.err().unwrap().contains("--log-filter"));
    }
}
