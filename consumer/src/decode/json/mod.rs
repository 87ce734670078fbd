//! Pure. JSON records: one object each, one column per field, nothing rounded and nothing dropped.

mod changes;
mod check;
mod members;
mod number;
mod object;
mod typed;

use std::collections::BTreeSet;

use common::messages::format::{Ignore, ValueFormat};
use jiter::Jiter;

use super::changes::Changes;
use super::debezium::EnvelopeReader;
use super::rows::{Defect, RowsBuilder};
use super::{Decoded, Decoder, Wider, ignore};
use crate::record::RawRecord;
use crate::table::schema::{TableSchema, count};

pub(super) use check::defect_of;
pub(super) use members::each_member;
pub(super) use number::float;
pub(super) use object::{Reader, Reject};
pub(super) use typed::put_number;

/// A table with more columns is not expected to have a value of each in every record.
const DENSE_COLUMNS_MAX: usize = 100;

/// Rows while they are made.
struct Batch<'d> {
    decoder: &'d Decoder,
    /// For change events.
    envelopes: Option<EnvelopeReader<'d>>,
    rows: RowsBuilder,
    growth: Growth,
    /// Columns and nested fields that the table has.
    size: usize,
    is_wider: bool,
    /// Which records are kept as text.
    misfits: BTreeSet<usize>,
    tape: Vec<u8>,
}

/// How the columns grow while a record is read.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Growth {
    /// Columns and nested fields, those included that the record adds.
    pub(super) size: usize,
    /// Whether a record that adds any does not fit.
    pub(super) is_closed: bool,
    /// True once the record made a field, or gave one its type.
    pub(super) has_new: bool,
    /// True once a schema beside a record asked for columns that are not there.
    pub(super) is_wanted: bool,
    /// How often a field without a type was named before the record, and by now.
    pub(super) named_before: u64,
    pub(super) named: u64,
}

pub(super) fn decode(
    decoder: &Decoder,
    misfits: &BTreeSet<usize>,
    records: &[RawRecord],
    schema: &TableSchema,
) -> Decoded {
    let mut batch = Batch::new(decoder, misfits, records.len(), schema);
    for (index, record) in records.iter().enumerate() {
        if let Err(defect) = batch.add(index, record) {
            batch.rows.push_defect(index, record, defect);
        }
    }
    let key = batch.rows.changes.as_ref().and_then(Changes::wanted);
    if batch.is_wider || key.is_some() {
        let (columns, key) = (batch.rows.columns.columns(), key.unwrap_or_default().to_vec());
        return Decoded::Wider(Wider { columns, key, misfits: batch.misfits });
    }
    Decoded::Rows(batch.rows.finish())
}

impl<'d> Batch<'d> {
    fn new(
        decoder: &'d Decoder,
        misfits: &BTreeSet<usize>,
        records: usize,
        schema: &TableSchema,
    ) -> Self {
        // The whole value of a record is never a JSON column's.
        let columns: Vec<_> =
            schema.columns.iter().filter(|column| column.field.is_some()).cloned().collect();
        // Wide tables are mostly sparse: memory is taken where values come.
        let room = if columns.len() <= DENSE_COLUMNS_MAX { records } else { 0 };
        let mut rows = RowsBuilder::new(decoder, &columns, records, room);
        let is_closed = decoder.is_closed;
        let is_wider = !is_closed && rows.columns.want(&decoder.declared);
        let size = rows.columns.size();
        let growth = Growth { size: size.max(count(&columns)), is_closed, ..Growth::default() };
        let envelopes = match &decoder.format.values {
            ValueFormat::Debezium(debezium) => {
                Some(EnvelopeReader::new(debezium, decoder.changes.is_some()))
            }
            _ => None,
        };
        rows.changes = decoder.changes.as_ref().map(|options| Changes::new(options, schema));
        let (misfits, tape) = (misfits.clone(), Vec::new());
        Self { decoder, envelopes, rows, growth, size, is_wider, misfits, tape }
    }

    /// Adds the record's row, or says why it is a dead letter.
    fn add(&mut self, index: usize, record: &RawRecord) -> Result<(), Defect> {
        if ignore::by_header(&self.decoder.format, record) {
            self.rows.ignore();
            return Ok(());
        }
        if self.rows.changes.is_some() {
            return self.add_changes(index, record);
        }
        let Some(value) = &record.value else {
            self.rows.push(record);
            return Ok(());
        };
        if self.decoder.format.ignore.as_ref().is_some_and(|ignore| is_ignored(ignore, value)) {
            self.rows.ignore();
            return Ok(());
        }
        match self.read(index, value) {
            Ok(()) => self.rows.push(record),
            Err(Reject::Defect(defect)) => {
                self.rows.cut();
                return Err(defect);
            }
            Err(Reject::Misfit) => {
                self.rows.cut();
                let text = check::check(value)?;
                self.misfits.insert(index);
                self.rows.push_misfit(index, record, text);
            }
        }
        Ok(())
    }

    fn read(&mut self, index: usize, value: &[u8]) -> Result<(), Reject> {
        if self.misfits.contains(&index) {
            return Err(Reject::Misfit);
        }
        let mut growth = self.next_growth();
        let read = match &mut self.envelopes {
            Some(envelopes) => envelopes.read(value, &mut self.rows.columns, &mut growth),
            None => {
                let jiter = Jiter::with_tape(value, std::mem::take(&mut self.tape));
                let mut reader = Reader::new(jiter, &mut growth);
                let read = reader.record(&mut self.rows.columns);
                self.tape = reader.jiter.into_tape();
                read
            }
        };
        let has_room = self.grown(growth, read.is_ok());
        read.and(has_room)
    }

    /// That of the row that is read next.
    fn next_growth(&self) -> Growth {
        let named_before = self.growth.named;
        Growth { has_new: false, is_wanted: false, named_before, ..self.growth }
    }

    /// Takes what a row made of the columns, if the table may get them.
    fn grown(&mut self, growth: Growth, is_read: bool) -> Result<(), Reject> {
        self.growth.named = growth.named;
        if growth.is_wanted {
            self.is_wider = true;
            self.growth.size = self.growth.size.max(self.rows.columns.size());
        }
        if growth.has_new && is_read {
            if growth.is_closed && self.rows.columns.size() > self.size {
                return Err(Reject::Misfit);
            }
            self.settle();
        }
        Ok(())
    }

    /// Keeps the fields that the last record made, where they have a type.
    fn settle(&mut self) {
        self.rows.columns.settle();
        let size = self.rows.columns.size();
        self.is_wider |= size > self.growth.size;
        self.growth.size = self.growth.size.max(size);
    }
}

fn is_ignored(ignore: &Ignore, value: &[u8]) -> bool {
    let text = ignore.field().and_then(|path| members::text_at(value, path));
    text.is_some_and(|text| ignore.values.contains(&text))
}
