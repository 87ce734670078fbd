//! Pure. One consumer process: the real ownership and lease, and lanes that write to simulated chains.

use std::collections::BTreeMap;
use std::time::Duration;

use common::identity::{ConsumerId, Incarnation, Nonce, TopicId};
use common::messages::Extra;
use common::messages::event::Heartbeat;
use common::moment::Moment;
use common::partition::TopicPartition;
use common::position::{HandOver, Position};
use consumer::lease::Lease;
use consumer::ownership::{Action, Event, LaneId, Opening, Ownership, Stopped};
use rand::RngExt as _;
use rand::rngs::ChaCha8Rng;
use uuid::Uuid;

use super::broker::{Acknowledged, Broker, Command, Event as Logged};
use super::chain::{Chain, Object, Put};
use super::world::Seen;

pub(crate) const TTL: Duration = Duration::from_secs(10);
pub(crate) const MARGIN: Duration = Duration::from_secs(1);

pub(crate) type Chains = BTreeMap<TopicPartition, Chain>;

pub(crate) fn topic_id() -> TopicId {
    TopicId(Uuid::from_u128(1))
}

#[derive(Clone, Debug)]
enum Lane {
    Opening { opening: Box<Opening>, stop: bool },
    Open(OpenLane),
}

#[derive(Clone, Copy, Debug)]
struct OpenLane {
    position: u64,
    /// A put whose answer was lost: to be repeated as it was.
    unanswered: Option<Object>,
    stop: bool,
}

#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) consumer: ConsumerId,
    pub(crate) pid: u32,
    pub(crate) ownership: Ownership,
    lease: Lease,
    heartbeat_at: Moment,
    answered_at: Moment,
    answer: u64,
    acknowledged: u64,
    cursor: usize,
    lanes: BTreeMap<LaneId, Lane>,
    pub(crate) frozen_until: Moment,
    pub(crate) is_exited: bool,
}

/// What a turn of a process may touch.
pub(crate) struct Surroundings<'a> {
    pub(crate) broker: &'a mut Broker,
    pub(crate) chains: &'a mut Chains,
    pub(crate) rng: &'a mut ChaCha8Rng,
    pub(crate) seen: &'a mut Seen,
    pub(crate) now: Moment,
    /// Whether openings may fail and answers of puts may get lost.
    pub(crate) is_sink_bad: bool,
}

impl Process {
    pub(crate) fn start(consumer: ConsumerId, pid: u32, around: &mut Surroundings<'_>) -> Self {
        let incarnation = Incarnation::from_rng(around.rng);
        let mut ownership = Ownership::new(consumer, incarnation);
        let reigns = around.broker.controller[0].len() as u64;
        if let Some(last) = reigns.checked_sub(1) {
            ownership.handle(Event::LeaderStarted(common::term::Generation(last)));
        }
        Self {
            consumer,
            pid,
            ownership,
            lease: Lease::new(TTL, MARGIN),
            heartbeat_at: Moment::default(),
            answered_at: around.now,
            answer: 0,
            acknowledged: 0,
            cursor: around.broker.controller[consumer.0 as usize].len(),
            lanes: BTreeMap::new(),
            frozen_until: around.now,
            is_exited: false,
        }
    }

    /// The partitions that it may write to at this moment.
    pub(crate) fn open_under_lease(&self, now: Moment) -> Vec<&TopicPartition> {
        if !self.lease.clone().holds(now) {
            return vec![];
        }
        let open = self.lanes.iter().filter(|(_, lane)| matches!(lane, Lane::Open(_)));
        open.map(|(id, _)| &id.partition).collect()
    }

    /// Does one of the things that it has to do: whichever comes, as in threads that run by chance.
    pub(crate) fn turn(&mut self, around: &mut Surroundings<'_>) {
        match around.rng.random_range(0..6) {
            0 => self.beat(around),
            1 => self.watch_lease(around),
            2 | 3 => self.read_command(around),
            _ => self.work(around),
        }
    }

