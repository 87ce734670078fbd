//! One partition that a process reads: opened by the sink's real rules, written object by object, released.

mod opening;

use std::ops::Range;
use std::time::Duration;

use common::identity::Nonce;
use common::moment::Moment;
use common::partition::TopicPartition;
use common::position::{HandOver, Position};
use consumer::offsets::{Commit, Offsets};
use consumer::ownership::{Event, LaneId, Opening, Stopped};
use consumer::sink::Committed;
use consumer::sink::parquet::Footer;
use consumer::sink::parquet::verdict::{Verdict, judge};
use rand::RngExt as _;

use super::history::{Invariant, broken, note};
use super::kafka::{Log, controller_topic_id};
use super::lake::{Object, Put, table_id};
use super::network::Parcel;
use super::outside::Outside;

/// A put whose answer does not come is repeated after this.
const PUT_PATIENCE: Duration = Duration::from_millis(800);
/// How long a lane that stops may go without any progress, and how long a last commit is waited for.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

#[derive(Clone, Debug)]
pub(crate) struct Lane {
    pub(crate) opening: Opening,
    phase: Phase,
    /// It was told to stop, and when something moved last since.
    stop: Option<Moment>,
    /// It was open once.
    is_told: bool,
    /// Its topic was not there when it was looked up last.
    is_missed: bool,
}

#[derive(Clone, Debug)]
enum Phase {
    Opening(Option<Asked>),
    Open(Box<Writer>),
    Releasing { position: Position, clean: bool, reason: Option<String>, since: Moment },
}

/// What Kafka said when it was asked, some time before the sink is.
#[derive(Clone, Copy, Debug)]
struct Asked {
    committed: Option<Committed>,
    log: Log,
}

#[derive(Clone, Debug)]
struct Writer {
    end: u64,
    newest_object: Option<u64>,
    /// Up to where the records are gone, before anything is read.
    fill: Option<u64>,
    pending: Option<Pending>,
    /// The range that was found gone.
    gap: Option<(u64, u64)>,
}

#[derive(Clone, Debug)]
struct Pending {
    object: Object,
    put_at: Moment,
    /// Another's object stands there, and counts once a later heartbeat than this was acknowledged.
    accept: Option<(Footer, u64)>,
}

/// What a lane needs of its process.
pub(crate) struct Hands<'a> {
    pub(crate) pid: u32,
    pub(crate) now: Moment,
    pub(crate) offsets: &'a mut Offsets,
    /// Heartbeats that were sent, and acknowledged within the lease.
    pub(crate) sent: u64,
    pub(crate) acknowledged: u64,
    pub(crate) holds: bool,
}

impl Lane {
    pub(crate) fn new(opening: Opening) -> Self {
        Self { opening, phase: Phase::Opening(None), stop: None, is_told: false, is_missed: false }
    }

    pub(crate) fn stop(&mut self, now: Moment) {
        self.stop = Some(now);
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stop.is_some()
    }

    /// Whether it reads, or may.
    pub(crate) fn is_open(&self) -> bool {
        self.is_told && !matches!(self.phase, Phase::Releasing { .. })
    }

    fn id(&self) -> LaneId {
        self.opening.lane.clone()
    }

    fn partition(&self) -> &TopicPartition {
        &self.opening.lane.partition
    }

    fn position(&self, offset: u64) -> Position {
        let (topic_id, table_id) = (self.opening.topic_id, Some(table_id()));
        Position { offset, leader_epoch: None, topic_id, table_id }
    }

