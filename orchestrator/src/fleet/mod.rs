//! The consumer workloads that exist, and what creates and removes them.
//!
//! A driver knows nothing of partitions: it creates the workload of a consumer under its number,
//! keeps it running, and removes it once it was told to end. What it sees, it tells.

pub mod drive;
pub mod launch;
pub mod record;
pub mod child;
pub mod process;

use std::collections::BTreeMap;
use std::future::Future;

use common::identity::ConsumerId;
use common::messages::service::DeploymentEntry;

/// What the fleet is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FleetCommand {
    /// Look which workloads exist, adopt those that live, and tell with [`FleetEvent::Surveyed`].
    Survey,
    /// Run this consumer with these options, until it is removed.
    Create { consumer: ConsumerId, deployment: DeploymentEntry },
    /// It was told to end: wait for that, then ask, then insist.
    Remove { consumer: ConsumerId },
    /// It lives and does not get on: end its process, which is then started again.
    Restart { consumer: ConsumerId },
    /// Another leads: leave all as they are, and watch them no more.
    Release,
}

/// What the fleet tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FleetEvent {
    Surveyed {
        /// The process of each consumer that lives.
        running: BTreeMap<ConsumerId, u32>,
        /// The last process of each consumer of which it is certain that it lives no more.
        ended: BTreeMap<ConsumerId, u32>,
    },
    Started {
        consumer: ConsumerId,
        pid: u32,
    },
    /// The process is over; it is started again unless it was to be removed.
    Exited {
        consumer: ConsumerId,
        pid: u32,
        how: String,
        is_expected: bool,
    },
    /// It could not be started, or ended soon again and again: so many times by now.
    Failing {
        consumer: ConsumerId,
        failures: u32,
        reason: String,
    },
    /// It does not exist any more.
    Removed {
        consumer: ConsumerId,
    },
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
