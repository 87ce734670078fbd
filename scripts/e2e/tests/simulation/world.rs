//! Pure. Everything together, by one seed: what happens in a moment, and what is checked after it.

use std::collections::BTreeMap;
use std::time::Duration;

use common::identity::ConsumerId;
use common::moment::Moment;
use common::partition::TopicPartition;
use rand::rngs::ChaCha8Rng;
use rand::{RngExt as _, SeedableRng as _};

use super::fleet::Processes;
use super::history::{self, Invariant, broken, note};
use super::kafka::Record;
use super::lake::{Object, Put};
use super::lane::SinkOpening;
use super::monitor::Monitor;
use super::network::{Parcel, Receipt, Said};
use super::orchestrator::Orchestrator;
use super::outside::Outside;
use super::seen::Seen;

pub(crate) const CONSUMERS: u32 = 4;

pub(crate) struct World {
    pub(crate) outside: Outside,
    pub(crate) processes: Processes,
    /// One for each state directory, if it runs.
    pub(crate) orchestrators: [Option<Orchestrator>; 2],
    /// What is left of an orchestrator while it does not run, by its number.
    pub(crate) left: [Left; 2],
    pub(crate) monitor: Monitor,
    /// When a topic that was deleted is created again.
    pub(crate) clicks_back_at: Moment,
    /// While faults happen.
    pub(crate) is_bad: bool,
}

