//! A log in memory, a clock that is moved by hand, and consumers that obey at once.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use common::identity::{ConsumerId, Incarnation, TopicId};
use common::kafka::wire::cluster::{Cluster, Partition, Topic};
use common::messages::command::{Assign, LeaderStarted};
use common::messages::event::{
    Answer, BY_HAND, Heartbeat, PartitionAnswer, PartitionReport, PartitionState, Report, SINK_WAIT,
};
use common::messages::measurement::{Measurement, MeasurementState, PartitionMeasurement};
use common::messages::service::DeploymentEntry;
use common::messages::snapshot::Snapshot;
use common::messages::{Extra, Message};
use common::moment::{Moment, Timestamp};
use common::partition::TopicPartition;
use common::position::{HandOver, ReleaseId};
use common::rate::BytesPerSecond;
use common::term::{Generation, Term};
use orchestrator::conductor::action::{Action, Destination};
use orchestrator::conductor::input::{CommandsRead, Input, Now};
use orchestrator::conductor::{Conductor, Settings};
use orchestrator::fleet::{FleetCommand, FleetEvent, Found, ProcessId};
use orchestrator::inbox::Received;
use orchestrator::leadership::Lease;
use orchestrator::plan::policy::Policy;
use orchestrator::plan::snapshot::Limits;
use orchestrator::status::Status;
use orchestrator::trigger::TriggerPolicy;
use rand::SeedableRng as _;
use rand::rngs::ChaCha8Rng;
use uuid::Uuid;

const TICK: Duration = Duration::from_millis(200);
const CONSUMERS_MAX: u32 = 8;
/// On every partition, of a byte each.
const RECORDS: u64 = 1_000_000;
/// Messages of one partition, with their offsets.
type Log = Vec<(u64, Message)>;

pub(crate) struct Stage {
    conductor: Conductor,
    now: Now,
    inputs: VecDeque<Input>,
    /// Partition 0 of the controller topic, then one for each consumer.
    controller: BTreeMap<u32, Log>,
    events: Log,
    /// Under which generation the events are being read.
    reading: Option<Generation>,
    services: Vec<(String, Option<String>)>,
    partitions: u32,
    processes: BTreeMap<ConsumerId, Process>,
    seed: u64,
    standing_still: Option<u32>,
    /// Its partition of the controller topic has no leader.
    unreachable: Option<ConsumerId>,
    /// What was written to partition 0 and is not passed on, while nothing is.
    held: Option<Vec<Input>>,
    pub(crate) told_to_end: Vec<ConsumerId>,
    /// What the consumers of the fleet were created with.
    deployments: BTreeMap<ConsumerId, DeploymentEntry>,
    /// The fleet creates consumers that do not run.
    pub(crate) has_no_place: bool,
    /// Pods that need not be waited for.
    pub(crate) buried: Vec<String>,
    /// Messages that the orchestrator wrote.
    pub(crate) written: usize,
}

pub(crate) struct Standby {
    pub(crate) conductor: Conductor,
    now: Now,
    next: u64,
}

impl Standby {
    /// It reads these; whether it stands for leader at once.
    pub(crate) fn reads(&mut self, messages: &[Message]) -> bool {
        let mut stands = false;
        for message in messages {
            stands |= self.takes(Input::Requests(received(self.next, message.clone())));
            self.next += 1;
        }
        stands
    }

    /// It has read all that stood in the log when it began.
    pub(crate) fn is_at_the_end(&mut self) -> bool {
        self.takes(Input::RequestsEnd)
    }

    fn takes(&mut self, input: Input) -> bool {
        let actions = self.conductor.handle(input, self.now);
        let stands = |action: &Action| {
            matches!(action, Action::Write { message: Message::LeaderStarted(_), .. })
        };
        actions.iter().any(stands)
    }
}

struct Process {
    pid: u32,
    incarnation: Incarnation,
    answers: u64,
    beats: u64,
    reports: u64,
    beaten: Moment,
    generation: Generation,
    term: Term,
    held: BTreeMap<TopicPartition, Term>,
    released: Vec<PartitionAnswer>,
    is_frozen: bool,
    is_mute: bool,
    is_by_hand: bool,
}

