//! IO. The flags of the orchestrator, each with its twin in the environment, checked once.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::builder::RangedU64ValueParser;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use common::args::{GroupArgs, KafkaArgs, NameArgs, TelemetryArgs, with_run};
use common::crash_point::CrashPointArgs;
use common::rate::BytesPerSecond;
use thiserror::Error;

use crate::command_line::compare::CompareArgs;
use crate::command_line::kubernetes::KubernetesArgs;
use crate::command_line::operate::{ApproveArgs, DrainArgs, PinArgs, ScalingArgs, UnpinArgs};
use crate::command_line::plan::PlanArgs;
use crate::command_line::policy::PolicyArgs;
use crate::command_line::send::SendArgs;
use crate::command_line::service::ServiceArgs;
use crate::command_line::simulate::SimulateArgs;
use crate::command_line::size::SizeArgs;
use crate::command_line::status::StatusArgs;
use crate::fleet::kubernetes::desired::{Group, environment};
use crate::fleet::kubernetes::keeper::KeeperSettings;
use crate::fleet::kubernetes::names::is_label_value;
use crate::fleet::kubernetes::watch::Watched;
use crate::fleet::launch::{LaunchSettings, OWNED};
use crate::fleet::process::Grace;
use crate::plan::snapshot::{CONSUMERS_MAX, Limits};
use crate::trigger::TriggerPolicy;

/// Without a measurement for so long nothing is moved that need not be.
const SILENCE: Duration = Duration::from_secs(15);
/// A reason whose plan changed nothing rests for so long.
const MUTE: Duration = Duration::from_secs(5);

/// Decides which consumer reads which partition, and runs the consumers
#[derive(Debug, Parser)]
#[command(name = "orchestrator", version)]
pub struct Program {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Plans and moves, until it is asked to end (what `orchestrator` does without a command)
    Run(Box<RunArgs>),
    /// Shows who owns what, the loads, and the last decisions with their reasons
    Status(StatusArgs),
    /// Asks the leader to start or stop reading partitions, or for its whole state
    Send(SendArgs),
    /// Shows and changes what is read into what
    Service(ServiceArgs),
    /// Leaves the group as it is, or stops one direction of scaling, until it is resumed
    Pause(ScalingArgs),
    /// Lifts pauses, and the dry run
    Resume(ScalingArgs),
    /// Gives what a consumer holds to others, and removes it
    Drain(DrainArgs),
    /// Reads partitions at a certain consumer preferably
    Pin(PinArgs),
    /// Lifts a pin
    Unpin(UnpinArgs),
    /// Carries out the plan that `plan --dry-run` proposed
    Approve(ApproveArgs),
    /// Plans from a snapshot in a file, without a cluster; or has a running orchestrator only propose
    Plan(Box<PlanArgs>),
    /// Plans the rates on standard input line by line, or makes a stream of rates
    Simulate(SimulateArgs),
    /// Runs every way to assign partitions on one stream of rates: consumers, movement, latency, cost
    Compare(CompareArgs),
    /// Says how many partitions and consumers keep the worst latency below a limit, and what breaks first
    Size(SizeArgs),
}

#[derive(Args, Clone, Debug)]
pub struct RunArgs {
    #[command(flatten)]
    pub kafka: KafkaArgs,

    #[command(flatten)]
    pub telemetry: TelemetryArgs,

    #[command(flatten)]
    pub crash_points: CrashPointArgs,

    #[command(flatten)]
    pub names: NameArgs,

    #[command(flatten)]
    pub group: GroupArgs,

    /// Folder for what is kept: decisions, and the consumers' folders; one orchestrator at a time has it
    #[arg(long, env, hide_env_values = true, value_name = "FOLDER")]
    pub state_dir: PathBuf,

