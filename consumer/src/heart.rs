//! IO. Beats the heart: sends heartbeats from a thread and a client of their own, and says when the lease has lapsed.

use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::thread;
use std::time::Duration;

use common::chain::Chain;
use common::clock::Clock;
use common::crash_point;
use common::identity::{ConsumerId, Incarnation};
use common::kafka::writer::{NewRecord, TopicWriter, WriteError};
use common::messages::codec::EVENT_TYPE;
use common::messages::event::{BY_HAND, Heartbeat, LIFE};
use common::messages::{Extra, Message};
use common::moment::Moment;
use common::partition::TopicPartition;
use common::term::Term;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use rand::rngs::ChaCha8Rng;
use tokio::runtime;
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;
use tracing::{info, warn};

use crate::lease::Lease;
use crate::lease_watch::{self, LeaseWatch, lease_channel};
use crate::metrics::ConsumerMetrics;

/// What every heartbeat of this process says.
#[derive(Clone, Debug)]
pub struct Body {
    pub consumer: ConsumerId,
    pub process_started_ms: i64,
    pub pid: u32,
    pub pod_uid: Option<String>,
    pub ttl: Duration,
    pub margin: Duration,
    pub interval: Duration,
    pub lock_held: bool,
    pub address: Option<SocketAddr>,
    /// A person leads: no plan counts on this consumer.
    pub by_hand: bool,
}

/// What heartbeats say besides, as it changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pulse {
    pub command_read: Option<Term>,
    pub draining: bool,
    /// The incarnation that is to be ended: Kafka takes its heartbeats, but not its answers.
    pub to_end: Option<Incarnation>,
}

/// What the heart says.
#[derive(Debug)]
pub enum Beat {
    /// The lease of this incarnation holds for the first time.
    Began(Incarnation),
    /// What the last incarnation held is gone; this is the next one and its lease.
    Lapsed { next: Incarnation, lease: LeaseWatch },
}

