//! One consumer process: the real inbox, ownership, lease and offsets, and lanes that write to simulated chains.

mod commands;

use std::collections::BTreeMap;
use std::time::Duration;

use common::identity::{ConsumerId, Incarnation};
use common::messages::Message;
use common::messages::event::{Heartbeat, LIFE};
use common::moment::Moment;
use common::partition::TopicPartition;
use common::term::Generation;
use consumer::inbox::Inbox;
use consumer::lease::Lease;
use consumer::offsets::Offsets;
use consumer::ownership::{Action, Event, LaneId, Ownership};
use consumer::topics::KnownTopics;
use orchestrator::conductor::action::Destination;
use rand::RngExt as _;

use super::history::{Invariant, broken, note};
use super::kafka::{Payload, controller_topic_id};
use super::lane::{Hands, Lane, SinkOpening};
use super::network::{Parcel, Receipt, Said};
use super::outside::Outside;

pub(crate) use commands::shown;

const TTL: Duration = Duration::from_secs(10);
const MARGIN: Duration = Duration::from_secs(1);
const BEAT_INTERVAL: Duration = Duration::from_secs(2);
const ANSWER_PATIENCE: Duration = Duration::from_secs(3);
const READ_BACK_INTERVAL: Duration = Duration::from_secs(10);
const COMMIT_INTERVAL: Duration = Duration::from_millis(500);
const LOOK_UP_INTERVAL: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) consumer: ConsumerId,
    pub(crate) pid: u32,
    started_ms: i64,
    /// Counts its incarnations from 1.
    life: u64,
    /// The highest generation of which it was told that it leads.
    led_by: Option<Generation>,
    ownership: Ownership,
    lease: Lease,
    inbox: Inbox,
    offsets: Offsets,
    lanes: BTreeMap<LaneId, Lane>,
    /// Its clock is ahead of the others'.
    ahead: Duration,
    /// It has not looked for a leader yet.
    is_starting: bool,
    cursor: usize,
    beaten_at: Option<Moment>,
    beats_acknowledged: u64,
    answered_at: Moment,
    answer: u64,
    answer_acknowledged: u64,
    committed_at: Moment,
    read_back_at: Moment,
    looked_up_at: Moment,
    pub(crate) frozen_until: Moment,
    pub(crate) is_exited: bool,
}

impl Process {
    pub(crate) fn start(consumer: ConsumerId, outside: &mut Outside) -> Self {
        let ahead = Duration::from_secs(outside.rng.random_range(0..10_000));
        let now = outside.now + ahead;
        let incarnation = Incarnation::from_rng(&mut outside.rng);
        let pid = outside.next_pid();
        note(None, || format!("process {pid} of {consumer} began as {incarnation:?}"));
        Self {
            consumer,
            pid,
            started_ms: outside.timestamp().0,
            life: 1,
            led_by: None,
            ownership: Ownership::new(consumer, incarnation),
            lease: Lease::new(TTL, MARGIN),
            inbox: Inbox::new(false, controller_topic_id()),
            offsets: Offsets::default(),
            lanes: BTreeMap::new(),
            ahead,
            is_starting: true,
            cursor: outside.kafka.controller[consumer.0 as usize].len(),
            beaten_at: None,
            beats_acknowledged: 0,
            answered_at: now,
            answer: 0,
            answer_acknowledged: 0,
            committed_at: now,
            read_back_at: now,
            looked_up_at: now,
            frozen_until: outside.now,
            is_exited: false,
        }
    }

    pub(crate) fn incarnation(&self) -> Incarnation {
        self.ownership.incarnation()
    }

    fn now(&self, outside: &Outside) -> Moment {
        outside.now + self.ahead
    }

    pub(crate) fn is_awake(&self, now: Moment) -> bool {
        self.frozen_until <= now
    }

    pub(crate) fn holds_lease(&self, now: Moment) -> bool {
        self.lease.clone().holds(now + self.ahead)
    }

    pub(crate) fn has(&self, lane: &LaneId) -> bool {
        self.lanes.contains_key(lane)
    }

    /// Whether it may write to the partition at this moment.
    pub(crate) fn owns(&self, partition: &TopicPartition, outside: &Outside) -> bool {
        self.open_lane(partition).is_some() && self.holds_lease(outside.now)
    }

    pub(crate) fn open_lane(&self, partition: &TopicPartition) -> Option<&Lane> {
        let mut lanes = self.lanes.iter();
        lanes.find(|(id, lane)| id.partition == *partition && lane.is_open()).map(|(_, lane)| lane)
    }

    /// What the sink's own openings have come to, of those partitions that it opens.
    pub(crate) fn sink_openings(
        &self,
        outside: &Outside,
    ) -> impl Iterator<Item = (&TopicPartition, SinkOpening)> {
        let now = self.now(outside);
        self.lanes
            .iter()
            .filter_map(move |(id, lane)| Some((&id.partition, lane.sink_opening(now)?)))
    }

