//! IO. Carries out what the main loop wants: writes, fleet, journal, status, log.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use common::chain::Chain;
use common::http::Readiness;
use common::identity::{ConsumerId, Nonce};
use common::messages::Message;
use common::messages::snapshot::Ownership;
use common::moment::Timestamp;
use common::partition::TopicPartition;
use rand::SeedableRng as _;
use rand::rngs::ChaCha8Rng;
use thiserror::Error;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::{error, info, warn};

use crate::conductor::action::{Action, Destination, Note, Reading};
use crate::conductor::input::Input;
use crate::decision::JournalLine;
use crate::fleet::FleetCommand;
use crate::fleet::kubernetes::announce::Announcement;
use crate::journal::Journal;
use crate::metrics::OrchestratorMetrics;
use crate::narrate::narrate;
use crate::outbox::{Delivery, Outbox};
use crate::sense::Sense;
use crate::state_dir::StateDir;
use crate::status::{Role, Status};
use crate::takeover::TakeOver;

/// For so long the end waits to be told to others. Without it they miss the leader a few seconds later.
const FAREWELL_PATIENCE: Duration = Duration::from_secs(2);

#[derive(Debug, Error)]
#[error("{0}")]
pub struct Fatal(String);

/// The limbs.
pub struct Executor {
    pub outbox: Outbox,
    pub messages: mpsc::Sender<(Destination, Message)>,
    pub fleet: mpsc::Sender<FleetCommand>,
    pub asked: watch::Sender<BTreeSet<String>>,
    pub status: watch::Sender<Status>,
    pub readiness: watch::Sender<Readiness>,
    pub journal: Journal,
    /// Where people look for decisions, if there is such a place.
    pub announcements: Option<mpsc::Sender<Announcement>>,
    pub metrics: OrchestratorMetrics,
    pub sense: Sense,
    /// Makes what taking over needs.
    pub takeover: Box<dyn Fn() -> TakeOver + Send>,
    pub rng: ChaCha8Rng,
    pub tasks: ReignTasks,
    /// Since when nobody holds a partition.
    pub unowned: BTreeMap<TopicPartition, Timestamp>,
    /// Kept for its lock.
    pub state_dir: StateDir,
}

/// The tasks of one reign; they end with it.
#[derive(Debug, Default)]
pub struct ReignTasks {
    takeover: Option<JoinHandle<()>>,
    events: Option<JoinHandle<()>>,
}

impl ReignTasks {
    fn stop(&mut self) {
        for task in [self.takeover.take(), self.events.take()].into_iter().flatten() {
            task.abort();
        }
    }
}

impl Drop for ReignTasks {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Executor {
    /// Does not wait for Kafka or for processes.
    ///
    /// # Errors
    /// If going on would do harm.
    pub async fn execute(&mut self, action: Action) -> Result<(), Fatal> {
        match action {
            Action::Write { to, message } => self.write(to, message),
            Action::TakeOver(reading) => self.take_over(reading),
            Action::ReadEvents { generation, from } => {
                let reading = self.sense.clone().read_events(generation, from);
                self.tasks.events = Some(tokio::spawn(reading));
            }
            Action::AskFor(topics) => {
                self.asked.send_replace(topics);
            }
            // The driver never waits, so that there is room soon.
            Action::Fleet(command) => {
                let _ = self.fleet.send(command).await;
            }
            Action::Decided(line) => self.keep(&line),
            Action::Publish(status) => self.publish(*status),
            Action::Note(note) => {
                if matches!(note, Note::Deposed { .. }) {
                    self.tasks.stop();
                }
                self.metrics.count(&note);
                narrate(&note);
                if let Some(announcement) = Announcement::of_note(&note) {
                    self.announce(announcement);
                }
            }
            Action::Fail(why) => return Err(Fatal(why)),
        }
        Ok(())
    }

    /// Writes the last message of all, and waits a moment for it.
    pub async fn leave(&mut self, farewell: Message) {
        let nonce = Nonce::from_rng(&mut self.rng);
        let written = self.outbox.write(Destination::Requests, &farewell, nonce);
        match timeout(FAREWELL_PATIENCE, written).await {
            Ok(Ok(_)) => info!("others were told that nobody leads any more"),
            Ok(Err(error)) => warn!(error = %Chain(&error), "others have to miss this leader"),
            Err(_) => warn!("others have to miss this leader: no broker answered"),
        }
    }