/// The same rate for each of so many partitions.
pub(crate) fn rates(partitions: u32, rate: u64) -> Vec<u64> {
    (0..partitions).map(|_| rate).collect()
}

impl Stage {
    pub(crate) fn new() -> Self {
        let now = Now {
            moment: Moment::since_boot(Duration::from_secs(1_000)),
            timestamp: Timestamp(1_000),
        };
        Self {
            conductor: conductor(now, 1, 0),
            now,
            inputs: VecDeque::new(),
            controller: BTreeMap::new(),
            events: vec![],
            reading: None,
            services: vec![],
            partitions: 4,
            processes: BTreeMap::new(),
            seed: 1,
            standing_still: None,
            unreachable: None,
            held: None,
            told_to_end: vec![],
            deployments: BTreeMap::new(),
            has_no_place: false,
            buried: vec![],
            written: 0,
        }
    }

    /// So many partitions, all read, at this rate each. A consumer sustains 1,000.
    pub(crate) fn settled(partitions: u32, rate: u64) -> Self {
        let mut stage = Self::new();
        stage.partitions = partitions;
        stage.service("orders", Some("{}"));
        stage.start();
        stage.measure(&rates(partitions, rate));
        stage.pass(5_000);
        assert!(stage.status().is_settled, "{:#?}", stage.status());
        assert!(!stage.owners().contains(&0), "{:?}", stage.owners());
        stage
    }

    /// Four partitions that one consumer reads, and so many more that are ready.
    pub(crate) fn with_spares(spares: u32) -> Self {
        let mut stage = Self::new();
        stage.conductor = conductor(stage.now, 1, spares);
        stage.service("orders", Some("{}"));
        stage.start();
        stage.measure(&rates(4, 100));
        stage.pass(5_000);
        stage
    }

    /// What consumers run with from now on.
    pub(crate) fn deploy(&mut self, value: &str) {
        self.inputs.push_back(entry("deployment", Some(value.to_owned())));
        self.drain();
    }

    pub(crate) fn deployments(&self) -> Vec<&DeploymentEntry> {
        self.deployments.values().collect()
    }

    /// Passes all that stands in the topics, and waits until the orchestrator leads.
    pub(crate) fn start(&mut self) {
        for (offset, message) in self.controller.get(&0).cloned().unwrap_or_default() {
            self.inputs.push_back(Input::Requests(received(offset, message)));
        }
        self.inputs.push_back(Input::RequestsEnd);
        for (key, value) in self.services.clone() {
            self.inputs.push_back(entry(&key, value));
        }
        self.inputs.push_back(Input::ServiceEnd);
        self.drain();
        self.pass(1_000);
        assert!(self.conductor.is_leading(), "nobody else can");
    }

    pub(crate) fn service(&mut self, topic: &str, value: Option<&str>) {
        let (key, value) = (format!("topic/{topic}"), value.map(str::to_owned));
        self.services.push((key.clone(), value.clone()));
        if self.conductor.is_leading() {
            self.inputs.push_back(entry(&key, value));
            self.drain();
        }
    }

    pub(crate) fn lose_service_topic(&mut self) {
        self.services.clear();
    }

    pub(crate) fn request(&mut self, message: Message) {
        self.append(0, message);
        self.drain();
    }

    pub(crate) fn measure(&mut self, rates: &[u64]) {
        self.measure_committed(rates, RECORDS);
    }

    /// The same, and nothing of it was read.
    pub(crate) fn measure_unread(&mut self, rates: &[u64]) {
        self.measure_committed(rates, 0);
    }

