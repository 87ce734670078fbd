//! IO. A program that runs beside this one, in a process group of its own, its output in a file.

use std::fs::File;
use std::io;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use super::patience::{TimedOut, wait_until};

/// Lines of its output that a failure shows.
const TAIL_LINES: usize = 40;

#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    #[error("failed to open the log {}", path.display())]
    Log {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("failed to start {name}")]
    Start {
        name: String,
        #[source]
        source: io::Error,
    },
    #[error("failed to send {signal:?} to {name}")]
    Signal {
        name: String,
        signal: Signal,
        #[source]
        source: io::Error,
    },
    #[error("{name} did not end")]
    StillRuns {
        name: String,
        #[source]
        source: TimedOut,
    },
}

/// A running program. Dropping it kills it and all that it started in its group.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    /// Where its own output begins: the log may hold that of earlier ones.
    log_start: u64,
}

impl Process {
    /// Starts `command` under `name`; what it prints is appended to `log`.
    pub fn start(name: &str, mut command: Command, log: &Path) -> Result<Self, ProcessError> {
        let opened = File::options().create(true).append(true).open(log);
        let output = opened.and_then(|file| Ok((file.metadata()?.len(), file.try_clone()?, file)));
        let (log_start, out, err) =
            output.map_err(|source| ProcessError::Log { path: log.into(), source })?;
        let child = command
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .process_group(0)
            .spawn()
            .map_err(|source| ProcessError::Start { name: name.into(), source })?;
        Ok(Self { name: name.into(), child, log: log.into(), log_start })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// `None` while it runs.
    pub fn status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap_or(None)
    }

    /// Signals the program alone, not what it started.
    pub fn signal(&self, signal: Signal) -> Result<(), ProcessError> {
        signal_process(self.id(), signal).map_err(|source| ProcessError::Signal {
            name: self.name.clone(),
            signal,
            source,
        })
    }

    /// Waits until it has ended by itself.
    pub fn wait(&mut self, patience: Duration) -> Result<ExitStatus, ProcessError> {
        let what = format!("{} ends", self.name);
        let ended = wait_until(&what, patience, || self.status().ok_or("it runs"));
        ended.map_err(|source| ProcessError::StillRuns { name: self.name.clone(), source })
    }

    /// Asks it to end and waits for that.
    pub fn stop(&mut self, patience: Duration) -> Result<ExitStatus, ProcessError> {
        match self.status() {
            Some(status) => Ok(status),
            None => {
                self.signal(Signal::TERM)?;
                self.wait(patience)
            }
        }
    }

    /// All that it printed so far.
    pub fn output(&self) -> String {
        let bytes = std::fs::read(&self.log).unwrap_or_default();
        let start = usize::try_from(self.log_start).unwrap_or(0).min(bytes.len());
        String::from_utf8_lossy(&bytes[start..]).into_owned()
    }

    /// Where it serves its pages, by what it said last.
    pub fn served_address(&self) -> Option<String> {
        served_address(&self.output())
    }

    /// The end of what it printed, with a heading, for people who look for the reason of a failure.
    pub fn tail(&self) -> String {
        tail(&self.name, &self.log)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(group) = pid(self.child.id()) {
            // Nobody is left to be told; the group may be gone already.
            let _ = kill_process_group(group, Signal::KILL);
            let _ = self.child.wait();
        }
    }
}

/// Signals any process by its id.
pub fn signal_process(id: u32, signal: Signal) -> io::Result<()> {
    let process = pid(id).ok_or_else(|| io::Error::other(format!("{id} is no process id")))?;
    Ok(kill_process(process, signal)?)
}

/// The last lines of a log under a heading.
pub fn tail(name: &str, log: &Path) -> String {
    let bytes = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(TAIL_LINES);
    format!("--- {name}: {}\n{}\n", log.display(), lines[from..].join("\n"))
}

fn served_address(output: &str) -> Option<String> {
    let served = output.lines().rev().find(|line| line.contains("served health and metrics"))?;
    let fields: serde_json::Value = serde_json::from_str(served).ok()?;
    Some(fields.get("address")?.as_str()?.to_owned())
}

/// How an ended process ended, in words.
pub fn ending(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("status {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "no status".into(),
    }
}

fn pid(id: u32) -> Option<Pid> {
    i32::try_from(id).ok().and_then(Pid::from_raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    fn shell(script: &str, log: &Path) -> Process {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Process::start("shell", command, log).unwrap()
    }

    #[test]
    fn its_end_and_its_last_words_are_known() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let mut process = shell("echo one; echo two >&2; exit 3", &log);
        assert_eq!(ending(process.wait(PATIENCE).unwrap()), "status 3");
        assert!(process.tail().ends_with("one\ntwo\n"), "{}", process.tail());
    }

    #[test]
    fn it_is_asked_to_end_and_may_refuse() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let mut gentle = shell("trap 'exit 0' TERM; echo up; while :; do sleep 0.05; done", &log);
        let up = || if gentle.tail().contains("up") { Ok(()) } else { Err("not up") };
        wait_until("the trap is set", PATIENCE, up).unwrap();
        assert_eq!(ending(gentle.stop(PATIENCE).unwrap()), "status 0");
        let mut stubborn = shell("trap '' TERM; echo stubborn; while :; do sleep 0.05; done", &log);
        let up = || if stubborn.tail().contains("stubborn") { Ok(()) } else { Err("not up") };
        wait_until("the trap is set", PATIENCE, up).unwrap();
        assert!(matches!(stubborn.stop(Duration::ZERO), Err(ProcessError::StillRuns { .. })));
        stubborn.signal(Signal::KILL).unwrap();
        assert_eq!(ending(stubborn.wait(PATIENCE).unwrap()), "signal 9");
    }

    #[test]
    fn what_it_started_dies_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let process = shell("sleep 1000 & echo $!; wait", &log);
        let child = || {
            let text = std::fs::read_to_string(&log).unwrap();
            text.trim().parse::<u32>().map_err(|_| "no child yet")
        };
        let child = wait_until("there is a child", PATIENCE, child).unwrap();
        drop(process);
        let gone = || match std::fs::read_to_string(format!("/proc/{child}/stat")) {
            Ok(stat) if !stat.contains(") Z ") => Err("the child lives"),
            _ => Ok(()),
        };
        wait_until("the child is gone", PATIENCE, gone).unwrap();
    }

    #[test]
    fn the_address_is_the_one_that_was_said_last() {
        let line = |port: u16| {
            format!(
                r#"{{"level":"INFO","message":"served health and metrics","address":"127.0.0.1:{port}"}}"#
            )
        };
        let output = format!("{}\nnoise\n{}\nmore", line(1), line(2));
        assert_eq!(served_address(&output).as_deref(), Some("127.0.0.1:2"));
        assert_eq!(served_address("nothing"), None);
    }
}
