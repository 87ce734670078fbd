//! IO. Sends what is due, and counts what the brokers acknowledge.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use common::clock::Clock;
use common::kafka::config::KafkaConfig;
use common::shutdown::Shutdown;
use serde::Serialize;

use super::event::{Event, Events};
use super::replay::Replay;
use super::schedule::Schedule;
use super::sender::{LoadError, Progress, Sender};
use super::shape::{RatePlan, Rates};

/// One turn of the sending loop.
const TURN: Duration = Duration::from_millis(10);
/// Longest time that one turn sends.
const SENDING_MAX: Duration = Duration::from_millis(200);

/// What to send, and how fast.
#[derive(Clone, Debug)]
pub struct LoadPlan {
    pub topic: String,
    pub partitions: u32,
    /// How long to send; `None`: until asked to end.
    pub duration: Option<Duration>,
    pub rates: RatePlan,
    /// About the size of a made-up record.
    pub record_bytes: usize,
    /// Lines to send instead of made-up records.
    pub input: Option<PathBuf>,
}

/// What a load did, in its own words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Summary {
    pub topic: String,
    pub partitions: u32,
    pub seed: u64,
    pub seconds: u64,
    pub records: u64,
    /// Of keys and values.
    pub bytes: u64,
    pub acknowledged: u64,
    pub failed: u64,
    /// Bytes that were due and never sent, because the load could not keep up.
    pub given_up_bytes: u64,
    pub first_failure: Option<String>,
}

impl Summary {
    /// True if every record is in the topic.
    pub fn is_complete(&self) -> bool {
        self.failed == 0 && self.acknowledged == self.records
    }
}

enum Origin {
    MadeUp(Box<Events>),
    Replayed(Replay),
}

/// A load on its way to a topic that exists.
pub struct Load {
    plan: LoadPlan,
    origin: Origin,
    rates: Rates,
    schedule: Schedule,
    sender: Sender,
}

impl Load {
    /// Fails when the input cannot be read or the settings are refused; no broker is asked yet.
    pub fn new(kafka: &KafkaConfig, plan: LoadPlan) -> Result<Self, LoadError> {
        let origin = match &plan.input {
            Some(path) => {
                let replay = Replay::open(path);
                Origin::Replayed(replay.map_err(|source| LoadError::Replay { source })?)
            }
            None => Origin::MadeUp(Box::new(Events::new(plan.rates.seed, plan.record_bytes))),
        };
        Ok(Self {
            sender: Sender::new(kafka, &plan.topic)?,
            origin,
            rates: Rates::new(plan.rates, plan.partitions),
            schedule: Schedule::new(plan.partitions),
            plan,
        })
    }

    pub fn progress(&self) -> Arc<Progress> {
        self.sender.progress()
    }

    /// Sends until the time is over or `shutdown` is requested, then waits for the
    /// acknowledgement or the failure of every record.
    pub fn run(mut self, clock: Clock, shutdown: &Shutdown) -> Result<Summary, LoadError> {
        let began = clock.now();
        let mut turn = began;
        let elapsed = loop {
            let now = clock.now();
            let elapsed = now.saturating_since(began);
            let is_over = self.plan.duration.is_some_and(|duration| elapsed >= duration);
            if is_over || shutdown.is_requested() {
                break elapsed;
            }
            let rates = self.rates.at(elapsed);
            self.schedule.advance(&rates, now.saturating_since(turn));
            turn = now;
            self.send_due(clock, shutdown)?;
            self.sender.poll(TURN);
        };
        self.sender.flush()?;
        Ok(self.summary(elapsed))
    }

    /// Ends after a while even if more is due, so that time and shutdown are looked at.
    fn send_due(&mut self, clock: Clock, shutdown: &Shutdown) -> Result<(), LoadError> {
        let began = clock.now();
        let mut is_any_due = true;
        while is_any_due && clock.now().saturating_since(began) < SENDING_MAX {
            is_any_due = false;
            for partition in self.schedule.partitions() {
                if self.schedule.is_due(partition) && !shutdown.is_requested() {
                    let event = self.next_event(clock)?;
                    self.schedule.sent(partition, event.size());
                    self.sender.send(partition, &event)?;
                    is_any_due = true;
                }
            }
        }
        Ok(())
    }

    fn next_event(&mut self, clock: Clock) -> Result<Event, LoadError> {
        match &mut self.origin {
            Origin::MadeUp(events) => Ok(events.next_event(clock.timestamp())),
            Origin::Replayed(replay) => {
                replay.next_event().map_err(|source| LoadError::Replay { source })
            }
        }
    }

    fn summary(&self, elapsed: Duration) -> Summary {
        let progress = self.sender.progress();
        Summary {
            topic: self.plan.topic.clone(),
            partitions: self.plan.partitions,
            seed: self.plan.rates.seed,
            seconds: elapsed.as_secs(),
            records: progress.sent(),
            bytes: progress.bytes(),
            acknowledged: progress.acknowledged(),
            failed: progress.failed(),
            given_up_bytes: self.schedule.given_up_bytes(),
            first_failure: progress.first_failure(),
        }
    }
}