    /// Address of /status, /healthz, /readyz and /metrics
    #[arg(
        long,
        env,
        hide_env_values = true,
        value_name = "ADDRESS:PORT",
        default_value = "127.0.0.1:8082"
    )]
    pub listen: SocketAddr,

    /// Where consumers store tables: `file:///FOLDER` (or s3://, gs://, az://)
    #[arg(long, env, hide_env_values = true, value_name = "URL")]
    pub sink_url: Option<String>,

    /// File with settings of that store for consumers, a `key=value` a line: see the consumer's option
    #[arg(long, env, hide_env_values = true, value_name = "FILE", requires = "sink_url")]
    pub sink_config: Option<PathBuf>,

    /// Bytes per second that a consumer sustains
    #[arg(long, env, hide_env_values = true, value_name = "BYTES", default_value_t = 5_000_000,
          value_parser = RangedU64ValueParser::<u64>::new().range(1..))]
    pub capacity: u64,

    /// What a consumer sustains is learned, within --capacity divided and multiplied by this; 1: not at all
    #[arg(long, env, hide_env_values = true, value_name = "FACTOR", default_value_t = 2,
          value_parser = RangedU64ValueParser::<u64>::new().range(1..=100))]
    pub capacity_factor: u64,

    /// How full a consumer is packed, in per cent of its capacity
    #[arg(long, env, hide_env_values = true, value_name = "PERCENT", default_value_t = 75,
          value_parser = RangedU64ValueParser::<u32>::new().range(1..=100))]
    pub plan_percent: u32,

    /// Above this a consumer counts as overloaded, in per cent of its capacity
    #[arg(long, env, hide_env_values = true, value_name = "PERCENT", default_value_t = 90,
          value_parser = RangedU64ValueParser::<u32>::new().range(1..=1_000))]
    pub trigger_percent: u32,

    /// For how many seconds fewer consumers must have sufficed before one is closed
    #[arg(long, env, hide_env_values = true, value_name = "SECONDS", default_value_t = 300)]
    pub stabilisation_secs: u64,

    /// Seconds in which a consumer is to catch up with a lag
    #[arg(long, env, hide_env_values = true, value_name = "SECONDS", default_value_t = 60,
          value_parser = RangedU64ValueParser::<u64>::new().range(1..))]
    pub catch_up_secs: u64,

    /// So many consumers are kept even if fewer would do
    #[arg(long, env, hide_env_values = true, value_name = "NUMBER", default_value_t = 0)]
    pub min_consumers: u32,

    /// So many consumers are kept ready that hold nothing, for a sudden load
    #[arg(long, env, hide_env_values = true, value_name = "NUMBER", default_value_t = 0)]
    pub spares: u32,

    /// At most so many consumers exist at a time
    #[arg(long, env, hide_env_values = true, value_name = "NUMBER", default_value_t = 64,
          value_parser = RangedU64ValueParser::<u32>::new().range(1..=u64::from(CONSUMERS_MAX)))]
    pub max_consumers: u32,

    /// At most so many consumers are created by one plan
    #[arg(long, env, hide_env_values = true, value_name = "NUMBER", default_value_t = 4,
          value_parser = RangedU64ValueParser::<u32>::new().range(1..))]
    pub max_new_consumers: u32,

    #[command(flatten)]
    pub policy: PolicyArgs,

    /// What creates and removes consumers
    #[arg(long, env, hide_env_values = true, value_enum, default_value_t = FleetKind::Process)]
    pub fleet: FleetKind,

    #[command(flatten)]
    pub kubernetes: KubernetesArgs,

    /// Program of the consumers that are processes; the one beside this program unless given
    #[arg(long, env, hide_env_values = true, value_name = "FILE")]
    pub consumer_program: Option<PathBuf>,

    /// Further option of the consumers, as on their command line without the dashes (on Kubernetes as its
    /// twin in the environment); may be repeated
    #[arg(long, value_name = "OPTION=VALUE", value_parser = parse_pair)]
    pub consumer_option: Vec<(String, String)>,

    /// Seconds without a leader after which consumers that are processes end; 0 means never
    #[arg(long, env, hide_env_values = true, value_name = "SECONDS", default_value_t = 60)]
    pub leaderless_secs: u64,

    /// Seconds that a consumer that is a process has to end by itself, and again after SIGTERM
    #[arg(long, env, hide_env_values = true, value_name = "SECONDS", default_value_t = 30)]
    pub grace_secs: u64,
}

/// How consumers exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FleetKind {
    /// As child processes of the orchestrator, each with a folder
    Process,
    /// As a Deployment and a claim each, in the cluster that the orchestrator runs in
    Kubernetes,
}

/// Flags that are well-formed, but not together.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ArgsError {
    #[error("--min-consumers {min} is more than --max-consumers {max}")]
    MinimumAboveMaximum { min: u32, max: u32 },
    #[error("--spares {spares} leaves no consumer of --max-consumers {max} to read with")]
    OnlySpares { spares: u32, max: u32 },
    #[error("--plan-percent {plan} is more than --trigger-percent {trigger}")]
    PlanAboveTrigger { plan: u32, trigger: u32 },
    #[error("--consumer-option {option} is the orchestrator's to set")]
    OwnedOption { option: String },
    #[error("the consumers' program {} does not exist: give --consumer-program", program.display())]
    NoProgram { program: PathBuf },
    #[error("--grace-secs must be at least 1")]
    NoGrace,
    #[error("--consumer-program is of no use on Kubernetes: the template names an image")]
    ProgramInCluster,
    #[error(
        "--group-id {group} cannot be a label on Kubernetes: at most 63 letters, digits, `-`, `_` and `.`, \
         the first and the last a letter or digit"
    )]
    GroupLabel { group: String },
}

