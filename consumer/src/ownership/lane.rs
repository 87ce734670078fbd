//! Pure. What passes between the ownership of partitions and the lanes that read them.

use common::identity::{Incarnation, TopicId};
use common::messages::command::{Assign, Source};
use common::messages::event::{Answer, RefusalClass};
use common::partition::TopicPartition;
use common::position::{HandOver, Position};
use common::term::{Generation, Term};

/// One lane: a partition as this incarnation got it. A partition that comes back is another lane.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LaneId {
    pub partition: TopicPartition,
    /// The term of the `Assign` that first gave it.
    pub since: Term,
}

/// Everything that a lane needs in order to open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opening {
    pub lane: LaneId,
    pub topic_id: TopicId,
    pub source: Source,
    pub hand_over: Option<HandOver>,
    /// The leader ordered a change of table; see [`AssignedPartition::new_table`].
    pub new_table: bool,
}

/// How a lane ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stopped {
    /// Where the next owner goes on; `None` if the lane does not know.
    pub position: Option<Position>,
    /// Nothing is left whose outcome is unknown.
    pub clean: bool,
    pub tokens: Vec<String>,
    /// When Kafka was asked for the last time, milliseconds since 1970.
    pub polled_at_ms: Option<i64>,
    /// Why, if nobody told it to stop.
    pub reason: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A leader announced itself, on this consumer's partition or, at start, on partition 0.
    LeaderStarted(Generation),
    Assign(Assign),
    /// The lane is open and reads from `position`.
    Opened {
        lane: LaneId,
        position: Position,
        tokens: Vec<String>,
    },
    /// The lane could not be opened; `tokens` are those that it made meanwhile.
    OpenFailed {
        lane: LaneId,
        reason: String,
        tokens: Vec<String>,
    },
    /// Kafka answered the first poll, at this time in milliseconds since 1970.
    Polled {
        lane: LaneId,
        at_ms: i64,
    },
    Stopped {
        lane: LaneId,
        stopped: Stopped,
    },
    /// The writer was replaced within the ownership.
    TokensChanged {
        lane: LaneId,
        tokens: Vec<String>,
    },
    /// SIGTERM or the like: release everything, then exit.
    Drain,
    /// The lease ran out. What the incarnation held is no longer its own.
    Lapsed {
        next: Incarnation,
    },
    /// The answer of this number was stored by Kafka.
    AnswerAcknowledged(u64),
    /// The last answer was not acknowledged in time: say it again.
    AnswerLost,
}

#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "a few at a time, and gone at once")]
pub enum Action {
    Open(Opening),
    /// Finish what is in flight, commit, and report `Stopped`.
    Stop(LaneId),
    /// Kafka has stored an answer that names these fence tokens: their writer may write.
    Announced {
        lane: LaneId,
        tokens: Vec<String>,
    },
    /// The lease is gone: drop everything, write and commit nothing more.
    Abandon(LaneId),
    Answer(Answer),
    Refuse {
        class: RefusalClass,
        text: String,
    },
    /// Everything is released, and Kafka has stored the answer that says so.
    Exit,
}
