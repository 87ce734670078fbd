//! IO. The services that are kept running, as a service manager does: a monitor and two orchestrators.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use common::clock::Clock;
use common::moment::Moment;
use rustix::process::Signal;
use serde_json::Value;

use crate::harness::http::Http;
use crate::harness::process::{Process, ending};
use crate::harness::system::SystemPlan;

/// A page that is not there soon is not there.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);
/// Whoever ended by itself is started again after this.
const START_PAUSE: Duration = Duration::from_secs(1);
/// How long the whole system may take to end, its consumers included.
const END: Duration = Duration::from_secs(60);

/// Which service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Seat {
    Monitor,
    One,
    Two,
}

/// The running services. Dropping it kills them.
#[derive(Debug)]
pub struct Crew {
    plan: SystemPlan,
    http: Http,
    services: Vec<Service>,
    ended: Vec<String>,
}

#[derive(Debug)]
struct Service {
    seat: Seat,
    process: Option<Process>,
    address: Option<String>,
    /// When it is started if it does not run.
    start_at: Moment,
    is_frozen: bool,
}

impl Seat {
    const ALL: [Self; 3] = [Self::Monitor, Self::One, Self::Two];
    const ORCHESTRATORS: [Self; 2] = [Self::One, Self::Two];

    fn name(self) -> &'static str {
        match self {
            Self::Monitor => "monitor",
            Self::One => "orchestrator-1",
            Self::Two => "orchestrator-2",
        }
    }
}

impl Crew {
    /// Nobody runs before the first [`Crew::supervise`].
    pub fn new(plan: SystemPlan) -> anyhow::Result<Self> {
        let http = Http::new(ANSWER_WITHIN)?;
        let idle = |seat| Service {
            seat,
            process: None,
            address: None,
            start_at: Clock.now(),
            is_frozen: false,
        };
        Ok(Self { plan, http, services: Seat::ALL.map(idle).into(), ended: Vec::new() })
    }

    pub fn plan(&self) -> &SystemPlan {
        &self.plan
    }

    /// What ended without having been ended.
    pub fn ended(&self) -> &[String] {
        &self.ended
    }

    /// Starts whoever is to run and does not.
    pub fn supervise(&mut self) -> anyhow::Result<()> {
        let now = Clock.now();
        for service in &mut self.services {
            if let Some(status) = service.process.as_mut().and_then(Process::status) {
                let name = service.seat.name();
                let pid = service.process.as_ref().map(Process::id);
                let is_meant = pid.is_some_and(|pid| died_as_told(&self.plan.crash_points(), pid));
                let last = service.process.take().map(|process| last_words(&process.output()));
                let last = last.unwrap_or_default();
                if !is_meant {
                    self.ended.push(format!("{name} with {}: {last}", ending(status)));
                }
                service.start_at = now + START_PAUSE;
            }
            if service.process.is_none() && now >= service.start_at {
                let command = command(&self.plan, service.seat)?;
                let (name, log) = (service.seat.name(), self.plan.log(service.seat.name()));
                service.process = Some(Process::start(name, command, &log)?);
                service.address = None;
            }
        }
        Ok(())
    }

    /// Kills a service, which is started again after `pause`.
    pub fn kill(&mut self, seat: Seat, pause: Duration) -> anyhow::Result<()> {
        let service = self.service(seat);
        let mut process = service.process.take().with_context(|| seat.name())?;
        process.signal(Signal::KILL)?;
        process.wait(END)?;
        // Its group is its own: consumers have groups of theirs.
        service.start_at = Clock.now() + pause;
        Ok(())
    }

    pub fn freeze(&mut self, seat: Seat) -> anyhow::Result<()> {
        let service = self.service(seat);
        service.process.as_ref().with_context(|| seat.name())?.signal(Signal::STOP)?;
        service.is_frozen = true;
        Ok(())
    }

    pub fn thaw(&mut self, seat: Seat) -> anyhow::Result<()> {
        let service = self.service(seat);
        service.is_frozen = false;
        service.process.as_ref().with_context(|| seat.name())?.signal(Signal::CONT)?;
        Ok(())
    }

    /// The orchestrator that says that it leads, with its status.
    pub fn leader(&mut self) -> Option<(Seat, Value)> {
        let statuses = Seat::ORCHESTRATORS.map(|seat| Some((seat, self.status(seat)?)));
        let leads = |(_, status): &(Seat, Value)| status["role"] == "leading";
        statuses.into_iter().flatten().find(leads)
    }

    /// Those that run, by their kind.
    pub fn pids(&self) -> Vec<(&'static str, u32)> {
        let kind = |seat| if seat == Seat::Monitor { "monitor" } else { "orchestrator" };
        let running = self.services.iter();
        running.filter_map(|one| Some((kind(one.seat), one.process.as_ref()?.id()))).collect()
    }

    /// Whether both orchestrators run.
    pub fn has_standby(&self) -> bool {
        let running = self.services.iter().filter(|one| one.process.is_some() && !one.is_frozen);
        running.filter(|one| Seat::ORCHESTRATORS.contains(&one.seat)).count() > 1
    }

    /// Asks everything to end, consumers first, and waits for it.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        for service in self.services.iter_mut().rev() {
            let Some(mut process) = service.process.take() else { continue };
            let status = process.stop(END)?;
            if !status.success() {
                let name = process.name();
                return Err(anyhow!("{name} ended with {}\n{}", ending(status), process.tail()));
            }
        }
        Ok(())
    }

    /// Kills everybody.
    pub fn abandon(&mut self) {
        self.services.iter_mut().for_each(|service| service.process = None);
    }

    fn status(&mut self, seat: Seat) -> Option<Value> {
        let service = self.services.iter_mut().find(|service| service.seat == seat)?;
        let process = service.process.as_ref().filter(|_| !service.is_frozen)?;
        if service.address.is_none() {
            service.address = process.served_address();
        }
        let url = format!("http://{}/status", service.address.as_ref()?);
        let page = self.http.get(&url).ok()?;
        serde_json::from_str(&page.text).ok()
    }

    fn service(&mut self, seat: Seat) -> &mut Service {
        let found = self.services.iter_mut().find(|service| service.seat == seat);
        found.expect("there is one for each seat")
    }
}

fn command(plan: &SystemPlan, seat: Seat) -> anyhow::Result<Command> {
    let state = |name| plan.folder.join("state").join(name);
    Ok(match seat {
        Seat::Monitor => plan.monitor()?,
        Seat::One => mortal(plan, plan.orchestrator(&state("1"))?),
        Seat::Two => mortal(plan, plan.orchestrator(&state("2"))?),
    })
}

/// It dies where it is told to, and so do the consumers that it starts.
fn mortal(plan: &SystemPlan, mut command: Command) -> Command {
    command.env("CRASH_POINTS", plan.crash_points());
    command
}

/// Whether it came to the place where it was to die.
fn died_as_told(crash_points: &Path, pid: u32) -> bool {
    let files = fs::read_dir(crash_points).into_iter().flatten().flatten();
    let pid = pid.to_string();
    files.filter_map(|file| file.file_name().into_string().ok()).any(|name| {
        let mut parts = name.split('.');
        parts.any(|part| part == pid)
    })
}

fn last_words(output: &str) -> String {
    let last = output.lines().rev().find(|line| !line.trim().is_empty());
    last.unwrap_or("it said nothing").to_owned()
}