    /// Does the next thing; the event ends it.
    pub(crate) fn turn(&mut self, hands: &mut Hands<'_>, outside: &mut Outside) -> Option<Event> {
        match &self.phase {
            Phase::Opening(_) if self.stop.is_some() && !self.is_told => {
                Some(self.stopped(hands, None, true, None))
            }
            // Interrupted while what is gone is being recorded.
            Phase::Open(_) if self.stop.is_some() && !self.is_told => {
                Some(self.stopped(hands, None, true, None))
            }
            Phase::Opening(None) => self.ask(hands, outside),
            Phase::Opening(Some(asked)) => {
                let asked = *asked;
                self.open(asked, hands, outside)
            }
            Phase::Open(_) => self.work(hands, outside),
            Phase::Releasing { position, clean, reason, since } => {
                let waited = hands.now.saturating_since(*since) >= STOP_PATIENCE;
                if !waited && !hands.offsets.is_committed(self.partition()) {
                    return None;
                }
                let (position, clean, reason) = (*position, *clean, reason.clone());
                Some(self.stopped(hands, Some(position), clean, reason))
            }
        }
    }

    /// Once what is gone is recorded, the lane is open.
    fn tell_opened(&mut self, hands: &mut Hands<'_>, outside: &mut Outside) -> Option<Event> {
        let Phase::Open(writer) = &self.phase else { return None };
        if writer.fill.is_some_and(|fill| writer.end < fill) {
            return None;
        }
        let (end, object, gap) = (writer.end, writer.newest_object, writer.gap);
        let position = self.position(end);
        if let Some(gap) = gap {
            outside.seen.gaps += 1;
            note(Some(self.partition()), || format!("a gap was reported: {gap:?}"));
            outside.gaps.entry(self.partition().clone()).or_default().push(gap);
        }
        if let Phase::Open(writer) = &mut self.phase {
            (writer.fill, writer.gap) = (None, None);
        }
        hands.offsets.want(self.partition(), Commit { position, object });
        if std::mem::replace(&mut self.is_told, true) {
            return None;
        }
        outside.seen.opened += 1;
        Some(Event::Opened { lane: self.id(), position, tokens: vec![] })
    }

    fn work(&mut self, hands: &mut Hands<'_>, outside: &mut Outside) -> Option<Event> {
        let Phase::Open(writer) = &self.phase else { return None };
        if writer.pending.is_some() {
            return self.go_on_writing(hands, outside);
        }
        let (end, fill) = (writer.end, writer.fill);
        if fill.is_none() && self.stop.is_some() {
            self.release(end, true, None, hands.now);
            return None;
        }
        let log = outside.kafka.log(self.partition()).map(|(_, log)| log).unwrap_or_default();
        let to = fill.unwrap_or_else(|| log.end.min(end + outside.rng.random_range(1..6)));
        if fill.is_none() && log.start > end {
            self.reopen(end, outside);
        } else if to > end {
            self.put(end..to, fill.is_none(), hands, outside);
        }
        None
    }

    /// What comes next is not in the log any more: it opens anew behind what it stored.
    fn reopen(&mut self, end: u64, outside: &mut Outside) {
        outside.seen.reopened += 1;
        let position = Some(self.position(end));
        self.opening.hand_over = Some(HandOver { position, clean: true, ..HandOver::default() });
        self.phase = Phase::Opening(None);
    }

    fn put(&mut self, range: Range<u64>, has_rows: bool, hands: &Hands<'_>, outside: &mut Outside) {
        let footer = Footer {
            partition: self.partition().clone(),
            topic_id: self.opening.topic_id,
            from: range.start,
            to: range.end,
            leader_epoch: None,
            table_id: table_id(),
            schema_version: 1,
            controller_topic_id: controller_topic_id(),
            term: self.opening.lane.since,
            nonce: Nonce::from_rng(&mut outside.rng),
        };
        let object = Object { footer, has_rows, is_owners: false };
        self.send(&object, hands, outside);
        let pending = Pending { object, put_at: hands.now, accept: None };
        if let Phase::Open(writer) = &mut self.phase {
            writer.pending = Some(pending);
        }
    }

    fn send(&self, object: &Object, hands: &Hands<'_>, outside: &mut Outside) {
        let object = Box::new(object.clone());
        outside.send(hands.pid, Parcel::Put { lane: self.id(), object });
    }

