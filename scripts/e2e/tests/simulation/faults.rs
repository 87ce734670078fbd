//! Pure. What goes wrong, and what people ask for: drawn at every step.

use std::mem;
use std::time::Duration;

use common::identity::ConsumerId;
use common::messages::request::{StartConsuming, StateQuery, StopConsuming};
use common::messages::{Extra, Message};
use common::partition::TopicPartition;
use orchestrator::conductor::action::Destination;
use rand::RngExt as _;

use super::forge;
use super::history::note;
use super::kafka::{Payload, Record};
use super::outside::Outside;
use super::world::{CONSUMERS, Left, World};

const PARTITIONS_MAX: usize = 5;

impl World {
    /// Something happens, now and then.
    pub(crate) fn inflict(&mut self) {
        self.create_topic_anew();
        match self.outside.rng.random_range(0..2_400) {
            0..4 => self.kill(),
            4..14 => self.freeze(),
            14..17 => self.drain(),
            17..20 => self.kill_orchestrator(),
            20..23 => self.freeze_orchestrator(),
            23..25 => self.lose_volume(),
            25..30 => self.step_clock(),
            30..31 => self.grow_topic(),
            31..32 => self.delete_topic(),
            32..33 => self.spoil_service(),
            33..43 => self.overtake(),
            43..110 => self.ask(),
            110..124 => self.monitor.change(&mut self.outside),
            124..125 => {
                let back_at = self.later(30);
                self.monitor.end(back_at);
            }
            150..162 => self.cut(),
            162..165 => self.lose_partition_leader(),
            125..150 => forge::forge(&mut self.outside),
            _ => {}
        }
    }

    fn later(&mut self, seconds_max: u64) -> common::moment::Moment {
        let ms = self.outside.rng.random_range(0..1_000 * seconds_max);
        self.outside.now + Duration::from_millis(ms)
    }

    fn some_process(&mut self) -> Option<u32> {
        let count = self.processes.len();
        if count == 0 {
            return None;
        }
        self.processes.keys().nth(self.outside.rng.random_range(0..count)).copied()
    }

    fn kill(&mut self) {
        let Some(pid) = self.some_process() else { return };
        self.kill_process(pid);
    }

    pub(crate) fn kill_process(&mut self, pid: u32) {
        note(None, || format!("process {pid} was killed"));
        self.outside.seen.kills += 1;
        self.processes.remove(&pid);
        self.outside.network.forget(pid);
    }

    fn freeze(&mut self) {
        let until = self.later(25);
        let Some(pid) = self.some_process() else { return };
        note(None, || format!("process {pid} freezes until {:?}", until.as_duration()));
        self.outside.seen.freezes += 1;
        self.processes.get_mut(&pid).expect("it is there").frozen_until = until;
    }

    /// A process is cut off from the brokers, in one direction or in both, neither at once nor for as
    /// long.
    fn cut(&mut self) {
        let (from, until, deaf) = (self.later(4), self.later(25), self.later(12));
        let Some(pid) = self.some_process() else { return };
        note(None, || {
            format!("process {pid} is not heard from {from:?} to {until:?}, deaf until {deaf:?}")
        });
        self.outside.seen.cuts += 1;
        let now = self.outside.now;
        match self.outside.rng.random_range(0..4) {
            0 => self.outside.network.cut(pid, now..until, now),
            1 => self.outside.network.cut(pid, now..now, deaf),
            _ => self.outside.network.cut(pid, from..until, deaf),
        }
    }

    /// A consumer's partition of the controller topic can be neither written nor read for a while.
    fn lose_partition_leader(&mut self) {
        let until = self.later(60);
        let consumer = ConsumerId(self.outside.rng.random_range(1..=CONSUMERS));
        note(None, || format!("the partition of {consumer} has no leader until {until:?}"));
        self.outside.kafka.leaderless = (consumer, until);
    }

    fn drain(&mut self) {
        let Some(pid) = self.some_process() else { return };
        let process = self.processes.get_mut(&pid).expect("it is there");
        if process.is_awake(self.outside.now) {
            note(None, || format!("process {pid} was asked to end"));
            self.outside.seen.drains += 1;
            process.drain(&mut self.outside);
        }
    }

    fn kill_orchestrator(&mut self) {
        let index = self.outside.rng.random_range(0..2);
        let back_at = self.later(20);
        // Every third is asked to.
        if self.orchestrators[index].as_ref().is_some_and(|ended| ended.pid.is_multiple_of(3)) {
            self.ask_orchestrator_to_end(index);
        }
        self.end_orchestrator(index, back_at);
    }

    /// What it wrote before may arrive later than its farewell.
    pub(crate) fn ask_orchestrator_to_end(&mut self, index: usize) {
        let now = self.outside.now;
        if let Some(asked) = self.orchestrators[index].as_mut().filter(|o| o.is_awake(now)) {
            asked.leave(&mut self.outside);
        }
    }

