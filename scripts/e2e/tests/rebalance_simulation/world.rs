//! Pure. Everything together, by one seed.

use std::collections::BTreeMap;
use std::time::Duration;

use common::identity::{ConsumerId, Incarnation};
use common::moment::Moment;
use common::partition::TopicPartition;
use orchestrator::rebalance::State;
use rand::rngs::ChaCha8Rng;
use rand::{RngExt as _, SeedableRng as _};

use super::broker::{Acknowledged, Broker};
use super::leader::Leader;
use super::process::{Chains, Process, Surroundings};

const CONSUMERS: u32 = 3;
const PARTITIONS: u32 = 5;

/// What has happened, so that a test can tell whether anything did.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) moves: u64,
    pub(crate) lapses: u64,
    pub(crate) fenced: u64,
    pub(crate) accepted: u64,
    pub(crate) refused: u64,
    pub(crate) failed_opens: u64,
    pub(crate) reigns: u64,
    pub(crate) kills: u64,
}

impl Seen {
    pub(crate) fn add(&mut self, other: &Self) {
        self.moves += other.moves;
        self.lapses += other.lapses;
        self.fenced += other.fenced;
        self.accepted += other.accepted;
        self.refused += other.refused;
        self.failed_opens += other.failed_opens;
        self.reigns += other.reigns;
        self.kills += other.kills;
    }
}

