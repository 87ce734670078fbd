//! IO. Appends the rows of one partition to its stream, several requests at a time, and the same again until answered.

use common::crash_point;
use common::partition::TopicPartition;
use common::position::Position;

use super::appends::{Appends, Judged};
use super::client::{Call, CallError, Kind, Verdict};
use super::link::{Link, limits};
use super::table::BigQueryTable;
use super::token::Stream;
use crate::sink::{BlockedReason, Packed, SealedBatch, SinkError, Stored};

/// The writer of one partition within one ownership.
#[derive(Debug)]
pub struct BigQueryWriter {
    table: BigQueryTable,
    partition: TopicPartition,
    stream: Stream,
    /// What is to be announced.
    token: Option<String>,
    end: Position,
    /// On which every request was answered.
    link: Option<Link>,
    /// Since a connection that it shared was of no use, and until a batch is stored on one of its own.
    is_alone: bool,
    /// Which rows the stream holds, and which are on their way.
    appends: Appends,
}

impl BigQueryWriter {
    pub(super) fn new(
        table: BigQueryTable,
        partition: TopicPartition,
        stream: Stream,
        position: Position,
    ) -> Self {
        let (token, appends) = (stream.token(), Appends::new(stream.has_offsets()));
        let (end, link, is_alone) = (position, None, false);
        Self { table, partition, stream, token, end, link, is_alone, appends }
    }

    /// What is to be announced before the first write.
    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// Stores what of `batch` is not stored. Dropped half-way it can be called again.
    pub async fn write(&mut self, batch: &SealedBatch) -> Result<Stored, SinkError> {
        if batch.from > self.end.offset {
            let (from, end) = (batch.from, self.end.offset);
            return Err(self.blocked(BlockedReason::Hole { from, end }));
        }
        if self.appends.is_empty() {
            let rows = batch.rows.iter().filter_map(Packed::encoded);
            let rows: Vec<_> = rows.map(|rows| rows.skip_to(self.end.offset)).collect();
            let descriptor = self.table.descriptor(&batch.schema);
            self.appends.begin(&rows, limits(&self.stream, &descriptor));
        }
        let (rows, bytes) = self.append_all(batch).await?;
        self.end.offset = self.end.offset.max(batch.to);
        self.end.leader_epoch = batch.leader_epoch.or(self.end.leader_epoch);
        Ok(Stored { position: self.end, newest_object: None, rows, bytes })
    }

    /// True if every append was answered.
    pub fn close(self) -> bool {
        self.appends.is_empty()
    }

    /// Rows and bytes that this call saw stored.
    async fn append_all(&mut self, batch: &SealedBatch) -> Result<(u64, u64), SinkError> {
        let mut added = (0, 0);
        if self.appends.is_empty() {
            return Ok(added);
        }
        // One that was left half-way owes answers, and an old one lacks the newest columns.
        let known = self.link.take().filter(|known| known.is_of(&batch.schema));
        let mut link = known.unwrap_or_else(|| self.connect(batch));
        while !self.appends.is_empty() {
            if let Err(source) = self.send(&mut link) {
                if !link.was_idle() {
                    return Err(self.failed(batch, source));
                }
                link = self.connect(batch);
                continue;
            }
            let answer = match link.receive().await {
                Ok(answer) => answer,
                Err(source) => return Err(self.ended(link.is_suspect(), batch, source).await),
            };
            crash_point::after("append");
            let verdict = match answer.verdict {
                // Where others append as well, no place is ours.
                Verdict::Stored { .. } if !self.stream.has_offsets() => {
                    Verdict::Stored { offset: None }
                }
                verdict => verdict,
            };
            match self.appends.judge(verdict) {
                Judged::Stored { rows, bytes } => added = (added.0 + rows, added.1 + bytes),
                judged => return Err(self.refused(judged, batch).await),
            }
        }
        let was_alone = std::mem::take(&mut self.is_alone);
        self.link = Some(link).filter(|_| !was_alone || self.stream.has_offsets());
        Ok(added)
    }

    fn connect(&mut self, batch: &SealedBatch) -> Link {
        self.appends.reconnected();
        Link::new(&self.table, &self.stream, &batch.schema, self.is_alone)
    }

    fn send(&mut self, link: &mut Link) -> Result<(), CallError> {
        while let Some(piece) = self.appends.next_to_send() {
            crash_point::before("append");
            let sent = link.send(piece);
            sent.inspect_err(|_| self.appends.take_back())?;
        }
        Ok(())
    }

    /// Nobody knows what became of what was under way.
    async fn ended(
        &mut self,
        is_suspect: bool,
        batch: &SealedBatch,
        source: CallError,
    ) -> SinkError {
        self.is_alone |= is_suspect;
        if source.is_throttled() {
            self.appends.throttled();
        }
        match source.kind {
            Kind::NotFound if !self.stream.has_offsets() => self.look(batch, source.text).await,
            _ => self.failed(batch, source),
        }
    }

    async fn refused(&mut self, judged: Judged, batch: &SealedBatch) -> SinkError {
        let partition = self.partition.clone();
        match judged {
            Judged::Fenced => SinkError::StreamFinalized { partition },
            Judged::Gone => self.gone(batch).await,
            Judged::Unusable(problem) => self.blocked(BlockedReason::Stream { problem }),
            Judged::RowsRefused(rows) => SinkError::RowsRefused { partition, rows },
            Judged::ColumnMissing(text) => {
                // A new connection learns of new columns first.
                self.is_alone = true;
                self.look(batch, text).await
            }
            Judged::Throttled(text) => self.failed(batch, self.append_error(Kind::Throttled, text)),
            Judged::Again(text) => self.failed(batch, self.append_error(Kind::Unknown, text)),
            Judged::Stored { .. } => unreachable!("what is stored is no refusal"),
        }
    }

    /// Its stream is not there; is the table?
    async fn gone(&mut self, batch: &SealedBatch) -> SinkError {
        let problem = "the service does not know it any more".to_owned();
        if self.stream.has_offsets() {
            self.table.doubt();
            return self.blocked(BlockedReason::Stream { problem });
        }
        self.is_alone = true;
        self.look(batch, problem).await
    }

    /// The service does not know the table, or not all of its columns: it may do so soon, unless they are not there.
    async fn look(&self, batch: &SealedBatch, text: String) -> SinkError {
        match self.table.restore().await {
            Ok(()) => self.failed(batch, self.append_error(Kind::Unknown, text)),
            Err(error) => error,
        }
    }

    fn append_error(&self, kind: Kind, text: String) -> CallError {
        let call = match &self.stream {
            Stream::Own(_) | Stream::Default(_) => Call::Append,
            Stream::Inserts { .. } => Call::Insert,
        };
        CallError::new(call, self.stream.name(), kind, text)
    }

    fn failed(&self, batch: &SealedBatch, source: CallError) -> SinkError {
        let (from, to) = (batch.from, batch.to);
        let what = format!("failed to store offsets {from} to {to} of {}", self.partition);
        SinkError::Service { what, source }
    }

    fn blocked(&self, reason: BlockedReason) -> SinkError {
        SinkError::Blocked { partition: self.partition.clone(), reason }
    }
}
