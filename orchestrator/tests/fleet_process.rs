//! The process fleet with shell scripts for consumers: restarts, removals, adoption, the end.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use common::identity::ConsumerId;
use common::messages::service::DeploymentEntry;
use common::term::Generation;
use orchestrator::fleet::launch::LaunchSettings;
use orchestrator::fleet::process::{Grace, ProcessFleet};
use orchestrator::fleet::{FleetCommand, FleetDriver, FleetEvent, Found, ProcessId};
use rand::SeedableRng as _;
use rand::rngs::ChaCha8Rng;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tempfile::TempDir;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(20);
const ONE: ConsumerId = ConsumerId(1);
/// Says when it is up, and ends by itself when asked to.
const GENTLE: &str = "trap 'exit 0' TERM\necho up\nwhile :; do sleep 0.05; done";
/// Cannot be asked.
const STUBBORN: &str = "trap '' TERM\necho up\nwhile :; do sleep 0.05; done";

fn settings(folder: &Path, script: &str) -> LaunchSettings {
    let program = folder.join("consumer.sh");
    fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let folder = folder.join("consumers");
    LaunchSettings { program, folder, ..LaunchSettings::default() }
}

fn fleet(folder: &Path, script: &str) -> ProcessFleet {
    let (command, signal) = (Duration::from_millis(300), Duration::from_millis(300));
    let rng = ChaCha8Rng::seed_from_u64(1);
    ProcessFleet::new(settings(folder, script), Grace { command, signal }, rng)
}

async fn next(fleet: &mut ProcessFleet) -> FleetEvent {
    timeout(PATIENCE, fleet.observe()).await.expect("the fleet tells what it sees")
}

async fn create(fleet: &mut ProcessFleet) -> u32 {
    let deployment = DeploymentEntry::default();
    fleet.command(FleetCommand::Create { consumer: ONE, deployment }).await;
    match next(fleet).await {
        FleetEvent::Started { consumer: ONE, process: ProcessId::Pid(pid) } => pid,
        other => panic!("{other:?}"),
    }
}

fn pid(pid: u32) -> Pid {
    Pid::from_raw(i32::try_from(pid).unwrap()).unwrap()
}

fn log(folder: &TempDir) -> PathBuf {
    folder.path().join("consumers/1/consumer.log")
}

async fn wait_until_up(folder: &TempDir, times: usize) {
    let up = async {
        while fs::read_to_string(log(folder)).unwrap_or_default().matches("up").count() < times {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, up).await.expect("the consumer starts");
}

/// A consumer that dies is told of and started again, under its number and in its folder.
#[tokio::test]
async fn a_consumer_that_dies_is_started_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut fleet = fleet(folder.path(), GENTLE);
    let first = create(&mut fleet).await;
    wait_until_up(&folder, 1).await;
    kill_process(pid(first), Signal::KILL).unwrap();
    let how = "signal 9".to_owned();
    let died = FleetEvent::Exited {
        consumer: ONE,
        process: ProcessId::Pid(first),
        how,
        is_expected: false,
    };
    assert_eq!(next(&mut fleet).await, died);
    assert!(matches!(next(&mut fleet).await, FleetEvent::Failing { failures: 1, .. }));
    assert!(
        matches!(next(&mut fleet).await, FleetEvent::Started { process, .. } if process != ProcessId::Pid(first))
    );
    wait_until_up(&folder, 2).await;
    fleet.shut_down().await;
}

/// What ends again and again is counted, and its restarts become rarer.
#[tokio::test]
async fn a_crash_loop_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let mut fleet = fleet(folder.path(), "exit 3");
    create(&mut fleet).await;
    let mut counted = vec![];
    while counted.len() < 4 {
        if let FleetEvent::Failing { failures, reason, .. } = next(&mut fleet).await {
            assert_eq!(reason, "exit status 3");
            counted.push(failures);
        }
    }
    assert_eq!(counted, [1, 2, 3, 4]);
    fleet.shut_down().await;
}

