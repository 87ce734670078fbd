//! IO. Which process a consumer is, on disk, so that another orchestrator finds it again.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use common::messages::service::DeploymentEntry;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

const FILE: &str = "process.json";
/// The consumer holds its lock for as long as it lives.
const LOCK: &str = "lock";
/// Fields of `/proc/PID/stat` after the name of the program.
const STATE_FIELD: usize = 0;
const STARTED_FIELD: usize = 19;

/// A process, told from a later one of the same number by when it was started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessRecord {
    pub pid: u32,
    /// Clock ticks since the machine booted.
    pub started: u64,
    /// What it was started with.
    pub deployment: DeploymentEntry,
}

impl ProcessRecord {
    /// Of a process that runs now.
    pub fn of(pid: u32, deployment: DeploymentEntry) -> Option<Self> {
        let (_, started) = stat(pid)?;
        Some(Self { pid, started, deployment })
    }

    /// What stands in the folder; nothing if that is of no use.
    pub fn load(folder: &Path) -> Option<Self> {
        let bytes = fs::read(folder.join(FILE)).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    pub fn save(&self, folder: &Path) -> io::Result<()> {
        let staged = folder.join(format!("{FILE}.new"));
        let mut file = File::create(&staged)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        file.sync_all()?;
        fs::rename(&staged, folder.join(FILE))
    }

    pub fn is_alive(&self) -> bool {
        stat(self.pid) == Some((true, self.started))
    }
}

/// Whether nobody holds the lock of a consumer's folder.
pub fn is_lock_free(folder: &Path) -> bool {
    let Ok(file) = File::open(folder.join(LOCK)) else { return true };
    flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok()
}

/// Whether a process does more than wait to be collected, and when it was started.
fn stat(pid: u32) -> Option<(bool, u64)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in brackets and may hold anything, brackets too.
    let (_, fields) = text.rsplit_once(") ")?;
    let mut fields = fields.split(' ');
    let state = fields.nth(STATE_FIELD)?;
    let started = fields.nth(STARTED_FIELD - STATE_FIELD - 1)?.parse().ok()?;
    Some((!["Z", "X"].contains(&state), started))
}

#[cfg(test)]
mod tests {
    use std::process::{Command, id};

    use super::*;

    #[test]
    fn a_process_is_told_from_another_of_the_same_number() {
        let folder = tempfile::tempdir().unwrap();
        let me = ProcessRecord::of(id(), DeploymentEntry::default()).unwrap();
        me.save(folder.path()).unwrap();
        let found = ProcessRecord::load(folder.path()).unwrap();
        assert!(found == me && found.is_alive());
        assert!(!ProcessRecord { started: me.started + 1, ..me }.is_alive());
        fs::write(folder.path().join(FILE), "garbage").unwrap();
        assert_eq!(ProcessRecord::load(folder.path()), None);
    }

    #[test]
    fn a_process_that_ended_and_was_not_collected_is_not_alive() {
        let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
        let record = ProcessRecord::of(child.id(), DeploymentEntry::default()).unwrap();
        assert!(record.is_alive());
        child.kill().unwrap();
        while record.is_alive() {
            std::thread::yield_now();
        }
        child.wait().unwrap();
    }

    #[test]
    fn a_held_lock_is_seen_and_looking_does_not_keep_it() {
        let folder = tempfile::tempdir().unwrap();
        assert!(is_lock_free(folder.path()), "there is none");
        let lock = File::create(folder.path().join(LOCK)).unwrap();
        flock(&lock, FlockOperation::NonBlockingLockExclusive).unwrap();
        assert!(!is_lock_free(folder.path()));
        drop(lock);
        assert!(is_lock_free(folder.path()));
        assert!(is_lock_free(folder.path()));
    }
}
