//! Avro records: one datum each, one column per field, nothing rounded and nothing dropped.
//!
//! Pure. `input` reads Avro's binary encoding; `compile` makes of a schema the `node`s that `reader` follows.

mod default;
mod reader;
pub(super) mod cells;
mod matching;
pub(super) mod compile;
pub(super) mod input;
pub(super) mod node;
pub(super) mod text;

use std::collections::BTreeMap;
use std::sync::Arc;

use common::messages::format::Ignore;

use super::changes::Changes;
use super::columns::Scalar;
use super::debezium::read_avro_tombstone;
use super::rows::{Defect, RowsBuilder};
use super::schemas::{Schemas, WriterSchema};
use super::{DeadLetterReason, Decoded, Decoder, Wider, ignore};
use crate::record::RawRecord;
use crate::table::schema::{COLUMNS_MAX, Column, TableSchema, count};
use input::{Input, Malformed};
use node::{Node, NodeId, Shape};

pub(super) use reader::{Reader, Reject, scalar, skip};

/// Makes rows of the data of one record: all that it takes or none.
pub(super) type ReadRows =
    fn(&Decoder, &WriterSchema, (&RawRecord, &[u8]), &mut RowsBuilder) -> Result<(), Reject>;

/// The columns of a table for records of that shape.
pub(super) fn columns(shape: &Shape) -> Result<Vec<Column>, String> {
    let columns = shape.record(shape.root).and_then(|_| shape.columns());
    columns.ok_or_else(|| "a table's rows are made of records with fields, and this is none".into())
}

pub(super) fn decode(
    decoder: &Decoder,
    schemas: &Schemas,
    read: ReadRows,
    records: &[RawRecord],
    schema: &TableSchema,
) -> Decoded {
    let columns: Vec<_> =
        schema.columns.iter().filter(|column| column.field.is_some()).cloned().collect();
    let mut rows = RowsBuilder::new(decoder, &columns, records.len(), 0);
    rows.changes = decoder.changes.as_ref().map(|options| Changes::new(options, schema));
    let mut used = BTreeMap::new();
    let mut is_wider = false;
    for value in records.iter().filter_map(|record| record.value.as_deref()) {
        if let Ok((key, _)) = schemas.split(value) {
            used.entry(key).or_insert_with(|| {
                let made = schemas.get(key)?;
                let fits = match decoder.is_closed {
                    true => rows.columns.has(&made.columns),
                    false => has_room(&rows, &made),
                };
                is_wider |= fits && !decoder.is_closed && rows.columns.want(&made.columns);
                Ok(Used { decoder, read, schema: made, fits })
            });
        }
    }
    if is_wider {
        return Decoded::Wider(Wider::new(rows.columns.columns()));
    }
    for (index, record) in records.iter().enumerate() {
        if ignore::by_header(&decoder.format, record) {
            rows.ignore();
            continue;
        }
        let Some(value) = &record.value else {
            match rows.changes.is_some() {
                true => add_tombstone(decoder, (index, record), &mut rows),
                false => rows.push(record),
            }
            continue;
        };
        let outcome = schemas.split(value).and_then(|(key, data)| {
            let used = used[&key].as_ref().map_err(Defect::clone)?;
            used.add((index, record), data, &mut rows)
        });
        if let Err(defect) = outcome {
            rows.push_defect(index, record, defect);
        }
    }
    if let Some(key) = rows.changes.as_ref().and_then(Changes::wanted) {
        let wider = Wider::new(rows.columns.columns());
        return Decoded::Wider(Wider { key: key.to_vec(), ..wider });
    }
    Decoded::Rows(rows.finish())
}

/// A schema that some of the records have.
struct Used<'a> {
    decoder: &'a Decoder,
    read: ReadRows,
    schema: Arc<WriterSchema>,
    /// Whether the table may have all of its columns.
    fits: bool,
}

