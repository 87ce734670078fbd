//! IO. A Kafka of one's own, by `scripts/kafka.sh`, whose broker may be stopped.

use std::io;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;

use super::patience::{TimedOut, wait_until};
use super::process::signal_process;
use super::programs::script;

/// How long a killed broker's port may stay taken.
const FREE_WITHIN: Duration = Duration::from_secs(30);

#[derive(Debug, thiserror::Error)]
pub enum KafkaError {
    #[error("kafka.sh cannot be run")]
    Script {
        #[source]
        source: io::Error,
    },
    #[error("kafka.sh {command} failed: {said}")]
    Failed { command: &'static str, said: String },
    #[error("the broker's process cannot be signalled")]
    Signal {
        #[source]
        source: io::Error,
    },
    #[error("the killed broker's port is still taken")]
    Port {
        #[source]
        source: TimedOut,
    },
}

/// One broker, started. Dropping it stops it and removes its data.
#[derive(Debug)]
pub struct LocalKafka {
    run: PathBuf,
    /// A port, or `auto`.
    port: String,
    /// File with further settings of the broker.
    extra: Option<PathBuf>,
    servers: String,
}

impl LocalKafka {
    /// Starts a broker with its data below `run`, and waits until it is ready.
    pub fn start(run: &Path, port: &str, extra: Option<&Path>) -> Result<Self, KafkaError> {
        let mut kafka = Self {
            run: run.into(),
            port: port.into(),
            extra: extra.map(Path::to_owned),
            servers: String::new(),
        };
        let said = kafka.script("up", &[])?;
        let servers = said.trim().strip_prefix("KAFKA_BOOTSTRAP_SERVERS=");
        kafka.servers =
            servers.ok_or_else(|| KafkaError::Failed { command: "up", said: said.clone() })?.into();
        Ok(kafka)
    }

    pub fn servers(&self) -> &str {
        &self.servers
    }

    /// Where its data and logs are.
    pub fn run(&self) -> &Path {
        &self.run
    }

    pub fn signal(&self, signal: Signal) -> Result<(), KafkaError> {
        let pid = std::fs::read_to_string(self.run.join("node1/pid"));
        let pid = pid.and_then(|text| text.trim().parse().map_err(io::Error::other));
        let sent = pid.and_then(|pid| signal_process(pid, signal));
        sent.map_err(|source| KafkaError::Signal { source })
    }

    /// Kills the broker, and waits until its port is free: memory goes before sockets.
    pub fn kill(&self) -> Result<(), KafkaError> {
        self.signal(Signal::KILL)?;
        let gone = || match TcpStream::connect(&self.servers) {
            Ok(_) => Err("it is listened on"),
            Err(_) => Ok(()),
        };
        wait_until("the broker's port is free", FREE_WITHIN, gone)
            .map_err(|source| KafkaError::Port { source })
    }

    /// Starts the broker again, with its data and at its port.
    pub fn start_again(&self) -> Result<(), KafkaError> {
        self.script("up", &[]).map(drop)
    }

    /// Stops the broker and removes its data.
    pub fn end(&self) -> Result<(), KafkaError> {
        self.script("down", &["--wipe"]).map(drop)
    }

    fn script(&self, command: &'static str, options: &[&str]) -> Result<String, KafkaError> {
        let mut script = Command::new(script("kafka.sh"));
        script.env_remove("KAFKA_BOOTSTRAP_SERVERS").env_remove("KAFKA_NODES");
        script.env("KAFKA_RUN", &self.run).env("KAFKA_PORT", &self.port);
        if let Some(extra) = &self.extra {
            script.env("KAFKA_EXTRA", extra);
        }
        script.arg(command).args(options).stdin(Stdio::null());
        let output = script.output().map_err(|source| KafkaError::Script { source })?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() {
            return Ok(said);
        }
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(KafkaError::Failed { command, said })
    }
}

impl Drop for LocalKafka {
    fn drop(&mut self) {
        // Who has to know has ended it already; a second end is none.
        let _ = self.end();
    }
}
