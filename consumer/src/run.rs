//! IO. Runs a consumer: waits for whatever comes next, and does what the ownership of partitions says.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use common::chain::Chain;
use common::clock::Clock;
use common::http::{HttpServer, Readiness};
use common::kafka::config::KafkaConfig;
use common::metrics::Metrics;
use common::moment::Moment;
use common::shutdown::Shutdown;
use rand::SeedableRng as _;
use rand::rngs::ChaCha8Rng;
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval};
use tracing::{error, info};

use crate::args::Args;
use crate::conduct::{Conduct, Desk, Said};
use crate::control::{Control, Heard, Listening};
use crate::heart::{Beat, Heart};
use crate::metrics::ConsumerMetrics;
use crate::ownership::Event;
use crate::start::{Process, Started};

const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// Reports between two looks at the ids of topics.
const TOPICS_TICKS: u32 = 5;

/// Runs until the consumer is drained, or can go on no more.
///
/// # Errors
/// If it cannot start, loses the controller topic, or cannot release everything within the grace period.
pub async fn run(args: &Args, kafka: KafkaConfig, shutdown: &Shutdown) -> anyhow::Result<()> {
    let mut metrics = Metrics::new("consumer");
    let consumer_metrics = ConsumerMetrics::declare(&mut metrics);
    run_counted(args, kafka, shutdown, (metrics, consumer_metrics)).await
}

/// The same, with metrics that somebody else looks at, too.
///
/// # Errors
/// As [`run`].
pub async fn run_counted(
    args: &Args,
    kafka: KafkaConfig,
    shutdown: &Shutdown,
    (metrics, consumer_metrics): (Metrics, ConsumerMetrics),
) -> anyhow::Result<()> {
    let clock = Clock;
    let (readiness, ready) = watch::channel(Readiness::not_ready("it is starting"));
    let server = HttpServer::start(args.listen, Arc::new(metrics), ready, axum::Router::new());
    let server = server.await?;
    let rng = ChaCha8Rng::from_rng(&mut rand::rng());
    let (metrics, address) = (consumer_metrics, server.address());
    let process = Process { args, kafka, clock, metrics, rng, address };
    let started = tokio::select! {
        started = process.start() => started?,
        () = shutdown.requested() => return Ok(()), // Nothing is owned yet.
    };
    let mut running = Running::begin(args, clock, started, readiness)?;
    let outcome = running.turn(shutdown).await;
    running.conduct.close(outcome.is_ok()).await;
    outcome
}

/// Where everything comes in.
struct Running {
    clock: Clock,
    grace: Duration,
    conduct: Conduct,
    lanes: mpsc::UnboundedReceiver<Event>,
    heard: mpsc::UnboundedReceiver<Heard>,
    beats: mpsc::UnboundedReceiver<Beat>,
    said: mpsc::UnboundedReceiver<Said>,
    _listening: Listening,
    ticks: u32,
}

/// What came in.
enum Input {
    Lane(Event),
    Heard(Heard),
    Beat(Beat),
    Said(Said),
    Tick,
    Shutdown,
    HeartStopped,
}

impl Running {
    fn begin(
        args: &Args,
        clock: Clock,
        started: Started,
        readiness: watch::Sender<Readiness>,
    ) -> anyhow::Result<Self> {
        let Started { context, control, beating, incarnation, .. } = started;
        let by_hand = started.by_hand;
        let generation = control.generation();
        let (heart, lease, beats) = Heart::start(beating, incarnation)?;
        let (listening, heard) = Control::listen(control);
        let desk = Desk {
            controller: started.controller,
            consumer: args.id(),
            keeper: started.keeper,
            by_hand,
            readiness,
        };
        let (conduct, lanes, said) =
            Conduct::new(args, context, desk, heart, (incarnation, lease, generation));
        let grace = args.grace();
        Ok(Self {
            clock,
            grace,
            conduct,
            lanes,
            heard,
            beats,
            said,
            _listening: listening,
            ticks: 0,
        })
    }

    async fn turn(&mut self, shutdown: &Shutdown) -> anyhow::Result<()> {
        let mut ticks = interval(REPORT_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut give_up_at: Option<Moment> = None;
        loop {
            let is_asked = self.conduct.is_draining();
            let input = tokio::select! {
                Some(event) = self.lanes.recv() => Input::Lane(event),
                Some(heard) = self.heard.recv() => Input::Heard(heard),
                beat = self.beats.recv() => beat.map_or(Input::HeartStopped, Input::Beat),
                Some(said) = self.said.recv() => Input::Said(said),
                _ = ticks.tick() => Input::Tick,
                () = shutdown.requested(), if !is_asked => Input::Shutdown,
            };
            if self.take(input)?.is_break() {
                info!("drained");
                return Ok(());
            }
            self.conduct.keep().await;
            if self.conduct.is_draining() {
                let now = self.clock.now();
                let until = *give_up_at.get_or_insert(now + self.grace);
                if now >= until {
                    let seconds = self.grace.as_secs_f64();
                    return Err(anyhow!("not everything was released within {seconds} s"));
                }
            }
        }
    }

    fn take(&mut self, input: Input) -> anyhow::Result<ControlFlow<()>> {
        let conduct = &mut self.conduct;
        match input {
            Input::Lane(event) => Ok(conduct.lane(event)),
            Input::Heard(Heard::Command(command)) => Ok(conduct.command(command)),
            Input::Heard(Heard::Refused { refusal, offset }) => {
                conduct.refuse(refusal, offset);
                Ok(ControlFlow::Continue(()))
            }
            Input::Heard(Heard::LeaderAlive(generation)) => {
                conduct.leader_alive(generation);
                Ok(ControlFlow::Continue(()))
            }
            Input::Heard(Heard::Lost(error)) => {
                error!(error = %Chain(&error), "the controller topic cannot be read any more");
                Err(error).context("the controller topic was lost")
            }
            Input::Beat(beat) => Ok(conduct.beat(beat)),
            Input::Said(said) => conduct.said(said),
            Input::Tick => {
                self.ticks += 1;
                if self.ticks.is_multiple_of(TOPICS_TICKS) {
                    conduct.look_up_topics();
                }
                Ok(conduct.tick())
            }
            Input::Shutdown => {
                info!("releases everything in order to end");
                Ok(conduct.drain())
            }
            Input::HeartStopped => Err(anyhow!("heartbeats ended")),
        }
    }
}
