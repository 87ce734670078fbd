//! What cannot be done is said in one sentence, with the exit status that scripts rely on.

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use e2e::harness::process::{Process, ending};
use e2e::harness::programs::program;

use crate::stage::{PATIENCE, Stage};

/// Nothing listens there: the port is that of `discard`, which nobody runs.
const NOBODY: &str = "127.0.0.1:9";

/// What a program may say of its attempts before the sentence.
const LINES_MAX: usize = 12;

/// A program of which nothing but its end is awaited.
fn start(stage: &Stage, name: &'static str, arguments: &[&str]) -> Process {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let mut command = Command::new(program(name).unwrap());
    command.args(arguments);
    Process::start(name, command, &stage.folder().join(format!("{name}-{number}.log"))).unwrap()
}

/// How a program ended, and what it printed.
fn ended(mut process: Process) -> (String, String) {
    let status = process.wait(PATIENCE).unwrap();
    (ending(status), process.output())
}

fn run(stage: &Stage, name: &'static str, arguments: &[&str]) -> (String, String) {
    ended(start(stage, name, arguments))
}

/// The last line: the sentence.
fn sentence((ending, output): (String, String)) -> (String, String) {
    let last = output.lines().rev().find(|line| !line.trim().is_empty());
    (ending, last.unwrap_or_default().to_owned())
}

fn state(stage: &Stage) -> String {
    stage.folder().join("state").display().to_string()
}

/// An option that no program has is named, and ends it with status 2.
#[test]
fn an_unknown_option_is_bad_input() {
    let Some(stage) = Stage::set("input-option") else { return };
    for name in ["monitor", "orchestrator", "consumer", "e2e"] {
        let (ending, output) = run(&stage, name, &["--no-such-option"]);
        assert_eq!(ending, "status 2", "{name}: {output}");
        assert!(output.contains("--no-such-option"), "{name}: {output}");
    }
}

/// Options that contradict each other, and values that are none, are named, with status 2.
#[test]
fn contradictions_are_bad_input() {
    let Some(stage) = Stage::set("input-values") else { return };
    let state = state(&stage);
    let servers = ["--kafka-bootstrap-servers", NOBODY];
    let wrong: [(&str, &[&str], &str); 4] = [
        ("monitor", &["--window-secs", "1"], "--window-secs"),
        ("orchestrator", &["--state-dir", &state, "--min-consumers", "99"], "--min-consumers"),
        ("consumer", &["--consumer", "1", "--ttl-secs", "2"], "--ttl-secs"),
        ("consumer", &["--consumer", "0"], "--consumer"),
    ];
    for (name, arguments, named) in wrong {
        let (ending, output) = run(&stage, name, &[&servers[..], arguments].concat());
        assert_eq!(ending, "status 2", "{name}: {output}");
        assert!(output.contains(named), "{name}: {output}");
    }
}

/// A file of Kafka settings that is not there, or says nothing that is one, is bad input.
#[test]
fn a_kafka_config_that_cannot_be_used_is_bad_input() {
    let Some(stage) = Stage::set("input-config") else { return };
    let (state, file) = (state(&stage), stage.folder().join("kafka.properties"));
    let file = file.to_str().unwrap();
    let kafka = ["--kafka-bootstrap-servers", NOBODY, "--kafka-config", file];
    let programs: [(&str, &[&str]); 3] = [
        ("monitor", &[]),
        ("orchestrator", &["--state-dir", &state]),
        ("consumer", &["--consumer", "1"]),
    ];
    for (name, arguments) in programs {
        let (ending, said) = sentence(run(&stage, name, &[&kafka[..], arguments].concat()));
        assert_eq!(ending, "status 2", "{name}: {said}");
        assert!(said.starts_with(&format!("{name}: ")) && said.contains(file), "{name}: {said}");
    }
}

/// Brokers that do not answer end a command, and a service that cannot start, with status 1 and
/// their address.
#[test]
fn an_unreachable_broker_is_named() {
    let Some(stage) = Stage::set("input-broker") else { return };
    let (state, lake) = (state(&stage), stage.lake_url());
    let kafka = ["--kafka-bootstrap-servers", NOBODY];
    let programs: [(&str, &[&str]); 6] = [
        ("orchestrator", &["--state-dir", &state, "--listen", "127.0.0.1:0"]),
        ("consumer", &["--consumer", "1", "--sink-url", &lake, "--leaderless-secs", "2"]),
        ("orchestrator", &["send", "stop", "orders"]),
        ("orchestrator", &["service", "list"]),
        ("monitor", &["--listen", "127.0.0.1:0"]),
        ("e2e", &["load", "--topic", "orders"]),
    ];
    // All at once: each of them is patient.
    let started = programs.map(|(name, arguments)| {
        let command: Vec<&str> = arguments.iter().chain(&kafka).copied().collect();
        (name, start(&stage, name, &command))
    });
    for (name, process) in started {
        let ended = ended(process);
        assert!(ended.1.lines().count() <= LINES_MAX, "{name} says too much: {}", ended.1);
        let (ending, said) = sentence(ended);
        assert_eq!(ending, "status 1", "{name}: {said}");
        assert!(said.starts_with(&format!("{name}: ")), "{name}: {said}");
        assert!(said.contains(NOBODY), "{name}: {said}");
    }
}

/// A lake, or a state directory, that cannot be written is named before anything is read.
#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let Some(stage) = Stage::set("input-folder") else { return };
    // Rights do not stop everybody; a file where a folder should be does.
    let file = stage.folder().join("file");
    std::fs::write(&file, "").unwrap();
    let within = file.join("within").display().to_string();
    let lake = format!("file://{within}");
    for kind in ["controller", "events", "dead-letter"] {
        stage.create(&stage.topic(kind), 2);
    }
    let kafka = ["--kafka-bootstrap-servers", stage.servers(), "--topic-prefix", stage.prefix()];
    let programs: [(&str, &[&str]); 3] = [
        ("consumer", &["--consumer", "1", "--sink-url", &lake]),
        ("consumer", &["--consumer", "1", "--state-dir", &within]),
        ("orchestrator", &["--state-dir", &within, "--listen", "127.0.0.1:0"]),
    ];
    for (name, arguments) in programs {
        let (ending, said) = sentence(run(&stage, name, &[&kafka[..], arguments].concat()));
        assert_eq!(ending, "status 1", "{name} {arguments:?}: {said}");
        assert!(said.starts_with(&format!("{name}: ")), "{name}: {said}");
        assert!(said.contains("file/within"), "{name}: {said}");
    }
}

/// A service entry that could not be followed is refused when it is typed.
#[test]
fn a_service_entry_that_cannot_be_followed_is_refused_when_it_is_typed() {
    let Some(stage) = Stage::set("input-entry") else { return };
    let kafka = ["--kafka-bootstrap-servers", stage.servers(), "--topic-prefix", stage.prefix()];
    let wrong: [(&[&str], &str, &str); 3] = [
        (&["service", "set", "orders", "--format", "xml"], "status 2", "xml"),
        (&["service", "set", "orders", "--table", "a/b"], "status 2", "`a/b`"),
        (&["service", "get", "orders"], "status 1", "no orchestrator has run yet"),
    ];
    for (arguments, expected, named) in wrong {
        let (ending, output) = run(&stage, "orchestrator", &[arguments, &kafka].concat());
        assert_eq!(ending, expected, "{arguments:?}: {output}");
        assert!(output.contains(named), "{arguments:?}: {output}");
    }
}
