//! Kafka of a test's own, whose broker may be stopped.

use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};

use e2e::harness::patience::wait_until;
use e2e::harness::process::signal_process;
use e2e::harness::programs::script;
use rustix::process::Signal;
use tempfile::TempDir;

use crate::stage::{PATIENCE, Stage};

const SETTINGS: &str = "extra.properties";

pub(crate) struct OwnKafka {
    run: TempDir,
    servers: String,
}

impl OwnKafka {
    /// Its broker's session outlasts a pause of a few seconds. A lone broker that lost its session
    /// describes a cluster without brokers, and librdkafka does not always find it again: that is
    /// another fault, which docs/protocol.md names among what is not there yet.
    pub(crate) fn start() -> Self {
        let run = tempfile::tempdir().unwrap();
        std::fs::write(run.path().join(SETTINGS), "broker.session.timeout.ms=15000\n").unwrap();
        let servers = up(run.path());
        Self { run, servers }
    }

    pub(crate) fn stage(&self, test: &str) -> Stage {
        Stage::on(self.servers.clone(), test)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = std::fs::read_to_string(self.run.path().join("node1/pid")).unwrap();
        signal_process(pid.trim().parse().unwrap(), signal).unwrap();
    }

    /// Kills the broker, and waits until its port is free: memory goes before sockets.
    pub(crate) fn kill(&self) {
        self.signal(Signal::KILL);
        let gone = || match TcpStream::connect(&self.servers) {
            Ok(_) => Err("it is listened on"),
            Err(_) => Ok(()),
        };
        wait_until("the broker's port is free", PATIENCE, gone).unwrap();
    }

    /// Starts the broker again, with its data and at its port.
    pub(crate) fn start_again(&self) {
        assert_eq!(up(self.run.path()), self.servers);
    }
}

impl Drop for OwnKafka {
    fn drop(&mut self) {
        let stopped = kafka(self.run.path()).args(["down", "--wipe"]).status();
        if !std::thread::panicking() {
            assert!(stopped.is_ok_and(|status| status.success()), "Kafka did not stop");
        }
    }
}

fn up(run: &Path) -> String {
    let output = kafka(run).arg("up").stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "Kafka did not start");
    let said = String::from_utf8(output.stdout).unwrap();
    said.trim().strip_prefix("KAFKA_BOOTSTRAP_SERVERS=").unwrap().to_owned()
}

fn kafka(run: &Path) -> Command {
    let mut command = Command::new(script("kafka.sh"));
    command.env_remove("KAFKA_BOOTSTRAP_SERVERS").env_remove("KAFKA_NODES");
    command.env("KAFKA_RUN", run).env("KAFKA_PORT", "auto");
    command.env("KAFKA_EXTRA", run.join(SETTINGS));
    command
}
