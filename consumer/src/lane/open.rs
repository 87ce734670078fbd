//! IO. Opens a partition: where it goes on according to Kafka, the last owner and the sink.

use std::sync::Arc;
use std::time::Duration;

use common::chain::Chain;
use common::kafka::reader::LogRange;
use common::kafka::wire::client::WireError;
use common::kafka::wire::epochs::EpochEnd;
use common::messages::command::Source;
use common::messages::entry::{EntryError, EntryOptions, From, ShareMax};
use common::messages::event::NoticeClass;
use common::position::Position;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::{Lane, Order};
use crate::commit::CommitError;
use crate::decode::Decoder;
use crate::events::Finding;
use crate::gather::{GatherError, Queue};
use crate::offsets::Commit;
use crate::ownership::Event;
use crate::sink::{Committed, OpenRequest, Opened, SinkError, Table, Writer};
use crate::topics::{TopicChange, look_up};

/// How long an opening is tried again after what may pass.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, thiserror::Error)]
pub(super) enum OpenError {
    #[error("failed to ask for the topic's id")]
    LookUp(#[source] WireError),
    #[error("the topic was changed")]
    Topic(#[source] TopicChange),
    #[error("the service entry cannot be followed")]
    Entry(#[source] EntryError),
    #[error("the option `from` needs a sink that keeps tables, which `{0}` does not")]
    NoTable(String),
    #[error("the committed offset is not known")]
    Committed(#[source] CommitError),
    #[error("the log cannot be read")]
    Gather(#[source] GatherError),
    #[error("the sink cannot be opened")]
    Sink(#[source] SinkError),
    #[error("offset {position} is to be read next, the log ends at {end}")]
    PositionLost { position: u64, end: u64 },
    #[error("the partition has no leader")]
    NoLeader,
    #[error("the log's history cannot be asked for")]
    History(#[source] WireError),
    #[error(
        "the log was cut: records up to offset {position} were read under a leader of epoch {epoch}, \
         and of its records the log has only those before {end}"
    )]
    Cut { position: u64, epoch: i32, end: u64 },
}

/// Why an opening came to nothing.
pub(super) enum OpenEnd {
    /// Told to stop before it was open.
    Stopped,
    Abandoned,
    Failed(String),
}

/// A partition that is being read.
pub(super) struct OpenLane {
    pub(super) queue: Queue,
    pub(super) table: Arc<Table>,
    pub(super) decoder: Decoder,
    pub(super) share_max: ShareMax,
    pub(super) writer: Writer,
    pub(super) position: Position,
    pub(super) newest_object: Option<u64>,
    pub(super) tokens: Vec<String>,
}

impl OpenError {
    fn is_transient(&self) -> bool {
        match self {
            Self::LookUp(source) | Self::History(source) => source.is_transient(),
            Self::NoLeader => true,
            Self::Committed(source) => source.is_transient(),
            Self::Gather(source) => source.is_transient(),
            Self::Sink(source) => source.is_transient(),
            Self::Topic(_)
            | Self::Entry(_)
            | Self::NoTable(_)
            | Self::PositionLost { .. }
            | Self::Cut { .. } => false,
        }
    }

    /// What a person should know of it, beside the reason in the answer.
    fn class(&self) -> Option<NoticeClass> {
        match self {
            Self::Topic(TopicChange::Replaced { .. }) => Some(NoticeClass::TopicReplaced),
            Self::PositionLost { .. } | Self::Cut { .. } => Some(NoticeClass::PositionLost),
            Self::Sink(SinkError::Blocked { .. }) => Some(NoticeClass::Blocked),
            Self::Sink(SinkError::Fenced { .. }) => Some(NoticeClass::Fenced),
            Self::Topic(_)
            | Self::Sink(_)
            | Self::LookUp(_)
            | Self::NoLeader
            | Self::History(_)
            | Self::Entry(_)
            | Self::NoTable(_)
            | Self::Committed(_)
            | Self::Gather(_) => None,
        }
    }
}

impl Lane {
    /// Opens the partition unless it is told otherwise meanwhile.
    pub(super) async fn open(&mut self) -> Result<OpenLane, OpenEnd> {
        let (mut orders, lease) = (self.orders.clone(), self.lease.clone());
        tokio::select! {
            biased;
            () = lease.lapsed() => Err(OpenEnd::Abandoned),
            end = interruption(&mut orders) => Err(end),
            opened = self.open_patiently() => opened,
        }
    }

    async fn open_patiently(&self) -> Result<OpenLane, OpenEnd> {
        let give_up_at = self.context.clock.now() + PATIENCE;
        let mut backoff = self.context.backoff();
        loop {
            let patience = give_up_at.saturating_since(self.context.clock.now());
            let error = match timeout(PATIENCE, self.try_open()).await {
                Ok(Ok(opened)) => return Ok(opened),
                Ok(Err(error)) => error,
                Err(_) => {
                    let seconds = PATIENCE.as_secs();
                    return Err(OpenEnd::Failed(format!("opening took longer than {seconds} s")));
                }
            };
            let reason = Chain(&error).to_string();
            if !error.is_transient() || patience.is_zero() {
                if let Some(class) = error.class() {
                    self.notice(Finding::new(class, reason.as_str()));
                }
                return Err(OpenEnd::Failed(reason));
            }
            warn!(partition = %self.opening.lane.partition, reason, "opening is tried again");
            sleep(backoff.next_delay()).await;
        }
    }

    async fn try_open(&self) -> Result<OpenLane, OpenError> {
        let (context, opening) = (&self.context, &self.opening);
        let partition = &opening.lane.partition;
        let Source { format, sink, options, .. } = &opening.source;
        let entry = EntryOptions::parse(format, sink, options).map_err(OpenError::Entry)?;
        let EntryOptions { from, share_max, .. } = entry;
        let schemas = context.registry.cache();
        let decoder = Decoder::new(&opening.source, partition.clone(), opening.topic_id, schemas);
        let decoder = decoder.map_err(OpenError::Entry)?;
        let topics = look_up(&context.wire, &[partition.topic()]).await;
        let topics = topics.map_err(OpenError::LookUp)?;
        topics
            .check(partition.topic(), partition.partition(), opening.topic_id)
            .map_err(OpenError::Topic)?;
        let committed = context.committer.committed(partition).await;
        let committed = committed.map_err(OpenError::Committed)?;
        let range = context.fetcher.log_range(partition).await.map_err(OpenError::Gather)?;
        let table = context.tables.get(&opening.source).await.map_err(OpenError::Sink)?;
        let begin_at = self.begin_at(from, &table, range).await?;
        let request = OpenRequest { begin_at, ..self.request(committed, range.start) };
        let opened = table.open(request).await.map_err(OpenError::Sink)?;
        self.check_position(opened.position.offset, range.end).await?;
        self.check_history(&opened.position, topics.leader(partition)).await?;
        self.report_findings(&opened, committed);
        let queue = context.fetcher.open(partition, opened.position.offset);
        let queue = queue.map_err(OpenError::Gather)?;
        let has_headers = self.needs_headers || decoder.needs_headers();
        let queue = if has_headers { queue } else { queue.without_headers() };
        let Opened { writer, position, newest_object, tokens, .. } = opened;
        Ok(OpenLane { queue, table, decoder, share_max, writer, position, newest_object, tokens })
    }

    /// Where the service entry says that a table's rows begin.
    async fn begin_at(
        &self,
        from: Option<From>,
        table: &Table,
        range: LogRange,
    ) -> Result<Option<u64>, OpenError> {
        let (Some(from), opening) = (from, &self.opening) else { return Ok(None) };
        if table.id().is_none() {
            return Err(OpenError::NoTable(opening.source.sink.clone()));
        }
        let at_time = match from {
            From::Time(at) => {
                let found = self.context.fetcher.offset_at(&opening.lane.partition, at).await;
                found.map_err(OpenError::Gather)?
            }
            From::Beginning | From::Offset(_) => None,
        };
        Ok(Some(from.offset(range, at_time)))
    }

    fn request(&self, committed: Option<Committed>, log_start: u64) -> OpenRequest {
        let opening = &self.opening;
        OpenRequest {
            partition: opening.lane.partition.clone(),
            topic_id: opening.topic_id,
            controller_topic_id: self.context.controller_topic_id,
            term: opening.lane.since,
            hand_over: opening.hand_over.clone(),
            committed,
            log_start,
            has_changed_table: opening.new_table,
            begin_at: None,
            lease: self.lease.clone(),
        }
    }

    /// The log may have grown since it was asked first, so it is asked again before it is blamed.
    async fn check_position(&self, position: u64, end: u64) -> Result<(), OpenError> {
        if position <= end {
            return Ok(());
        }
        let partition = &self.opening.lane.partition;
        let range = self.context.fetcher.log_range(partition).await.map_err(OpenError::Gather)?;
        if position > range.end {
            return Err(OpenError::PositionLost { position, end: range.end });
        }
        Ok(())
    }

    /// Whether the log still has what was read of it: one that was cut and has grown again has other
    /// records at the same offsets.
    async fn check_history(
        &self,
        position: &Position,
        leader: Option<i32>,
    ) -> Result<(), OpenError> {
        let Some(epoch) = position.leader_epoch else { return Ok(()) };
        let leader = leader.ok_or(OpenError::NoLeader)?;
        let partition = &self.opening.lane.partition;
        let found = self.context.wire.epoch_end(leader, partition, epoch).await;
        match found.map_err(OpenError::History)? {
            Some(EpochEnd { end, .. }) if end < position.offset => {
                Err(OpenError::Cut { position: position.offset, epoch, end })
            }
            _ => Ok(()),
        }
    }

    fn report_findings(&self, opened: &Opened, committed: Option<Committed>) {
        let (partition, position) = (&self.opening.lane.partition, opened.position);
        info!(%partition, offset = position.offset, since = %self.opening.lane.since, "opened");
        if let Some(gap) = &opened.gap {
            let text = "records were removed before they were read";
            let gap = Finding::new(NoticeClass::Gap, text).offsets(gap.start, gap.end);
            self.notice(gap);
        }
        if let Some(offset) = opened.overruled {
            let text = format!(
                "the committed offset {offset}, which is not ours, was overwritten: {} are stored",
                position.offset
            );
            self.notice(Finding::new(NoticeClass::ForeignCommit, text));
        }
        let commit = Commit { position, object: opened.newest_object };
        if committed.is_none_or(|found| found.offset != position.offset || found.metadata.is_none())
        {
            self.context.committer.want(partition, commit);
        }
    }

    pub(super) fn tell_opened(&self, opened: &OpenLane) {
        let lane = self.opening.lane.clone();
        let (position, tokens) = (opened.position, opened.tokens.clone());
        self.tell(Event::Opened { lane, position, tokens });
    }

    /// The writer was replaced while the partition stayed owned.
    pub(super) fn tell_tokens(&self) {
        if !self.tokens.is_empty() {
            let (lane, tokens) = (self.opening.lane.clone(), self.tokens.clone());
            self.tell(Event::TokensChanged { lane, tokens });
        }
    }

    pub(super) fn tell_open_failed(&self, reason: String) {
        warn!(partition = %self.opening.lane.partition, reason, "failed to open");
        self.context.committer.forget(&self.opening.lane.partition);
        self.tell(Event::OpenFailed { lane: self.opening.lane.clone(), reason, tokens: vec![] });
    }
}

/// Waits for an order that ends an opening.
async fn interruption(orders: &mut tokio::sync::watch::Receiver<Order>) -> OpenEnd {
    let order = orders.wait_for(|order| *order != Order::Go).await;
    match order.as_deref() {
        Ok(Order::Stop) => OpenEnd::Stopped,
        Ok(Order::Fail(reason)) => OpenEnd::Failed(reason.clone()),
        Ok(Order::Abandon | Order::Go) | Err(_) => OpenEnd::Abandoned,
    }
}