/// Reads the command line. Without a command the orchestrator runs.
///
/// # Errors
/// With a text for people, if the flags are not ours.
pub fn parse(command_line: impl IntoIterator<Item = OsString>) -> Result<Program, clap::Error> {
    Program::try_parse_from(with_run(command_line))
}

/// The flags, for the page that lists them.
pub fn program() -> clap::Command {
    Program::command()
}

impl RunArgs {
    /// # Errors
    /// If flags contradict each other.
    pub fn check(&self) -> Result<(), ArgsError> {
        let (min, max) = (self.min_consumers, self.max_consumers);
        if min > max {
            return Err(ArgsError::MinimumAboveMaximum { min, max });
        }
        if self.spares >= max {
            return Err(ArgsError::OnlySpares { spares: self.spares, max });
        }
        let (plan, trigger) = (self.plan_percent, self.trigger_percent);
        if plan > trigger {
            return Err(ArgsError::PlanAboveTrigger { plan, trigger });
        }
        if self.grace_secs == 0 {
            return Err(ArgsError::NoGrace);
        }
        if self.fleet == FleetKind::Kubernetes {
            self.check_kubernetes()?;
        }
        let options = self.consumer_option.iter().map(|(option, _)| option);
        match options.into_iter().find(|option| OWNED.contains(&option.as_str())) {
            Some(option) => Err(ArgsError::OwnedOption { option: option.clone() }),
            None => Ok(()),
        }
    }

    fn check_kubernetes(&self) -> Result<(), ArgsError> {
        if self.consumer_program.is_some() {
            return Err(ArgsError::ProgramInCluster);
        }
        let group = self.group.group_id.clone();
        if is_label_value(&group) { Ok(()) } else { Err(ArgsError::GroupLabel { group }) }
    }

    pub fn limits(&self) -> Limits {
        Limits {
            capacity: BytesPerSecond(self.capacity),
            plan_percent: self.plan_percent,
            trigger_percent: self.trigger_percent,
            consumers_min: self.min_consumers,
            spares: self.spares,
            consumers_max: self.max_consumers,
            create_max: self.max_new_consumers,
            hold: None,
        }
    }

    pub fn trigger_policy(&self) -> TriggerPolicy {
        let stabilisation = Duration::from_secs(self.stabilisation_secs);
        TriggerPolicy { stabilisation, silence: SILENCE, mute: MUTE }
    }

    pub fn grace(&self) -> Grace {
        let grace = Duration::from_secs(self.grace_secs);
        Grace { command: grace, signal: grace }
    }

    /// What consumers are started with. `here` is the folder of this program, `state_dir` the state
    /// directory from the root on.
    ///
    /// # Errors
    /// If there is no such program.
    pub fn launch(&self, here: &Path, state_dir: &Path) -> Result<LaunchSettings, ArgsError> {
        let program = self.consumer_program.clone().unwrap_or_else(|| here.join("consumer"));
        if !program.is_file() {
            return Err(ArgsError::NoProgram { program });
        }
        Ok(LaunchSettings {
            program,
            folder: state_dir.join("consumers"),
            owned: self.owned_options(),
            options: self.consumer_options(),
        })
    }

    /// What consumers that are pods have in common. Files are the template's to mount and to name.
    pub fn keeper(&self) -> KeeperSettings {
        let mut defaults = self.common_options();
        // Who ended because nobody leads would only be started again.
        defaults.insert("leaderless-secs".into(), "0".into());
        let group = Group {
            id: self.group.group_id.clone(),
            owned: environment(self.owned_options()),
            defaults: environment(defaults),
            options: environment(self.consumer_option.iter().cloned().collect()),
        };
        KeeperSettings { group, keep_volumes: self.kubernetes.volume_keep() }
    }

    pub fn watched(&self) -> Watched {
        Watched {
            group: self.group.group_id.clone(),
            group_object: self.kubernetes.group_object.clone(),
            template: self.kubernetes.template.clone(),
        }
    }

    /// Those of [`OWNED`] that all consumers have in common.
    fn owned_options(&self) -> BTreeMap<String, String> {
        let owned =
            [("group-id", &self.group.group_id), ("topic-prefix", &self.names.topic_prefix)];
        owned.map(|(name, value)| (name.to_owned(), value.clone())).into()
    }