    pub(crate) fn acknowledge(
        &mut self,
        acknowledged: &Acknowledged,
        around: &mut Surroundings<'_>,
    ) {
        match *acknowledged {
            Acknowledged::Heartbeat { number, .. } => {
                self.lease.acknowledge(number, around.now);
                self.watch_lease(around);
            }
            Acknowledged::Answer { number, .. } => {
                self.acknowledged = self.acknowledged.max(number);
                self.tell(Event::AnswerAcknowledged(number), around);
            }
        }
    }

    pub(crate) fn drain(&mut self, around: &mut Surroundings<'_>) {
        self.tell(Event::Drain, around);
    }

    fn tell(&mut self, event: Event, around: &mut Surroundings<'_>) {
        for action in self.ownership.handle(event) {
            match action {
                Action::Open(opening) => {
                    let id = opening.lane.clone();
                    let lane = Lane::Opening { opening: Box::new(opening), stop: false };
                    self.lanes.insert(id, lane);
                }
                Action::Stop(lane) => match self.lanes.get_mut(&lane) {
                    Some(Lane::Opening { stop, .. } | Lane::Open(OpenLane { stop, .. })) => {
                        *stop = true
                    }
                    None => panic!("{lane:?} is stopped and does not run"),
                },
                Action::Abandon(lane) => {
                    self.lanes.remove(&lane).expect("what is abandoned ran");
                }
                Action::Answer(answer) => {
                    self.answer = answer.number;
                    self.answered_at = around.now;
                    around.broker.send_event(Logged::Answer(answer));
                }
                Action::Refuse { .. } => around.seen.refused += 1,
                Action::Exit => self.is_exited = true,
            }
        }
    }

    fn beat(&mut self, around: &mut Surroundings<'_>) {
        if self.answer > self.acknowledged
            && around.now.saturating_since(self.answered_at) > Duration::from_secs(3)
        {
            self.tell(Event::AnswerLost, around);
        }
        if around.now.saturating_since(self.heartbeat_at) < Duration::from_secs(2) {
            return;
        }
        self.heartbeat_at = around.now;
        let number = self.lease.send(around.now);
        around.broker.send_event(Logged::Heartbeat(heartbeat(
            self.consumer,
            self.ownership.incarnation(),
            number,
            self.pid,
            self.ownership.is_draining(),
        )));
    }

    fn watch_lease(&mut self, around: &mut Surroundings<'_>) {
        if !self.lease.has_lapsed(around.now) {
            return;
        }
        around.seen.lapses += 1;
        self.lease = Lease::new(TTL, MARGIN);
        (self.answer, self.acknowledged) = (0, 0);
        let next = Incarnation::from_rng(around.rng);
        self.tell(Event::Lapsed { next }, around);
        assert!(self.lanes.is_empty(), "a lapse leaves no lane");
    }

    fn read_command(&mut self, around: &mut Surroundings<'_>) {
        let partition = &around.broker.controller[self.consumer.0 as usize];
        let Some(command) = partition.get(self.cursor).cloned() else { return };
        self.cursor += 1;
        match command {
            Command::LeaderStarted(started) => {
                let generation = started.generation.expect("named on a consumer's partition");
                self.tell(Event::LeaderStarted(generation), around);
            }
            Command::Assign(assign) => self.tell(Event::Assign(assign), around),
        }
    }

    fn work(&mut self, around: &mut Surroundings<'_>) {
        if self.lanes.is_empty() {
            return;
        }
        let index = around.rng.random_range(0..self.lanes.len());
        let (id, lane) = self.lanes.iter().nth(index).expect("within bounds");
        match (id.clone(), lane.clone()) {
            (id, Lane::Opening { opening, stop }) => self.open(&id, &opening, stop, around),
            (id, Lane::Open(lane)) => self.write(&id, lane, around),
        }
    }

