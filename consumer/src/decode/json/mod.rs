//! Pure. JSON records: one object each, one column per field, nothing rounded and nothing dropped.

mod check;
mod number;
mod object;

use jiter::Jiter;

use super::frame::Frame;
use super::values::Fields;
use super::{DeadLetter, Decoded, Decoder, Rows};
use crate::record::RawRecord;
use crate::table::schema::{TableSchema, count};
use check::Defect;
use object::{Reader, Reject};

/// Rows while they are made.
#[derive(Debug)]
struct Batch {
    frame: Frame,
    columns: Fields,
    /// Columns and nested fields by now.
    size: usize,
    is_wider: bool,
    unparsed: usize,
}

pub(super) fn decode(decoder: &Decoder, records: &[RawRecord], schema: &TableSchema) -> Decoded {
    // The whole value of a record is never a JSON column's.
    let columns: Vec<_> =
        schema.columns.iter().filter(|column| column.field.is_some()).cloned().collect();
    let mut batch = Batch {
        frame: Frame::new(decoder, records.len(), true),
        columns: Fields::new(&columns),
        size: count(&columns),
        is_wider: false,
        unparsed: 0,
    };
    let mut dead_letters = Vec::new();
    let mut tape = Vec::new();
    for (index, record) in records.iter().enumerate() {
        if let Err(defect) = batch.add(record, &mut tape) {
            let Defect { reason, text } = defect;
            dead_letters.push(DeadLetter { index, offset: record.offset, reason, text });
        }
    }
    if batch.is_wider {
        return Decoded::Wider(batch.columns.columns());
    }
    batch.columns.drop_untouched();
    let unparsed = batch.unparsed;
    let (fields, arrays) = batch.columns.finish();
    Decoded::Rows(Rows { batch: batch.frame.finish(fields, arrays), dead_letters, unparsed })
}

impl Batch {
    fn add(&mut self, record: &RawRecord, tape: &mut Vec<u8>) -> Result<(), Defect> {
        let rows = self.columns.rows;
        let Some(value) = &record.value else {
            self.columns.rows += 1;
            self.frame.push(record, None);
            return Ok(());
        };
        let jiter = Jiter::with_tape(value, std::mem::take(tape));
        let mut reader = Reader { jiter, size: self.size, has_new: false };
        let read = reader.record(&mut self.columns);
        let has_new = reader.has_new;
        *tape = reader.jiter.into_tape();
        match read {
            Ok(()) => {
                if has_new {
                    self.settle();
                }
                self.frame.push(record, None);
                Ok(())
            }
            Err(Reject::Defect(defect)) => {
                self.columns.cut(rows);
                Err(defect)
            }
            Err(Reject::Misfit) => {
                self.columns.cut(rows);
                let text = check::check(value)?;
                self.columns.rows += 1;
                self.unparsed += 1;
                self.frame.push(record, Some(text));
                Ok(())
            }
        }
    }

    /// Keeps the fields that the last record made, where they have a type.
    fn settle(&mut self) {
        self.columns.settle();
        let size = count(&self.columns.columns());
        self.is_wider |= size > self.size;
        self.size = self.size.max(size);
    }
}
