//! IO. A sink that counts and drops, for measuring everything before it.

use std::sync::{Arc, PoisonError, RwLock};

use common::position::Position;

use super::{OpenRequest, Opened, Packed, SealedBatch, Stored, Writer};
use crate::table::schema::{Column, TableSchema};

/// A table that exists nowhere; its columns live as long as the process.
#[derive(Debug, Default)]
pub struct DiscardTable(RwLock<Arc<TableSchema>>);

/// Takes every batch and keeps none.
#[derive(Debug)]
pub struct DiscardWriter {
    end: Position,
}

impl DiscardTable {
    pub fn schema(&self) -> Arc<TableSchema> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn widen(&self, wanted: &[Column]) -> Arc<TableSchema> {
        let mut schema = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(wider) = schema.widened(wanted) {
            *schema = Arc::new(wider);
        }
        Arc::clone(&schema)
    }

    /// Goes on at the furthest position that anybody knows, or else at the log's beginning.
    pub fn open(&self, request: &OpenRequest) -> Opened {
        let topic_id = request.topic_id;
        let handed_over = request.hand_over.as_ref().and_then(|hand_over| hand_over.position);
        let handed_over = handed_over.filter(|position| position.topic_id == topic_id);
        let committed = request.committed.filter(|committed| {
            committed.metadata.is_none_or(|metadata| metadata.topic_id == topic_id)
        });
        let overruled = committed.filter(|committed| {
            committed.metadata.is_none()
                && handed_over.is_some_and(|position| position.offset != committed.offset)
        });
        let committed = committed.filter(|_| overruled.is_none()).map(|committed| Position {
            offset: committed.offset,
            leader_epoch: committed.metadata.and_then(|metadata| metadata.leader_epoch),
            topic_id,
            table_id: None,
        });
        let known = handed_over.into_iter().chain(committed).max_by_key(|position| position.offset);
        let start =
            Position { offset: request.log_start, leader_epoch: None, topic_id, table_id: None };
        let end = known.filter(|known| known.offset >= start.offset).unwrap_or(start);
        let end = Position { table_id: None, ..end };
        let gap = known.filter(|known| known.offset < start.offset);
        Opened {
            writer: Writer::Discard(DiscardWriter { end }),
            position: end,
            newest_object: None,
            tokens: Vec::new(),
            gap: gap.map(|known| known.offset..start.offset),
            overruled: overruled.map(|committed| committed.offset),
        }
    }
}

impl DiscardWriter {
    pub(super) fn write(&mut self, batch: &SealedBatch) -> Stored {
        let rows = batch.rows.iter().map(Packed::rows).sum();
        self.end.offset = self.end.offset.max(batch.to);
        self.end.leader_epoch = batch.leader_epoch.or(self.end.leader_epoch);
        Stored { position: self.end, newest_object: None, rows, bytes: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lease_watch::lease_channel;
    use crate::sink::Committed;
    use common::identity::TopicId;
    use common::partition::TopicPartition;
    use common::position::{CommitMetadata, HandOver};
    use common::term::Term;
    use uuid::Uuid;

    fn position(offset: u64, topic_id: u128) -> Position {
        let topic_id = TopicId(Uuid::from_u128(topic_id));
        Position { offset, leader_epoch: None, topic_id, table_id: None }
    }

    fn request(hand_over: Option<Position>, committed: Option<Committed>) -> OpenRequest {
        OpenRequest {
            partition: TopicPartition::new("orders", 3),
            topic_id: TopicId(Uuid::from_u128(1)),
            controller_topic_id: TopicId(Uuid::nil()),
            term: Term::new(1, 1),
            hand_over: hand_over
                .map(|position| HandOver { position: Some(position), ..HandOver::default() }),
            committed,
            log_start: 5,
            has_changed_table: false,
            begin_at: None,
            lease: lease_channel().1,
        }
    }

    fn committed(position: Position) -> Option<Committed> {
        let metadata = Some(CommitMetadata::new(&position, None));
        Some(Committed { offset: position.offset, metadata })
    }

    /// Without a sink's own end the furthest position of this topic id counts, then the log's start.
    #[test]
    fn the_furthest_position_is_the_start() {
        let by_person = |offset| Some(Committed { offset, metadata: None });
        for (hand_over, committed, start, gap, overruled) in [
            (None, None, 5, None, None),
            (Some(position(9, 1)), committed(position(7, 1)), 9, None, None),
            (Some(position(9, 1)), committed(position(12, 1)), 12, None, None),
            (Some(position(9, 2)), committed(position(12, 2)), 5, None, None),
            (Some(position(2, 1)), None, 5, Some(2..5), None),
            (None, by_person(8), 8, None, None),
            (Some(position(9, 1)), by_person(20), 9, None, Some(20)),
        ] {
            let opened = DiscardTable::default().open(&request(hand_over, committed));
            assert_eq!(
                (opened.position.offset, opened.gap, opened.overruled),
                (start, gap, overruled)
            );
        }
    }
}