    /// A message that finds no room is lost: every one of ours is written again if it is missed.
    fn write(&self, to: Destination, message: Message) {
        if self.messages.try_send((to, message)).is_err() {
            self.metrics.write_failures.inc();
        }
    }

    /// One that finds no room is lost: the log and the journal have it, too.
    fn announce(&self, announcement: Announcement) {
        if let Some(announcements) = &self.announcements {
            let _ = announcements.try_send(announcement);
        }
    }

    fn take_over(&mut self, reading: Reading) {
        self.tasks.stop();
        let rng = ChaCha8Rng::from_rng(&mut self.rng);
        self.tasks.takeover = Some(tokio::spawn((self.takeover)().run(reading, rng)));
    }

    fn keep(&self, line: &JournalLine) {
        let decision = &line.decision;
        self.announce(Announcement::of_decision(decision));
        self.metrics.count_decision(decision);
        info!(
            reason = decision.reason,
            create = decision.changes.create.len(),
            moves = decision.changes.moves.len(),
            remove = decision.changes.remove.len(),
            consumers = decision.changes.consumers,
            r_score_milli = decision.changes.r_score_milli,
            "planned"
        );
        for planned in &decision.changes.moves {
            info!(partition = %planned.partition, to = %planned.to, reason = planned.reason, "planned a move");
        }
        for created in &decision.changes.create {
            info!(consumer = %created.consumer, reason = created.reason, "planned to create");
        }
        for removed in &decision.changes.remove {
            info!(consumer = %removed.consumer, reason = removed.reason, "planned to remove");
        }
        for warning in &decision.changes.warnings {
            warn!(warning, "the plan has a flaw");
        }
        if let Err(error) = self.journal.append(line) {
            self.metrics.journal_failures.inc();
            error!(error = %Chain(&error), "a decision was not written to the journal");
        }
    }

    fn publish(&mut self, status: Status) {
        let readiness = match status.role {
            Role::Leading | Role::Standby => Readiness::Ready,
            Role::TakingOver => Readiness::not_ready("the reigns before this one are being read"),
        };
        self.readiness.send_if_modified(|known| {
            let is_changed = *known != readiness;
            *known = readiness;
            is_changed
        });
        self.note_unowned(&status);
        let unowned = &self.unowned;
        self.metrics.show(&status, |partition| seconds_unowned(unowned, partition, status.at));
        self.status.send_replace(status);
    }

    fn note_unowned(&mut self, status: &Status) {
        let is_held = |partition: &TopicPartition| {
            status
                .partitions
                .get(partition)
                .is_none_or(|found| !matches!(found.state, Ownership::Unowned | Ownership::Blocked))
        };
        self.unowned.retain(|partition, _| !is_held(partition));
        for partition in status.partitions.keys().filter(|partition| !is_held(partition)) {
            self.unowned.entry(partition.clone()).or_insert(status.at);
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a metric needs no 53 bits")]
fn seconds_unowned(
    unowned: &BTreeMap<TopicPartition, Timestamp>,
    partition: &TopicPartition,
    now: Timestamp,
) -> f64 {
    let since = unowned.get(partition).copied().unwrap_or(now);
    now.saturating_ms_since(since) as f64 / 1_000.0
}

/// Tells the main loop which commands stand in the log, and people which messages do not.
pub async fn follow_deliveries(
    mut deliveries: mpsc::Receiver<Delivery>,
    inputs: mpsc::Sender<Input>,
    metrics: OrchestratorMetrics,
) {
    while let Some(Delivery { to, kind, result }) = deliveries.recv().await {
        match (to, result) {
            (Destination::Consumer(consumer), Ok(next)) => {
                let consumer: ConsumerId = consumer;
                if inputs.send(Input::Written { consumer, next }).await.is_err() {
                    return;
                }
            }
            (Destination::Requests | Destination::Events, Ok(_)) => {}
            (_, Err(error)) => {
                metrics.write_failures.inc();
                warn!(kind, error = %Chain(&error), "a message was not acknowledged");
            }
        }
    }
}