    fn measure_committed(&mut self, rates: &[u64], committed: u64) {
        let partitions = (0..).zip(rates).map(|(partition, rate)| PartitionMeasurement {
            topic: "orders".into(),
            partition,
            rate: BytesPerSecond(*rate),
            filtered: BytesPerSecond(*rate),
            burst: BytesPerSecond(*rate),
            size: RECORDS,
            log_start: 0,
            high_watermark: RECORDS,
            committed: Some(committed),
            lag: Some(RECORDS - committed),
            lag_seconds: None,
            bytes_per_record: 1.0,
            state: MeasurementState::Steady,
        });
        self.inputs.push_back(Input::Measured(Measurement {
            measured_at: 0,
            monitor: "m".into(),
            sequence: 0,
            chunk: 0,
            chunks: 1,
            interval_ms: 1_000,
            window_ms: 30_000,
            partitions: partitions.collect(),
        }));
        self.drain();
    }

    /// Every consumer tells what it did in the last second: so many bytes of each partition, and for
    /// how much of the time it could only wait for its sink.
    pub(crate) fn report(&mut self, bytes: u64, sink_wait_permille: u32) {
        let mut reports = vec![];
        for (consumer, process) in &mut self.processes {
            process.reports += 1;
            let position = process.reports * bytes;
            let standing_still = self.standing_still;
            let partitions = process.held.keys().map(|partition| PartitionReport {
                partition: partition.clone(),
                position: if standing_still == Some(partition.partition()) { 0 } else { position },
                stored: position,
                high_watermark: None,
                records: bytes,
                bytes,
                rows_stored: position,
                dead_letters: 0,
                latency_max_ms: None,
            });
            let wait = (SINK_WAIT.to_owned(), sink_wait_permille.to_string());
            reports.push(Report {
                consumer: *consumer,
                incarnation: process.incarnation,
                reported_at_ms: self.now.timestamp.0,
                interval_ms: 1_000,
                busy_permille: 0,
                buffered_bytes: 0,
                partitions: partitions.collect(),
                extra: [wait].into(),
            });
        }
        reports.into_iter().for_each(|report| self.tell(report.into()));
        self.drain();
    }

    /// The same, but nobody reads anything of one partition.
    pub(crate) fn report_standstill(&mut self, partition: u32, bytes: u64) {
        self.standing_still = Some(partition);
        self.report(bytes, 0);
        self.standing_still = None;
    }

    /// It goes on to send heartbeats and answers nothing.
    pub(crate) fn mute(&mut self, consumer: ConsumerId) {
        self.processes.get_mut(&consumer).unwrap().is_mute = true;
    }

    /// Its partition of the controller topic can be neither written nor read from now on.
    pub(crate) fn lose_reach(&mut self, consumer: ConsumerId) {
        self.unreachable = Some(consumer);
    }

    pub(crate) fn regain_reach(&mut self) {
        self.unreachable = None;
        let generation = self.reading.unwrap();
        self.inputs.push_back(Input::Reachable { generation });
        self.drain();
    }

    /// From now on nothing is read on partition 0.
    pub(crate) fn hold_requests(&mut self) {
        self.held = Some(vec![]);
    }

    /// All of it is read.
    pub(crate) fn pass_on_requests(&mut self) {
        self.inputs.extend(self.held.take().unwrap_or_default());
        self.drain();
    }

    /// The topic gains partitions.
    pub(crate) fn create_partitions(&mut self, partitions: u32) {
        self.partitions = partitions;
        self.obey(Action::AskFor(["orders".to_owned()].into()));
        self.drain();
    }

    pub(crate) fn log_of(&self, partition: u32) -> Vec<Message> {
        self.controller[&partition].iter().map(|(_, message)| message.clone()).collect()
    }

    pub(crate) fn commands(&self, consumer: ConsumerId) -> usize {
        let is_command = |message: &Message| matches!(message, Message::Assign(_));
        self.log_of(consumer.0).into_iter().filter(is_command).count()
    }

    /// Lets time go by.
    pub(crate) fn pass(&mut self, milliseconds: u64) {
        let end = self.now.moment + Duration::from_millis(milliseconds);
        while self.now.moment < end {
            self.now.moment = self.now.moment + TICK;
            self.now.timestamp.0 += 200;
            self.beat();
            self.inputs.push_back(Input::Tick);
            self.drain();
        }
    }

