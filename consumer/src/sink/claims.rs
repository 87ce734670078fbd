//! Pure. Where a new owner of a partition begins, by what Kafka, the last owner and the sink say.

use std::ops::Range;

use common::identity::TableId;
use common::position::Position;

use super::{BlockedReason, Committed, OpenRequest, SinkError};

/// What others than the sink say about the partition, as far as it holds for this topic and table.
#[derive(Clone, Copy, Debug, Default)]
pub struct Claims {
    hand_over: Option<Position>,
    is_clean: bool,
    /// The hand-over stands in the table that an ordered change left behind.
    is_bridge: bool,
    committed: Option<u64>,
    /// First offset of the object that the commit names.
    object: Option<u64>,
    /// A committed offset that a person set.
    by_person: Option<u64>,
}

/// Where reading begins behind the end of what is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beginning {
    /// What is skipped; a chain of objects covers it by one without rows before anything else.
    pub fill: Option<Range<u64>>,
    /// What of that is lost, because it was to be read and the log no longer has it.
    pub gap: Option<Range<u64>>,
    pub overruled: Option<u64>,
}

impl Claims {
    /// # Errors
    /// If a position belongs to another table, and neither a change of table was ordered, nor said where
    /// the rows of this one begin, nor anything of it committed since.
    pub fn of(table: TableId, request: &OpenRequest) -> Result<Self, SinkError> {
        // Who says where a table's rows begin asks for what another one holds, too.
        let is_ordered = request.has_changed_table || request.begin_at.is_some();
        let mut claims = Self::default();
        if let Some(hand_over) = &request.hand_over
            && let Some(position) = hand_over.position.filter(|p| p.topic_id == request.topic_id)
        {
            let is_other = position.table_id != Some(table);
            let has_committed = request.committed.is_some_and(|it| it.is_in(table, request));
            if is_other && !is_ordered && !has_committed {
                return Err(other_table(request, "the hand-over", position.table_id));
            }
            // What was committed in this table came after a position in the one before.
            if !is_other || is_ordered {
                claims.is_bridge = is_other;
                claims.hand_over = Some(position);
                claims.is_clean = hand_over.clean;
            }
        }
        let Some(committed) = request.committed else {
            return Ok(claims);
        };
        let Some(metadata) = committed.metadata else {
            claims.by_person = Some(committed.offset);
            return Ok(claims);
        };
        if metadata.topic_id != request.topic_id {
            return Ok(claims);
        }
        if metadata.table_id == Some(table) {
            claims.committed = Some(committed.offset);
            claims.object = metadata.object;
        } else if !is_ordered {
            return Err(other_table(request, "the committed offset", metadata.table_id));
        }
        Ok(claims)
    }

    /// The furthest offset below which everything is known to be stored in this table.
    pub fn stored_to(&self) -> u64 {
        let handed_over = self.hand_over.filter(|_| !self.is_bridge);
        let handed_over = handed_over.map(|position| position.offset);
        self.committed.max(handed_over).unwrap_or(0)
    }

    /// First offset of the newest object, as far as the commit names it.
    pub fn object(&self) -> Option<u64> {
        self.object
    }

    /// The position of a clean hand-over, which is the chain's end without looking.
    pub fn trusted(&self) -> Option<Position> {
        let position = self.hand_over.filter(|_| self.is_clean && !self.is_bridge)?;
        let is_ahead = self.committed.is_some_and(|committed| committed > position.offset);
        (!is_ahead).then_some(position)
    }

    /// A position ahead of the chain belongs to another one: nothing goes on by itself.
    ///
    /// # Errors
    /// If there is one.
    pub fn check_not_ahead(&self, request: &OpenRequest, end: u64) -> Result<(), SinkError> {
        let handed_over =
            self.hand_over.filter(|_| !self.is_bridge).map(|position| position.offset);
        for (what, offset) in
            [("the hand-over", handed_over), ("the committed offset", self.committed)]
        {
            if let Some(offset) = offset.filter(|offset| *offset > end) {
                return Err(blocked(request, BlockedReason::AheadOfChain { what, offset, end }));
            }
        }
        Ok(())
    }

    /// Reading begins at the chain's end, or further on where nothing before is to be read or can be.
    pub fn begin(&self, request: &OpenRequest, end: u64) -> Beginning {
        if let Some(begin_at) = request.begin_at {
            return self.begin_as_asked(request, end, begin_at);
        }
        let bridge = self.hand_over.filter(|_| self.is_bridge).map(|position| position.offset);
        let is_known = end > 0 || self.hand_over.is_some() || self.committed.is_some();
        let by_person = self.by_person.filter(|_| !is_known);
        let from = [bridge, by_person].into_iter().flatten().fold(end, u64::max);
        let begin = from.max(request.log_start);
        // What nobody had begun to read is not missed.
        let has_begun = is_known || by_person.is_some();
        Beginning {
            fill: (begin > end).then_some(end..begin),
            gap: (has_begun && begin > from).then_some(from..begin),
            overruled: self.by_person.filter(|offset| is_known && *offset != end),
        }
    }

    /// What was read into another table is no reason to begin further on: it is to be read again. Once
    /// the chain has begun, its end alone counts.
    fn begin_as_asked(&self, request: &OpenRequest, end: u64, begin_at: u64) -> Beginning {
        let has_begun = end > 0;
        let from = if has_begun { end } else { begin_at };
        let begin = from.max(request.log_start);
        Beginning {
            fill: (begin > end).then_some(end..begin),
            gap: (has_begun && begin > end).then_some(end..begin),
            overruled: self.by_person.filter(|offset| *offset != begin),
        }
    }
}

impl Committed {
    fn is_in(&self, table: TableId, request: &OpenRequest) -> bool {
        self.metadata
            .is_some_and(|it| it.topic_id == request.topic_id && it.table_id == Some(table))
    }
}

pub(super) fn other_table(
    request: &OpenRequest,
    what: &'static str,
    other: Option<TableId>,
) -> SinkError {
    let other = other.map_or("a sink without tables".into(), |id| format!("the table {id}"));
    blocked(request, BlockedReason::OtherTable { what, other })
}

pub(super) fn blocked(request: &OpenRequest, reason: BlockedReason) -> SinkError {
    SinkError::Blocked { partition: request.partition.clone(), reason }
}
