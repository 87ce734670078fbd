//! Kafka of a test's own, whose broker may be stopped.

use std::ffi::OsStr;
use std::fs::File;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use e2e::harness::patience::wait_until;
use e2e::harness::process::signal_process;
use e2e::harness::programs::script;
use rustix::process::Signal;
use tempfile::TempDir;

use crate::stage::{PATIENCE, Stage};

/// While a broker is down its port looks free to another one that starts.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

pub(crate) struct OwnKafka {
    run: TempDir,
    servers: String,
    _alone: MutexGuard<'static, ()>,
}

impl OwnKafka {
    pub(crate) fn start() -> Self {
        let alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let run = tempfile::tempdir().unwrap();
        let servers = up(run.path());
        Self { run, servers, _alone: alone }
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

    /// Removes the second half of a partition's log from the disk of a broker that was killed, as a
    /// broken disk or an unclean election may.
    pub(crate) fn cut(&self, topic: &str, partition: u32) {
        let folder = self.run.path().join(format!("node1/data/{topic}-{partition}"));
        let mut logs = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.extension().and_then(OsStr::to_str) {
                Some("log") => {
                    let log = File::options().write(true).open(&path).unwrap();
                    log.set_len(log.metadata().unwrap().len() / 2).unwrap();
                    logs += 1;
                }
                Some("index" | "timeindex") => std::fs::remove_file(&path).unwrap(),
                _ => {}
            }
        }
        assert_eq!(logs, 1);
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
    command
}
