//! Programs that no one here wrote count what the verification counts.

use std::path::{Path, PathBuf};
use std::process::Command;

use e2e::harness::programs::script;
use serde_json::{Value, json};

use crate::crew::{CAPACITY, Crew};
use crate::flow::Flow;
use crate::stage::Stage;

const PARTITIONS: u32 = 3;

/// Kafka's own tool sees as many records as `verify` finds produced; DuckDB and PyArrow see as many
/// rows as it finds stored, and as many different places.
#[test]
fn kafkas_tools_and_duckdb_and_pyarrow_agree_with_verify() {
    let Some(stage) = Stage::set("system-readers") else { return };
    let Some(python) = python() else {
        eprintln!("SKIPPED: system-readers: DuckDB and PyArrow could not be installed");
        return;
    };
    let crew = Crew::start(stage, PARTITIONS);
    let flow = Flow::start(&crew.stage, &crew.topic, PARTITIONS, CAPACITY / 2);
    crew.wait_for_progress();
    let victim = crew.victim();
    victim.signal(rustix::process::Signal::KILL);
    crew.wait_for_successor(&victim, PARTITIONS);
    flow.stop();
    let counts = crew.stage.assert_sound(&crew.topic).counts;
    assert!(counts.stored > 0);
    assert_eq!(kafka_count(crew.stage.servers(), &crew.topic), counts.produced);
    let table = crew.stage.folder().join("lake").join(&crew.topic);
    let both = json!([counts.stored, counts.stored]);
    assert_eq!(lake_counts(&python, &table), json!({"duckdb": both, "pyarrow": both}));
    crew.end_soundly();
}

/// End offsets less beginnings, by Kafka's own tool.
fn kafka_count(servers: &str, topic: &str) -> u64 {
    let sum = |time: &str| -> u64 {
        let mut command = Command::new(script("kafka.sh"));
        command.env("KAFKA_BOOTSTRAP_SERVERS", servers);
        command.args(["tool", "GetOffsetShell", "--topic", topic, "--time", time]);
        let text = printed(command);
        let offsets = text.lines().filter(|line| line.starts_with(topic));
        offsets.map(|line| line.rsplit(':').next().unwrap().parse::<u64>().unwrap()).sum()
    };
    sum("latest") - sum("earliest")
}

fn lake_counts(python: &Path, table: &Path) -> Value {
    let mut command = Command::new(python);
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kafka_system/counts.py");
    command.arg(program).arg(table);
    serde_json::from_str(&printed(command)).unwrap()
}

fn printed(mut command: Command) -> String {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

/// The interpreter that has DuckDB and PyArrow.
fn python() -> Option<PathBuf> {
    if let Some(python) = std::env::var_os("STOWAGE_PYTHON") {
        return Some(python.into());
    }
    let found = Command::new(script("python.sh")).output().ok()?;
    let path = String::from_utf8(found.stdout).unwrap();
    found.status.success().then(|| path.trim().into())
}