/// A state directory without its process.
#[derive(Debug, Default)]
pub(crate) struct Left {
    pub(crate) state_dir: String,
    pub(crate) folders: BTreeMap<ConsumerId, u32>,
    pub(crate) back_at: Moment,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let outside = Outside::new(CONSUMERS, ChaCha8Rng::seed_from_u64(seed));
        let left =
            |number: usize| Left { state_dir: format!("folder {number}"), ..Left::default() };
        let mut world = Self {
            outside,
            processes: Processes::new(),
            orchestrators: [None, None],
            left: [left(0), left(1)],
            monitor: Monitor::default(),
            clicks_back_at: Moment::default(),
            is_bad: true,
        };
        // Any of the two sinks, or both, whatever a history ends with.
        let topics = ["orders", "clicks"].into_iter().zip([8, 16]);
        let on_streams = topics.filter(|(_, bit)| seed & bit != 0);
        world.outside.on_streams = on_streams.map(|(topic, _)| topic.to_owned()).collect();
        let kafka = &mut world.outside.kafka;
        kafka.create_topic("orders", 4);
        kafka.create_topic("clicks", 2);
        for topic in ["orders", "clicks"] {
            kafka.service.push((format!("topic/{topic}"), Some("{}".into())));
        }
        world.restart_orchestrators();
        world
    }

    pub(crate) fn seen(&self) -> Seen {
        self.outside.seen.clone()
    }

    pub(crate) fn step(&mut self) {
        self.inflict();
        self.produce();
        self.go_on(90);
    }

    /// A moment passes, in which everybody gets something done.
    pub(crate) fn go_on(&mut self, ms: u64) {
        let passed = Duration::from_millis(self.outside.rng.random_range(0..ms));
        self.outside.now = self.outside.now + passed;
        history::set_time(self.outside.now.as_duration());
        self.deliver();
        for measured in self.monitor.turn(&mut self.outside) {
            for orchestrator in self.orchestrators.iter_mut().flatten() {
                orchestrator.measurements.push_back(measured.clone());
            }
        }
        for _ in 0..self.outside.rng.random_range(0..4) {
            self.turn_orchestrator();
        }
        for _ in 0..self.outside.rng.random_range(0..10) {
            self.turn_process();
        }
        self.restart_orchestrators();
    }

    /// What the sink takes to open, of those partitions that somebody opens.
    pub(crate) fn sink_openings(&self) -> impl Iterator<Item = (&TopicPartition, SinkOpening)> {
        self.processes.values().flat_map(|process| process.sink_openings(&self.outside))
    }

    fn turn_orchestrator(&mut self) {
        let index = self.outside.rng.random_range(0..2);
        let now = self.outside.now;
        if let Some(orchestrator) = self.orchestrators[index].as_mut().filter(|o| o.is_awake(now)) {
            orchestrator.turn(&mut self.processes, &mut self.outside);
        }
    }

    fn turn_process(&mut self) {
        if self.processes.is_empty() {
            return;
        }
        let index = self.outside.rng.random_range(0..self.processes.len());
        let (pid, process) = self.processes.iter_mut().nth(index).expect("within bounds");
        let pid = *pid;
        if !process.is_awake(self.outside.now) {
            return;
        }
        let opened = process.turn(&mut self.outside);
        self.look_at(pid, opened);
    }

    /// After a process did something.
    fn look_at(&mut self, pid: u32, opened: Option<TopicPartition>) {
        if let Some(partition) = opened {
            self.check_owners(pid, &partition);
        }
        if self.processes.get(&pid).is_some_and(|process| process.is_exited) {
            note(None, || format!("process {pid} ended as it was told"));
            self.processes.remove(&pid);
            self.outside.network.forget(pid);
        }
    }

    /// I4: whoever begins to read is the only one with a valid lease that does.
    fn check_owners(&self, pid: u32, partition: &TopicPartition) {
        if !self.processes[&pid].owns(partition, &self.outside) {
            return;
        }
        let others = self.processes.values().filter(|process| process.pid != pid);
        for other in others {
            if other.owns(partition, &self.outside) {
                let text = format!("{partition} is read by processes {pid} and {}", other.pid);
                broken(Invariant::I4, Some(partition), text);
            }
        }
    }

    fn deliver(&mut self) {
        let now = self.outside.now;
        while let Some((pid, parcel)) = self.outside.network.arrived(now) {
            if let Some(until) = self.outside.held_up_until(&parcel) {
                self.hold_up(pid, parcel, until);
                continue;
            }
            if let Some(receipt) = self.arrive(pid, parcel) {
                let Outside { network, rng, .. } = &mut self.outside;
                network.answer(pid, receipt, now, rng);
            }
        }
        let (processes, orchestrators) = (&self.processes, &self.orchestrators);
        let can_hear = |pid: u32| match processes.get(&pid) {
            Some(process) => process.is_awake(now),
            None => orchestrators.iter().flatten().all(|o| o.pid != pid || o.is_awake(now)),
        };
        let mut heard = vec![];
        while let Some(receipt) = self.outside.network.receipt(now, can_hear) {
            heard.push(receipt);
        }
        for (pid, receipt) in heard {
            self.hand_back(pid, receipt);
        }
    }

    /// It waits in the memory of who sent it: if that dies, it is gone. Heartbeats are not sent late.
    fn hold_up(&mut self, pid: u32, parcel: Parcel, until: Moment) {
        let lives = self.processes.contains_key(&pid)
            || self.orchestrators.iter().flatten().any(|orchestrator| orchestrator.pid == pid);
        let is_late = matches!(parcel, Parcel::Record { said: Said::Heartbeat { .. }, .. });
        if lives && !is_late {
            self.outside.network.hold(pid, parcel, until);
        }
    }

    fn hand_back(&mut self, pid: u32, receipt: Receipt) {
        if let Some(process) = self.processes.get_mut(&pid) {
            let opened = process.receive(receipt, &mut self.outside);
            return self.look_at(pid, opened);
        }
        let mut orchestrators = self.orchestrators.iter_mut().flatten();
        if let Some(orchestrator) = orchestrators.find(|orchestrator| orchestrator.pid == pid) {
            orchestrator.receive(&receipt);
        }
    }

    /// A broker or the sink does what it was asked.
    fn arrive(&mut self, pid: u32, parcel: Parcel) -> Option<Receipt> {
        match parcel {
            Parcel::Record { to, payload, said } => {
                let next = self.outside.kafka.append(to, Record::sound(payload));
                Some(match said {
                    Said::Heartbeat { incarnation, number } => {
                        Receipt::Heartbeat { incarnation, number }
                    }
                    Said::Answer { incarnation, number } => Receipt::Answer { incarnation, number },
                    Said::Command { consumer } => Receipt::Command { consumer, next },
                    Said::Other => return None,
                })
            }
            Parcel::Commit { partition, commit } => {
                let found = self.outside.kafka.log(&partition)?;
                let (id, offset) = (commit.position.topic_id, commit.offset());
                self.outside.check_committed(&partition, id, offset);
                let Outside { kafka, seen, .. } = &mut self.outside;
                let metadata = Some(commit.metadata());
                let before = kafka
                    .committed
                    .insert(partition.clone(), consumer::sink::Committed { offset, metadata });
                let is_late = before.is_some_and(|before| before.offset > offset && found.0 == id);
                seen.commits += 1;
                seen.late_commits += u64::from(is_late);
                Some(Receipt::Commit { partition, commit })
            }
            Parcel::Put { lane, object } => {
                let Outside { kafka, lake, seen, now, .. } = &mut self.outside;
                let is_owners =
                    self.processes.get(&pid).is_some_and(|p| p.has(&lane) && p.holds_lease(*now));
                let put = lake.put(Object { is_owners, ..(*object).clone() }, kafka);
                seen.puts += u64::from(matches!(put, Put::Stored));
                Some(Receipt::Put { lane, object, put })
            }
            Parcel::Call { lane, topic_id, number, call } => {
                let of = (lane.partition.clone(), topic_id);
                let (streams, mut around) = self.outside.service();
                let reply = streams.call(&of, call, &mut around);
                Some(Receipt::Reply { lane, number, reply })
            }
            Parcel::Append { lane, append } => {
                let (streams, mut around) = self.outside.service();
                let verdict = streams.append(&append, &mut around);
                Some(Receipt::Appended { lane, append, verdict })
            }
        }
    }

    /// Records are written, here and there.
    fn produce(&mut self) {
        let Outside { kafka, rng, .. } = &mut self.outside;
        if rng.random_ratio(1, 3) {
            let topic = ["orders", "clicks"][rng.random_range(0..2)];
            if let Some(topic) = kafka.topics.get_mut(topic) {
                let index = rng.random_range(0..topic.logs.len());
                topic.logs[index].end += rng.random_range(1..4);
            }
        }
    }

    fn restart_orchestrators(&mut self) {
        for index in 0..2 {
            if self.orchestrators[index].is_none() && self.left[index].back_at <= self.outside.now {
                let left = &self.left[index];
                let (state_dir, folders) = (left.state_dir.clone(), left.folders.clone());
                let started = Orchestrator::start(index, &state_dir, folders, &mut self.outside);
                self.orchestrators[index] = Some(started);
            }
        }
    }
}
