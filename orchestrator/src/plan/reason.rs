//! Pure. Why a plan changes something, in words for the person who was paged because of it.

use std::fmt;

use common::identity::ConsumerId;
use common::partition::TopicPartition;
use common::rate::BytesPerSecond;

use super::snapshot::Hold;
use crate::pack::published::Heuristic;

/// Why a partition gets another owner, or one at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MoveReason {
    /// It never had an owner.
    New,
    /// The consumer that held it does not exist any more.
    OwnerGone { owner: ConsumerId },
    /// A person pinned it to its new owner.
    Pinned,
    /// The consumer that holds it is to hold nothing.
    Drained { owner: ConsumerId },
    /// The consumer that holds it is overloaded; `relief` says why this partition leaves.
    Overload { owner: ConsumerId, percent: u64, relief: Relief },
    /// Its owner is closed, since all that it holds fits elsewhere.
    Closed { owner: ConsumerId },
    /// Its place is needed for others, of which `room_for` is the largest.
    MadeRoom { owner: ConsumerId, room_for: TopicPartition },
    /// Its owner is left with room for what is to be expected.
    Eased { owner: ConsumerId },
    /// A published heuristic put it elsewhere; it gives no reasons.
    Packed { owner: ConsumerId, heuristic: Heuristic },
}

/// Why it is this partition that leaves an overloaded consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relief {
    /// It leaves alone, and no smaller one would suffice.
    Smallest,
    /// It leaves alone, which suffices.
    Alone,
    /// So many leave, and this is one of them.
    OneOfSeveral { leaving: usize },
    /// Nobody has room and nobody may be created: the load is spread as evenly as it goes.
    Spread,
}

/// How the new owner was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// It has room: so many per cent of its capacity are used once the plan is carried out.
    Room { percent: u64 },
    /// Nobody has room: a consumer is created.
    Created,
    /// Nobody has room and nobody may be created: a consumer takes it that is then so full.
    LeastLoaded { percent: u64 },
    /// A person chose.
    Chosen,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CreateReason {
    NoRoom {
        partition: TopicPartition,
        demand: BytesPerSecond,
    },
    Minimum {
        consumers_min: u32,
    },
    /// So many are to be ready that hold nothing.
    Spare {
        spares: u32,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RemoveReason {
    /// It holds nothing, and is not needed for the minimum.
    Idle,
    /// What it held fits into the others.
    Closed {
        partitions: usize,
    },
    Drained,
    /// It does not live any more.
    Gone,
}

/// What the plan could not do as it should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// One partition asks for more than a whole consumer; it has one of its own.
    PartitionTooLarge {
        partition: TopicPartition,
        demand: BytesPerSecond,
        capacity: BytesPerSecond,
    },
    /// A consumer stays overloaded because no consumer may be created.
    Overloaded { consumer: ConsumerId, percent: u64, held_back_by: HeldBackBy },
    /// These stay without an owner: there is no consumer and none may be created.
    Unplaced { partitions: usize, held_back_by: HeldBackBy },
    /// The pin is not followed: that consumer is absent or draining.
    PinUnfulfilled { partition: TopicPartition, consumer: ConsumerId },
    /// A draining consumer keeps what it has: nobody else exists and nobody may be created.
    CannotDrain { consumer: ConsumerId, held_back_by: HeldBackBy },
}

/// Which limit binds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeldBackBy {
    Maximum {
        consumers_max: u32,
    },
    Step {
        create_max: u32,
    },
    Hold(Hold),
    /// All that it holds is pinned to it.
    Pins,
}

