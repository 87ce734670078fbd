//! One fault of each kind on the whole system, some of them at once.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::env;
use std::fs;
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use e2e::harness::process::Process;
use e2e::harness::programs::program;
use serde_json::Value;

/// Longer than the faults, the recovery and the verification take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(600);
const FAULTS: &str = "22";
const SECONDS: &str = "120";
const SEED: &str = "7";
/// What does not move is read all the time; consumers say so each second, on a machine that is busy.
const STAYED_MAX_MS: u64 = 5_000;
/// Each has a Kafka and a fleet of its own.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Whatever is done to it, everything flows again in the end, and every record is stored once.
#[test]
fn one_fault_of_each_kind_loses_and_doubles_nothing() {
    let Some(report) = chaos(&["--kills", FAULTS, "--seconds", SECONDS]) else { return };
    let stayed = report["stayed_gap_ms"].as_u64().unwrap();
    assert!(stayed < STAYED_MAX_MS, "not read for {stayed} ms though it did not move");
    for (kind, of_kind) in report["faults"].as_object().unwrap() {
        let is_once = of_kind["done"] == 1 || of_kind["left_out"] == 1;
        assert!(is_once, "{kind}: {of_kind}");
    }
}

/// Wherever a process dies between two things that others can see, the next one goes on correctly.
#[test]
fn a_death_before_or_after_any_message_loses_and_doubles_nothing() {
    let Some(report) = chaos(&["--crash-points", "--seconds", SECONDS]) else { return };
    assert_eq!(report["left_out"], serde_json::json!([]), "a place was not reached");
    let faults = report["faults"].as_object().unwrap();
    let done = faults.values().filter_map(|of_kind| of_kind["done"].as_u64()).sum::<u64>();
    assert!(done > 20, "{faults:?}");
}

/// Whatever BigQuery does to consumers, wherever these die meanwhile, and whoever wakes up late: every record is stored once.
#[test]
fn whatever_bigquery_does_loses_and_doubles_nothing() {
    let options = ["--sink", "bigquery", "--sink-faults", "--seconds", SECONDS];
    let Some(report) = chaos(&options) else { return };
    let faults = report["faults"].as_object().unwrap();
    let of_sink = faults.iter().filter(|(kind, _)| kind.starts_with("sink_"));
    assert_eq!(of_sink.filter(|(_, of_kind)| of_kind["done"] == 1).count(), 7, "{faults:?}");
    assert_eq!(faults["consumer_freeze"]["done"], 1);
    assert_eq!(faults["consumer_crash_point"]["done"], 18, "{faults:?}");
}

/// What came of a run, unless there is no Kafka here.
#[expect(clippy::disallowed_methods, reason = "tests read where Kafka is from the environment")]
fn chaos(options: &[&str]) -> Option<Value> {
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    // Whoever has no Kafka here has none to start either.
    if env::var("KAFKA_BOOTSTRAP_SERVERS").is_err() {
        let is_ci = env::var("CI").is_ok_and(|value| value == "true");
        assert!(!is_ci, "KAFKA_BOOTSTRAP_SERVERS is not set: chaos cannot be skipped");
        eprintln!("SKIPPED: chaos: KAFKA_BOOTSTRAP_SERVERS names no brokers");
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let (report, log) = (folder.path().join("report.json"), folder.path().join("log"));
    let mut chaos = Command::new(program("e2e").unwrap());
    chaos.args(["--log-filter", "off", "chaos", "--seed", SEED]).args(options);
    chaos.arg("--directory").arg(folder.path().join("run"));
    chaos.arg("--report").arg(&report);
    let mut chaos = Process::start("chaos", chaos, &log).unwrap();
    let status = chaos.wait(PATIENCE).unwrap();
    let said = chaos.output();
    eprintln!("{said}");
    assert!(status.success(), "{status}");
    let report: Value = serde_json::from_slice(&fs::read(report).unwrap()).unwrap();
    assert_eq!((&report["lost"], &report["duplicated"]), (&0.into(), &0.into()));
    assert!(report["stored"].as_u64() > Some(0), "{report}");
    assert!(report["recovery_ms"].is_u64(), "not everything flowed again: {report}");
    for left_out in report["left_out"].as_array().unwrap() {
        eprintln!("LEFT OUT: {left_out}");
    }
    Some(report)
}
