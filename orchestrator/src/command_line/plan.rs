//! IO. `orchestrator plan`: plans from a snapshot in a file, without a cluster.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::Args;
use common::args::{KafkaArgs, NameArgs, TelemetryArgs};
use common::moment::Timestamp;
use thiserror::Error;

use super::plan_table;
use super::send::TopicArgs;
use crate::decision::JournalLine;
use crate::plan::policy::{Algorithm, ConsumerPrice, Preset};
use crate::plan::snapshot::{CONSUMERS_MAX, Snapshot};
use crate::plan::{is_number, plan};

#[derive(Args, Clone, Debug)]
pub struct PlanArgs {
    /// Snapshot as JSON: a file that holds one, or a line of the orchestrator's journal
    #[arg(required_unless_present_any = ["from_log", "dry_run"], conflicts_with = "from_log")]
    pub snapshot: Option<PathBuf>,

    /// Plan every snapshot of this journal again (decisions.jsonl in the orchestrator's state
    /// directory), each with the time at which it was acted upon
    #[arg(long, value_name = "FILE")]
    pub from_log: Option<PathBuf>,

    /// Plan by another algorithm than the snapshot names
    #[arg(long, value_name = "NAME")]
    pub algorithm: Option<Algorithm>,

    /// Plan with another price of a consumer than the snapshot names
    #[arg(long, value_name = "TIMES", conflicts_with = "preset")]
    pub consumer_price: Option<ConsumerPrice>,

    /// The same by name
    #[arg(long, value_enum)]
    pub preset: Option<Preset>,

    /// Print JSON
    #[arg(long)]
    pub json: bool,

    /// Have the running orchestrator propose what it plans from now on, instead of doing it, and print
    /// the first proposal
    #[arg(long, requires = "kafka_bootstrap_servers", conflicts_with_all =
          ["snapshot", "from_log", "algorithm", "consumer_price", "preset", "json"])]
    pub dry_run: bool,

    /// Brokers to begin with, separated by commas, for --dry-run
    #[arg(long, env, hide_env_values = true, value_name = "HOST:PORT,…")]
    pub kafka_bootstrap_servers: Option<String>,

    /// File with further settings of the Kafka clients, for --dry-run
    #[arg(long, env, hide_env_values = true, value_name = "FILE")]
    pub kafka_config: Option<PathBuf>,

    #[command(flatten)]
    pub names: NameArgs,

    #[command(flatten)]
    pub telemetry: TelemetryArgs,
}

impl PlanArgs {
    /// Where the orchestrator is to be asked, if it is.
    pub fn asks(&self) -> Option<TopicArgs> {
        let kafka_bootstrap_servers = self.kafka_bootstrap_servers.clone()?;
        let kafka = KafkaArgs { kafka_bootstrap_servers, kafka_config: self.kafka_config.clone() };
        let (telemetry, names) = (self.telemetry.clone(), self.names.clone());
        self.dry_run.then_some(TopicArgs { kafka, telemetry, names })
    }
}

#[derive(Debug, Error)]
pub enum PlanError {
    #[error("{} cannot be read", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} holds no snapshot", path.display())]
    Snapshot {
        path: PathBuf,
        #[source]
        source: serde_json::Error,
    },
    #[error(
        "{} names consumer {consumer}: consumers are numbered from 1 to {CONSUMERS_MAX}",
        path.display()
    )]
    Number { path: PathBuf, consumer: u32 },
    #[error("line {line} of {} is no line of a journal", path.display())]
    Line {
        path: PathBuf,
        line: usize,
        #[source]
        source: serde_json::Error,
    },
}

/// Returns what to print.
///
/// # Errors
/// If the file cannot be read, or holds something else.
pub fn run(args: &PlanArgs) -> Result<String, PlanError> {
    let snapshots = match (&args.from_log, &args.snapshot) {
        (Some(log), _) => journal(log)?,
        (None, Some(path)) => vec![(None, snapshot(path)?)],
        (None, None) => Vec::new(),
    };
    for (_, snapshot) in &snapshots {
        let path = || args.from_log.clone().or_else(|| args.snapshot.clone()).unwrap_or_default();
        let wrong = snapshot.consumers.keys().find(|consumer| !is_number(**consumer));
        if let Some(consumer) = wrong {
            return Err(PlanError::Number { path: path(), consumer: consumer.0 });
        }
    }
    let pages = snapshots.into_iter().map(|(at, snapshot)| page(args, at, snapshot));
    Ok(pages.collect::<Vec<_>>().join("\n"))
}

