//! Pure. Rows while they are made, and what becomes of records that are none.

use common::messages::format::Misfits;

use super::changes::{Change, Changes};
use super::columns::Fields;
use super::frame::Frame;
use super::{DeadLetter, DeadLetterReason, Decoder, Rows};
use crate::record::RawRecord;
use crate::table::schema::Column;

/// Why a record is no row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Defect {
    pub(super) reason: DeadLetterReason,
    /// What is wrong and where, for people.
    pub(super) text: String,
}

impl Defect {
    pub(super) fn new(reason: DeadLetterReason, text: impl Into<String>) -> Self {
        Self { reason, text: text.into() }
    }
}

/// Rows of a batch; each record is pushed once, in the order of the offsets.
#[derive(Debug)]
pub(super) struct RowsBuilder {
    pub(super) columns: Fields,
    /// Where rows change others.
    pub(super) changes: Option<Changes>,
    frame: Frame,
    misfits: Misfits,
    dead_letters: Vec<DeadLetter>,
    unparsed: usize,
    ignored: usize,
}

impl RowsBuilder {
    /// For up to `rows` rows of a table with `columns`, with memory for that many values of each at once.
    pub(super) fn new(decoder: &Decoder, columns: &[Column], rows: usize, room: usize) -> Self {
        let misfits = decoder.format.misfits;
        Self {
            columns: Fields::new(columns, room),
            changes: None,
            frame: Frame::new(decoder, rows, misfits == Misfits::Unparsed),
            misfits,
            dead_letters: Vec::new(),
            unparsed: 0,
            ignored: 0,
        }
    }

    /// Completes the row whose values were put into the columns; those that were not are null.
    pub(super) fn push(&mut self, record: &RawRecord) {
        self.columns.rows += 1;
        self.frame.push(record, None);
    }

    /// The same of a row that changes others.
    pub(super) fn push_change(&mut self, record: &RawRecord, change: &Change) {
        self.columns.rows += 1;
        self.frame.push_change(record, change);
        self.changes.iter_mut().for_each(Changes::made_row);
    }

    /// Checks that the row that is open tells which one it changes.
    pub(super) fn check_key(&self) -> Result<(), Defect> {
        self.changes.as_ref().map_or(Ok(()), |changes| changes.check_row(&self.columns))
    }

    /// A record of which a value did not fit; `text` is the whole of it.
    pub(super) fn push_misfit(&mut self, index: usize, record: &RawRecord, text: &str) {
        match self.misfits {
            Misfits::Unparsed => {
                self.columns.rows += 1;
                self.frame.push(record, Some(text));
                self.unparsed += 1;
            }
            Misfits::DeadLetter => {
                let text = "a value does not fit its column";
                self.push_defect(index, record, Defect::new(DeadLetterReason::Misfit, text));
            }
        }
    }

    pub(super) fn push_defect(&mut self, index: usize, record: &RawRecord, defect: Defect) {
        let Defect { reason, text } = defect;
        self.dead_letters.push(DeadLetter { index, offset: record.offset, reason, text });
    }

    pub(super) fn ignore(&mut self) {
        self.ignored += 1;
    }

    /// Forgets what the record being read put into the columns.
    pub(super) fn cut(&mut self) {
        let rows = self.columns.rows;
        self.columns.cut(rows);
    }

    pub(super) fn finish(self) -> Rows {
        let Self { mut columns, frame, dead_letters, unparsed, ignored, .. } = self;
        columns.drop_untouched();
        let (fields, arrays) = columns.finish();
        Rows { batch: frame.finish(fields, arrays), dead_letters, unparsed, ignored }
    }
}