pub(crate) struct World {
    rng: ChaCha8Rng,
    now: Moment,
    broker: Broker,
    chains: Chains,
    processes: Vec<Process>,
    leader: Leader,
    /// Deposed ones that do not know it yet.
    former: Vec<Leader>,
    pids: u32,
    is_healed: bool,
    pub(crate) seen: Seen,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let now = Moment::since_boot(Duration::from_secs(1_000));
        let mut broker = Broker::new(CONSUMERS);
        let leader = Leader::begin(&mut broker, now, &mut rng);
        let mut world = Self {
            rng,
            now,
            broker,
            chains: Chains::new(),
            processes: vec![],
            leader,
            former: vec![],
            pids: 0,
            is_healed: false,
            seen: Seen::default(),
        };
        for consumer in 1..=CONSUMERS {
            world.start(ConsumerId(consumer));
        }
        world.replan();
        world
    }

    pub(crate) fn step(&mut self) {
        match self.rng.random_range(0..2_400) {
            0..4 => self.kill(),
            4..16 => self.freeze(),
            16..19 => self.replace_leader(),
            19..60 => self.replan(),
            60..63 => self.drain(),
            _ => {}
        }
        self.go_on(80);
    }

    /// A moment passes, in which everybody gets something done.
    fn go_on(&mut self, ms: u64) {
        self.now = self.now + Duration::from_millis(self.rng.random_range(0..ms));
        for _ in 0..self.rng.random_range(0..4) {
            self.deliver();
        }
        for _ in 0..self.rng.random_range(0..8) {
            self.turn_process();
        }
        for _ in 0..self.rng.random_range(0..6) {
            self.turn_leaders();
        }
        self.restart_exited();
        self.check();
    }

    /// The faults end: everything must reach its place, and then stay still.
    pub(crate) fn settle(&mut self) {
        self.is_healed = true;
        self.broker.badness = 0;
        self.former.clear();
        self.replan();
        for _ in 0..10_000 {
            self.go_on(40);
            if self.is_settled() {
                return;
            }
        }
        panic!("it does not settle: {:#?}", self.leader.rebalance.entries());
    }

    fn is_settled(&self) -> bool {
        let owned = self
            .leader
            .rebalance
            .entries()
            .values()
            .filter(|entry| matches!(entry.state, State::Owned { .. }));
        owned.count() == PARTITIONS as usize && self.leader.rebalance.is_settled()
    }

    fn around(&mut self) -> (Surroundings<'_>, &mut Vec<Process>) {
        let around = Surroundings {
            broker: &mut self.broker,
            chains: &mut self.chains,
            rng: &mut self.rng,
            seen: &mut self.seen,
            now: self.now,
            is_sink_bad: !self.is_healed,
        };
        (around, &mut self.processes)
    }

    fn start(&mut self, consumer: ConsumerId) {
        self.pids += 1;
        let pid = self.pids;
        let (mut around, processes) = self.around();
        let process = Process::start(consumer, pid, &mut around);
        processes.push(process);
    }

    /// A process dies, or seems to: its directory's lock is free only if it really did.
    fn kill(&mut self) {
        let index = self.rng.random_range(0..self.processes.len());
        let process = self.processes.remove(index);
        self.seen.kills += 1;
        if self.rng.random_bool(0.5) {
            self.leader.confirm_end(process.consumer, process.pid);
        }
        self.start(process.consumer);
    }

    fn freeze(&mut self) {
        let index = self.rng.random_range(0..self.processes.len());
        let frozen = Duration::from_secs(self.rng.random_range(1..25));
        self.processes[index].frozen_until = self.now + frozen;
    }

    fn drain(&mut self) {
        let index = self.rng.random_range(0..self.processes.len());
        let (mut around, processes) = self.around();
        processes[index].drain(&mut around);
    }

    fn restart_exited(&mut self) {
        let exited: Vec<_> =
            self.processes.iter().filter(|p| p.is_exited).map(|p| p.consumer).collect();
        self.processes.retain(|process| !process.is_exited);
        exited.into_iter().for_each(|consumer| self.start(consumer));
    }

    fn replace_leader(&mut self) {
        self.seen.reigns += 1;
        let next = Leader::begin(&mut self.broker, self.now, &mut self.rng);
        let former = std::mem::replace(&mut self.leader, next);
        if self.rng.random_bool(0.5) {
            self.former.push(former);
        }
        if self.former.len() > 2 {
            self.former.remove(0);
        }
    }

    fn replan(&mut self) {
        let mut owners = BTreeMap::new();
        for partition in 0..PARTITIONS {
            let is_read = self.is_healed || !self.rng.random_ratio(1, 20);
            let consumer = ConsumerId(self.rng.random_range(1..=CONSUMERS));
            if is_read {
                owners.insert(TopicPartition::new("orders", partition), consumer);
            }
        }
        let index = self.rng.random_range(0..=self.former.len());
        let (broker, seen) = (&mut self.broker, &mut self.seen);
        let leader = if self.is_healed || index == 0 {
            &mut self.leader
        } else {
            &mut self.former[index - 1]
        };
        leader.plan(owners, broker, self.now, seen);
    }

    fn turn_process(&mut self) {
        let index = self.rng.random_range(0..self.processes.len());
        let now = self.now;
        let (mut around, processes) = self.around();
        if processes[index].frozen_until <= now {
            processes[index].turn(&mut around);
        }
    }

    fn turn_leaders(&mut self) {
        let (broker, rng, seen) = (&mut self.broker, &mut self.rng, &mut self.seen);
        self.leader.turn(broker, self.now, rng, seen);
        for former in &mut self.former {
            former.turn(broker, self.now, rng, &mut Seen::default());
        }
    }

    fn deliver(&mut self) {
        self.broker.deliver(&mut self.rng);
        let acknowledged = std::mem::take(&mut self.broker.acknowledged);
        let now = self.now;
        for one in acknowledged {
            let (Acknowledged::Heartbeat { incarnation, .. }
            | Acknowledged::Answer { incarnation, .. }) = one;
            let (mut around, processes) = self.around();
            let receiver = find(processes, incarnation);
            // A frozen process reads it when it wakes; here it is lost, which is harder.
            if let Some(process) = receiver.filter(|process| process.frozen_until <= now) {
                process.acknowledge(&one, &mut around);
            }
        }
    }

    /// What the log says of one partition, for people who look for the reason.
    fn history(&self, partition: &TopicPartition) -> String {
        let leader = self.leader.rebalance.entries().get(partition);
        let mut lines = vec![format!("leader: {leader:?}")];
        let processes = self.processes.iter().map(|process| format!("{process:?}"));
        lines.extend(processes);
        lines.extend(self.broker.history(partition));
        lines.join("\n")
    }

    fn check(&self) {
        let mut open: BTreeMap<&TopicPartition, ConsumerId> = BTreeMap::new();
        for process in &self.processes {
            for partition in process.open_under_lease(self.now) {
                let other = open.insert(partition, process.consumer);
                assert!(other.is_none(), "{partition} has two owners\n{}", self.history(partition));
            }
        }
    }
}

fn find(processes: &mut [Process], incarnation: Incarnation) -> Option<&mut Process> {
    processes.iter_mut().find(|process| process.ownership.incarnation() == incarnation)
}
