//! Pure. The fleet of one machine: what the real driver does with processes and folders, without either.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use common::identity::ConsumerId;
use common::moment::Moment;
use orchestrator::fleet::{FleetCommand, FleetEvent, Found, ProcessId};

use super::history::note;
use super::outside::Outside;
use super::process::Process;

const GRACE: Duration = Duration::from_secs(8);
const RESTART: Duration = Duration::from_millis(100);

/// All consumer processes, by their pid.
pub(crate) type Processes = BTreeMap<u32, Process>;

#[derive(Debug, Default)]
struct Member {
    pid: Option<u32>,
    start_at: Option<Moment>,
    failures: u32,
    /// Since when it is to be gone, and whether it was asked by a signal.
    leaving: Option<(Moment, bool)>,
    /// Its process is to be ended, and started again.
    is_restarting: bool,
}

#[derive(Debug)]
pub(crate) struct Fleet {
    /// The last process of each consumer's folder: what is left when the driver dies.
    pub(crate) folders: BTreeMap<ConsumerId, u32>,
    members: BTreeMap<ConsumerId, Member>,
    pub(crate) seen: VecDeque<FleetEvent>,
}

impl Fleet {
    pub(crate) fn new(folders: BTreeMap<ConsumerId, u32>) -> Self {
        Self { folders, members: BTreeMap::new(), seen: VecDeque::new() }
    }

    pub(crate) fn command(&mut self, command: FleetCommand, processes: &Processes, now: Moment) {
        match command {
            FleetCommand::Survey { .. } => self.survey(processes),
            FleetCommand::Create { consumer, .. } => {
                self.members.entry(consumer).or_default().leaving = None;
            }
            FleetCommand::Remove { consumer } => match self.members.get_mut(&consumer) {
                Some(member) => {
                    member.leaving.get_or_insert((now, false));
                }
                None => self.seen.push_back(FleetEvent::Removed { consumer }),
            },
            // The signal reaches whoever is awake, and it drains; the rest is as with any end.
            FleetCommand::Restart { consumer } => {
                if let Some(member) = self.members.get_mut(&consumer) {
                    member.is_restarting = true;
                }
            }
            FleetCommand::Bury { .. } => {}
            FleetCommand::Release => self.members.clear(),
        }
    }

    fn survey(&mut self, processes: &Processes) {
        let (mut found, mut ended) = (BTreeMap::new(), vec![]);
        for (consumer, pid) in &self.folders {
            // Who lives holds the folder's lock, whatever the folder is called by now.
            if let Some(process) = processes.get(pid) {
                if process.consumer == *consumer {
                    let process = Some(ProcessId::Pid(*pid));
                    found.insert(*consumer, Found { process, ..Found::default() });
                    self.members.entry(*consumer).or_default().pid = Some(*pid);
                }
            } else {
                ended.push((*consumer, ProcessId::Pid(*pid)));
            }
        }
        self.seen.push_back(FleetEvent::Surveyed { found, ended });
    }

    /// Looks after all members; processes are started and killed at once.
    pub(crate) fn look(&mut self, processes: &mut Processes, outside: &mut Outside) {
        let now = outside.now;
        let consumers: Vec<_> = self.members.keys().copied().collect();
        for consumer in consumers {
            let member = self.members.get_mut(&consumer).expect("it was listed");
            if let Some(pid) = member.pid.filter(|pid| !processes.contains_key(pid)) {
                member.pid = None;
                let is_expected = member.leaving.is_some();
                let how = "it is gone".to_owned();
                let process = ProcessId::Pid(pid);
                self.seen.push_back(FleetEvent::Exited { consumer, process, how, is_expected });
                if !is_expected {
                    member.failures += 1;
                    member.start_at = Some(now + RESTART * member.failures.min(50));
                    let (failures, reason) = (member.failures, "it is gone".to_owned());
                    self.seen.push_back(FleetEvent::Failing { consumer, failures, reason });
                }
            }
            let may_start = member.start_at.is_none_or(|at| now >= at);
            if member.leaving.is_none() && member.pid.is_none() && may_start {
                let process = Process::start(consumer, outside);
                let pid = process.pid;
                member.pid = Some(pid);
                processes.insert(pid, process);
                self.folders.insert(consumer, pid);
                let process = ProcessId::Pid(pid);
                self.seen.push_back(FleetEvent::Started { consumer, process });
            }
            let member = self.members.get_mut(&consumer).expect("it was listed");
            if std::mem::take(&mut member.is_restarting)
                && let Some(process) = member.pid.and_then(|pid| processes.get_mut(&pid))
                && process.is_awake(now)
            {
                process.drain(outside);
            }
            insist(member, processes, outside);
            if member.leaving.is_some() && member.pid.is_none() {
                self.members.remove(&consumer);
                self.seen.push_back(FleetEvent::Removed { consumer });
            }
        }
    }
}

/// First a signal, then another one that nobody can ignore.
fn insist(member: &mut Member, processes: &mut Processes, outside: &mut Outside) {
    let (Some((since, asked)), Some(pid)) = (&mut member.leaving, member.pid) else { return };
    if outside.now.saturating_since(*since) < GRACE {
        return;
    }
    let Some(process) = processes.get_mut(&pid) else { return };
    if !*asked {
        (*asked, *since) = (true, outside.now);
        // Who is frozen takes the signal when it wakes: here it is lost, which is harder.
        if process.is_awake(outside.now) {
            process.drain(outside);
        }
    } else {
        note(None, || format!("process {pid} was killed by its fleet"));
        processes.remove(&pid);
        outside.network.forget(pid);
    }
}
