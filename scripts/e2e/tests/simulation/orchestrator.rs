//! Pure. One orchestrator process: the real conductor, with readers, writers and a fleet around it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use common::identity::ConsumerId;
use common::messages::Message;
use common::moment::Moment;
use common::rate::BytesPerSecond;
use common::term::Generation;
use orchestrator::conductor::action::{Action, Destination, Note};
use orchestrator::conductor::input::{Input, Log, Now};
use orchestrator::conductor::{Conductor, Settings};
use orchestrator::fleet::FleetCommand;
use orchestrator::inbox::{Inbox, Received};
use orchestrator::leadership::Lease;
use orchestrator::plan::policy::Policy;
use orchestrator::plan::snapshot::Limits;
use orchestrator::status::Status;
use orchestrator::trigger::TriggerPolicy;
use rand::rngs::ChaCha8Rng;
use rand::{RngExt as _, SeedableRng as _};

use super::fleet::{Fleet, Processes};
use super::history::{Invariant, broken, note};
use super::kafka::{Payload, Record, controller_topic_id};
use super::network::{Parcel, Receipt, Said};
use super::outside::Outside;
use super::process::shown;
use super::taking_over::TakingOver;

const TICK: Duration = Duration::from_millis(200);
const ASK_INTERVAL: Duration = Duration::from_secs(1);
pub(crate) const CONTROLLER: &str = "stowage-controller";
pub(crate) const CAPACITY: u64 = 5_000_000;

/// A reader of one log.
#[derive(Debug, Default)]
struct Reading {
    next: usize,
    inbox: Inbox,
    /// Where the log ended when reading began, until that was told.
    end: Option<usize>,
}

#[derive(Debug)]
pub(crate) struct Orchestrator {
    pub(crate) pid: u32,
    pub(crate) home: usize,
    /// Names the state directory.
    pub(crate) state_dir: String,
    conductor: Conductor,
    pub(crate) fleet: Fleet,
    /// Its clock is ahead of the others'.
    ahead: Duration,
    requests: Reading,
    service: Reading,
    events: Option<(Generation, Reading)>,
    taking_over: Option<TakingOver>,
    asked: BTreeSet<String>,
    asked_at: Moment,
    ticked_at: Moment,
    deliveries: VecDeque<(ConsumerId, u64)>,
    /// Measurements that it has not read.
    pub(crate) measurements: VecDeque<Input>,
    pub(crate) frozen_until: Moment,
}

impl Orchestrator {
    pub(crate) fn start(
        home: usize,
        state_dir: &str,
        folders: BTreeMap<ConsumerId, u32>,
        outside: &mut Outside,
    ) -> Self {
        let pid = outside.next_pid();
        let ahead = Duration::from_secs(outside.rng.random_range(0..10_000));
        let now = outside.now + ahead;
        let rng = ChaCha8Rng::from_rng(&mut outside.rng);
        let settings = settings(pid, state_dir, outside.kafka.controller.len() - 1);
        let at = Now { moment: now, timestamp: outside.timestamp() };
        let ends_at = |end| Reading { end: Some(end), ..Reading::default() };
        note(None, || format!("orchestrator {pid} began, state directory {state_dir}"));
        Self {
            pid,
            home,
            state_dir: state_dir.into(),
            conductor: Conductor::new(settings, at, rng),
            fleet: Fleet::new(folders),
            ahead,
            requests: ends_at(outside.kafka.controller[0].len()),
            service: ends_at(outside.kafka.service.len()),
            events: None,
            taking_over: None,
            asked: BTreeSet::from([CONTROLLER.to_owned()]),
            asked_at: Moment::default(),
            ticked_at: now,
            deliveries: VecDeque::new(),
            measurements: VecDeque::new(),
            frozen_until: outside.now,
        }
    }

    pub(crate) fn is_awake(&self, now: Moment) -> bool {
        self.frozen_until <= now
    }

    /// It has read what stands in the log, but for what was written a moment ago.
    pub(crate) fn is_caught_up(&self, outside: &Outside) -> bool {
        let unread = outside.kafka.controller[0].len() - self.requests.next;
        self.requests.end.is_none() && unread < 20
    }

    pub(crate) fn is_leading(&self) -> bool {
        self.conductor.is_leading()
    }

    pub(crate) fn status(&self, outside: &Outside) -> Status {
        self.conductor.status(self.at(outside))
    }

    fn at(&self, outside: &Outside) -> Now {
        Now { moment: outside.now + self.ahead, timestamp: outside.timestamp() }
    }

    /// Does one of the things that it has to do.
    pub(crate) fn turn(&mut self, processes: &mut Processes, outside: &mut Outside) {
        let now = outside.now + self.ahead;
        if now.saturating_since(self.ticked_at) >= TICK {
            self.ticked_at = now;
            self.fleet.look(processes, outside);
            self.take(Input::Tick, processes, outside);
            return;
        }
        match outside.rng.random_range(0..8) {
            _ if outside.are_brokers_away() => {}
            0 | 1 => self.read_requests(processes, outside),
            2 => self.read_service(processes, outside),
            3 => self.ask(processes, outside),
            4 => self.take_over(processes, outside),
            _ => self.read_events(processes, outside),
        }
        self.take_what_is_told(processes, outside);
    }

