//! IO. A schema registry of one's own, by `scripts/schema-registry.sh`, which may be stopped.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::Signal;

use super::process::signal_process;
use super::programs::script;

#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    #[error("schema-registry.sh cannot be run")]
    Script {
        #[source]
        source: io::Error,
    },
    #[error("schema-registry.sh {command} failed: {said}")]
    Failed { command: &'static str, said: String },
    #[error("the registry's process cannot be signalled")]
    Signal {
        #[source]
        source: io::Error,
    },
}

/// One registry, started. Dropping it stops it.
#[derive(Debug)]
pub struct LocalRegistry {
    run: PathBuf,
    url: String,
}

impl LocalRegistry {
    /// Starts a registry with its log below `run`, and waits until it is ready.
    pub fn start(run: &Path) -> Result<Self, RegistryError> {
        let mut registry = Self { run: run.into(), url: String::new() };
        let said = registry.script("up")?;
        let url = said.trim().strip_prefix("STOWAGE_TEST_REGISTRY=").map(str::to_owned);
        registry.url = url.ok_or(RegistryError::Failed { command: "up", said })?;
        Ok(registry)
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn signal(&self, signal: Signal) -> Result<(), RegistryError> {
        let pid = std::fs::read_to_string(self.run.join("pid"));
        let pid = pid.and_then(|text| text.trim().parse().map_err(io::Error::other));
        let sent = pid.and_then(|pid| signal_process(pid, signal));
        sent.map_err(|source| RegistryError::Signal { source })
    }

    fn script(&self, command: &'static str) -> Result<String, RegistryError> {
        let output = Command::new(script("schema-registry.sh"))
            .arg(command)
            .env("REGISTRY_RUN", &self.run)
            .env("REGISTRY_PORT", "auto")
            .env_remove("STOWAGE_TEST_REGISTRY")
            .stdin(Stdio::null())
            .output()
            .map_err(|source| RegistryError::Script { source })?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() {
            return Ok(text(&output.stdout));
        }
        Err(RegistryError::Failed { command, said: text(&output.stderr) })
    }
}

impl Drop for LocalRegistry {
    fn drop(&mut self) {
        // One that stands still would have to be killed.
        let _ = self.signal(Signal::CONT);
        let _ = self.script("down");
    }
}