    pub(crate) fn end_orchestrator(&mut self, index: usize, back_at: common::moment::Moment) {
        let Some(ended) = self.orchestrators[index].take() else { return };
        let pid = ended.pid;
        note(None, || format!("orchestrator {pid} ended"));
        self.outside.seen.leader_kills += 1;
        self.outside.network.forget(pid);
        let (mut state_dir, mut folders) = (ended.state_dir, ended.fleet.folders);
        if self.is_bad && self.outside.rng.random_ratio(1, 6) {
            self.outside.seen.volumes += 1;
            (state_dir, folders) = (format!("folder {index}, after {pid}"), Default::default());
        }
        self.left[index] = Left { state_dir, folders, back_at };
    }

    fn freeze_orchestrator(&mut self) {
        let (index, until) = (self.outside.rng.random_range(0..2), self.later(30));
        if let Some(orchestrator) = &mut self.orchestrators[index] {
            let pid = orchestrator.pid;
            note(None, || format!("orchestrator {pid} freezes until {:?}", until.as_duration()));
            self.outside.seen.leader_freezes += 1;
            orchestrator.frozen_until = until;
        }
    }

    /// The folder of a consumer is gone, or that of another has come in its place.
    fn lose_volume(&mut self) {
        let index = self.outside.rng.random_range(0..2);
        let Some(orchestrator) = &mut self.orchestrators[index] else { return };
        let folders = &mut orchestrator.fleet.folders;
        let one = ConsumerId(self.outside.rng.random_range(1..=CONSUMERS));
        let other = ConsumerId(self.outside.rng.random_range(1..=CONSUMERS));
        self.outside.seen.volumes += 1;
        if let Some(mut pid) = folders.remove(&one)
            && let Some(place) = folders.get_mut(&other)
        {
            mem::swap(&mut pid, place);
            folders.insert(one, pid);
        }
        note(None, || format!("the volumes of {one} and {other} were swapped, or one is lost"));
    }

    fn step_clock(&mut self) {
        self.outside.seen.clock_steps += 1;
        self.outside.calendar_ms = self.outside.rng.random_range(-100_000_000..100_000_000);
    }

    fn grow_topic(&mut self) {
        let Outside { kafka, seen, .. } = &mut self.outside;
        if let Some(topic) = kafka.topics.get_mut("orders")
            && topic.logs.len() < PARTITIONS_MAX
        {
            note(None, || "orders grows".into());
            seen.topics_grown += 1;
            topic.logs.push(Default::default());
        }
    }

    /// A topic is deleted, and created again at once or after a while.
    fn delete_topic(&mut self) {
        note(None, || "clicks is deleted".into());
        self.outside.kafka.delete_topic("clicks");
        let is_away = self.outside.rng.random_ratio(1, 2);
        self.clicks_back_at = if is_away { self.later(12) } else { self.outside.now };
    }

    pub(crate) fn create_topic_anew(&mut self) {
        let Outside { kafka, seen, now, .. } = &mut self.outside;
        if !kafka.topics.contains_key("clicks") && self.clicks_back_at <= *now {
            note(None, || "clicks is created anew".into());
            seen.topics_created_anew += 1;
            kafka.create_topic("clicks", 2);
        }
    }

    /// An entry that nobody can read leaves the one before.
    fn spoil_service(&mut self) {
        let topic = ["orders", "clicks", "deliveries"][self.outside.rng.random_range(0..3)];
        self.outside.kafka.service.push((format!("topic/{topic}"), Some("{\"table\":".into())));
    }

    /// Retention removes records, read or not.
    fn overtake(&mut self) {
        let Outside { kafka, seen, rng, .. } = &mut self.outside;
        let partitions: Vec<TopicPartition> = kafka.partitions().collect();
        let partition = &partitions[rng.random_range(0..partitions.len())];
        let topic = kafka.topics.get_mut(partition.topic()).expect("it was listed");
        let log = &mut topic.logs[partition.partition() as usize];
        log.start = rng.random_range(log.start..=log.end);
        let start = log.start;
        note(Some(partition), || format!("retention removes what is below {start}"));
        seen.retention += 1;
    }

    fn ask(&mut self) {
        let rng = &mut self.outside.rng;
        let topic = ["orders", "clicks"][rng.random_range(0..2)].to_owned();
        // One partition goes to and fro more often than others.
        let partition = if rng.random() { 0 } else { rng.random_range(0..4) };
        let partitions = if rng.random_ratio(1, 4) { vec![] } else { vec![partition] };
        let consumer = ConsumerId(rng.random_range(1..=CONSUMERS));
        let extra = Extra::new();
        let message: Message = match rng.random_range(0..10) {
            0..6 => StartConsuming { topic, partitions, consumer: Some(consumer), extra }.into(),
            6..8 => StartConsuming { topic, partitions, consumer: None, extra }.into(),
            8 => StopConsuming { topic, partitions, extra }.into(),
            _ => StateQuery { nonce: None, extra }.into(),
        };
        self.request(message);
    }

    pub(crate) fn request(&mut self, message: Message) {
        note(None, || format!("a person asks: {message:?}"));
        self.outside.seen.requests += 1;
        let record = Record::sound(Payload::from(message));
        self.outside.kafka.append(Destination::Requests, record);
    }
}