#[derive(Debug, thiserror::Error)]
pub enum HeartError {
    #[error("failed to start the thread that sends heartbeats")]
    Thread(#[source] io::Error),
    #[error("failed to prepare the thread that sends heartbeats")]
    Runtime(#[source] io::Error),
}

/// The heart of one process; it stops when this is dropped.
#[derive(Debug)]
pub struct Heart {
    pulse: watch::Sender<Pulse>,
}

/// How heartbeats are sent.
pub struct Beating {
    pub body: Body,
    pub writer: TopicWriter,
    pub events: TopicPartition,
    pub clock: Clock,
    pub rng: ChaCha8Rng,
    pub metrics: ConsumerMetrics,
}

impl Heart {
    /// Starts to beat for `incarnation`. What follows from it comes through the channel.
    pub fn start(
        beating: Beating,
        incarnation: Incarnation,
    ) -> Result<(Self, LeaseWatch, mpsc::UnboundedReceiver<Beat>), HeartError> {
        let (pulse, pulses) = watch::channel(Pulse::default());
        let (told, beats) = mpsc::unbounded_channel();
        let (publish, lease_watch) = lease_channel();
        let lease = Lease::new(beating.body.ttl, beating.body.margin);
        let next_at = beating.clock.now();
        let life = Life { beating, number: 1, incarnation, lease, publish, told, pulses, next_at };
        let runtime = runtime::Builder::new_current_thread().enable_time().build();
        let runtime = runtime.map_err(HeartError::Runtime)?;
        thread::Builder::new()
            .name("heart".into())
            .spawn(move || runtime.block_on(life.run()))
            .map_err(HeartError::Thread)?;
        Ok((Self { pulse }, lease_watch, beats))
    }

    pub fn set(&self, change: impl FnOnce(&mut Pulse)) {
        self.pulse.send_modify(change);
    }
}

type Acknowledgement = (Incarnation, u64, Result<u64, WriteError>);
type Sending = FuturesUnordered<Pin<Box<dyn Future<Output = Acknowledgement>>>>;

struct Life {
    beating: Beating,
    /// Counts the incarnations of the process from 1.
    number: u64,
    incarnation: Incarnation,
    lease: Lease,
    publish: watch::Sender<lease_watch::Lease>,
    told: mpsc::UnboundedSender<Beat>,
    pulses: watch::Receiver<Pulse>,
    next_at: Moment,
}

impl Life {
    async fn run(mut self) {
        let mut sending = Sending::new();
        loop {
            let now = self.beating.clock.now();
            if self.lease.has_lapsed(now) || self.is_to_end() {
                self.lapse();
            }
            if self.next_at <= now {
                sending.push(self.beat(now));
                self.next_at = now + self.beating.body.interval;
            }
            let next_at = [Some(self.next_at), self.lease.until()].into_iter().flatten().min();
            let patience = next_at.map_or(Duration::ZERO, |at| at.saturating_since(now));
            tokio::select! {
                Some(acknowledged) = sending.next() => self.acknowledged(acknowledged),
                changed = self.pulses.changed() => if changed.is_err() { return },
                () = sleep(patience) => {}
                () = pending() => {}
            }
        }
    }

    fn is_to_end(&self) -> bool {
        self.pulses.borrow().to_end == Some(self.incarnation)
    }

    fn beat(&mut self, now: Moment) -> Pin<Box<dyn Future<Output = Acknowledgement>>> {
        let number = self.lease.send(now);
        let until = self.lease.until();
        self.publish.send_modify(|lease| (lease.sent, lease.until) = (number, until));
        let payload = Message::from(self.heartbeat(number)).encode();
        let (writer, events) = (self.beating.writer.clone(), self.beating.events.clone());
        let incarnation = self.incarnation;
        Box::pin(async move {
            let headers = [(EVENT_TYPE, "Heartbeat")];
            let record = NewRecord { key: None, value: Some(&payload), headers: &headers };
            crash_point::before("Heartbeat");
            let written = writer.write(&events, record).await;
            crash_point::after("Heartbeat");
            (incarnation, number, written)
        })
    }

    fn heartbeat(&self, number: u64) -> Heartbeat {
        let (body, pulse) = (&self.beating.body, *self.pulses.borrow());
        Heartbeat {
            consumer: body.consumer,
            incarnation: self.incarnation,
            number,
            process_started_ms: body.process_started_ms,
            pid: body.pid,
            pod_uid: body.pod_uid.clone(),
            ttl_ms: milliseconds(body.ttl),
            margin_ms: milliseconds(body.margin),
            lock_held: body.lock_held,
            command_read: pulse.command_read,
            address: body.address.map(|address| address.to_string()),
            draining: pulse.draining,
            extra: self.extra(),
        }
    }

    fn extra(&self) -> Extra {
        let by_hand = self.beating.body.by_hand.then(|| (BY_HAND.to_owned(), String::new()));
        by_hand.into_iter().chain([(LIFE.to_owned(), self.number.to_string())]).collect()
    }

    fn acknowledged(&mut self, (incarnation, number, outcome): Acknowledgement) {
        if incarnation != self.incarnation {
            return;
        }
        if let Err(error) = outcome {
            self.beating.metrics.heartbeat_failures.inc();
            warn!(number, error = %Chain(&error), "a heartbeat was not acknowledged");
            return;
        }
        let now = self.beating.clock.now();
        let begins = !self.lease.holds(now);
        if self.lease.acknowledge(number, now) {
            let until = self.lease.until();
            self.publish.send_modify(|lease| (lease.acknowledged, lease.until) = (number, until));
            if begins {
                self.beating.metrics.lease_held.set(1);
                self.tell(Beat::Began(self.incarnation));
            }
        }
    }

    /// The end of an incarnation, and the beginning of the next.
    fn lapse(&mut self) {
        self.beating.metrics.lease_held.set(0);
        self.beating.metrics.lease_lapses.inc();
        self.publish.send_modify(|lease| lease.lapsed = true);
        let next = Incarnation::from_rng(&mut self.beating.rng);
        info!(incarnation = %self.incarnation, %next, "the lease lapsed");
        let (publish, lease) = lease_channel();
        let body = &self.beating.body;
        (self.incarnation, self.publish) = (next, publish);
        self.number += 1;
        self.lease = Lease::new(body.ttl, body.margin);
        self.next_at = self.beating.clock.now();
        self.tell(Beat::Lapsed { next, lease });
    }

    fn tell(&self, beat: Beat) {
        // Nobody listens any more when the process ends.
        let _ = self.told.send(beat);
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