    fn open(&mut self, id: &LaneId, opening: &Opening, stop: bool, around: &mut Surroundings<'_>) {
        if around.is_sink_bad && around.rng.random_ratio(1, 10) {
            around.seen.failed_opens += 1;
            self.lanes.remove(id);
            let event =
                Event::OpenFailed { lane: id.clone(), reason: "bad".into(), tokens: vec![] };
            return self.tell(event, around);
        }
        let chain = around.chains.entry(id.partition.clone()).or_default();
        let end = chain.end();
        if let Some(newer) = chain.last_term().filter(|term| *term > id.since) {
            around.seen.fenced += 1;
            return self.stopped(id, end, Some(format!("fenced by {newer}")), around);
        }
        let offset = match clean_position(opening.hand_over.as_ref()) {
            Some(position) => {
                // A zombie of an older term may have written since; nobody else.
                if self.lease.clone().holds(around.now) {
                    let later = chain.terms_from(position);
                    assert!(position <= end && later.iter().all(|term| *term < id.since), "{id:?}");
                }
                position
            }
            None => end,
        };
        let lane = OpenLane { position: offset, unanswered: None, stop };
        self.lanes.insert(id.clone(), Lane::Open(lane));
        let opened = Event::Opened { lane: id.clone(), position: position(offset), tokens: vec![] };
        self.tell(opened, around);
    }

    fn write(&mut self, id: &LaneId, lane: OpenLane, around: &mut Surroundings<'_>) {
        let OpenLane { position: at, unanswered, stop } = lane;
        if stop && unanswered.is_none() {
            return self.stopped(id, at, None, around);
        }
        let object = unanswered.unwrap_or_else(|| Object {
            from: at,
            to: at + around.rng.random_range(1..5),
            term: id.since,
            nonce: Nonce::from_rng(around.rng),
        });
        let chain = around.chains.get_mut(&id.partition).expect("opened");
        let put = chain.put(object);
        let answer_is_lost = around.is_sink_bad && around.rng.random_ratio(1, 8);
        let next = match put {
            _ if answer_is_lost => OpenLane { unanswered: Some(object), ..lane },
            Put::Stored => OpenLane { position: object.to, unanswered: None, stop },
            Put::Taken(own) if own.nonce == object.nonce => {
                OpenLane { position: own.to, unanswered: None, stop }
            }
            Put::Taken(other) if other.term <= id.since => {
                // A heartbeat sent since must be acknowledged within the lease; here: it holds.
                if !self.lease.clone().holds(around.now) {
                    return;
                }
                around.seen.accepted += 1;
                OpenLane { position: other.to, unanswered: None, stop }
            }
            Put::Taken(other) => {
                around.seen.fenced += 1;
                let reason = format!("fenced by {}", other.term);
                return self.stopped(id, at, Some(reason), around);
            }
        };
        self.lanes.insert(id.clone(), Lane::Open(next));
    }

    fn stopped(
        &mut self,
        id: &LaneId,
        at: u64,
        reason: Option<String>,
        around: &mut Surroundings<'_>,
    ) {
        self.lanes.remove(id);
        let clean = reason.is_none();
        let position = Some(position(at));
        let stopped = Stopped { position, clean, tokens: vec![], polled_at_ms: None, reason };
        self.tell(Event::Stopped { lane: id.clone(), stopped }, around);
    }
}

fn clean_position(hand_over: Option<&HandOver>) -> Option<u64> {
    let clean = hand_over.filter(|hand_over| hand_over.clean)?;
    clean.position.map(|position| position.offset)
}

fn position(offset: u64) -> Position {
    Position { offset, leader_epoch: None, topic_id: topic_id(), table_id: None }
}

pub(crate) fn heartbeat(
    consumer: ConsumerId,
    incarnation: Incarnation,
    number: u64,
    pid: u32,
    draining: bool,
) -> Heartbeat {
    let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap();
    Heartbeat {
        consumer,
        incarnation,
        number,
        process_started_ms: 0,
        pid,
        pod_uid: None,
        ttl_ms: ms(TTL),
        margin_ms: ms(MARGIN),
        lock_held: true,
        command_read: None,
        address: None,
        draining,
        extra: Extra::new(),
    }
}