    pub(crate) fn status(&self) -> Status {
        self.conductor.status(self.now)
    }

    /// The owner of each partition by what consumers say of themselves, 0 for none.
    pub(crate) fn owners(&self) -> Vec<u32> {
        let owner = |partition| {
            let partition = TopicPartition::new("orders", partition);
            let holds = |process: &&Process| process.held.contains_key(&partition);
            let mut holders =
                self.processes.iter().filter(|(_, process)| !process.is_frozen && holds(process));
            let holder = holders.next().map_or(0, |(consumer, _)| consumer.0);
            assert!(holders.next().is_none(), "two hold {partition}");
            holder
        };
        (0..self.partitions).map(owner).collect()
    }

    pub(crate) fn held(&self) -> usize {
        self.processes.values().map(|process| process.held.len()).sum()
    }

    /// The process ends and another one is started in its place, as the fleet does.
    pub(crate) fn crash(&mut self, consumer: ConsumerId) {
        let pid = self.processes.remove(&consumer).unwrap().pid;
        let how = "signal 9".into();
        let process = ProcessId::Pid(pid);
        let exited = FleetEvent::Exited { consumer, process, how, is_expected: false };
        self.inputs.push_back(Input::Fleet(exited));
        self.launch(consumer);
        self.drain();
    }

    /// The same, as one of several failures in a row.
    pub(crate) fn fail(&mut self, consumer: ConsumerId, failures: u32) {
        if !self.processes.contains_key(&consumer) {
            return;
        }
        self.crash(consumer);
        let reason = "signal 9".into();
        self.inputs.push_back(Input::Fleet(FleetEvent::Failing { consumer, failures, reason }));
        self.drain();
    }

    pub(crate) fn freeze(&mut self, consumer: ConsumerId) {
        self.processes.get_mut(&consumer).unwrap().is_frozen = true;
    }

    /// It notices that its lease lapsed: it drops everything and takes a new incarnation.
    pub(crate) fn come_back(&mut self, consumer: ConsumerId) {
        let pid = self.processes[&consumer].pid;
        self.launch(consumer);
        self.inputs.clear();
        let process = self.processes.get_mut(&consumer).unwrap();
        process.pid = pid;
    }

    /// The orchestrator dies, and another one starts with the same folder.
    pub(crate) fn replace_orchestrator(&mut self) {
        self.inputs.clear();
        self.reading = None;
        self.seed += 1;
        self.conductor = conductor(self.now, self.seed, 0);
        self.start();
    }

    /// What it says last.
    pub(crate) fn farewell(&mut self) -> Option<Message> {
        self.conductor.farewell()
    }

    /// Another orchestrator with another folder, to which nothing was told yet.
    pub(crate) fn standby(&self) -> Standby {
        Standby { conductor: conductor_in("another", self.now, 99, 0), now: self.now, next: 0 }
    }

    /// Another orchestrator, of which nothing else is known, writes that it leads.
    pub(crate) fn depose(&mut self) {
        let started = LeaderStarted {
            nonce: common::identity::Nonce(5),
            author: "other".into(),
            generation: None,
            controller_topic_id: controller_topic_id(),
            extra: Extra::new(),
        };
        self.append(0, started.into());
        self.drain();
    }

    pub(crate) fn last_snapshot(&self) -> Option<Snapshot> {
        self.snapshot().map(|(_, snapshot)| snapshot)
    }

    fn snapshot(&self) -> Option<(u64, Snapshot)> {
        self.controller[&0].iter().rev().find_map(|(offset, message)| match message {
            Message::Snapshot(snapshot) => Some((*offset, snapshot.clone())),
            _ => None,
        })
    }

