//! IO. The whole system on this machine: a monitor, an orchestrator, and the consumers it starts.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use super::http::{Http, HttpError};
use super::patience::{TimedOut, wait_until};
use super::process::{Process, ProcessError, ending, tail};
use super::programs::{ProgramError, program};

/// How long a program may take to start and to be ready.
const START: Duration = Duration::from_secs(60);
/// How long a page may take to come.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// How long the whole system may take to end, its consumers included.
const END: Duration = Duration::from_secs(60);

/// How the system is to run.
#[derive(Clone, Debug)]
pub struct SystemPlan {
    pub kafka_bootstrap_servers: String,
    pub kafka_config: Option<PathBuf>,
    /// For logs, state and the lake.
    pub folder: PathBuf,
    /// What the system's own topics begin with, and the name of its group.
    pub prefix: String,
    pub monitor_options: Vec<String>,
    pub orchestrator_options: Vec<String>,
}

/// The running system. Dropping it ends it.
#[derive(Debug)]
pub struct System {
    plan: SystemPlan,
    http: Http,
    monitor: Option<Service>,
    orchestrator: Option<Service>,
}

#[derive(Debug)]
struct Service {
    process: Process,
    address: String,
}

#[derive(Debug, thiserror::Error)]
pub enum SystemError {
    #[error("a program of the system is missing")]
    Program {
        #[source]
        source: ProgramError,
    },
    #[error("a program of the system cannot be run")]
    Process {
        #[source]
        source: ProcessError,
    },
    #[error("the system's pages cannot be asked for")]
    Http {
        #[source]
        source: HttpError,
    },
    #[error("the system does not come to where it should\n{tails}")]
    Waiting {
        tails: String,
        #[source]
        source: TimedOut,
    },
    #[error("{name} ended with {how}\n{tail}")]
    Ended { name: String, how: String, tail: String },
    #[error("the orchestrator does not run")]
    NoOrchestrator,
    #[error("the status is no JSON")]
    Status {
        #[source]
        source: serde_json::Error,
    },
}

impl SystemPlan {
    pub fn lake(&self) -> PathBuf {
        self.folder.join("lake")
    }

    pub fn topic(&self, kind: &str) -> String {
        format!("{}-{kind}", self.prefix)
    }

    /// What starts a monitor.
    pub fn monitor(&self) -> Result<Command, SystemError> {
        let mut command = self.command("monitor")?;
        command.arg("run");
        self.add_common(&mut command);
        command.args(["--group-id", &self.prefix, "--listen", "127.0.0.1:0"]);
        command.args(&self.monitor_options);
        Ok(command)
    }

    /// What starts an orchestrator with this state directory.
    pub fn orchestrator(&self, state_dir: &Path) -> Result<Command, SystemError> {
        let mut command = self.command("orchestrator")?;
        command.arg("run");
        self.add_common(&mut command);
        command.args(["--group-id", &self.prefix, "--listen", "127.0.0.1:0"]);
        command.arg("--state-dir").arg(state_dir);
        command.args(["--sink-url", &format!("file://{}", self.lake().display())]);
        command.args(&self.orchestrator_options);
        Ok(command)
    }

    /// Where places are named at which processes are to die.
    pub fn crash_points(&self) -> PathBuf {
        self.folder.join("crash-points")
    }

    /// Runs a command of the orchestrator to its end, as a person would type it.
    pub fn tell(&self, arguments: &[&str]) -> Result<(), SystemError> {
        let mut command = self.command("orchestrator")?;
        command.args(arguments);
        self.add_common(&mut command);
        let failed = |source| SystemError::Process { source };
        let process = Process::start("command", command, &self.log("command"));
        let mut process = process.map_err(failed)?;
        let status = process.wait(START).map_err(failed)?;
        if status.success() {
            return Ok(());
        }
        let (name, tail) = (process.name().to_owned(), process.tail());
        Err(SystemError::Ended { name, how: ending(status), tail })
    }

    fn command(&self, name: &'static str) -> Result<Command, SystemError> {
        let program = program(name).map_err(|source| SystemError::Program { source })?;
        let mut command = Command::new(program);
        command.env("RUST_BACKTRACE", "1");
        Ok(command)
    }

    fn add_common(&self, command: &mut Command) {
        command.args(["--kafka-bootstrap-servers", &self.kafka_bootstrap_servers]);
        if let Some(config) = &self.kafka_config {
            command.arg("--kafka-config").arg(config);
        }
        command.args(["--topic-prefix", &self.prefix]);
    }

    pub fn log(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.log"))
    }
}

impl System {
    /// Starts monitor and orchestrator, and waits until both are ready.
    pub fn start(plan: SystemPlan) -> Result<Self, SystemError> {
        let http = Http::new(ANSWER_WITHIN).map_err(|source| SystemError::Http { source })?;
        let mut system = Self { plan, http, monitor: None, orchestrator: None };
        system.start_monitor()?;
        system.start_orchestrator()?;
        Ok(system)
    }

    pub fn plan(&self) -> &SystemPlan {
        &self.plan
    }

    pub fn start_monitor(&mut self) -> Result<(), SystemError> {
        self.monitor = Some(self.start_service("monitor", self.plan.monitor()?)?);
        Ok(())
    }

