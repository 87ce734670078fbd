//! One fault of each kind on the whole system, some of them at once.

use std::env;
use std::fs;
use std::process::Command;
use std::time::Duration;

use e2e::harness::process::Process;
use e2e::harness::programs::program;
use serde_json::Value;

/// Longer than the faults, the recovery and the verification take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(600);
const FAULTS: &str = "20";
const SECONDS: &str = "120";
const SEED: &str = "7";

/// Whatever is done to it, everything flows again in the end, and every record is stored once.
#[test]
#[expect(clippy::disallowed_methods, reason = "tests read where Kafka is from the environment")]
fn one_fault_of_each_kind_loses_and_doubles_nothing() {
    // Whoever has no Kafka here has none to start either.
    if env::var("KAFKA_BOOTSTRAP_SERVERS").is_err() {
        let is_ci = env::var("CI").is_ok_and(|value| value == "true");
        assert!(!is_ci, "KAFKA_BOOTSTRAP_SERVERS is not set: chaos cannot be skipped");
        eprintln!("SKIPPED: chaos: KAFKA_BOOTSTRAP_SERVERS names no brokers");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (report, log) = (folder.path().join("report.json"), folder.path().join("log"));
    let mut chaos = Command::new(program("e2e").unwrap());
    chaos.args(["--log-filter", "off", "chaos", "--kills", FAULTS, "--seconds", SECONDS]);
    chaos.args(["--seed", SEED]).arg("--directory").arg(folder.path().join("run"));
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
    for (kind, of_kind) in report["faults"].as_object().unwrap() {
        let is_once = of_kind["done"] == 1 || of_kind["left_out"] == 1;
        assert!(is_once, "{kind}: {of_kind}");
    }
    for left_out in report["left_out"].as_array().unwrap() {
        eprintln!("LEFT OUT: {left_out}");
    }
}
