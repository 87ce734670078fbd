//! IO. Drives one partition's flow: waits for whatever happens next, and does what the flow says.

use std::collections::BTreeMap;
use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use common::chain::Chain;
use common::messages::event::NoticeClass;
use common::moment::Moment;
use common::position::Position;
use futures::{Stream, StreamExt as _};
use tokio::time::sleep;

use super::flow::{Flow, Step, Taken};
use super::open::OpenLane;
use super::work::{BatchDecoder, DecodeError, Decoded, Unfit, Written, write};
use super::{Lane, Order};
use crate::budget::Stance;
use crate::budget_watch::Share;
use crate::dead_letter::Origin;
use crate::events::Finding;
use crate::gather::{Gathered, Queue};
use crate::metrics::{LaneMetrics, gauge_value};
use crate::offsets::Commit;
use crate::ownership::Event;
use crate::refusal::Refusal;
use crate::sink::{SinkError, Stored, Writer};

/// How long a lane that stops may go without any progress.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// How reading ended.
pub(super) enum Ending {
    Abandoned,
    /// As it was told.
    Stopped(Last),
    Failed(Last, String),
    /// Everything that was read is stored, and what comes next is not in the log.
    PositionGone(Last),
    /// What comes next is not to become dead letters; what came before it is stored.
    Refused(Last, Refusal),
    /// What comes next has dead letters, which keep headers, and was read without; what came before it is stored.
    LacksHeaders(Last),
    /// The sink refuses rows of these offsets, which are to become dead letters when they are read again.
    Condemned(Last, BTreeMap<u64, String>),
}

/// How far the lane came.
pub(super) struct Last {
    pub(super) position: Position,
    /// `None` while a write was under way: its outcome is unknown.
    pub(super) writer: Option<Writer>,
    /// When Kafka was asked for the last time, milliseconds since 1970.
    pub(super) polled_at_ms: Option<i64>,
}

impl Last {
    /// Where it goes on, and whether nothing is left whose outcome is unknown.
    pub(super) fn close(self) -> (Position, bool) {
        (self.position, self.writer.is_some_and(Writer::close))
    }
}

type Work<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What happened.
enum Happening {
    Lapsed,
    Ordered(Order),
    Gathered(Vec<Gathered>),
    Decoded(Result<Decoded, DecodeError>),
    Written(Written),
    /// Time passed, or the byte budget changed.
    Woken,
}