    /// Retention removes what the last snapshot includes.
    pub(crate) fn forget_before_snapshot(&mut self) {
        let (first, snapshot) = self.snapshot().expect("one was written");
        self.controller.get_mut(&0).unwrap().retain(|(offset, _)| *offset >= first);
        self.events.retain(|(offset, _)| *offset >= snapshot.events_offset);
        for (number, next) in snapshot.controller_offsets {
            if let Some(log) = self.controller.get_mut(&number.parse().unwrap()) {
                log.retain(|(offset, _)| *offset >= next);
            }
        }
    }

    fn drain(&mut self) {
        while let Some(input) = self.inputs.pop_front() {
            for action in self.conductor.handle(input, self.now) {
                self.obey(action);
            }
        }
    }

    fn obey(&mut self, action: Action) {
        match action {
            Action::Write { to, message } => {
                self.written += 1;
                match to {
                    Destination::Requests => self.append(0, message),
                    Destination::Events => self.tell(message),
                    Destination::Consumer(consumer) if self.unreachable == Some(consumer) => {}
                    Destination::Consumer(consumer) => {
                        self.append(consumer.0, message.clone());
                        let next = self.controller[&consumer.0].last().unwrap().0 + 1;
                        self.inputs.push_back(Input::Written { consumer, next });
                        match message {
                            Message::Assign(assign) => self.command(consumer, &assign),
                            Message::LeaderStarted(_) => {}
                            other => panic!("{other:?}"),
                        }
                    }
                }
            }
            Action::TakeOver(reading) => {
                let mut read =
                    CommandsRead { generation: reading.generation, ..CommandsRead::default() };
                for (consumer, start) in reading.starts {
                    if self.unreachable == Some(consumer) {
                        continue;
                    }
                    let started = LeaderStarted {
                        nonce: reading.nonce,
                        author: "me".into(),
                        generation: Some(reading.generation),
                        controller_topic_id: controller_topic_id(),
                        extra: Extra::new(),
                    };
                    self.append(consumer.0, started.into());
                    if let Some(process) = self.processes.get_mut(&consumer) {
                        process.generation = reading.generation;
                    }
                    let log = &self.controller[&consumer.0];
                    read.next.push((consumer, log.last().unwrap().0 + 1));
                    let from = start.unwrap_or(0);
                    let wanted = log.iter().filter(|(offset, _)| *offset >= from);
                    read.messages.extend(wanted.map(|(_, message)| (consumer, message.clone())));
                }
                self.inputs.push_back(Input::Commands(read));
            }
            Action::ReadEvents { generation, from } => {
                self.reading = Some(generation);
                for (offset, message) in self.events.clone() {
                    if offset >= from.unwrap_or(0) {
                        let received = received(offset, message);
                        self.inputs.push_back(Input::Event { generation, received });
                    }
                }
            }
            Action::AskFor(asked) => {
                let partition = Partition { leader: None, leader_epoch: None };
                let topic = Topic {
                    id: TopicId(Uuid::from_u128(7)),
                    is_internal: false,
                    partitions: (0..self.partitions).map(|number| (number, partition)).collect(),
                };
                let topics = [("orders".to_owned(), topic)].into();
                let cluster = Cluster { topics, ..Cluster::default() };
                self.inputs.push_back(Input::Topics { asked, cluster });
            }
            Action::Fleet(command) => self.fleet(command),
            Action::Decided(_) | Action::Publish(_) | Action::Note(_) => {}
            Action::Fail(why) => panic!("{why}"),
        }
    }

    fn fleet(&mut self, command: FleetCommand) {
        match command {
            FleetCommand::Survey { .. } => {
                let led = self.processes.iter().filter(|(_, process)| !process.is_by_hand);
                let found = led.map(|(consumer, process)| (*consumer, process.found())).collect();
                let ended = vec![];
                self.inputs.push_back(Input::Fleet(FleetEvent::Surveyed { found, ended }));
            }
            FleetCommand::Create { consumer, deployment } => {
                self.deployments.insert(consumer, deployment);
                self.launch(consumer);
            }
            // It was told to end and holds nothing; or it cannot be told, and is killed.
            FleetCommand::Remove { consumer } => {
                self.told_to_end.push(consumer);
                self.deployments.remove(&consumer);
                if let Some(process) = self.processes.remove(&consumer) {
                    let (process, how) = (ProcessId::Pid(process.pid), "exit status 0".into());
                    let exited = FleetEvent::Exited { consumer, process, how, is_expected: true };
                    self.inputs.push_back(Input::Fleet(exited));
                }
                self.inputs.push_back(Input::Fleet(FleetEvent::Removed { consumer }));
            }
            FleetCommand::Restart { consumer } => self.crash(consumer),
            FleetCommand::Bury { pod, .. } => self.buried.push(pod),
            FleetCommand::Release => {}
        }
    }

