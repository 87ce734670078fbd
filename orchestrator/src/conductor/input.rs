//! Pure. Everything that reaches the main loop.

use std::collections::BTreeSet;

use common::identity::ConsumerId;
use common::kafka::wire::cluster::Cluster;
use common::messages::Message;
use common::messages::measurement::Measurement;
use common::moment::{Moment, Timestamp};
use common::term::Generation;

use crate::fleet::FleetEvent;
use crate::inbox::Received;

/// The time of an input: by the clock that decides, and by the one for people.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    pub moment: Moment,
    pub timestamp: Timestamp,
}

#[derive(Clone, Debug)]
pub enum Input {
    /// A fraction of a second has passed.
    Tick,
    /// A message on partition 0 of the controller topic.
    Requests(Received),
    /// Partition 0 was read to where it ended when the process started.
    RequestsEnd,
    /// A record of the service topic.
    Service {
        key: Option<Vec<u8>>,
        value: Option<Vec<u8>>,
    },
    /// The service topic was read to where it ended when the process started.
    ServiceEnd,
    /// What the brokers say of the topics that were asked for.
    Topics {
        asked: BTreeSet<String>,
        cluster: Cluster,
    },
    /// One chunk of a measurement.
    Measured(Measurement),
    /// A record that is no message.
    Malformed {
        log: Log,
        error: String,
    },
    /// A topic cannot be read, and waiting will not help.
    Lost {
        log: Log,
        error: String,
    },
    /// The partitions of consumers were read up to the own `LeaderStarted`: all of them, or those
    /// that can be written and read.
    Commands(CommandsRead),
    /// A partition that could not be written and read when this reign began can be.
    Reachable {
        generation: Generation,
    },
    /// A message on the events topic, read for this reign.
    Event {
        generation: Generation,
        received: Received,
    },
    Fleet(FleetEvent),
    /// Whether the Lease is held that allows to stand for leader.
    Lease(bool),
    /// A command stands in a consumer's partition, below `next`.
    Written {
        consumer: ConsumerId,
        next: u64,
    },
}

/// What stood on the partitions of consumers when a reign began.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommandsRead {
    pub generation: Generation,
    /// In the order of each partition.
    pub messages: Vec<(ConsumerId, Message)>,
    /// The first offset that was not read, of each partition that could be written and read.
    pub next: Vec<(ConsumerId, u64)>,
}

/// Our own topics, as far as the orchestrator reads them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Log {
    /// Partition 0 of the controller topic.
    Requests,
    /// The other partitions of it.
    Commands,
    Events,
    Service,
    Measurements,
}

impl Log {
    /// A word for metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Commands => "commands",
            Self::Events => "events",
            Self::Service => "service",
            Self::Measurements => "measurements",
        }
    }
}
