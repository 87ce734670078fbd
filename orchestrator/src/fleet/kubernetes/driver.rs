//! IO. The fleet of a cluster: lets the keeper decide, and makes the calls that it asks for.

use std::collections::VecDeque;
use std::time::Duration;

use common::clock::Clock;
use kube::Client;
use rand::rngs::ChaCha8Rng;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Interval, MissedTickBehavior, interval};
use tracing::{debug, info};

use super::call::Caller;
use super::keeper::{Keeper, KeeperSettings};
use super::observed::{News, Observed};
use super::request::{Outcome, Target};
use super::watch::{Watched, start};
use crate::conductor::input::Now;
use crate::fleet::{FleetCommand, FleetDriver, FleetEvent};

/// How often everything is compared although nothing was heard.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);
const QUEUE: usize = 1_024;

/// Deployments, claims and pods.
pub struct KubernetesFleet {
    keeper: Keeper,
    observed: Observed,
    caller: Caller,
    news: mpsc::Receiver<News>,
    answers: mpsc::Receiver<(Target, Outcome)>,
    answer: mpsc::Sender<(Target, Outcome)>,
    seen: VecDeque<FleetEvent>,
    ticks: Interval,
    rng: ChaCha8Rng,
    /// End with the fleet.
    _watches: JoinSet<()>,
}

impl KubernetesFleet {
    pub fn start(
        client: &Client,
        watched: &Watched,
        settings: KeeperSettings,
        rng: ChaCha8Rng,
    ) -> Self {
        let (tell, news) = mpsc::channel(QUEUE);
        let (answer, answers) = mpsc::channel(QUEUE);
        let mut ticks = interval(LOOK_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            keeper: Keeper::new(settings),
            observed: Observed::default(),
            caller: Caller::new(client),
            news,
            answers,
            answer,
            seen: VecDeque::new(),
            ticks,
            rng,
            _watches: start(client, watched, &tell),
        }
    }

    /// Begins every call that is due. Each tells how it ended.
    fn look(&mut self) {
        let now = Now { moment: Clock.now(), timestamp: Clock.timestamp() };
        for (target, request) in self.keeper.look(&self.observed, now) {
            debug!(consumer = %target.consumer, ?request, "called the API");
            let (caller, answer) = (self.caller.clone(), self.answer.clone());
            tokio::spawn(async move {
                let outcome = caller.call(target, request).await;
                // Nobody listens once the fleet is gone.
                let _ = answer.send((target, outcome)).await;
            });
        }
        self.seen.extend(self.keeper.events());
    }

    fn take_answer(&mut self, target: Target, outcome: Outcome) {
        self.keeper.answered(target, &outcome, Clock.now(), &mut self.rng);
        match outcome {
            Outcome::Done(news) => news.into_iter().for_each(|news| self.observed.take(news)),
            Outcome::Conflict => debug!(consumer = %target.consumer, "it was not as it was seen"),
            Outcome::Failed(error) => {
                info!(consumer = %target.consumer, kind = ?target.kind, error, "a call failed");
            }
        }
    }
}

impl FleetDriver for KubernetesFleet {
    async fn command(&mut self, command: FleetCommand) {
        // What was seen for another reign is no news for this one.
        if matches!(command, FleetCommand::Survey { .. } | FleetCommand::Release) {
            self.seen.clear();
        }
        self.keeper.command(command, &self.observed);
        self.look();
    }

    async fn observe(&mut self) -> FleetEvent {
        loop {
            if let Some(event) = self.seen.pop_front() {
                return event;
            }
            tokio::select! {
                Some(news) = self.news.recv() => {
                    self.observed.take(news);
                    while let Ok(news) = self.news.try_recv() {
                        self.observed.take(news);
                    }
                }
                Some((target, outcome)) = self.answers.recv() => self.take_answer(target, outcome),
                _ = self.ticks.tick() => {}
            }
            self.look();
        }
    }

    /// Consumers are the cluster's: they read on, and the next leader finds them.
    async fn shut_down(&mut self) {
        self.keeper.command(FleetCommand::Release, &self.observed);
    }
}