/// Whoever is to be removed has time to end by itself, is asked then, and at last killed.
#[tokio::test]
async fn a_removal_waits_then_asks_then_insists() {
    for (script, ending) in [(GENTLE, "exit status 0"), (STUBBORN, "signal 9")] {
        let folder = tempfile::tempdir().unwrap();
        let mut fleet = fleet(folder.path(), script);
        let pid = create(&mut fleet).await;
        wait_until_up(&folder, 1).await;
        fleet.command(FleetCommand::Remove { consumer: ONE }).await;
        let how = ending.to_owned();
        let exited = FleetEvent::Exited {
            consumer: ONE,
            process: ProcessId::Pid(pid),
            how,
            is_expected: true,
        };
        assert_eq!(next(&mut fleet).await, exited);
        assert_eq!(next(&mut fleet).await, FleetEvent::Removed { consumer: ONE });
    }
}

/// Whoever is to be started again is asked to end, and killed if that does not help.
#[tokio::test]
async fn a_restart_asks_and_then_insists() {
    for (script, ending) in [(GENTLE, "exit status 0"), (STUBBORN, "signal 9")] {
        let folder = tempfile::tempdir().unwrap();
        let mut fleet = fleet(folder.path(), script);
        let first = create(&mut fleet).await;
        wait_until_up(&folder, 1).await;
        fleet.command(FleetCommand::Restart { consumer: ONE }).await;
        let how = ending.to_owned();
        let ended = FleetEvent::Exited {
            consumer: ONE,
            process: ProcessId::Pid(first),
            how,
            is_expected: false,
        };
        assert_eq!(next(&mut fleet).await, ended);
        assert!(matches!(next(&mut fleet).await, FleetEvent::Failing { failures: 1, .. }));
        assert!(
            matches!(next(&mut fleet).await, FleetEvent::Started { process, .. } if process != ProcessId::Pid(first))
        );
        wait_until_up(&folder, 2).await;
        fleet.shut_down().await;
    }
}

/// The fleet's end ends every consumer; before that no process is left behind.
#[tokio::test]
async fn shutting_down_ends_all() {
    let folder = tempfile::tempdir().unwrap();
    let mut fleet = fleet(folder.path(), STUBBORN);
    let one = create(&mut fleet).await;
    wait_until_up(&folder, 1).await;
    timeout(PATIENCE, fleet.shut_down()).await.unwrap();
    assert!(test_kill_process(pid(one)).is_err(), "it is gone");
}

/// An orchestrator that died left its consumers running: the next one finds them, sees them end, and
/// knows of those that ended in between.
#[tokio::test]
async fn the_next_fleet_adopts_who_lives_and_knows_who_ended() {
    let folder = tempfile::tempdir().unwrap();
    let mut former = fleet(folder.path(), GENTLE);
    let one = create(&mut former).await;
    wait_until_up(&folder, 1).await;
    former.command(FleetCommand::Release).await;
    drop(former);

    let mut heir = fleet(folder.path(), GENTLE);
    heir.command(FleetCommand::Survey { generation: Generation(1) }).await;
    let process = Some(ProcessId::Pid(one));
    let found = BTreeMap::from([(ONE, Found { process, ..Found::default() })]);
    let survey = FleetEvent::Surveyed { found, ended: vec![] };
    assert_eq!(next(&mut heir).await, survey);
    heir.command(FleetCommand::Release).await;
    kill_process(pid(one), Signal::KILL).unwrap();

    let mut last = fleet(folder.path(), GENTLE);
    let ended = vec![(ONE, ProcessId::Pid(one))];
    let survey = FleetEvent::Surveyed { found: BTreeMap::new(), ended };
    let surveyed = async {
        loop {
            last.command(FleetCommand::Survey { generation: Generation(1) }).await;
            let told = next(&mut last).await;
            if told == survey {
                return;
            }
            last.command(FleetCommand::Release).await;
        }
    };
    timeout(PATIENCE, surveyed).await.expect("the end is seen");
}

/// A folder whose lock is held has a consumer already: no second one is started in it.
#[tokio::test]
async fn no_second_consumer_starts_in_a_locked_folder() {
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join("consumers/1");
    fs::create_dir_all(&own).unwrap();
    let lock = fs::File::create(own.join("lock")).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let mut fleet = fleet(folder.path(), GENTLE);
    let deployment = DeploymentEntry::default();
    fleet.command(FleetCommand::Create { consumer: ONE, deployment }).await;
    match next(&mut fleet).await {
        FleetEvent::Failing { reason, .. } => {
            assert!(reason.contains("holds the lock"), "{reason}")
        }
        other => panic!("{other:?}"),
    }
    drop(lock);
    loop {
        if let FleetEvent::Started { .. } = next(&mut fleet).await {
            break;
        }
    }
    fleet.shut_down().await;
}