    pub(crate) fn reads_anything(&self) -> bool {
        self.lanes.values().any(Lane::is_open)
    }

    /// Does one of the things that it has to do: whichever comes, as in threads that run by chance.
    /// Returns the partition that it began to read, if it did.
    pub(crate) fn turn(&mut self, outside: &mut Outside) -> Option<TopicPartition> {
        if self.is_starting {
            if !outside.are_brokers_away() {
                self.find_leader(&outside.kafka);
            }
            return None;
        }
        match outside.rng.random_range(0..8) {
            0 => self.beat(outside),
            1 => self.watch_lease(outside),
            2 | 3 => self.read_command(outside),
            4 => self.keep_house(outside),
            _ => return self.work(outside),
        }
        None
    }

    fn beat(&mut self, outside: &mut Outside) {
        let now = self.now(outside);
        let is_unheard = self.answer > self.answer_acknowledged;
        if is_unheard && now.saturating_since(self.answered_at) > ANSWER_PATIENCE {
            self.tell(Event::AnswerLost, outside);
        }
        if self.beaten_at.is_some_and(|at| now.saturating_since(at) < BEAT_INTERVAL) {
            return;
        }
        self.beaten_at = Some(now);
        let (number, incarnation) = (self.lease.send(now), self.incarnation());
        let heartbeat = self.heartbeat(number);
        let said = Said::Heartbeat { incarnation, number };
        self.write(heartbeat.into(), said, outside);
    }

    fn heartbeat(&self, number: u64) -> Heartbeat {
        let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap();
        Heartbeat {
            consumer: self.consumer,
            incarnation: self.incarnation(),
            number,
            process_started_ms: self.started_ms,
            pid: self.pid,
            pod_uid: None,
            ttl_ms: ms(TTL),
            margin_ms: ms(MARGIN),
            lock_held: true,
            command_read: self.ownership.term(),
            address: None,
            draining: self.ownership.is_draining(),
            extra: [(LIFE.to_owned(), self.life.to_string())].into(),
        }
    }

    fn write(&self, message: Message, said: Said, outside: &mut Outside) {
        // Some go through the real codec.
        let is_whole = !outside.rng.random_ratio(1, 40);
        let payload = if is_whole { message.into() } else { Payload::encoded(&message) };
        outside.send(self.pid, Parcel::Record { to: Destination::Events, payload, said });
    }

    fn watch_lease(&mut self, outside: &mut Outside) {
        let now = self.now(outside);
        if !self.lease.has_lapsed(now) {
            return;
        }
        outside.seen.lapses += 1;
        self.life += 1;
        self.lease = Lease::new(TTL, MARGIN);
        (self.answer, self.answer_acknowledged, self.beats_acknowledged) = (0, 0, 0);
        self.beaten_at = None;
        let next = Incarnation::from_rng(&mut outside.rng);
        note(None, || format!("the lease of process {} lapsed, it goes on as {next:?}", self.pid));
        self.tell(Event::Lapsed { next }, outside);
        if !self.lanes.is_empty() {
            broken(Invariant::I4, None, "a lapse leaves a lane");
        }
    }

    fn tell(&mut self, event: Event, outside: &mut Outside) {
        let now = self.now(outside);
        for action in self.ownership.handle(event) {
            match action {
                Action::Open(opening) => {
                    self.lanes.insert(opening.lane.clone(), Lane::new(opening));
                }
                Action::Stop(lane) => match self.lanes.get_mut(&lane) {
                    Some(lane) => lane.stop(now),
                    None => broken(
                        Invariant::I4,
                        None,
                        format!("{lane:?} is stopped, and does not run"),
                    ),
                },
                Action::Announced { lane, tokens } => {
                    if let Some(lane) = self.lanes.get_mut(&lane) {
                        lane.announced = tokens;
                    }
                }
                Action::Abandon(lane) => {
                    self.offsets.forget(&lane.partition);
                    self.lanes.remove(&lane);
                }
                Action::Answer(answer) => {
                    (self.answer, self.answered_at) = (answer.number, now);
                    let (incarnation, number) = (answer.incarnation, answer.number);
                    self.write(answer.into(), Said::Answer { incarnation, number }, outside);
                }
                Action::Refuse { text, .. } => {
                    outside.seen.refused += 1;
                    note(None, || format!("process {} refuses it: {text}", self.pid));
                }
                Action::Exit => self.is_exited = true,
            }
        }
    }

