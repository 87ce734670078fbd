//! Kafka of a test's own, whose broker may be stopped.

use std::ffi::OsStr;
use std::fs::File;
use std::sync::{Mutex, MutexGuard, PoisonError};

use e2e::harness::kafka::LocalKafka;
use rustix::process::Signal;
use tempfile::TempDir;

use crate::stage::Stage;

/// While a broker is down its port looks free to another one that starts.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

pub(crate) struct OwnKafka {
    kafka: LocalKafka,
    _run: TempDir,
    _alone: MutexGuard<'static, ()>,
}

impl OwnKafka {
    pub(crate) fn start() -> Self {
        let alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let run = tempfile::tempdir().unwrap();
        let kafka = LocalKafka::start(run.path(), "auto", None).unwrap();
        Self { kafka, _run: run, _alone: alone }
    }

    pub(crate) fn stage(&self, test: &str) -> Stage {
        Stage::on(self.kafka.servers().to_owned(), test)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        self.kafka.signal(signal).unwrap();
    }

    pub(crate) fn kill(&self) {
        self.kafka.kill().unwrap();
    }

    /// Removes the second half of a partition's log from the disk of a broker that was killed, as a
    /// broken disk or an unclean election may.
    pub(crate) fn cut(&self, topic: &str, partition: u32) {
        let folder = self.kafka.run().join(format!("node1/data/{topic}-{partition}"));
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
        self.kafka.start_again().unwrap();
    }
}

/// A test that went well wants Kafka to stop well, too.
impl Drop for OwnKafka {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.kafka.end().unwrap();
        }
    }
}
