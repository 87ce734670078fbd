//! IO. Appends objects to the chain of one partition, and finds out what stands where a name is taken.

use common::chain::Chain;
use common::identity::TopicId;
use common::partition::TopicPartition;
use common::position::Position;
use common::term::Term;

use super::chain::Start;
use super::footer::Footer;
use super::naming::Naming;
use super::object::{Object, encode};
use super::table::{Found, ParquetTable};
use super::verdict::{Verdict, judge};
use crate::lease_watch::LeaseWatch;
use crate::sink::store::{Put, StoreError};
use crate::sink::{BlockedReason, OpenRequest, SealedBatch, SinkError, Stored};

/// The writer of one partition within one ownership.
#[derive(Debug)]
pub struct ParquetWriter {
    table: ParquetTable,
    partition: TopicPartition,
    controller_topic_id: TopicId,
    term: Term,
    lease: LeaseWatch,
    naming: Naming,
    end: Position,
    newest_object: Option<u64>,
    /// What was put and not answered yet: it is put again with the same bytes.
    pending: Option<Object>,
}

/// What a write added to the chain by itself.
#[derive(Default)]
struct Added {
    rows: u64,
    bytes: u64,
}

impl ParquetWriter {
    pub(super) fn new(table: ParquetTable, start: Start, request: &OpenRequest) -> Self {
        Self {
            table,
            partition: request.partition.clone(),
            controller_topic_id: request.controller_topic_id,
            term: request.term,
            lease: request.lease.clone(),
            naming: start.naming,
            end: start.end,
            newest_object: start.newest_object,
            pending: None,
        }
    }

    pub(super) fn position(&self) -> Position {
        self.end
    }

    pub(super) fn newest_object(&self) -> Option<u64> {
        self.newest_object
    }

    pub(super) fn stem(&self) -> &str {
        self.naming.stem()
    }

    /// Stores what of `batch` is not stored. Dropped half-way it can be called again.
    pub async fn write(&mut self, batch: &SealedBatch) -> Result<Stored, SinkError> {
        if batch.from > self.end.offset {
            let (from, end) = (batch.from, self.end.offset);
            return Err(self.blocked(BlockedReason::Hole { from, end }));
        }
        let mut added = Added::default();
        while self.end.offset < batch.to {
            let object = self.pending_object(batch).await?;
            self.put(object, &mut added).await?;
        }
        let Added { rows, bytes } = added;
        Ok(Stored { position: self.end, newest_object: self.newest_object, rows, bytes })
    }

    /// True if every put was answered.
    pub fn close(self) -> bool {
        self.pending.is_none()
    }

    /// The object that covers what is left of the batch: the one whose answer is missing, or a new one.
    async fn pending_object(&mut self, batch: &SealedBatch) -> Result<Object, SinkError> {
        if let Some(pending) = &self.pending {
            return Ok(pending.clone());
        }
        let footer = self.footer(batch);
        let (from, to) = (footer.from, footer.to);
        let (batch, compression) = (batch.clone(), self.table.compression);
        let encoded =
            tokio::task::spawn_blocking(move || encode(footer, &batch, compression)).await;
        let problem = match encoded {
            Ok(Ok(object)) => {
                self.pending = Some(object.clone());
                return Ok(object);
            }
            Ok(Err(error)) => Chain(&error).to_string(),
            Err(ended) => ended.to_string(),
        };
        Err(self.blocked(BlockedReason::Encoding { from, to, problem }))
    }

    fn footer(&self, batch: &SealedBatch) -> Footer {
        Footer {
            partition: self.partition.clone(),
            topic_id: self.end.topic_id,
            from: self.end.offset,
            to: batch.to,
            leader_epoch: batch.leader_epoch.or(self.end.leader_epoch),
            table_id: self.table.id,
            schema_version: batch.schema.version,
            controller_topic_id: self.controller_topic_id,
            term: self.term,
            nonce: self.table.nonces.draw(),
        }
    }

    async fn put(&mut self, object: Object, added: &mut Added) -> Result<(), SinkError> {
        let path = self.naming.path(object.footer.from);
        let put = self.table.store.put_new(&path, object.bytes.clone()).await;
        match put.map_err(|source| self.unknown(&object.footer, source))? {
            Put::Stored => {
                added.add(&object);
                self.advance(&object.footer);
                Ok(())
            }
            Put::Taken => self.taken(&path, &object, added).await,
        }
    }

    async fn taken(
        &mut self,
        path: &str,
        object: &Object,
        added: &mut Added,
    ) -> Result<(), SinkError> {
        let wanted = &object.footer;
        let unknown = |source| self.unknown(wanted, source);
        let found = match self.table.look_at(path).await.map_err(unknown)? {
            Found::Object(footer) => footer,
            Found::Nothing => return Err(unknown(StoreError::Vanished { path: path.into() })),
            Found::Unreadable(error) => return Err(self.unusable(path, Chain(&error).to_string())),
        };
        match judge(wanted, &found) {
            Verdict::Own => {
                self.table.store.settle(path).await.map_err(unknown)?;
                added.add(object);
            }
            Verdict::Accept => {
                let lost = |source| SinkError::Lease { partition: self.partition.clone(), source };
                self.lease.confirm().await.map_err(lost)?;
                self.table.store.settle(path).await.map_err(unknown)?;
            }
            Verdict::Fenced(by) => {
                return Err(SinkError::Fenced { partition: self.partition.clone(), by });
            }
            Verdict::OtherTopicId => return self.rename(path, &found),
            Verdict::Unusable(problem) => return Err(self.unusable(path, problem)),
        }
        self.advance(&found);
        Ok(())
    }

    /// Goes on under the names of this topic id, if the plain ones turned out to be another's.
    fn rename(&mut self, path: &str, found: &Footer) -> Result<(), SinkError> {
        let id = self.end.topic_id;
        let naming = Naming::of_topic_id(&self.table.name, &self.partition, &id);
        if found.from != 0 || naming == self.naming {
            return Err(
                self.unusable(path, format!("it belongs to the topic id {}", found.topic_id))
            );
        }
        self.naming = naming;
        Ok(())
    }

    fn advance(&mut self, stored: &Footer) {
        self.end.offset = stored.to;
        self.end.leader_epoch = stored.leader_epoch;
        self.newest_object = Some(stored.from);
        self.pending = None;
    }

    fn unknown(&self, object: &Footer, source: StoreError) -> SinkError {
        let (from, to) = (object.from, object.to);
        SinkError::Write { partition: self.partition.clone(), from, to, source }
    }

    fn unusable(&self, path: &str, problem: String) -> SinkError {
        self.blocked(BlockedReason::Object { object: path.into(), problem })
    }

    fn blocked(&self, reason: BlockedReason) -> SinkError {
        SinkError::Blocked { partition: self.partition.clone(), reason }
    }
}

impl Added {
    fn add(&mut self, object: &Object) {
        self.rows += object.rows;
        self.bytes += object.bytes.len() as u64;
    }
}
