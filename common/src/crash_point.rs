//! IO. Places where a test can have a process die, as if it were killed at that very moment.
//!
//! A test names a folder (`CRASH_POINTS`) and lays a file there that is called like a place. Whoever
//! comes to that place next renames the file, with its pid behind it, and kills itself. Release builds
//! have no such places.

#[cfg(debug_assertions)]
use std::path::PathBuf;
#[cfg(debug_assertions)]
use std::sync::OnceLock;

use clap::Args;

#[cfg(debug_assertions)]
static FOLDER: OnceLock<PathBuf> = OnceLock::new();

/// The folder in which a test names the place.
#[derive(Args, Clone, Debug, Default)]
pub struct CrashPointArgs {
    #[cfg(debug_assertions)]
    #[arg(long, env, hide = true, value_name = "DIR")]
    crash_points: Option<PathBuf>,
}

impl CrashPointArgs {
    /// From here on the process may die wherever it is told to.
    pub fn install(&self) {
        #[cfg(debug_assertions)]
        if let Some(folder) = &self.crash_points {
            FOLDER.get_or_init(|| folder.clone());
        }
    }
}

/// The place before something is done that others can see.
pub fn before(what: &str) {
    reach("before", what);
}

/// The place after it.
pub fn after(what: &str) {
    reach("after", what);
}

#[cfg(debug_assertions)]
fn reach(when: &str, what: &str) {
    let Some(folder) = FOLDER.get() else { return };
    let place = folder.join(format!("{when}-{what}"));
    let taken = folder.join(format!("{when}-{what}.{}", std::process::id()));
    if std::fs::rename(place, taken).is_ok() {
        // Nothing is cleaned up, as nothing is when somebody else does it.
        let _ =
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    }
}

#[cfg(not(debug_assertions))]
fn reach(_when: &str, _what: &str) {}
