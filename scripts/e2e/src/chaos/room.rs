//! IO. A folder that is a file system of its own, so that it can be full or not writable for everybody.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::statvfs;

/// As much as no run stores.
const SIZE: &str = "size=2g";
/// Whoever writes at this very moment makes a change of the file system fail.
const ATTEMPTS: u32 = 50;

#[derive(Debug, thiserror::Error)]
pub enum RoomError {
    #[error("`{command}` cannot be run")]
    Run {
        command: &'static str,
        #[source]
        source: io::Error,
    },
    #[error("`{command}` is not permitted here: {said}")]
    Refused { command: &'static str, said: String },
    #[error("the size of {} is not known", path.display())]
    Size {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// A folder in memory. Dropping it removes it with all that it holds.
#[derive(Debug)]
pub struct Room {
    path: PathBuf,
}

impl Room {
    /// Puts one over an empty folder.
    pub fn open(path: &Path) -> Result<Self, RoomError> {
        run("mount", &["-t", "tmpfs", "-o", SIZE, "stowage"], Some(path))?;
        Ok(Self { path: path.into() })
    }

    /// From now on there is no room for another byte.
    pub fn fill(&self) -> Result<(), RoomError> {
        let mut filled = self.shrink();
        for _ in 1..ATTEMPTS {
            if filled.is_ok() {
                break;
            }
            filled = self.shrink();
        }
        filled
    }

    pub fn make_room(&self) -> Result<(), RoomError> {
        run("mount", &["-o", &format!("remount,{SIZE}")], Some(&self.path))
    }

    /// From now on nothing can be created, changed or removed; what is open stays so.
    pub fn seal(&self) -> Result<(), RoomError> {
        let mut sealed = self.lay_over();
        for _ in 1..ATTEMPTS {
            if sealed.is_ok() {
                break;
            }
            sealed = self.lay_over();
        }
        sealed
    }

    pub fn unseal(&self) -> Result<(), RoomError> {
        run("umount", &["--lazy"], Some(&self.path))
    }

    fn shrink(&self) -> Result<(), RoomError> {
        let failed = |source: rustix::io::Errno| RoomError::Size {
            path: self.path.clone(),
            source: source.into(),
        };
        let found = statvfs(&self.path).map_err(failed)?;
        let used = (found.f_blocks - found.f_bfree) * found.f_frsize;
        // Nought would mean no limit.
        let size = used.max(found.f_frsize);
        run("mount", &["-o", &format!("remount,size={size}")], Some(&self.path))
    }

    fn lay_over(&self) -> Result<(), RoomError> {
        let path = self.path.display().to_string();
        run("mount", &["--bind", &path], Some(&self.path))?;
        let sealed = run("mount", &["-o", "remount,bind,ro"], Some(&self.path));
        if sealed.is_err() {
            self.unseal()?;
        }
        sealed
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        // A layer that a broken-off fault left, then the room itself.
        while is_mounted(&self.path) {
            if run("umount", &["--lazy"], Some(&self.path)).is_err() {
                break;
            }
        }
    }
}

fn is_mounted(path: &Path) -> bool {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let path = path.display().to_string();
    mounts.lines().any(|line| line.split(' ').nth(1) == Some(path.as_str()))
}

fn run(command: &'static str, options: &[&str], path: Option<&Path>) -> Result<(), RoomError> {
    let mut program = Command::new(command);
    program.args(options).args(path).stdin(Stdio::null());
    let output = program.output().map_err(|source| RoomError::Run { command, source })?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.lines().next().unwrap_or_default().trim().to_owned();
    Err(RoomError::Refused { command, said })
}