    pub fn start_orchestrator(&mut self) -> Result<(), SystemError> {
        let command = self.plan.orchestrator(&self.plan.folder.join("state"))?;
        self.orchestrator = Some(self.start_service("orchestrator", command)?);
        Ok(())
    }

    /// Says that a topic is to be read, as a person would.
    pub fn read_topic(&self, topic: &str, options: &[&str]) -> Result<(), SystemError> {
        self.tell(&[&["service", "set", topic], options].concat())
    }

    /// Any further command of the orchestrator, as a person would type it.
    pub fn tell(&self, arguments: &[&str]) -> Result<(), SystemError> {
        self.plan.tell(arguments)
    }

    /// The page `/status`.
    pub fn status(&self) -> Result<Value, SystemError> {
        let service = self.orchestrator.as_ref().ok_or(SystemError::NoOrchestrator)?;
        let url = format!("http://{}/status", service.address);
        let page = self.http.get(&url).map_err(|source| SystemError::Http { source })?;
        serde_json::from_str(&page.text).map_err(|source| SystemError::Status { source })
    }

    /// The page `/metrics` of the orchestrator.
    pub fn metrics(&self) -> Result<String, SystemError> {
        let service = self.orchestrator.as_ref().ok_or(SystemError::NoOrchestrator)?;
        let url = format!("http://{}/metrics", service.address);
        let page = self.http.get(&url).map_err(|source| SystemError::Http { source })?;
        Ok(page.text)
    }

    /// Looks at the status until it is as wanted; `judge` says what is missing.
    pub fn wait_for<T>(
        &self,
        what: &str,
        patience: Duration,
        judge: impl Fn(&Value) -> Result<T, String>,
    ) -> Result<T, SystemError> {
        let look = || self.status().map_err(|error| error.to_string()).and_then(|s| judge(&s));
        wait_until(what, patience, look)
            .map_err(|source| SystemError::Waiting { tails: self.tails(), source })
    }

    pub fn monitor(&mut self) -> Option<&mut Process> {
        self.monitor.as_mut().map(|service| &mut service.process)
    }

    pub fn orchestrator(&mut self) -> Option<&mut Process> {
        self.orchestrator.as_mut().map(|service| &mut service.process)
    }

    /// Fails with its last words if a service has ended by itself.
    pub fn check(&mut self) -> Result<(), SystemError> {
        let services = [self.monitor.as_mut(), self.orchestrator.as_mut()];
        for service in services.into_iter().flatten() {
            if let Some(status) = service.process.status() {
                let name = service.process.name().to_owned();
                let tail = service.process.tail();
                return Err(SystemError::Ended { name, how: ending(status), tail });
            }
        }
        Ok(())
    }

    /// Asks everything to end, consumers first, and waits for it. Fails if a service ends badly.
    pub fn stop(&mut self) -> Result<(), SystemError> {
        for service in [self.orchestrator.take(), self.monitor.take()].into_iter().flatten() {
            let mut process = service.process;
            let status = process.stop(END).map_err(|source| SystemError::Process { source })?;
            if !status.success() {
                let (name, tail) = (process.name().to_owned(), process.tail());
                return Err(SystemError::Ended { name, how: ending(status), tail });
            }
        }
        Ok(())
    }

    /// The last words of all programs, consumers included.
    pub fn tails(&self) -> String {
        let logs = logs(&self.plan.folder);
        logs.iter().map(|(name, log)| tail(name, log)).collect()
    }

    fn start_service(&self, name: &'static str, command: Command) -> Result<Service, SystemError> {
        let process = Process::start(name, command, &self.plan.log(name));
        let mut process = process.map_err(|source| SystemError::Process { source })?;
        let ready = |process: &mut Process| {
            if let Some(status) = process.status() {
                return Ok(Err(ending(status)));
            }
            let address = process.served_address().ok_or("it serves no pages")?;
            let page = self.http.get(&format!("http://{address}/readyz"));
            match page {
                Ok(page) if page.status == 200 => Ok(Ok(address)),
                Ok(page) => Err(page.text),
                Err(error) => Err(error.to_string()),
            }
        };
        let what = format!("{name} is ready");
        let address = wait_until(&what, START, || ready(&mut process))
            .map_err(|source| SystemError::Waiting { tails: process.tail(), source })?;
        match address {
            Ok(address) => Ok(Service { process, address }),
            Err(how) => Err(SystemError::Ended { name: name.into(), how, tail: process.tail() }),
        }
    }
}

impl Drop for System {
    fn drop(&mut self) {
        if let Some(orchestrator) = self.orchestrator() {
            // A killed orchestrator would leave its consumers behind for a while.
            let _ = orchestrator.signal(Signal::CONT);
            let _ = orchestrator.stop(END);
        }
    }
}

/// All logs below a folder, by their paths in it.
fn logs(folder: &Path) -> Vec<(String, PathBuf)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() && !path.ends_with("lake") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "log") {
                let name = path.strip_prefix(folder).unwrap_or(&path).display().to_string();
                found.push((name, path));
            }
        }
    }
    found.sort();
    found
}