    /// Tells what the fleet sees.
    pub(crate) fn see(&mut self, event: FleetEvent) {
        self.inputs.push_back(Input::Fleet(event));
        self.drain();
    }

    /// The fleet has found a place for a consumer.
    pub(crate) fn give_place(&mut self, consumer: ConsumerId) {
        self.launch(consumer);
        self.drain();
    }

    fn launch(&mut self, consumer: ConsumerId) {
        if self.has_no_place {
            return;
        }
        self.seed += 1;
        let pid = u32::try_from(self.seed).unwrap();
        let generation = self.reading.unwrap_or_default();
        let process = Process {
            pid,
            incarnation: Incarnation(u128::from(self.seed)),
            answers: 0,
            beats: 0,
            reports: 0,
            beaten: Moment::default(),
            generation,
            term: Term::default(),
            held: BTreeMap::new(),
            released: vec![],
            is_frozen: false,
            is_mute: false,
            is_by_hand: false,
        };
        self.processes.insert(consumer, process);
        let process = ProcessId::Pid(pid);
        self.inputs.push_back(Input::Fleet(FleetEvent::Started { consumer, process }));
    }

    /// A person starts a consumer, of which no fleet knows.
    pub(crate) fn launch_by_hand(&mut self, consumer: ConsumerId) {
        self.launch(consumer);
        self.inputs.clear();
        self.processes.get_mut(&consumer).unwrap().is_by_hand = true;
    }

    pub(crate) fn was_commanded(&self, consumer: ConsumerId) -> bool {
        let log = self.controller.get(&consumer.0).cloned().unwrap_or_default();
        log.iter().any(|(_, message)| matches!(message, Message::Assign(_)))
    }

    fn append(&mut self, partition: u32, message: Message) {
        let log = self.controller.entry(partition).or_default();
        let offset = log.last().map_or(0, |(last, _)| last + 1);
        log.push((offset, message.clone()));
        if partition == 0 {
            let input = Input::Requests(received(offset, message));
            match &mut self.held {
                Some(held) => held.push(input),
                None => self.inputs.push_back(input),
            }
        }
    }

    fn tell(&mut self, message: Message) {
        let offset = self.events.last().map_or(0, |(last, _)| last + 1);
        self.events.push((offset, message.clone()));
        if let Some(generation) = self.reading {
            let received = received(offset, message);
            self.inputs.push_back(Input::Event { generation, received });
        }
    }

    /// Every process that is not frozen sends a heartbeat every 2 s.
    fn beat(&mut self) {
        let now = self.now.moment;
        let mut beats = vec![];
        for (consumer, process) in &mut self.processes {
            let is_due = now.saturating_since(process.beaten) >= Duration::from_secs(2);
            if process.is_frozen || !is_due {
                continue;
            }
            process.beaten = now;
            process.beats += 1;
            beats.push(process.heartbeat(*consumer));
        }
        beats.into_iter().for_each(|beat| self.tell(beat.into()));
    }

    fn command(&mut self, consumer: ConsumerId, assign: &Assign) {
        let Some(process) = self.processes.get_mut(&consumer) else { return };
        let is_obeyed = !process.is_frozen
            && !process.is_mute
            && assign.incarnation == process.incarnation
            && assign.term.generation == process.generation;
        if is_obeyed {
            let answer = process.obey(consumer, assign);
            self.tell(answer.into());
        }
    }
}