fn page(args: &PlanArgs, at: Option<Timestamp>, mut snapshot: Snapshot) -> String {
    let policy = &mut snapshot.policy;
    policy.algorithm = args.algorithm.unwrap_or(policy.algorithm);
    let price = args.consumer_price.or_else(|| args.preset.map(Preset::price));
    policy.consumer_price = price.unwrap_or(policy.consumer_price);
    let plan = plan(&snapshot);
    if args.json {
        return plan_table::json(at, &snapshot, &plan);
    }
    let head = at.map(|at| format!("{} ms since 1970\n", at.0)).unwrap_or_default();
    head + &plan_table::page(&snapshot, &plan)
}

fn read(path: &Path) -> Result<String, PlanError> {
    fs::read_to_string(path).map_err(|source| PlanError::Read { path: path.into(), source })
}

/// A snapshot by itself, or with the decision that was made from it.
fn snapshot(path: &Path) -> Result<Snapshot, PlanError> {
    let text = read(path)?;
    if let Ok(line) = serde_json::from_str::<JournalLine>(&text) {
        return Ok(line.snapshot);
    }
    serde_json::from_str(&text).map_err(|source| PlanError::Snapshot { path: path.into(), source })
}

fn journal(path: &Path) -> Result<Vec<(Option<Timestamp>, Snapshot)>, PlanError> {
    let text = read(path)?;
    let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
    let parsed =
        lines.map(|(number, line)| {
            let parsed: JournalLine = serde_json::from_str(line)
                .map_err(|source| PlanError::Line { path: path.into(), line: number, source })?;
            Ok((Some(parsed.decision.at), parsed.snapshot))
        });
    parsed.collect()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use clap::Parser;
    use common::chain::Chain;
    use tempfile::NamedTempFile;

    use super::*;

    #[derive(Parser)]
    struct Flags {
        #[command(flatten)]
        plan: PlanArgs,
    }

    const SNAPSHOT: &str = r#"{"scope": "relieve",
        "limits": {"capacity": 100, "plan_percent": 75, "trigger_percent": 90, "consumers_min": 0,
                   "consumers_max": 9, "create_max": 4},
        "partitions": {"orders/0": {"demand": {"steady": 60, "peak": 60}, "owner": 1, "wish": "none"},
                       "orders/1": {"demand": {"steady": 40, "peak": 40}, "owner": 1, "wish": "none"}},
        "consumers": {"1": {"capacity": 100, "standing": "serving"}}}"#;

    fn plan_of(text: &str, flags: &[&str]) -> Result<String, String> {
        let mut file = NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        let path = file.path().to_str().unwrap();
        let flags = Flags::parse_from(["x"].iter().chain(flags).chain([&path]));
        run(&flags.plan).map_err(|error| Chain(&error).to_string())
    }

    #[test]
    fn a_snapshot_is_planned_without_a_cluster() {
        let page = plan_of(SNAPSHOT, &[]).unwrap();
        assert!(
            page.contains("orders/1 is the smallest partition whose leaving suffices"),
            "{page}"
        );
        let json = plan_of(SNAPSHOT, &["--json", "--algorithm", "bfd"]).unwrap();
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["consumers"], 2);
        assert_eq!(json["assignment"].as_object().unwrap().len(), 2);
    }

    #[test]
    fn a_file_with_something_else_is_named() {
        let error = plan_of("{}", &[]).unwrap_err();
        assert!(error.contains("holds no snapshot: missing field `scope`"), "{error}");
        let error = plan_of(&SNAPSHOT.replace(r#"{"1": {"#, r#"{"0": {"#), &[]).unwrap_err();
        assert!(error.contains("names consumer 0: consumers are numbered from 1"), "{error}");
    }

    #[test]
    fn only_a_dry_run_needs_kafka_and_it_needs_nothing_else() {
        let parsed = |flags: &[&str]| Flags::try_parse_from(["x"].iter().chain(flags));
        let servers = "--kafka-bootstrap-servers=k:9092";
        assert!(parsed(&["--dry-run", servers]).unwrap().plan.asks().is_some());
        assert!(parsed(&["--dry-run", servers, "snapshot.json"]).is_err());
        assert!(parsed(&["snapshot.json"]).unwrap().plan.asks().is_none());
        assert!(parsed(&[]).is_err());
    }

    #[test]
    fn a_journal_is_planned_line_by_line() {
        let snapshot: serde_json::Value = serde_json::from_str(SNAPSHOT).unwrap();
        let decision = serde_json::json!({"at": 5, "trigger": "overload", "reason": "r",
            "scope": "relieve", "create": [], "moves": [], "remove": [], "warnings": [],
            "r_score_milli": 0, "consumers": 1});
        let line = serde_json::json!({"decision": decision, "snapshot": snapshot}).to_string();
        let page = plan_of(&format!("{line}\n{line}\n"), &["--from-log"]).unwrap();
        assert_eq!(page.matches("5 ms since 1970").count(), 2, "{page}");
        let error = plan_of(&format!("{line}\n{{}}\n"), &["--from-log"]).unwrap_err();
        assert!(error.starts_with("line 2 of "), "{error}");
    }
}