/// One open lane.
pub(super) struct Reader<'a> {
    lane: &'a mut Lane,
    flow: Flow,
    share: Share,
    decoder: BatchDecoder,
    queue: Option<Queue>,
    writer: Option<Writer>,
    decoding: Option<Work<Result<Decoded, DecodeError>>>,
    writing: Option<Work<Written>>,
    stored: Commit,
    metrics: LaneMetrics,
    may_gather: bool,
    is_position_gone: bool,
    unfit: Option<Unfit>,
    polled_at_ms: Option<i64>,
    /// While stopping: when something moved last.
    progress_at: Option<Moment>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(lane: &'a mut Lane, opened: OpenLane) -> Self {
        let OpenLane { queue, table, decoder, writer, position, newest_object, .. } = opened;
        let guard = lane.guard(opened.share_max);
        let (context, opening) = (Arc::clone(&lane.context), &lane.opening);
        let partition = opening.lane.partition.clone();
        let metrics = context.metrics.lane(&partition);
        let flow = Flow::new(context.limits.within(table.batch_bytes_max()), position.offset);
        let share = context.budget.share();
        let tally = Arc::clone(&lane.tally);
        let table_name = opening.source.table.clone();
        let origin = Origin { partition, topic_id: opening.topic_id, table: table_name };
        let condemned = Arc::clone(&lane.condemned);
        lane.with_tally(|tally| {
            (tally.position, tally.stored) = (position.offset, position.offset)
        });
        Self {
            flow,
            share,
            decoder: BatchDecoder {
                context,
                table,
                decoder,
                has_headers: queue.has_headers(),
                origin,
                guard,
                tally,
                condemned,
            },
            queue: Some(queue),
            writer: Some(writer),
            decoding: None,
            writing: None,
            stored: Commit { position, object: newest_object },
            metrics,
            may_gather: true,
            is_position_gone: false,
            unfit: None,
            polled_at_ms: None,
            progress_at: None,
            lane,
        }
    }

    pub(super) async fn read(mut self) -> Ending {
        let queue = self.queue.take().expect("a reader begins with a queue");
        let mut answers = queue.answers();
        loop {
            if let Some(ending) = self.advance() {
                return ending;
            }
            let happening = self.wait(&mut answers).await;
            if let Some(ending) = self.take(happening) {
                return ending;
            }
        }
    }

    /// Begins all that is to be begun.
    fn advance(&mut self) -> Option<Ending> {
        let now = self.lane.context.clock.now();
        let stance = self.share.note(self.flow.usage());
        self.may_gather = stance == Stance::Gather && self.flow.wants_records();
        match stance {
            Stance::DecodeEarly => self.flow.decode_early(),
            Stance::CloseEarly => self.flow.close_early(),
            Stance::Gather | Stance::Wait => {}
        }
        while let Some(step) = self.flow.next_step(now) {
            match step {
                Step::Decode { records, began_at } => {
                    let decoder = self.decoder.clone();
                    self.decoding = Some(Box::pin(decoder.decode(records, began_at)));
                }
                Step::Write(sealed) => {
                    let context = Arc::clone(&self.lane.context);
                    let partition = self.lane.opening.lane.partition.clone();
                    let writer = self.writer.take().expect("one object is stored at a time");
                    let announced = self.lane.announced.clone();
                    let tally = Arc::clone(&self.lane.tally);
                    let work = write(context, partition, tally, (writer, announced), sealed);
                    self.writing = Some(Box::pin(work));
                }
                Step::Finish => return Some(self.finished()),
            }
        }
        let waits = self.flow.waits_for_sink(self.may_gather);
        self.lane.with_tally(|tally| tally.waits_for_sink(waits, now));
        let is_stuck = self.progress_at.is_some_and(|at| at + STOP_PATIENCE <= now);
        is_stuck.then(|| self.stuck())
    }

    /// Everything that was taken is stored.
    fn finished(&mut self) -> Ending {
        let last = self.last();
        match self.unfit.take() {
            _ if self.progress_at.is_some() => Ending::Stopped(last),
            Some(Unfit::Refused(refusal)) => Ending::Refused(last, refusal),
            Some(Unfit::LacksHeaders) => Ending::LacksHeaders(last),
            None if self.is_position_gone => Ending::PositionGone(last),
            None => Ending::Stopped(last),
        }
    }

    /// A release that does not wait for ever: what was not stored is read again by the next owner.
    fn stuck(&mut self) -> Ending {
        let seconds = STOP_PATIENCE.as_secs();
        let partition = &self.lane.opening.lane.partition;
        tracing::warn!(%partition, "released without having stored everything, {seconds} s passed");
        let last = Last { writer: None, ..self.last() };
        Ending::Stopped(last)
    }

    async fn wait(
        &mut self,
        answers: &mut (impl Stream<Item = Vec<Gathered>> + Unpin),
    ) -> Happening {
        let now = self.lane.context.clock.now();
        let stop_at = self.progress_at.map(|at| at + STOP_PATIENCE);
        let wake_at = [self.flow.wake_at(), stop_at].into_iter().flatten().min();
        let patience = wake_at.map(|at| at.saturating_since(now));
        tokio::select! {
            biased;
            () = self.lane.lease.lapsed() => Happening::Lapsed,
            order = next_order(&mut self.lane.orders) => Happening::Ordered(order),
            written = finished(&mut self.writing) => Happening::Written(written),
            decoded = finished(&mut self.decoding) => Happening::Decoded(decoded),
            Some(answers) = answers.next(), if self.may_gather => Happening::Gathered(answers),
            () = self.share.changed() => Happening::Woken,
            () = sleep(patience.unwrap_or_default()), if patience.is_some() => Happening::Woken,
        }
    }

    fn take(&mut self, happening: Happening) -> Option<Ending> {
        match happening {
            Happening::Lapsed | Happening::Ordered(Order::Abandon) => Some(Ending::Abandoned),
            Happening::Ordered(Order::Stop) => {
                self.stop();
                None
            }
            Happening::Ordered(Order::Fail(reason)) => {
                self.notice(NoticeClass::TopicReplaced, &reason);
                Some(self.failed(reason))
            }
            Happening::Gathered(answers) => self.gathered(answers),
            Happening::Decoded(decoded) => self.decoded(decoded),
            Happening::Written(written) => self.written(written),
            Happening::Ordered(Order::Go) | Happening::Woken => None,
        }
    }

    fn stop(&mut self) {
        let context = &self.lane.context;
        self.flow.stop();
        self.progress_at = Some(context.clock.now());
        self.polled_at_ms = Some(context.clock.timestamp().0);
    }

    fn gathered(&mut self, answers: Vec<Gathered>) -> Option<Ending> {
        self.first_answer();
        let now = self.lane.context.clock.now();
        let mut tally = self.lane.tally.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut failure = None;
        for answer in answers {
            match answer {
                Gathered::Records(records) => {
                    let Taken { records, bytes } = self.flow.take(records, now);
                    tally.read(records, bytes);
                    self.metrics.records.inc_by(records);
                    self.metrics.bytes.inc_by(bytes);
                }
                Gathered::End => tally.high_watermark = Some(self.flow.read_to()),
                Gathered::Gone => {
                    self.is_position_gone = true;
                    self.flow.stop();
                }
                Gathered::Failed(error) => failure = Some(Chain(&error).to_string()),
            }
        }
        tally.position = self.flow.read_to();
        // Who reads on is not at the end any more, until the client says so again.
        tally.high_watermark = tally.high_watermark.filter(|end| *end == tally.position);
        self.metrics.position.set(gauge_value(tally.position));
        drop(tally);
        failure.map(|reason| self.failed(reason))
    }

    fn first_answer(&mut self) {
        let at_ms = self.lane.context.clock.timestamp().0;
        if self.polled_at_ms.replace(at_ms).is_none() {
            let lane = self.lane.opening.lane.clone();
            self.lane.tell(Event::Polled { lane, at_ms });
        }
    }

    fn decoded(&mut self, decoded: Result<Decoded, DecodeError>) -> Option<Ending> {
        let Decoded { addition, unparsed, ignored, dead_letters, busy } = match decoded {
            Ok(decoded) => decoded,
            Err(DecodeError::Unfit(unfit)) => {
                self.flow.refused();
                self.unfit = Some(unfit);
                return None;
            }
            Err(error) => {
                let reason = Chain(&error).to_string();
                self.notice(NoticeClass::Blocked, &reason);
                return Some(self.failed(reason));
            }
        };
        self.made_progress();
        self.metrics.unparsed.inc_by(unparsed as u64);
        self.metrics.ignored.inc_by(ignored as u64);
        for reason in dead_letters {
            self.metrics.dead_letter(reason);
        }
        self.lane.with_tally(|tally| tally.worked(busy));
        self.flow.decoded(addition);
        None
    }

    fn written(&mut self, written: Written) -> Option<Ending> {
        let Written { writer, sealed, outcome, busy } = written;
        self.writer = Some(writer);
        let stored = match outcome {
            Ok(stored) => stored,
            Err(SinkError::Lease { .. }) => return Some(Ending::Abandoned),
            Err(SinkError::RowsRefused { rows, .. }) => {
                // Rows before them may be stored: the sink is asked where it ends.
                return Some(Ending::Condemned(Last { writer: None, ..self.last() }, rows));
            }
            Err(error) => return Some(self.refused(&error)),
        };
        self.made_progress();
        self.flow.stored(stored.position.offset);
        let Stored { position, newest_object, rows, bytes } = stored;
        self.stored = Commit { position, object: newest_object };
        let partition = &self.lane.opening.lane.partition;
        self.lane.context.committer.want(partition, self.stored);
        self.metrics.rows.inc_by(rows);
        self.metrics.stored_bytes.inc_by(bytes);
        self.metrics.stored.set(gauge_value(position.offset));
        let metrics = &self.lane.context.metrics;
        metrics.store_seconds.observe(busy.as_secs_f64());
        let now = self.lane.context.clock.timestamp();
        let latency_ms = self.lane.with_tally(|tally| {
            tally.stored = position.offset;
            tally.rows_stored += rows;
            tally.dead_letters += sealed.dead_letters;
            tally.worked(busy);
            tally.stored_at(now, sealed.oldest_ms)
        });
        if let Some(latency_ms) = latency_ms {
            metrics.latency_seconds.observe(Duration::from_millis(latency_ms).as_secs_f64());
        }
        None
    }

    /// The sink refuses to go on.
    fn refused(&mut self, error: &SinkError) -> Ending {
        let reason = Chain(error).to_string();
        let class = if error.is_fence() { NoticeClass::Fenced } else { NoticeClass::Blocked };
        self.notice(class, &reason);
        self.failed(reason)
    }

    fn failed(&mut self, reason: String) -> Ending {
        // What was gathered and not stored, and what was put and not answered, is the next owner's
        // to find out.
        Ending::Failed(Last { writer: None, ..self.last() }, reason)
    }

    fn last(&mut self) -> Last {
        let (position, writer) = (self.stored.position, self.writer.take());
        Last { position, writer, polled_at_ms: self.polled_at_ms }
    }

    fn made_progress(&mut self) {
        if let Some(at) = &mut self.progress_at {
            *at = self.lane.context.clock.now();
        }
    }

    fn notice(&self, class: NoticeClass, text: &str) {
        self.lane.notice(Finding::new(class, text));
    }
}

async fn next_order(orders: &mut tokio::sync::watch::Receiver<Order>) -> Order {
    match orders.changed().await {
        Ok(()) => orders.borrow_and_update().clone(),
        Err(_) => Order::Abandon,
    }
}

/// Waits for work that was begun; for ever if none was. Dropping the future ends nothing.
async fn finished<T>(work: &mut Option<Work<T>>) -> T {
    let Some(running) = work else { return pending().await };
    let outcome = running.await;
    *work = None;
    outcome
}
