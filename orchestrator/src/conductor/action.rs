//! Pure. Everything that the main loop wants done.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use common::identity::{ConsumerId, Incarnation, Nonce};
use common::messages::Message;
use common::messages::event::{Notice, Refused};
use common::partition::TopicPartition;
use common::term::Generation;

use crate::capacity::Lesson;
use crate::conductor::input::Log;
use crate::conductor::openings::Step;
use crate::conductor::rollout::Progress;
use crate::decision::JournalLine;
use crate::demand::Anomaly;
use crate::expansion::Shortfall;
use crate::fleet::{FleetCommand, ProcessId};
use crate::plan::snapshot::Hold;
use crate::proposal::Proposal;
use crate::roster::End;
use crate::status::Status;

#[derive(Clone, Debug)]
pub enum Action {
    Write {
        to: Destination,
        message: Message,
    },
    /// Write `LeaderStarted` to the partition of every consumer and read each up to it. Those that
    /// can be neither written nor read for a while are left out.
    TakeOver(Reading),
    /// Read the events, from the beginning if no offset is known, for this reign.
    ReadEvents {
        generation: Generation,
        from: Option<u64>,
    },
    /// Ask the brokers about these topics from now on.
    AskFor(BTreeSet<String>),
    Fleet(FleetCommand),
    Decided(Box<JournalLine>),
    Publish(Box<Status>),
    /// For the log and the metrics.
    Note(Note),
    /// Going on would do harm: end with this sentence.
    Fail(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Destination {
    /// Partition 0 of the controller topic.
    Requests,
    /// The consumer's partition of it.
    Consumer(ConsumerId),
    Events,
}

/// How the partitions of consumers are read when a reign begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    pub generation: Generation,
    pub nonce: Nonce,
    /// Where to begin: `None` means at the beginning.
    pub starts: BTreeMap<ConsumerId, Option<u64>>,
}

/// What people and metrics should know of.
#[derive(Clone, Debug)]
pub enum Note {
    Lead(Generation),
    Deposed {
        by: Generation,
    },
    /// It stands again, to learn what consumers hold that could not be reached before.
    Renews,
    /// The log of the reigns before was read.
    TookOver {
        partitions: usize,
        incarnations: usize,
    },
    /// Their partitions of the controller topic can be neither written nor read.
    Unreachable(BTreeSet<ConsumerId>),
    Moved {
        partition: TopicPartition,
        from: Option<ConsumerId>,
        to: ConsumerId,
    },
    /// Milliseconds in which nobody read a partition that moved.
    MoveGap {
        partition: TopicPartition,
        gap_ms: u64,
    },
    OpenFailed {
        partition: TopicPartition,
        consumer: ConsumerId,
        reason: String,
    },
    IncarnationEnded {
        consumer: ConsumerId,
        incarnation: Incarnation,
        why: End,
        partitions: usize,
    },
    ConsumerStarted {
        consumer: ConsumerId,
        process: ProcessId,
    },
    ConsumerExited {
        consumer: ConsumerId,
        process: ProcessId,
        how: String,
        is_expected: bool,
    },
    ConsumerFailing {
        consumer: ConsumerId,
        failures: u32,
        reason: String,
    },
    ConsumerRemoved(ConsumerId),
    /// It lives and does not answer; if it is the fleet's, that ends it.
    Unanswering {
        consumer: ConsumerId,
        incarnation: Incarnation,
        is_ours: bool,
    },
    /// Its owner lives and reads nothing of it, for no known cause.
    Stuck {
        partition: TopicPartition,
        consumer: ConsumerId,
    },
    Refused(Refused),
    Notice(Notice),
    Malformed {
        log: Log,
        error: String,
    },
    ServiceEntry {
        key: String,
        error: String,
    },
    Topic(String),
    Configuration(String),
    Anomaly(Anomaly),
    Fleet(FleetNote),
    Planning(PlanningNote),
}

/// What befell the workloads of consumers.
#[derive(Clone, Debug)]
pub enum FleetNote {
    /// It cannot run for now.
    Waiting { consumer: ConsumerId, reason: String },
    /// It is new and never came, as so many in a row; no other one is made for so long.
    NeverCame { consumer: ConsumerId, in_a_row: u32, rest: Duration },
    /// Its workload was changed by hand, and put right.
    Mended { consumer: ConsumerId, what: String },
    /// Its pod did not go by itself and is removed: nothing lives in it that counts.
    Buried { consumer: ConsumerId, pod: String, reason: String },
    /// What consumers are to be run like cannot be used.
    Refused { error: String },
    /// How long a new consumer took for one step on its way.
    Opened { step: Step, took: Duration },
}

/// What people should know of plans and of what they are made from.
#[derive(Clone, Debug)]
pub enum PlanningNote {
    /// What a consumer sustains was learned anew.
    Learned {
        consumer: ConsumerId,
        lesson: Lesson,
    },
    /// The last consumers that were created brought little.
    Shortfall(Shortfall),
    /// From now on no consumer is created, or again one may be.
    Held(Option<Hold>),
    Drained(ConsumerId),
    /// Consumers that run with something old are being replaced.
    RolledOut(Progress),
    Proposed(Proposal),
    /// Nobody proposes this any more, or it cannot be carried out any more.
    NotApproved {
        name: String,
    },
}

pub(super) fn fleet_note(note: FleetNote) -> Action {
    Action::Note(Note::Fleet(note))
}

pub(super) fn planning_note(note: PlanningNote) -> Action {
    Action::Note(Note::Planning(note))
}
