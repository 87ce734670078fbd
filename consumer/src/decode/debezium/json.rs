//! Pure. Change events in JSON, with a schema beside each or without.

use std::sync::Arc;

use common::messages::format::DebeziumFormat;
use jiter::{Jiter, Peek};

use super::avro::to_columns;
use super::envelope::{column_of, finish, no_envelope, state_of};
use super::unavailable::Unavailable;
use super::{connect, value};
use crate::decode::DeadLetterReason;
use crate::decode::avro::columns as columns_of;
use crate::decode::avro::node::NodeId;
use crate::decode::columns::Fields;
use crate::decode::json::{Growth, Reader, Reject, defect_of, each_member};
use crate::decode::rows::Defect;
use crate::decode::schemas::{Made, ToColumns, WriterSchema};
use crate::table::schema::{COLUMNS_MAX, count};

/// Schemas that are remembered within a batch: records repeat theirs.
const SCHEMAS_MAX: usize = 16;

/// Reads the change events of a batch.
#[derive(Debug)]
pub(in crate::decode) struct EnvelopeReader<'f> {
    pub(super) format: &'f DebeziumFormat,
    pub(super) schemas: BesideSchemas,
    /// Of the records' keys.
    pub(super) key_schemas: BesideSchemas,
}

/// The schemas beside records, by their text.
#[derive(Debug)]
pub(super) struct BesideSchemas {
    to_columns: ToColumns,
    known: Vec<(Vec<u8>, Made)>,
}

/// A schema, and the part of it that some data has.
pub(super) type Part<'s> = Option<(&'s WriterSchema, NodeId)>;

/// Members of an object with their texts.
pub(super) type Members<'v> = Vec<(String, &'v [u8])>;

/// The members of an event that are read.
pub(super) struct Envelope<'v> {
    pub(super) op: String,
    pub(super) members: Members<'v>,
}

impl<'f> EnvelopeReader<'f> {
    /// `is_state`: for a table that shows the present state.
    pub(in crate::decode) fn new(format: &'f DebeziumFormat, is_state: bool) -> Self {
        let schemas = |to_columns| BesideSchemas { to_columns, known: Vec::new() };
        let values = schemas(to_columns(format.has_before, is_state));
        Self { format, schemas: values, key_schemas: schemas(columns_of) }
    }

    /// Reads one event into the open row.
    pub(in crate::decode) fn read(
        &mut self,
        text: &[u8],
        columns: &mut Fields,
        growth: &mut Growth,
    ) -> Result<(), Reject> {
        let (schema, payload) = split(text)?;
        if payload == b"null" {
            return Ok(());
        }
        let envelope = envelope(payload)?;
        let schema = schema.map(|schema| self.schemas.get(schema)).transpose()?;
        if let Some(schema) = &schema {
            want(schema, columns, growth)?;
        }
        let mut unavailable = Unavailable::new(&self.format.unavailable_value);
        for (name, text) in &envelope.members {
            if name == state_of(&envelope.op) {
                if *text != b"null" {
                    let part = part_of(schema.as_deref(), name)?;
                    state(part, text, columns, growth, Some(&mut unavailable))?;
                }
            } else if let Some(column) = column_of(name, self.format.has_before) {
                member(schema.as_deref(), (name, text), (&column, columns), growth)?;
            }
        }
        Ok(finish(&envelope.op, &unavailable.names, columns)?)
    }
}

impl BesideSchemas {
    pub(super) fn get(&mut self, text: &[u8]) -> Result<Arc<WriterSchema>, Reject> {
        if let Some((_, made)) = self.known.iter().find(|(known, _)| known == text) {
            return made.clone().map_err(Reject::Defect);
        }
        let made = connect::parse(text).and_then(|shape| {
            let columns = (self.to_columns)(&shape)?;
            Ok(Arc::new(WriterSchema { shape, columns }))
        });
        let made = made.map_err(|problem| Defect::new(DeadLetterReason::UnusableSchema, problem));
        if self.known.len() >= SCHEMAS_MAX {
            self.known.clear();
        }
        self.known.push((text.into(), made.clone()));
        made.map_err(Reject::Defect)
    }
}