impl Process {
    fn found(&self) -> Found {
        Found { process: Some(ProcessId::Pid(self.pid)), ..Found::default() }
    }

    fn heartbeat(&self, consumer: ConsumerId) -> Heartbeat {
        Heartbeat {
            consumer,
            incarnation: self.incarnation,
            number: self.beats,
            process_started_ms: 0,
            pid: self.pid,
            pod_uid: None,
            ttl_ms: 10_000,
            margin_ms: 1_000,
            lock_held: true,
            command_read: None,
            address: None,
            draining: false,
            extra: self.extra(),
        }
    }

    fn extra(&self) -> Extra {
        self.is_by_hand.then(|| (BY_HAND.to_owned(), String::new())).into_iter().collect()
    }

    fn obey(&mut self, consumer: ConsumerId, assign: &Assign) -> Answer {
        self.answers += 1;
        self.term = self.term.max(assign.term);
        self.released.retain(|said| {
            let release = said.hand_over.as_ref().and_then(|hand_over| hand_over.release);
            release.is_some_and(|release| release.number > assign.answer_read)
        });
        let wanted: BTreeMap<TopicPartition, Term> =
            assign.partitions().map(|(name, _, given)| (name, given.since)).collect();
        let lost: Vec<_> =
            self.held.keys().filter(|name| !wanted.contains_key(*name)).cloned().collect();
        for partition in lost {
            let since = self.held.remove(&partition).unwrap();
            let number = self.answers;
            let release = Some(ReleaseId { incarnation: self.incarnation, number });
            let hand_over = Some(HandOver { clean: true, release, ..HandOver::default() });
            let state = PartitionState::Released;
            self.released.push(PartitionAnswer { hand_over, ..said(partition, state, since) });
        }
        self.held.extend(wanted);
        let held = self.held.iter();
        let held = held.map(|(name, since)| said(name.clone(), PartitionState::Held, *since));
        Answer {
            consumer,
            incarnation: self.incarnation,
            number: self.answers,
            term: self.term,
            draining: assign.end,
            partitions: held.chain(self.released.iter().cloned()).collect(),
            extra: Extra::new(),
        }
    }
}

fn said(partition: TopicPartition, state: PartitionState, since: Term) -> PartitionAnswer {
    PartitionAnswer {
        partition,
        state,
        since,
        position: None,
        tokens: vec![],
        hand_over: None,
        reason: None,
        polled_at_ms: None,
    }
}

fn received(offset: u64, message: Message) -> Received {
    Received { first: offset, next: offset + 1, message }
}

fn entry(key: &str, value: Option<String>) -> Input {
    Input::Service { key: Some(key.as_bytes().to_vec()), value: value.map(String::into_bytes) }
}

fn controller_topic_id() -> TopicId {
    TopicId(Uuid::from_u128(1))
}

fn conductor(now: Now, seed: u64, spares: u32) -> Conductor {
    conductor_in("folder", now, seed, spares)
}

fn conductor_in(state_dir: &str, now: Now, seed: u64, spares: u32) -> Conductor {
    let limits = Limits {
        capacity: BytesPerSecond(1_000),
        plan_percent: 75,
        trigger_percent: 90,
        consumers_min: 0,
        spares,
        consumers_max: CONSUMERS_MAX,
        create_max: 4,
        hold: None,
    };
    let settings = Settings {
        author: "me".into(),
        state_dir_id: state_dir.into(),
        controller_topic: "data-engineering-controller".into(),
        controller_topic_id: controller_topic_id(),
        consumer_partitions: CONSUMERS_MAX,
        policy: Policy::default(),
        capacity_factor: 2,
        catch_up: Duration::from_secs(60),
        trigger: TriggerPolicy {
            stabilisation: Duration::from_secs(10),
            silence: Duration::from_secs(15),
            mute: Duration::from_secs(5),
        },
        limits,
        lease: Lease::NotNeeded,
    };
    Conductor::new(settings, now, ChaCha8Rng::seed_from_u64(seed))
}
