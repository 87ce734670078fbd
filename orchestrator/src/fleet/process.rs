//! IO. The fleet of one machine: consumers are child processes, each with a folder of its own.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::time::Duration;

use common::backoff::BackoffPolicy;
use common::chain::Chain;
use common::clock::Clock;
use common::identity::ConsumerId;
use common::messages::service::DeploymentEntry;
use common::moment::Moment;
use rand::rngs::ChaCha8Rng;
use tokio::time::sleep;
use tracing::{info, warn};

use super::child::{Process, rotate_log};
use super::launch::LaunchSettings;
use super::record::{ProcessRecord, is_lock_free};
use super::{FleetCommand, FleetDriver, FleetEvent, Found, ProcessId};

/// How often processes are looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);
const LOG_INTERVAL: Duration = Duration::from_secs(10);
/// Whoever lives so long before it ends did not fail at once.
const STABLE: Duration = Duration::from_secs(10);
const RESTART: BackoffPolicy =
    BackoffPolicy { initial: Duration::from_millis(100), max: Duration::from_secs(30), factor: 2 };

/// How long consumers are given to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grace {
    /// From being told to end by a command to SIGTERM.
    pub command: Duration,
    /// From SIGTERM to SIGKILL.
    pub signal: Duration,
}

/// Child processes and folders.
#[derive(Debug)]
pub struct ProcessFleet {
    settings: LaunchSettings,
    grace: Grace,
    members: BTreeMap<ConsumerId, Member>,
    seen: VecDeque<FleetEvent>,
    logs_looked_at: Moment,
    rng: ChaCha8Rng,
}

#[derive(Debug, Default)]
struct Member {
    deployment: DeploymentEntry,
    process: Option<Process>,
    started: Moment,
    /// In a row.
    failures: u32,
    /// When it is started if it does not run.
    start_at: Moment,
    leaving: Option<Leaving>,
    /// Its process was asked to end in order to be started again.
    restarting: Option<Moment>,
}

#[derive(Clone, Copy, Debug)]
struct Leaving {
    since: Moment,
    terminated: Option<Moment>,
}

impl ProcessFleet {
    pub fn new(settings: LaunchSettings, grace: Grace, rng: ChaCha8Rng) -> Self {
        let (members, seen) = (BTreeMap::new(), VecDeque::new());
        Self { settings, grace, members, seen, logs_looked_at: Moment::default(), rng }
    }

    /// Looks into every consumer's folder: who lives is adopted.
    fn survey(&mut self) {
        let now = Clock.now();
        let (mut found, mut ended) = (BTreeMap::new(), vec![]);
        for consumer in self.consumers_on_disk() {
            let folder = self.settings.folder_of(consumer);
            if let Some(member) = self.members.get(&consumer) {
                found.insert(consumer, member.found());
            } else if let Some(process) = Process::adopt(&folder) {
                info!(%consumer, pid = process.pid(), "adopted a consumer that runs");
                let deployment = process.deployment().clone();
                let process = Some(process);
                let member = Member { deployment, process, started: now, ..Member::default() };
                found.insert(consumer, member.found());
                self.members.insert(consumer, member);
            } else if is_lock_free(&folder) {
                let last = ProcessRecord::load(&folder);
                ended.extend(last.map(|record| (consumer, ProcessId::Pid(record.pid))));
            } else {
                warn!(%consumer, "a process that is not known holds the lock of a consumer");
            }
        }
        self.seen.push_back(FleetEvent::Surveyed { found, ended });
    }

    fn consumers_on_disk(&self) -> Vec<ConsumerId> {
        let Ok(folders) = fs::read_dir(&self.settings.folder) else { return vec![] };
        let names = folders.filter_map(|folder| folder.ok()?.file_name().into_string().ok());
        names.filter_map(|name| name.parse().ok().map(ConsumerId)).collect()
    }

    fn look(&mut self) {
        let now = Clock.now();
        let consumers: Vec<ConsumerId> = self.members.keys().copied().collect();
        for consumer in consumers {
            let Some(mut member) = self.members.remove(&consumer) else { continue };
            self.notice_end(consumer, &mut member, now);
            if member.leaving.is_none() && member.process.is_none() && now >= member.start_at {
                self.start(consumer, &mut member, now);
            }
            member.insist(self.grace, now);
            if member.leaving.is_some() && member.process.is_none() {
                self.seen.push_back(FleetEvent::Removed { consumer });
            } else {
                self.members.insert(consumer, member);
            }
        }
        if now.saturating_since(self.logs_looked_at) >= LOG_INTERVAL {
            self.logs_looked_at = now;
            self.rotate_logs();
        }
    }