    fn take_what_is_told(&mut self, processes: &mut Processes, outside: &mut Outside) {
        if let Some(event) = self.fleet.seen.pop_front() {
            self.take(Input::Fleet(event), processes, outside);
        }
        if let Some((consumer, next)) = self.deliveries.pop_front() {
            self.take(Input::Written { consumer, next }, processes, outside);
        }
        if let Some(measured) = self.measurements.pop_front() {
            self.take(measured, processes, outside);
        }
    }

    fn read_requests(&mut self, processes: &mut Processes, outside: &mut Outside) {
        for _ in 0..outside.rng.random_range(1..20) {
            if self.requests.end.is_some_and(|end| self.requests.next >= end) {
                self.requests.end = None;
                self.take(Input::RequestsEnd, processes, outside);
            }
            let Some(record) = outside.kafka.controller[0].get(self.requests.next).cloned() else {
                return;
            };
            let input = self.requests.take(&record).map(|received| match received {
                Ok(received) => Input::Requests(received),
                Err(error) => Input::Malformed { log: Log::Requests, error },
            });
            self.take_record(input, &record, processes, outside);
        }
    }

    fn read_events(&mut self, processes: &mut Processes, outside: &mut Outside) {
        for _ in 0..outside.rng.random_range(1..40) {
            let Some((generation, reading)) = &mut self.events else { return };
            let Some(record) = outside.kafka.events.get(reading.next).cloned() else { return };
            let generation = *generation;
            let input = reading.take(&record).map(|received| match received {
                Ok(received) => Input::Event { generation, received },
                Err(error) => Input::Malformed { log: Log::Events, error },
            });
            self.take_record(input, &record, processes, outside);
        }
    }

    fn read_service(&mut self, processes: &mut Processes, outside: &mut Outside) {
        if self.service.end.is_some_and(|end| self.service.next >= end) {
            self.service.end = None;
            self.take(Input::ServiceEnd, processes, outside);
        }
        let Some((key, value)) = outside.kafka.service.get(self.service.next).cloned() else {
            return;
        };
        self.service.next += 1;
        let (key, value) = (Some(key.into_bytes()), value.map(String::into_bytes));
        self.take(Input::Service { key, value }, processes, outside);
    }

    fn ask(&mut self, processes: &mut Processes, outside: &mut Outside) {
        let now = outside.now + self.ahead;
        if now.saturating_since(self.asked_at) < ASK_INTERVAL {
            return;
        }
        self.asked_at = now;
        let mut cluster = outside.kafka.cluster();
        cluster.topics.retain(|name, _| self.asked.contains(name));
        self.take(Input::Topics { asked: self.asked.clone(), cluster }, processes, outside);
    }

    fn take_over(&mut self, processes: &mut Processes, outside: &mut Outside) {
        let author = format!("orchestrator {}", self.pid);
        let Some(taking_over) = &mut self.taking_over else { return };
        if let Some(input) = taking_over.turn(&author, outside) {
            if taking_over.is_over() || matches!(input, Input::Reachable { .. }) {
                self.taking_over = None;
            }
            self.take(input, processes, outside);
        }
    }

    /// Takes what a record says. I8: one that is forged changes nothing.
    fn take_record(
        &mut self,
        input: Option<Input>,
        record: &Record,
        processes: &mut Processes,
        outside: &mut Outside,
    ) {
        let Some(input) = input else { return };
        let Some(what) = record.forged else {
            return self.take(input, processes, outside);
        };
        outside.seen.forged += 1;
        // Any answer lets time have its effect: that of another nobody comes first.
        if let Some(neutral) = of_another_nobody(&input) {
            self.take(neutral, processes, outside);
        }
        let before = steady(self.status(outside));
        self.take(input, processes, outside);
        let after = steady(self.status(outside));
        if before != after {
            broken(
                Invariant::I8,
                None,
                format!("{what} changed what orchestrator {} knows", self.pid),
            );
        }
    }

    fn take(&mut self, input: Input, processes: &mut Processes, outside: &mut Outside) {
        let at = self.at(outside);
        for action in self.conductor.handle(input, at) {
            self.execute(action, processes, outside);
        }
    }

