//! The consumer workloads that exist, and what creates and removes them.
//!
//! A driver knows nothing of partitions: it creates the workload of a consumer under its number,
//! keeps it running, and removes it once it was told to end. What it sees, it tells.

pub mod process_id;
pub mod drive;
pub mod launch;
pub mod record;
pub mod child;
pub mod process;
pub mod kubernetes;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;

use common::identity::ConsumerId;
use common::messages::Message;
use common::messages::service::DeploymentEntry;
use common::term::Generation;

pub use process_id::{ContainerRun, ProcessId};

/// What the fleet is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FleetCommand {
    /// Look which workloads exist, adopt those that live, and tell with [`FleetEvent::Surveyed`]. From
    /// then on they belong to the leader of this generation.
    Survey { generation: Generation },
    /// Run this consumer with these options, until it is removed.
    Create { consumer: ConsumerId, deployment: DeploymentEntry },
    /// It was told to end: wait for that, then ask, then insist.
    Remove { consumer: ConsumerId },
    /// It lives and does not get on: end its process, which is then started again.
    Restart { consumer: ConsumerId },
    /// Nothing lives in this pod that could hold a partition: it need not be waited for.
    Bury { consumer: ConsumerId, pod: String },
    /// Another leads: leave all as they are, and watch them no more.
    Release,
}

/// A workload that a fleet found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Nothing if it does not run for now.
    pub process: Option<ProcessId>,
    /// What it was created with.
    pub deployment: DeploymentEntry,
}

/// How far a new consumer has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Its workload exists.
    Applied,
    /// It has a machine to run on.
    Scheduled,
    Started,
    Ready,
}

/// What the fleet tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FleetEvent {
    Surveyed {
        found: BTreeMap<ConsumerId, Found>,
        /// Processes of which it is certain that they live no more.
        ended: Vec<(ConsumerId, ProcessId)>,
    },
    Reached {
        consumer: ConsumerId,
        phase: Phase,
    },
    Started {
        consumer: ConsumerId,
        process: ProcessId,
    },
    /// The process is over; it is started again unless it was to be removed.
    Exited {
        consumer: ConsumerId,
        process: ProcessId,
        how: String,
        is_expected: bool,
    },
    /// It could not be started, or ended soon again and again: so many times by now.
    Failing {
        consumer: ConsumerId,
        failures: u32,
        reason: String,
    },
    /// It exists and cannot run for now. Told when the reason changes.
    Waiting {
        consumer: ConsumerId,
        reason: String,
    },
    /// Its pod does not go, or its node is silent: nobody but the leader can tell whether its process
    /// may still hold anything. Told again and again.
    Stuck {
        consumer: ConsumerId,
        pod: String,
        reason: String,
    },
    /// Somebody changed or removed it by hand, and it was put right.
    Mended {
        consumer: ConsumerId,
        what: String,
    },
    /// It does not exist any more.
    Removed {
        consumer: ConsumerId,
    },
    /// These run with something else than they would be made with now; told when it changes.
    Outdated {
        consumers: BTreeSet<ConsumerId>,
    },
    /// How consumers are to be run cannot be used; what was used before still is.
    Refused {
        error: String,
    },
    /// A person asks for this where the fleet lives.
    Asked(Message),
}

/// Creates and removes workloads. Failures are told as events and tried again by the driver.
pub trait FleetDriver: Send {
    /// Carries a command out, or begins to. Does not wait for processes.
    fn command(&mut self, command: FleetCommand) -> impl Future<Output = ()> + Send;

    /// The next thing that happened, whenever it does. Dropping the future loses nothing.
    fn observe(&mut self) -> impl Future<Output = FleetEvent> + Send;

    /// Asks every workload to end and waits until all have, within the grace period.
    fn shut_down(&mut self) -> impl Future<Output = ()> + Send;
}