    fn notice_end(&mut self, consumer: ConsumerId, member: &mut Member, now: Moment) {
        let Some(process) = &mut member.process else { return };
        let Some(how) = process.ended() else { return };
        let is_expected = member.leaving.is_some();
        let process = ProcessId::Pid(process.pid());
        member.process = None;
        member.restarting = None;
        let reason = how.clone();
        self.seen.push_back(FleetEvent::Exited { consumer, process, how, is_expected });
        if !is_expected {
            self.fail(consumer, member, reason, now);
        }
    }

    fn start(&mut self, consumer: ConsumerId, member: &mut Member, now: Moment) {
        let launch = self.settings.launch(consumer, &member.deployment);
        let folder = self.settings.folder_of(consumer);
        member.started = now;
        match Process::start(&launch, &folder, &member.deployment) {
            Ok(process) => {
                let id = ProcessId::Pid(process.pid());
                member.process = Some(process);
                self.seen.push_back(FleetEvent::Started { consumer, process: id });
            }
            Err(error) => self.fail(consumer, member, Chain(&error).to_string(), now),
        }
    }

    /// Starts it again, after a while that grows with each failure that follows another. Those that
    /// failed together do not all come back at once.
    fn fail(&mut self, consumer: ConsumerId, member: &mut Member, reason: String, now: Moment) {
        let was_stable = now.saturating_since(member.started) >= STABLE;
        member.failures = if was_stable { 1 } else { member.failures + 1 };
        member.start_at = now + RESTART.delay(member.failures, &mut self.rng);
        let failures = member.failures;
        self.seen.push_back(FleetEvent::Failing { consumer, failures, reason });
    }

    fn rotate_logs(&self) {
        for consumer in self.members.keys() {
            if let Err(error) = rotate_log(&self.settings.folder_of(*consumer)) {
                warn!(%consumer, error = %Chain(&error), "the log of a consumer was not rotated");
            }
        }
    }
}

impl Member {
    fn found(&self) -> Found {
        let process = self.process.as_ref().map(|process| ProcessId::Pid(process.pid()));
        Found { process, deployment: self.deployment.clone() }
    }

    fn insist(&mut self, grace: Grace, now: Moment) {
        let Some(process) = &self.process else { return };
        if self.restarting.is_some_and(|asked| now.saturating_since(asked) >= grace.signal) {
            process.kill();
        }
        let Some(leaving) = &mut self.leaving else { return };
        match leaving.terminated {
            None if now.saturating_since(leaving.since) >= grace.command => {
                process.terminate();
                leaving.terminated = Some(now);
            }
            Some(terminated) if now.saturating_since(terminated) >= grace.signal => process.kill(),
            None | Some(_) => {}
        }
    }
}

impl FleetDriver for ProcessFleet {
    async fn command(&mut self, command: FleetCommand) {
        match command {
            FleetCommand::Survey { .. } => self.survey(),
            FleetCommand::Create { consumer, deployment } => {
                let member = self.members.entry(consumer).or_default();
                member.leaving = None;
                member.deployment = deployment;
            }
            FleetCommand::Remove { consumer } => match self.members.get_mut(&consumer) {
                Some(member) => {
                    let leaving = Leaving { since: Clock.now(), terminated: None };
                    member.leaving.get_or_insert(leaving);
                }
                None => self.seen.push_back(FleetEvent::Removed { consumer }),
            },
            FleetCommand::Restart { consumer } => {
                if let Some(member) = self.members.get_mut(&consumer)
                    && let Some(process) = &member.process
                {
                    process.terminate();
                    member.restarting = Some(Clock.now());
                }
            }
            // Processes of this machine do not go missing.
            FleetCommand::Bury { .. } => {}
            FleetCommand::Release => self.members.clear(),
        }
        self.look();
    }

    async fn observe(&mut self) -> FleetEvent {
        loop {
            if let Some(event) = self.seen.pop_front() {
                return event;
            }
            sleep(LOOK_INTERVAL).await;
            self.look();
        }
    }

    async fn shut_down(&mut self) {
        let now = Clock.now();
        info!(consumers = self.members.len(), "asked all consumers to end");
        for member in self.members.values_mut() {
            // Who is on its way out by a command is asked as well: both mean the same.
            if let Some(process) = &member.process {
                process.terminate();
            }
            member.leaving = Some(Leaving { since: now, terminated: Some(now) });
        }
        while !self.members.is_empty() {
            self.look();
            self.seen.clear();
            sleep(LOOK_INTERVAL).await;
        }
    }
}