fn has_room(rows: &RowsBuilder, schema: &WriterSchema) -> bool {
    let size = count(&schema.columns);
    size <= COLUMNS_MAX
        && (rows.columns.size() + size <= COLUMNS_MAX || rows.columns.has(&schema.columns))
}

impl Used<'_> {
    fn add(
        &self,
        (index, record): (usize, &RawRecord),
        data: &[u8],
        rows: &mut RowsBuilder,
    ) -> Result<(), Defect> {
        let shape = &self.schema.shape;
        let is_ignored = |ignore: &Ignore| {
            let text = ignore.field().and_then(|path| field_text(shape, path, data));
            text.is_some_and(|text| ignore.values.contains(&text))
        };
        if self.decoder.format.ignore.as_ref().is_some_and(is_ignored) {
            rows.ignore();
            return Ok(());
        }
        let outcome = if self.fits {
            (self.read)(self.decoder, &self.schema, (record, data), rows)
        } else {
            Err(Reject::Misfit)
        };
        let Err(reject) = outcome else { return Ok(()) };
        rows.cut();
        match reject {
            Reject::Malformed(malformed) => Err(malformed.into()),
            Reject::Defect(defect) => Err(defect),
            Reject::Misfit => {
                let mut input = Input::new(data);
                let text = text::value(shape, shape.root, &mut input)?;
                input.finish()?;
                rows.push_misfit(index, record, &text.to_string());
                Ok(())
            }
        }
    }
}

/// Reads a record whose fields are the columns.
pub(super) fn read_record(
    _: &Decoder,
    schema: &WriterSchema,
    (record, data): (&RawRecord, &[u8]),
    rows: &mut RowsBuilder,
) -> Result<(), Reject> {
    let mut reader = Reader::new(&schema.shape, Input::new(data));
    reader.members(schema.shape.root, &mut rows.columns)?;
    reader.input.finish()?;
    rows.push(record);
    Ok(())
}

fn add_tombstone(decoder: &Decoder, (index, record): (usize, &RawRecord), rows: &mut RowsBuilder) {
    let defect = match read_avro_tombstone(decoder, record, rows) {
        Ok(()) => return,
        Err(Reject::Defect(defect)) => defect,
        Err(Reject::Malformed(malformed)) => malformed.into(),
        Err(Reject::Misfit) => {
            let text = "its key does not fit the columns of the primary key";
            Defect::new(DeadLetterReason::Misfit, text)
        }
    };
    rows.cut();
    rows.push_defect(index, record, defect);
}

/// The value without parts at a path of fields, as text.
fn field_text(shape: &Shape, path: &[String], data: &[u8]) -> Option<String> {
    let mut input = Input::new(data);
    let mut id = shape.root;
    for name in path {
        id = descend(shape, id, &mut input)?;
        let Node::Record(record) = shape.node(id) else { return None };
        let mut found = None;
        for field in &record.fields {
            if field.name == *name {
                found = Some(field.node);
                break;
            }
            skip(shape, field.node, &mut input).ok()?;
        }
        id = found?;
    }
    id = descend(shape, id, &mut input)?;
    match shape.node(id) {
        Node::Record(_) | Node::Array(_) | Node::Map(_) | Node::Duration | Node::Recursive(_) => {
            None
        }
        node => match scalar(node, &mut input).ok()? {
            Scalar::Text(text) => Some(text.into()),
            Scalar::Integer(value) => Some(value.to_string()),
            Scalar::Boolean(value) => Some(value.to_string()),
            _ => None,
        },
    }
}

/// The branch that the data takes, if the writer or only the reader knows several.
fn descend(shape: &Shape, mut id: NodeId, input: &mut Input<'_>) -> Option<NodeId> {
    loop {
        id = match shape.node(id) {
            Node::Union(branches) => branches[input.index(branches.len()).ok()?].node,
            Node::Wrapped(branch) => branch.node,
            _ => return Some(id),
        };
    }
}

impl From<Malformed> for Defect {
    fn from(malformed: Malformed) -> Self {
        Self::new(DeadLetterReason::InvalidAvro, malformed.text)
    }
}
