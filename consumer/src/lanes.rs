//! IO. The lanes of this process: starts them, orders them, and asks them how they fare.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use common::identity::{Incarnation, TopicId};
use common::messages::event::PartitionReport;
use common::moment::Moment;
use common::partition::TopicPartition;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::lane::tally::{Tally, Work};
use crate::lane::{Lane, LaneContext, Order};
use crate::lease_watch::LeaseWatch;
use crate::metrics::RefusalMetrics;
use crate::ownership::{Event, LaneId, Opening};
use crate::state::PartitionState;
use crate::topics::{KnownTopics, TopicChange};

/// All lanes that run, and those that were abandoned and are about to end.
pub struct Lanes {
    context: Arc<LaneContext>,
    told: mpsc::UnboundedSender<Event>,
    running: BTreeMap<LaneId, Running>,
    leaving: BTreeMap<TopicPartition, JoinHandle<()>>,
}

struct Running {
    orders: watch::Sender<Order>,
    announced: watch::Sender<Vec<String>>,
    task: JoinHandle<()>,
    tally: Arc<Mutex<Tally>>,
    topic_id: TopicId,
    metrics: RefusalMetrics,
    /// The topic was not there when it was looked up last.
    is_missed: bool,
}

impl Lanes {
    /// What lanes tell comes through the channel.
    pub fn new(context: Arc<LaneContext>) -> (Self, mpsc::UnboundedReceiver<Event>) {
        let (told, events) = mpsc::unbounded_channel();
        (Self { context, told, running: BTreeMap::new(), leaving: BTreeMap::new() }, events)
    }

    pub fn open(&mut self, opening: Opening, incarnation: Incarnation, lease: LeaseWatch) {
        let id = opening.lane.clone();
        let topic_id = opening.topic_id;
        let (orders, ordered) = watch::channel(Order::Go);
        let (announced, announcements) = watch::channel(Vec::new());
        let tally = Arc::new(Mutex::new(Tally::default()));
        let lane = Lane {
            context: Arc::clone(&self.context),
            opening,
            incarnation,
            lease,
            orders: ordered,
            announced: announcements,
            tokens: Vec::new(),
            needs_headers: false,
            condemned: Arc::default(),
            told: self.told.clone(),
            tally: Arc::clone(&tally),
            guard: None,
        };
        // One of a former life may not have let go of the partition yet.
        let former = self.leaving.remove(&id.partition);
        let task = tokio::spawn(async move {
            if let Some(former) = former {
                // However it ended.
                let _ = former.await;
            }
            lane.run().await;
        });
        let metrics = self.context.metrics.refusals(&id.partition);
        let running =
            Running { orders, announced, task, tally, topic_id, metrics, is_missed: false };
        self.running.insert(id, running);
    }

    pub fn order(&self, lane: &LaneId, order: Order) {
        if let Some(running) = self.running.get(lane) {
            running.orders.send_replace(order);
        }
    }

    /// The lane's writer of these fence tokens may write.
    pub fn announced(&self, lane: &LaneId, tokens: Vec<String>) {
        if let Some(running) = self.running.get(lane) {
            running.announced.send_replace(tokens);
        }
    }

    /// The lease is gone.
    pub fn abandon(&mut self, lane: &LaneId) {
        self.order(lane, Order::Abandon);
        self.ended(lane);
    }

    /// The lane told its end, or is not heard any more.
    pub fn ended(&mut self, lane: &LaneId) {
        if let Some(running) = self.running.remove(lane) {
            self.context.committer.forget(&lane.partition);
            self.leaving.insert(lane.partition.clone(), running.task);
        }
        self.leaving.retain(|_, task| !task.is_finished());
    }

    pub fn count(&self) -> usize {
        self.running.len()
    }

    /// The topics that are read.
    pub fn topics(&self) -> BTreeSet<String> {
        self.running.keys().map(|lane| lane.partition.topic().to_owned()).collect()
    }

    /// Stops what reads a topic that is not the one that was assigned any more.
    pub fn compare(&mut self, known: &KnownTopics) {
        for (lane, running) in &mut self.running {
            let (topic, number) = (lane.partition.topic(), lane.partition.partition());
            let change = known.check(topic, number, running.topic_id).err();
            let was_missed = running.is_missed;
            running.is_missed = change.as_ref().is_some_and(TopicChange::is_absence);
            // One broker may not know a topic yet, so that is believed the second time only.
            let Some(change) = change.filter(|change| !change.is_absence() || was_missed) else {
                continue;
            };
            running.orders.send_if_modified(|order| {
                let is_new = !matches!(order, Order::Fail(_) | Order::Abandon);
                if is_new {
                    *order = Order::Fail(change.to_string());
                }
                is_new
            });
        }
    }

    /// Whether the lane's topic is there under another id.
    pub fn is_replaced(&self, lane: &LaneId, known: &KnownTopics) -> bool {
        let now = known.get(lane.partition.topic()).map(|topic| topic.id);
        self.running.get(lane).is_some_and(|running| now.is_some_and(|id| id != running.topic_id))
    }

    /// What of each partition was read and stored, to be remembered.
    pub fn states(&self) -> Vec<PartitionState> {
        let state = |(lane, running): (&LaneId, &Running)| {
            let tally = running.tally.lock().unwrap_or_else(PoisonError::into_inner);
            PartitionState {
                partition: lane.partition.clone(),
                topic_id: running.topic_id,
                since: lane.since,
                position: tally.position,
                stored: tally.stored,
            }
        };
        self.running.iter().map(state).collect()
    }

    /// The partitions that are paused, each with the reason.
    pub fn paused(&self) -> BTreeMap<TopicPartition, String> {
        let paused = self.running.iter().filter_map(|(lane, running)| {
            let tally = running.tally.lock().unwrap_or_else(PoisonError::into_inner);
            Some((lane.partition.clone(), tally.paused.clone()?))
        });
        paused.collect()
    }

    /// Figures for a report since the last one, and what the time of each lane went into.
    pub fn report(&self, now: Moment) -> (Vec<PartitionReport>, Vec<Work>) {
        let (mut reports, mut works) = (Vec::new(), Vec::new());
        for (lane, running) in &self.running {
            let mut tally = running.tally.lock().unwrap_or_else(PoisonError::into_inner);
            let (report, work) = tally.report(&lane.partition, now);
            running.metrics.set(tally.last_minute.share(now), tally.paused.is_some());
            reports.push(report);
            works.push(work);
        }
        (reports, works)
    }
}