    /// What consumers get that are told apart by nothing but their number.
    fn common_options(&self) -> BTreeMap<String, String> {
        let servers = self.kafka.kafka_bootstrap_servers.clone();
        let mut options = BTreeMap::from([
            ("kafka-bootstrap-servers".to_owned(), servers),
            ("log-filter".to_owned(), self.telemetry.log_filter.to_string()),
        ]);
        options.extend(self.sink_url.clone().map(|url| ("sink-url".to_owned(), url)));
        options
    }

    fn consumer_options(&self) -> BTreeMap<String, String> {
        let mut options = self.common_options();
        let mut set = |name: &str, value: String| options.insert(name.to_owned(), value);
        if let Some(file) = &self.kafka.kafka_config {
            set("kafka-config", file.to_string_lossy().into_owned());
        }
        if let Some(file) = &self.sink_config {
            set("sink-config", file.to_string_lossy().into_owned());
        }
        set("listen", "127.0.0.1:0".into());
        set("leaderless-secs", self.leaderless_secs.to_string());
        options.extend(self.consumer_option.iter().cloned());
        options
    }
}

fn parse_pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    let is_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if name.is_empty() || name.starts_with('-') || !name.bytes().all(is_name) {
        return Err("expected `option=value`, the option without its dashes".into());
    }
    Ok((name.into(), value.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(flags: &[&str]) -> Result<Program, String> {
        let words = ["orchestrator"].iter().chain(flags).map(OsString::from);
        parse(words).map_err(|error| error.to_string())
    }

    fn run(flags: &[&str]) -> RunArgs {
        let needed = ["--kafka-bootstrap-servers", "k:9092", "--state-dir", "s"];
        match parsed(&[&needed, flags].concat()).unwrap().command {
            Command::Run(run) => *run,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_defaults_fit_together_and_no_command_means_run() {
        assert_eq!(run(&[]).check(), Ok(()));
        assert!(parsed(&["--help"]).unwrap_err().contains("status"));
        assert!(parsed(&["walk"]).unwrap_err().contains("unrecognized subcommand 'walk'"));
    }

    #[test]
    fn contradictions_are_refused_by_name() {
        let refused = |flags: &[&str]| run(flags).check().unwrap_err().to_string();
        assert_eq!(
            refused(&["--min-consumers", "3", "--max-consumers", "2"]),
            "--min-consumers 3 is more than --max-consumers 2"
        );
        assert!(refused(&["--trigger-percent", "70"]).contains("--plan-percent 75"));
        assert!(refused(&["--consumer-option", "group-id=x"]).contains("group-id"));
        let error = run(&["--consumer-program", "/no/such"]).launch(Path::new("/"), Path::new("/"));
        assert!(error.unwrap_err().to_string().contains("/no/such does not exist"));
        assert!(parsed(&["--consumer-option", "--x=1"]).is_err());
    }

    #[test]
    fn what_is_of_no_use_on_kubernetes_is_refused_there() {
        let on_kubernetes =
            |flags: &[&str]| run(&[&["--fleet", "kubernetes"], flags].concat()).check();
        assert_eq!(on_kubernetes(&[]), Ok(()));
        let program = on_kubernetes(&["--consumer-program", "/bin/true"]);
        assert_eq!(program, Err(ArgsError::ProgramInCluster));
        let group = on_kubernetes(&["--group-id", "a b"]).unwrap_err().to_string();
        assert!(group.starts_with("--group-id a b cannot be a label"), "{group}");
        assert_eq!(run(&["--group-id", "a b"]).check(), Ok(()));
    }

    #[test]
    fn pods_get_what_the_orchestrator_got_but_for_its_files() {
        let args = run(&[
            "--sink-url",
            "s3://lake",
            "--kafka-config",
            "/f",
            "--consumer-option",
            "ttl-secs=5",
        ]);
        let group = args.keeper().group;
        assert_eq!(group.defaults["SINK_URL"], "s3://lake");
        assert_eq!(group.defaults["LEADERLESS_SECS"], "0");
        assert!(!group.defaults.contains_key("KAFKA_CONFIG"));
        assert_eq!(group.options["TTL_SECS"], "5");
        assert_eq!(group.owned["GROUP_ID"], args.group.group_id);
    }

    #[test]
    fn consumers_get_what_the_orchestrator_got() {
        let args = run(&["--sink-url", "file:///lake", "--consumer-option", "listen=127.0.0.1:9"]);
        let options = args.consumer_options();
        assert_eq!(options["kafka-bootstrap-servers"], "k:9092");
        assert_eq!(options["sink-url"], "file:///lake");
        assert_eq!(options["listen"], "127.0.0.1:9");
    }
}
