//! A broker that is away for longer than leases last: everybody lapses at once, and goes on.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::disallowed_methods, reason = "how long a broker was paused is measured here")]

mod stage;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use e2e::harness::patience::wait_until;
use e2e::harness::process::signal_process;
use e2e::harness::programs::script;
use e2e::harness::system::System;
use rustix::process::Signal;
use stage::{PATIENCE, Stage, steady, wait_for_owners};

const PARTITIONS: u32 = 4;
const RATE: u64 = 200_000;
const CAPACITY: u64 = 150_000;

/// A Kafka that this test may stop.
struct Kafka {
    folder: PathBuf,
    port: u16,
}

impl Kafka {
    fn start() -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let folder = tempfile::tempdir().unwrap().keep();
        let kafka = Self { folder, port };
        kafka.run("up");
        kafka
    }

    fn servers(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    fn run(&self, command: &str) {
        let output = Command::new(script("kafka.sh"))
            .args(command.split(' '))
            .env_remove("KAFKA_BOOTSTRAP_SERVERS")
            .env("KAFKA_RUN", &self.folder)
            .env("KAFKA_PORT", self.port.to_string())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "kafka.sh {command}: {said}");
    }

    fn signal(&self, signal: Signal) {
        let pid = std::fs::read_to_string(self.folder.join("node1/pid")).unwrap();
        signal_process(pid.trim().parse().unwrap(), signal).unwrap();
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        self.signal(Signal::CONT);
        self.run("down --wipe");
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Only where tests on real Kafka run at all.
fn set(test: &str) -> Option<(Kafka, Stage, String, System)> {
    Stage::set(test)?;
    let kafka = Kafka::start();
    let stage = Stage::on(kafka.servers(), test);
    let topic = stage.topic("orders");
    stage.create(&topic, PARTITIONS);
    let system = stage.system(CAPACITY, &topic, PARTITIONS as usize);
    Some((kafka, stage, topic, system))
}

fn count_objects(lake: &Path) -> usize {
    let folders = std::fs::read_dir(lake).into_iter().flatten().flatten();
    let objects = folders.filter(|entry| !entry.file_name().to_string_lossy().starts_with('_'));
    objects
        .map(|entry| match entry.path() {
            path if path.is_dir() => count_objects(&path),
            path => usize::from(path.extension().is_some_and(|extension| extension == "parquet")),
        })
        .sum()
}

fn wait_for_more_objects(stage: &Stage) {
    let lake = stage.folder().join("lake");
    let before = count_objects(&lake);
    let more = || match count_objects(&lake) {
        now if now > before + 2 => Ok(()),
        now => Err(format!("{now} objects, {before} before")),
    };
    wait_until("more is stored", PATIENCE, more).unwrap();
}

/// A broker that is paused for longer than every lease lets all of them lapse at once, and loses its
/// own session: for a moment it describes a cluster without brokers. Afterwards each consumer goes on,
/// and no record is lost or doubled.
#[test]
fn a_broker_that_is_paused_beyond_all_leases_costs_no_record() {
    let Some((kafka, stage, topic, mut system)) = set("broker-pause") else { return };
    let load = stage.load(steady(&topic, PARTITIONS, RATE, 30));
    wait_for_more_objects(&stage);
    kafka.signal(Signal::STOP);
    let lapsed = Duration::from_secs(15);
    let began = std::time::Instant::now();
    let over = || match began.elapsed() {
        elapsed if elapsed > lapsed => Ok(()),
        elapsed => Err(format!("{} s", elapsed.as_secs())),
    };
    wait_until("every lease has lapsed", PATIENCE, over).unwrap();
    kafka.signal(Signal::CONT);
    wait_for_more_objects(&stage);
    load.join().unwrap();
    wait_for_owners(&system, PARTITIONS as usize);
    stage.assert_sound(&topic);
    system.stop().unwrap();
    drop(stage);
}