    /// Commits, reads back what is committed, and looks after its topics.
    fn keep_house(&mut self, outside: &mut Outside) {
        let now = self.now(outside);
        if now.saturating_since(self.committed_at) >= COMMIT_INTERVAL {
            self.committed_at = now;
            for (partition, commit) in self.offsets.due(now) {
                outside.send(self.pid, Parcel::Commit { partition, commit });
            }
        }
        if now.saturating_since(self.read_back_at) >= READ_BACK_INTERVAL {
            self.read_back_at = now;
            let partitions: Vec<_> = self.offsets.partitions().cloned().collect();
            for partition in partitions {
                let found = outside.kafka.committed.get(&partition).map(|found| found.offset);
                self.offsets.read_back(&partition, found);
            }
        }
        if now.saturating_since(self.looked_up_at) >= LOOK_UP_INTERVAL {
            self.looked_up_at = now;
            let known = KnownTopics::of(outside.kafka.cluster().topics);
            for (id, lane) in &mut self.lanes {
                let (topic, number) = (id.partition.topic(), id.partition.partition());
                let change = known.check(topic, number, lane.opening.topic_id).err();
                let change = change.map(|change| (change.to_string(), change.is_absence()));
                lane.compare(change, now);
            }
        }
    }

    fn work(&mut self, outside: &mut Outside) -> Option<TopicPartition> {
        if self.lanes.is_empty() {
            return None;
        }
        let index = outside.rng.random_range(0..self.lanes.len());
        let id = self.lanes.keys().nth(index).cloned().expect("within bounds");
        let holds = self.holds_lease(outside.now);
        let (mut hands, lanes) = self.hands(holds, outside);
        let event = lanes.get_mut(&id)?.turn(&mut hands, outside);
        self.lane_says(id, event?, outside)
    }

    fn hands(
        &mut self,
        holds: bool,
        outside: &Outside,
    ) -> (Hands<'_>, &mut BTreeMap<LaneId, Lane>) {
        let hands = Hands {
            pid: self.pid,
            now: outside.now + self.ahead,
            offsets: &mut self.offsets,
            sent: self.lease.last_number(),
            acknowledged: self.beats_acknowledged,
            holds,
        };
        (hands, &mut self.lanes)
    }

    fn lane_says(
        &mut self,
        id: LaneId,
        event: Event,
        outside: &mut Outside,
    ) -> Option<TopicPartition> {
        let opened = matches!(event, Event::Opened { .. });
        if let Event::Opened { position, .. } = &event {
            let (pid, offset) = (self.pid, position.offset);
            note(Some(&id.partition), || {
                format!("process {pid} reads it from {offset} on, given by {}", id.since)
            });
        }
        if matches!(event, Event::Stopped { .. } | Event::OpenFailed { .. }) {
            self.lanes.remove(&id);
        }
        self.tell(event, outside);
        opened.then_some(id.partition)
    }

    /// Something that was sent has come to its end.
    pub(crate) fn receive(
        &mut self,
        receipt: Receipt,
        outside: &mut Outside,
    ) -> Option<TopicPartition> {
        let now = self.now(outside);
        match receipt {
            Receipt::Heartbeat { incarnation, number } if incarnation == self.incarnation() => {
                if self.lease.acknowledge(number, now) {
                    self.beats_acknowledged = number;
                }
                self.watch_lease(outside);
            }
            Receipt::Answer { incarnation, number } if incarnation == self.incarnation() => {
                // As who was frozen: the lapse has yet to be noticed, and nobody may begin to write by it.
                if self.lease.clone().has_lapsed(now) {
                    outside.seen.late_answers += 1;
                    self.tell(Event::AnswerLost, outside);
                    return None;
                }
                self.answer_acknowledged = self.answer_acknowledged.max(number);
                self.tell(Event::AnswerAcknowledged(number), outside);
            }
            Receipt::Commit { partition, commit } => {
                self.offsets.acknowledge(&partition, commit, now);
            }
            Receipt::Put { lane: id, object, put } => {
                let holds = self.holds_lease(outside.now);
                let (mut hands, lanes) = self.hands(holds, outside);
                let event = lanes.get_mut(&id)?.answered(&object, &put, &mut hands, outside);
                return self.lane_says(id, event?, outside);
            }
            Receipt::Reply { lane: id, number, reply } => {
                let holds = self.holds_lease(outside.now);
                let (mut hands, lanes) = self.hands(holds, outside);
                let event = lanes.get_mut(&id)?.replied(number, &reply, &mut hands, outside);
                return self.lane_says(id, event?, outside);
            }
            Receipt::Appended { lane: id, append, verdict } => {
                let holds = self.holds_lease(outside.now);
                let (mut hands, lanes) = self.hands(holds, outside);
                lanes.get_mut(&id)?.appended(&append, &verdict, &mut hands, outside);
            }
            // Of an earlier life.
            Receipt::Heartbeat { .. } | Receipt::Answer { .. } | Receipt::Command { .. } => {}
        }
        None
    }

    pub(crate) fn drain(&mut self, outside: &mut Outside) {
        self.tell(Event::Drain, outside);
    }
}