    /// Repeats what was not answered, or counts another's object once the lease is confirmed.
    fn go_on_writing(&mut self, hands: &mut Hands<'_>, outside: &mut Outside) -> Option<Event> {
        let Phase::Open(writer) = &mut self.phase else { return None };
        let pending = writer.pending.as_mut()?;
        let is_stuck = self.stop.is_some_and(|at| hands.now.saturating_since(at) >= STOP_PATIENCE);
        if let Some((found, sent)) = pending.accept.clone() {
            if hands.holds && hands.acknowledged > sent {
                outside.seen.accepted += 1;
                self.advance(&found, hands);
                return self.tell_opened(hands, outside);
            }
        } else if hands.now.saturating_since(pending.put_at) >= PUT_PATIENCE {
            pending.put_at = hands.now;
            let object = pending.object.clone();
            self.send(&object, hands, outside);
        }
        if is_stuck && let Phase::Open(writer) = &self.phase {
            self.release(writer.end, false, None, hands.now);
        }
        None
    }

    /// The sink has answered a put, of this lane, perhaps of an object that is no longer pending.
    pub(crate) fn answered(
        &mut self,
        object: &Object,
        put: &Put,
        hands: &mut Hands<'_>,
        outside: &mut Outside,
    ) -> Option<Event> {
        let Phase::Open(writer) = &mut self.phase else { return None };
        let pending = writer.pending.as_mut()?;
        if pending.object.footer.nonce != object.footer.nonce || pending.accept.is_some() {
            return None;
        }
        let found = match put {
            Put::Stored => object.footer.clone(),
            Put::Taken(found) => match judge(&object.footer, found) {
                Verdict::Own => found.clone(),
                Verdict::Accept => {
                    pending.accept = Some((found.clone(), hands.sent));
                    return None;
                }
                Verdict::Fenced(by) => {
                    outside.seen.fenced += 1;
                    let end = writer.end;
                    self.release(end, false, Some(format!("fenced by {by}")), hands.now);
                    return None;
                }
                verdict @ (Verdict::OtherTopicId | Verdict::Unusable(_)) => {
                    let text = format!("the chain holds what does not belong there: {verdict:?}");
                    broken(Invariant::I1, Some(self.partition()), text)
                }
            },
        };
        self.advance(&found, hands);
        self.tell_opened(hands, outside)
    }

    fn advance(&mut self, stored: &Footer, hands: &mut Hands<'_>) {
        let position = self.position(stored.to);
        let Phase::Open(writer) = &mut self.phase else { return };
        writer.end = stored.to;
        writer.newest_object = Some(stored.from);
        writer.pending = None;
        let commit = Commit { position, object: writer.newest_object };
        if let Some(at) = &mut self.stop {
            *at = hands.now;
        }
        hands.offsets.want(&self.opening.lane.partition, commit);
    }

    /// The cluster says which topics there are. One broker may not know a topic yet, so that an
    /// absence is believed the second time only.
    pub(crate) fn compare(&mut self, change: Option<(String, bool)>, now: Moment) {
        let was_missed = std::mem::take(&mut self.is_missed);
        let Some((text, is_absence)) = change else { return };
        self.is_missed = is_absence;
        if is_absence && !was_missed {
            return;
        }
        if let Phase::Open(writer) = &self.phase {
            self.release(writer.end, false, Some(text), now);
        }
    }

    fn release(&mut self, end: u64, clean: bool, reason: Option<String>, since: Moment) {
        self.phase = Phase::Releasing { position: self.position(end), clean, reason, since };
    }

    fn stopped(
        &self,
        hands: &mut Hands<'_>,
        position: Option<Position>,
        clean: bool,
        reason: Option<String>,
    ) -> Event {
        hands.offsets.forget(self.partition());
        note(Some(self.partition()), || {
            let at = position.map(|position| position.offset);
            format!("process {} released it at {at:?}, clean {clean}, {reason:?}", hands.pid)
        });
        let stopped = Stopped { position, clean, tokens: vec![], polled_at_ms: None, reason };
        Event::Stopped { lane: self.id(), stopped }
    }
}
