//! Pure. Why a plan is made, as a word and as a sentence.

use std::fmt;
use std::time::Duration;

use common::identity::ConsumerId;
use common::partition::TopicPartition;

/// Why a plan is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    ConsumerDied {
        consumer: ConsumerId,
    },
    Unowned {
        partitions: usize,
        first: TopicPartition,
    },
    ConfigurationChanged {
        what: String,
    },
    Asked {
        by: String,
    },
    /// A partition is not where a person wants it.
    Wish {
        partition: TopicPartition,
    },
    Draining {
        consumer: ConsumerId,
    },
    Overload {
        consumer: ConsumerId,
        percent: u64,
    },
    Minimum {
        serving: usize,
        consumers_min: u32,
    },
    Spares {
        idle: usize,
        spares: u32,
    },
    Surplus {
        serving: usize,
        sufficient: usize,
        window: Duration,
    },
}

impl Reason {
    /// A word for metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Self::ConsumerDied { .. } => "consumer_died",
            Self::Unowned { .. } => "unowned",
            Self::ConfigurationChanged { .. } => "configuration_changed",
            Self::Asked { .. } => "asked",
            Self::Wish { .. } => "wish",
            Self::Draining { .. } => "draining",
            Self::Overload { .. } => "overload",
            Self::Minimum { .. } => "minimum",
            Self::Spares { .. } => "spares",
            Self::Surplus { .. } => "surplus",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ConsumerDied { consumer } => write!(f, "{consumer} died"),
            Self::Unowned { partitions: 1, first } => write!(f, "{first} has no owner"),
            Self::Unowned { partitions, first } => {
                write!(f, "{partitions} partitions have no owner, the first is {first}")
            }
            Self::ConfigurationChanged { what } => write!(f, "the configuration changed: {what}"),
            Self::Asked { by } => write!(f, "{by} asked for it"),
            Self::Wish { partition } => write!(f, "{partition} is not where a person wants it"),
            Self::Draining { consumer } => write!(f, "{consumer} is being drained"),
            Self::Overload { consumer, percent } => {
                write!(f, "{consumer} is at {percent} % of its trigger capacity")
            }
            Self::Minimum { serving, consumers_min } => {
                write!(f, "{serving} consumers exist, at least {consumers_min} are to be kept")
            }
            Self::Spares { idle, spares } => {
                write!(f, "{idle} consumers hold nothing, {spares} are to be ready")
            }
            Self::Surplus { serving, sufficient, window } => write!(
                f,
                "{sufficient} consumers instead of {serving} have sufficed for {} s",
                window.as_secs()
            ),
        }
    }
}
