//! One partition that a process reads: opened by the sink's real rules, written, released.
//!
//! ```text
//!            chain:   opening ────────────> writing
//!  ask Kafka <                                        > release
//!            streams: opening ─> entering ─> appending
//! ```

mod opening;
mod writing;
mod entering;
mod appending;

use std::collections::BTreeSet;
use std::time::Duration;

use common::moment::Moment;
use common::partition::TopicPartition;
use common::position::{HandOver, Position};
use consumer::offsets::{Commit, Offsets};
use consumer::ownership::{Event, LaneId, Opening, Stopped};
use consumer::sink::Committed;
use consumer::sink::parquet::Footer;

use super::history::note;
use super::kafka::Log;
use super::lake::{Object, table_id};
use super::outside::Outside;
use super::streams::Of;
use appending::Appending;
use entering::Entering;
pub(crate) use entering::SinkOpening;

/// What the sink does not answer is sent again after this.
const ANSWER_PATIENCE: Duration = Duration::from_millis(800);
/// How long a lane that stops may go without any progress, and how long a last commit is waited for.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) opening: Opening,
    phase: Phase,
    /// Fence tokens of the present writer, or of the last one.
    tokens: Vec<String>,
    /// Those that Kafka has in an answer of ours: their writer may write.
    pub(crate) announced: Vec<String>,
    /// Records that the sink refused.
    condemned: BTreeSet<u64>,
    /// Counts what the sink is asked.
    calls: u64,
    /// It was told to stop, and when something moved last since.
    stop: Option<Moment>,
    /// It was open once.
    is_told: bool,
    /// Its topic was not there when it was looked up last.
    is_missed: bool,
}

#[derive(Debug)]
enum Phase {
    Opening(Option<Asked>),
    /// Streams of former owners are ended, and one of its own is made.
    Entering(Box<Entering>),
    Open(Box<Writer>),
    /// Open, too, and its writer has a stream.
    Appending(Box<Appending>),
    Releasing {
        position: Position,
        clean: bool,
        reason: Option<String>,
        since: Moment,
    },
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
        Self {
            opening,
            phase: Phase::Opening(None),
            tokens: vec![],
            announced: vec![],
            condemned: BTreeSet::new(),
            calls: 0,
            stop: None,
            is_told: false,
            is_missed: false,
        }
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

    /// What the sink's own opening has come to, while it opens.
    pub(crate) fn sink_opening(&self, now: Moment) -> Option<SinkOpening> {
        let Phase::Entering(entering) = &self.phase else { return None };
        Some(entering.so_far(now))
    }

    fn id(&self) -> LaneId {
        self.opening.lane.clone()
    }

    fn partition(&self) -> &TopicPartition {
        &self.opening.lane.partition
    }

    fn of(&self) -> Of {
        (self.partition().clone(), self.opening.topic_id)
    }

    fn position(&self, offset: u64) -> Position {
        let (topic_id, table_id) = (self.opening.topic_id, Some(table_id()));
        Position { offset, leader_epoch: None, topic_id, table_id }
    }

    /// Does the next thing; the event ends it.
    pub(crate) fn turn(&mut self, hands: &mut Hands<'_>, outside: &mut Outside) -> Option<Event> {
        match &self.phase {
            Phase::Opening(_) | Phase::Entering(_) if self.stop.is_some() => {
                Some(self.interrupted(hands))
            }
            // Interrupted while what is gone is being recorded.
            Phase::Open(_) if self.stop.is_some() && !self.is_told => Some(self.interrupted(hands)),
            Phase::Opening(None) => self.ask(hands, outside),
            Phase::Opening(Some(asked)) => {
                let asked = *asked;
                self.open(asked, hands, outside)
            }
            Phase::Entering(_) => self.enter(hands, outside),
            Phase::Open(_) => self.work(hands, outside),
            Phase::Appending(_) => self.append(hands, outside),
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
        self.report(gap, outside);
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

    /// Says which records are gone.
    fn report(&self, gap: Option<(u64, u64)>, outside: &mut Outside) {
        let Some(gap) = gap else { return };
        outside.seen.gaps += 1;
        note(Some(self.partition()), || format!("a gap was reported: {gap:?}"));
        outside.gaps.entry(self.partition().clone()).or_default().push(gap);
    }

    /// Told to stop while it opens, for the first time or again.
    fn interrupted(&mut self, hands: &mut Hands<'_>) -> Event {
        let given = self.opening.hand_over.as_ref().filter(|_| self.is_told);
        let (position, clean) = given.map_or((None, true), |given| (given.position, given.clean));
        self.stopped(hands, position, clean, None)
    }

    /// It opens anew behind what it stored, as what comes next is not in the log any more, or was refused.
    fn reopen(&mut self, end: u64, clean: bool, outside: &mut Outside) {
        outside.seen.reopened += 1;
        let (position, tokens) = (Some(self.position(end)), self.tokens.clone());
        self.opening.hand_over = Some(HandOver { position, clean, tokens, release: None });
        self.phase = Phase::Opening(None);
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
        match &self.phase {
            Phase::Open(writer) => self.release(writer.end, false, Some(text), now),
            Phase::Appending(writer) => self.release(writer.end, false, Some(text), now),
            // Kafka is asked again, and says so.
            Phase::Entering(_) => self.phase = Phase::Opening(None),
            Phase::Opening(_) | Phase::Releasing { .. } => {}
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
        let tokens = self.tokens.clone();
        let stopped = Stopped { position, clean, tokens, polled_at_ms: None, reason };
        Event::Stopped { lane: self.id(), stopped }
    }
}
