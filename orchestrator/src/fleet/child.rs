//! IO. One consumer process: started in a group of its own, or found running; watched, asked to end, killed.

use std::fs::{self, File};
use std::io;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use common::crash_point;
use common::messages::service::DeploymentEntry;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use thiserror::Error;

use super::launch::Launch;
use super::record::{ProcessRecord, is_lock_free};

const LOG: &str = "consumer.log";
const OLD_LOG: &str = "consumer.log.1";
/// From this size on the log is kept aside and begun anew.
const LOG_BYTES_MAX: u64 = 16 << 20;

#[derive(Debug, Error)]
pub enum ChildError {
    #[error("failed to prepare the folder {}", path.display())]
    Folder {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("another process holds the lock in {}", path.display())]
    Locked { path: PathBuf },
    #[error("failed to start {}", program.display())]
    Start {
        program: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("failed to note which process runs in {}", path.display())]
    Note {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// A process of the fleet. Dropping it leaves it running.
#[derive(Debug)]
pub struct Process {
    record: ProcessRecord,
    /// `None`: another orchestrator started it.
    child: Option<Child>,
}

impl Process {
    /// Starts a consumer in its folder; what it prints goes to `consumer.log` there.
    pub fn start(
        launch: &Launch,
        folder: &Path,
        deployment: &DeploymentEntry,
    ) -> Result<Self, ChildError> {
        let folder_error = |source| ChildError::Folder { path: folder.into(), source };
        fs::create_dir_all(folder).map_err(folder_error)?;
        if !is_lock_free(folder) {
            return Err(ChildError::Locked { path: folder.into() });
        }
        let log = File::options().create(true).append(true).open(folder.join(LOG));
        let log = log.map_err(folder_error)?;
        let errors = log.try_clone().map_err(folder_error)?;
        crash_point::before("start");
        let child = Command::new(&launch.program)
            .args(&launch.arguments)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .process_group(0)
            .spawn()
            .map_err(|source| ChildError::Start { program: launch.program.clone(), source })?;
        crash_point::after("start");
        let pid = child.id();
        // A child that ended is there until it is waited for.
        let record = ProcessRecord::of(pid, deployment.clone());
        let record =
            record.unwrap_or(ProcessRecord { pid, started: 0, deployment: deployment.clone() });
        let process = Self { record, child: Some(child) };
        if let Err(source) = process.record.save(folder) {
            process.kill();
            return Err(ChildError::Note { path: folder.into(), source });
        }
        Ok(process)
    }

    /// The process that the folder tells of, if it still runs.
    pub fn adopt(folder: &Path) -> Option<Self> {
        let record = ProcessRecord::load(folder)?;
        record.is_alive().then_some(Self { record, child: None })
    }

    pub fn pid(&self) -> u32 {
        self.record.pid
    }

    pub fn deployment(&self) -> &DeploymentEntry {
        &self.record.deployment
    }

    /// How it ended; nothing while it runs.
    pub fn ended(&mut self) -> Option<String> {
        match &mut self.child {
            Some(child) => child.try_wait().ok().flatten().map(in_words),
            None => (!self.record.is_alive()).then(|| "ended".to_owned()),
        }
    }

    /// Asks it to end.
    pub fn terminate(&self) {
        self.signal(Signal::TERM, kill_process);
    }

    /// Ends it and all that it started.
    pub fn kill(&self) {
        self.signal(Signal::KILL, kill_process_group);
    }

    /// One that has gone already needs no signal, and nobody else can have its number: it was not
    /// waited for, or is looked at before.
    fn signal(&self, signal: Signal, send: fn(Pid, Signal) -> rustix::io::Result<()>) {
        let pid = i32::try_from(self.record.pid).ok().and_then(Pid::from_raw);
        let is_there = self.child.is_some() || self.record.is_alive();
        if let Some(pid) = pid.filter(|_| is_there) {
            let _ = send(pid, signal);
        }
    }
}

/// Keeps a log aside that has grown too large. The process goes on writing to the same file, so that
/// lines that it writes at this very moment may be lost.
pub fn rotate_log(folder: &Path) -> io::Result<()> {
    let log = folder.join(LOG);
    let is_large = fs::metadata(&log).is_ok_and(|found| found.len() > LOG_BYTES_MAX);
    if is_large {
        fs::copy(&log, folder.join(OLD_LOG))?;
        File::options().write(true).open(&log)?.set_len(0)?;
    }
    Ok(())
}

fn in_words(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "no status".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_log_is_kept_aside_and_written_on_from_its_beginning() {
        use std::io::Write as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(LOG);
        let mut log = File::options().create(true).append(true).open(&path).unwrap();
        log.write_all(&vec![b'a'; usize::try_from(LOG_BYTES_MAX).unwrap()]).unwrap();
        rotate_log(folder.path()).unwrap();
        assert!(!folder.path().join(OLD_LOG).exists(), "it is just as large as it may be");
        log.write_all(b"b").unwrap();
        rotate_log(folder.path()).unwrap();
        log.write_all(b"c").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"c");
        assert_eq!(fs::metadata(folder.path().join(OLD_LOG)).unwrap().len(), LOG_BYTES_MAX + 1);
    }
}
