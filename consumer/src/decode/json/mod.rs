//! Pure. JSON records: one object each, one column per field, nothing rounded and nothing dropped.

mod check;
mod number;
mod object;

use std::collections::BTreeSet;

use jiter::Jiter;

use super::frame::Frame;
use super::values::Fields;
use super::{DeadLetter, Decoded, Decoder, Rows, Wider};
use crate::record::RawRecord;
use crate::table::schema::{TableSchema, count};
use check::Defect;
use object::{Reader, Reject};

/// A table with more columns is not expected to have a value of each in every record.
const DENSE_COLUMNS_MAX: usize = 100;

/// Rows while they are made.
#[derive(Debug)]
struct Batch {
    frame: Frame,
    columns: Fields,
    /// Columns and nested fields by now.
    size: usize,
    is_wider: bool,
    /// How often a field without a type was named.
    named: u64,
    /// Which records are kept as text.
    misfits: BTreeSet<usize>,
}

pub(super) fn decode(
    decoder: &Decoder,
    misfits: &BTreeSet<usize>,
    records: &[RawRecord],
    schema: &TableSchema,
) -> Decoded {
    // The whole value of a record is never a JSON column's.
    let columns: Vec<_> =
        schema.columns.iter().filter(|column| column.field.is_some()).cloned().collect();
    // Wide tables are mostly sparse: memory is taken where values come.
    let room = if columns.len() <= DENSE_COLUMNS_MAX { records.len() } else { 0 };
    let mut batch = Batch {
        frame: Frame::new(decoder, records.len(), true),
        columns: Fields::new(&columns, room),
        size: count(&columns),
        is_wider: false,
        named: 0,
        misfits: misfits.clone(),
    };
    let mut dead_letters = Vec::new();
    let mut tape = Vec::new();
    for (index, record) in records.iter().enumerate() {
        if let Err(defect) = batch.add(index, record, &mut tape) {
            let Defect { reason, text } = defect;
            dead_letters.push(DeadLetter { index, offset: record.offset, reason, text });
        }
    }
    if batch.is_wider {
        let columns = batch.columns.columns();
        return Decoded::Wider(Wider { columns, misfits: batch.misfits });
    }
    batch.columns.drop_untouched();
    let unparsed = batch.misfits.len();
    let (fields, arrays) = batch.columns.finish();
    Decoded::Rows(Rows { batch: batch.frame.finish(fields, arrays), dead_letters, unparsed })
}

impl Batch {
    /// Adds the record's row, or says why it is a dead letter.
    fn add(&mut self, index: usize, record: &RawRecord, tape: &mut Vec<u8>) -> Result<(), Defect> {
        let Some(value) = &record.value else {
            self.columns.rows += 1;
            self.frame.push(record, None);
            return Ok(());
        };
        let rows = self.columns.rows;
        match self.read(index, value, tape) {
            Ok(()) => self.frame.push(record, None),
            Err(Reject::Defect(defect)) => {
                self.columns.cut(rows);
                return Err(defect);
            }
            Err(Reject::Misfit) => {
                self.columns.cut(rows);
                let text = check::check(value)?;
                self.columns.rows += 1;
                self.misfits.insert(index);
                self.frame.push(record, Some(text));
            }
        }
        Ok(())
    }

    fn read(&mut self, index: usize, value: &[u8], tape: &mut Vec<u8>) -> Result<(), Reject> {
        if self.misfits.contains(&index) {
            return Err(Reject::Misfit);
        }
        let jiter = Jiter::with_tape(value, std::mem::take(tape));
        let (size, named) = (self.size, self.named);
        let mut reader = Reader { jiter, size, has_new: false, named_before: named, named };
        let read = reader.record(&mut self.columns);
        let has_new = reader.has_new;
        self.named = reader.named;
        *tape = reader.jiter.into_tape();
        if read.is_ok() && has_new {
            self.settle();
        }
        read
    }

    /// Keeps the fields that the last record made, where they have a type.
    fn settle(&mut self) {
        self.columns.settle();
        let size = self.columns.size();
        self.is_wider |= size > self.size;
        self.size = self.size.max(size);
    }
}