    fn execute(&mut self, action: Action, processes: &mut Processes, outside: &mut Outside) {
        match action {
            Action::Write { to, message } => self.write(to, message, outside),
            Action::TakeOver(reading) => {
                self.taking_over = Some(TakingOver::new(reading, outside.now));
            }
            Action::ReadEvents { generation, from } => {
                let next = usize::try_from(from.unwrap_or(0)).unwrap();
                self.events = Some((generation, Reading { next, ..Reading::default() }));
            }
            Action::AskFor(topics) => self.asked = topics,
            Action::Fleet(command) => {
                if !matches!(command, FleetCommand::Survey { .. }) {
                    note(None, || format!("orchestrator {} to its fleet: {command:?}", self.pid));
                }
                self.fleet.command(command, processes, outside.now);
            }
            Action::Decided(line) => {
                outside.seen.plans += 1;
                note(None, || format!("orchestrator {} plans: {}", self.pid, line.decision.reason));
            }
            Action::Publish(_) => {}
            Action::Note(said) => self.hear(&said, outside),
            Action::Fail(why) => broken(Invariant::I7, None, why),
        }
    }

    fn hear(&mut self, said: &Note, outside: &mut Outside) {
        match said {
            Note::Lead(_) => outside.seen.reigns += 1,
            Note::Deposed { .. } => {
                outside.seen.deposed += 1;
                (self.taking_over, self.events) = (None, None);
            }
            Note::Renews => outside.seen.renewals += 1,
            Note::Moved { from, to, .. } => outside.seen.moves += u64::from(*from != Some(*to)),
            Note::IncarnationEnded { .. } => outside.seen.ended += 1,
            Note::Malformed { .. } => outside.seen.refused += 1,
            _ => {}
        }
        let partition = match said {
            Note::Moved { partition, .. } | Note::OpenFailed { partition, .. } => Some(partition),
            _ => None,
        };
        note(partition, || format!("orchestrator {}: {said:?}", self.pid));
    }

    fn write(&self, to: Destination, message: Message, outside: &mut Outside) {
        match &message {
            Message::Assign(assign) => {
                note(None, || format!("orchestrator {} writes {}", self.pid, shown(assign)));
            }
            Message::Snapshot(_) => outside.seen.snapshots += 1,
            _ => {}
        }
        let said = match to {
            Destination::Consumer(consumer) => Said::Command { consumer },
            Destination::Requests | Destination::Events => Said::Other,
        };
        // Some go through the real codec.
        let is_whole = !outside.rng.random_ratio(1, 40);
        let payload = if is_whole { message.into() } else { Payload::encoded(&message) };
        outside.send(self.pid, Parcel::Record { to, payload, said });
    }

    /// What it does last when it is asked to end.
    pub(crate) fn leave(&mut self, outside: &mut Outside) {
        if let Some(farewell) = self.conductor.farewell() {
            note(None, || format!("orchestrator {} says that it leaves", self.pid));
            outside.seen.farewells += 1;
            self.write(Destination::Requests, farewell, outside);
        }
    }

    pub(crate) fn receive(&mut self, receipt: &Receipt) {
        if let Receipt::Command { consumer, next } = receipt {
            self.deliveries.push_back((*consumer, *next));
        }
    }
}

impl Reading {
    /// The message that the next record is, or completes.
    fn take(&mut self, record: &Record) -> Option<Result<Received, String>> {
        let offset = self.next as u64;
        self.next += 1;
        match &record.payload {
            Payload::Whole(message) => {
                let message = (**message).clone();
                Some(Ok(Received { first: offset, next: offset + 1, message }))
            }
            Payload::Raw(raw) => {
                self.inbox.take(raw.record(offset)).map_err(|error| error.to_string()).transpose()
            }
        }
    }
}

fn of_another_nobody(input: &Input) -> Option<Input> {
    let Input::Event { generation, received } = input else { return None };
    let Message::Answer(answer) = &received.message else { return None };
    let incarnation = common::identity::Incarnation(!answer.incarnation.0);
    let answer = common::messages::event::Answer { incarnation, ..answer.clone() };
    let received = Received { message: answer.into(), ..received.clone() };
    Some(Input::Event { generation: *generation, received })
}

/// What must not change: everything but the time, and counters of what was refused.
fn steady(status: Status) -> Status {
    Status { totals: Default::default(), ..status }
}

fn settings(pid: u32, state_dir: &str, consumers: usize) -> Settings {
    let capacity = BytesPerSecond(CAPACITY);
    let limits = Limits {
        capacity,
        plan_percent: 75,
        trigger_percent: 90,
        consumers_min: 2,
        spares: 0,
        consumers_max: u32::try_from(consumers).unwrap(),
        create_max: 4,
        hold: None,
    };
    let seconds = Duration::from_secs;
    Settings {
        author: format!("orchestrator {pid}"),
        state_dir_id: state_dir.into(),
        controller_topic: CONTROLLER.into(),
        controller_topic_id: controller_topic_id(),
        consumer_partitions: u32::try_from(consumers).unwrap(),
        policy: Policy::default(),
        capacity_factor: 2,
        catch_up: seconds(60),
        trigger: TriggerPolicy {
            stabilisation: seconds(20),
            silence: seconds(15),
            mute: seconds(5),
        },
        limits,
        lease: Lease::NotNeeded,
    }
}