impl MoveReason {
    /// A word for metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Self::New => "new",
            Self::OwnerGone { .. } => "owner_gone",
            Self::Pinned => "pinned",
            Self::Drained { .. } => "drained",
            Self::Overload { .. } => "overload",
            Self::Closed { .. } => "closed",
            Self::MadeRoom { .. } => "made_room",
            Self::Eased { .. } => "eased",
            Self::Packed { .. } => "packed",
        }
    }

    /// The reason as a sentence about `partition`, without a full stop.
    pub(super) fn about(&self, partition: &TopicPartition) -> String {
        match self {
            Self::New => format!("{partition} had no owner"),
            Self::OwnerGone { owner } => format!("{owner}, the owner of {partition}, is gone"),
            Self::Pinned => format!("{partition} was pinned by a person"),
            Self::Drained { owner } => format!("{owner} is being drained"),
            Self::Overload { owner, percent, relief } => {
                let overload = format!("{owner} was at {percent} % of its trigger capacity");
                match relief {
                    Relief::Smallest => format!(
                        "{overload}; {partition} is the smallest partition whose leaving suffices"
                    ),
                    Relief::Alone => format!("{overload}; the leaving of {partition} suffices"),
                    Relief::OneOfSeveral { leaving } => {
                        format!("{overload}; {partition} is one of {leaving} that leave it")
                    }
                    Relief::Spread => format!(
                        "{overload} and nobody has room; {partition} evens out the overload"
                    ),
                }
            }
            Self::Closed { owner } => {
                format!("{owner} is closed, since all that it held fits into the others")
            }
            Self::MadeRoom { owner, room_for } => {
                format!("its place at {owner} is needed for {room_for}")
            }
            Self::Eased { owner } => {
                format!("{owner} is left with room for what its load may grow by")
            }
            Self::Packed { owner, heuristic } => {
                format!("the heuristic {} takes it from {owner}", heuristic.name())
            }
        }
    }
}

impl Fit {
    /// The choice as a sentence about `consumer`, without a full stop.
    pub(super) fn about(self, consumer: ConsumerId) -> String {
        match self {
            Self::Room { percent } => {
                format!("{consumer} has room, and is then at {percent} % of its capacity")
            }
            Self::Created => format!("nobody has room, so {consumer} is created"),
            Self::LeastLoaded { percent } => format!(
                "nobody has room and nobody may be created; {consumer} is then at {percent} % of its \
                 capacity"
            ),
            Self::Chosen => format!("{consumer} was asked for"),
        }
    }
}

impl fmt::Display for CreateReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRoom { partition, demand } => {
                write!(f, "nobody has room for {partition}, which asks for {demand}")
            }
            Self::Minimum { consumers_min } => {
                write!(f, "at least {consumers_min} consumers are to be kept")
            }
            Self::Spare { spares } => write!(f, "{spares} are to be ready that hold nothing"),
        }
    }
}

impl fmt::Display for RemoveReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Idle => write!(f, "it holds nothing and is not needed"),
            Self::Closed { partitions } => {
                write!(f, "the partitions that it held ({partitions}) fit into the others")
            }
            Self::Drained => write!(f, "it was drained"),
            Self::Gone => write!(f, "it is gone"),
        }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PartitionTooLarge { partition, demand, capacity } => write!(
                f,
                "{partition} asks for {demand}, more than a consumer's capacity of {capacity}: \
                 give its topic more partitions"
            ),
            Self::Overloaded { consumer, percent, held_back_by } => {
                write!(f, "{consumer} stays at {percent} % of its trigger capacity: {held_back_by}")
            }
            Self::Unplaced { partitions, held_back_by } => {
                write!(f, "{partitions} partitions have no owner: {held_back_by}")
            }
            Self::PinUnfulfilled { partition, consumer } => {
                write!(f, "{partition} is pinned to {consumer}, which is absent or draining")
            }
            Self::CannotDrain { consumer, held_back_by } => {
                write!(f, "{consumer} cannot be drained, as nobody else exists: {held_back_by}")
            }
        }
    }
}

impl fmt::Display for HeldBackBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Maximum { consumers_max } => {
                write!(f, "at most {consumers_max} consumers may exist")
            }
            Self::Step { create_max } => {
                write!(f, "at most {create_max} consumers may be created at a time")
            }
            Self::Hold(hold) => hold.fmt(f),
            Self::Pins => write!(f, "what it holds is pinned to it"),
        }
    }
}

impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Paused => "no consumer is created while that is paused",
            Self::Sink => {
                "no consumer is created while overloaded ones wait for their sink: others would \
                 wait as well"
            }
            Self::Awaited => {
                "no consumer is created while one that was created cannot run: there is no place \
                 for another one, either"
            }
            Self::NeverCame => {
                "no consumer is created for a while: the last ones that were created never came"
            }
            Self::Fruitless => {
                "no consumer is created for a while: the last ones brought less than a tenth of \
                 what was expected"
            }
        })
    }
}