/// Makes sure that there are columns for data of that schema.
pub(super) fn want(
    schema: &WriterSchema,
    columns: &mut Fields,
    growth: &mut Growth,
) -> Result<(), Reject> {
    if !columns.has(&schema.columns) {
        if growth.is_closed || columns.size() + count(&schema.columns) > COLUMNS_MAX {
            return Err(Reject::Misfit);
        }
        growth.is_wanted |= columns.want(&schema.columns);
        growth.size = columns.size();
    }
    Ok(())
}

/// The schema beside an event, if there is one, and the event.
pub(super) fn split(text: &[u8]) -> Result<(Option<&[u8]>, &[u8]), Reject> {
    let (mut schema, mut payload) = (None, None);
    each_member(text, |name, member| {
        match name {
            "schema" => schema = Some(member),
            "payload" => payload = Some(member),
            _ => {}
        }
        Ok(())
    })
    .map_err(Reject::Defect)?;
    match payload {
        Some(payload) => Ok((schema.filter(|schema| *schema != b"null"), payload)),
        None => Ok((None, text)),
    }
}

pub(super) fn envelope(payload: &[u8]) -> Result<Envelope<'_>, Reject> {
    let (mut op, mut members) = (None, Vec::new());
    each_member(payload, |name, member| {
        if members.iter().any(|(known, _)| known == name) {
            let text = format!("the member {name:?} of the event is repeated");
            return Err(Defect::new(DeadLetterReason::DuplicateKey, text));
        }
        if name == "op" {
            let text = Jiter::new(member).next_str().map(str::to_owned);
            op = Some(text.map_err(|_| no_envelope("its `op` is no text"))?);
        }
        members.push((name.to_owned(), member));
        Ok(())
    })
    .map_err(Reject::Defect)?;
    let op = op.ok_or_else(|| Reject::Defect(no_envelope("it has no `op`")))?;
    Ok(Envelope { op, members })
}

/// Reads the row's state, an object, into columns of its own.
pub(super) fn state<'v>(
    part: Part<'_>,
    text: &'v [u8],
    columns: &mut Fields,
    growth: &mut Growth,
    unavailable: Option<&mut Unavailable<'v>>,
) -> Result<(), Reject> {
    let mut jiter = Jiter::new(text);
    let Some((schema, id)) = part else {
        let mut reader = Reader::new(jiter, growth);
        reader.unavailable = unavailable;
        return reader.record(columns);
    };
    if jiter.peek()? != Peek::Object {
        return Err(Reject::Misfit);
    }
    value::members(&schema.shape, id, &mut jiter, columns, unavailable)?;
    jiter.finish().map_err(|error| Reject::Defect(defect_of(&error)))
}

/// Reads another member of the event into the column that it has.
pub(super) fn member(
    schema: Option<&WriterSchema>,
    (name, text): (&str, &[u8]),
    (column, columns): (&str, &mut Fields),
    growth: &mut Growth,
) -> Result<(), Reject> {
    let Some((schema, id)) = schema.and_then(|schema| Some((schema, node_of(schema, name)?)))
    else {
        return Reader::new(Jiter::new(text), growth).member(column, columns);
    };
    let Some(at) = columns.find(column, 0) else { return Ok(()) };
    let rows = columns.rows;
    let values = &mut columns.fields[at].values;
    values.pad(rows);
    let mut jiter = Jiter::new(text);
    value::value(&schema.shape, id, &mut jiter, values)?;
    jiter.finish().map_err(|error| Reject::Defect(defect_of(&error)))
}

/// The part of the schema that the event's member of that name has.
pub(super) fn part_of<'s>(
    schema: Option<&'s WriterSchema>,
    name: &str,
) -> Result<Part<'s>, Reject> {
    let part = |schema| Some((schema, node_of(schema, name)?));
    schema.map(|schema| part(schema).ok_or(Reject::Misfit)).transpose()
}

fn node_of(schema: &WriterSchema, name: &str) -> Option<usize> {
    let record = schema.shape.record(schema.shape.root)?;
    record.fields.iter().find(|field| field.name == name).map(|field| field.node)
}
