//! Pure. Change events in Avro.

use common::messages::format::{DebeziumFormat, ValueFormat};

use super::envelope::{column_of, finish, no_envelope, own_columns, state_of};
use super::unavailable::Unavailable;
use crate::decode::Decoder;
use crate::decode::avro::input::Input;
use crate::decode::avro::node::Shape;
use crate::decode::avro::{Reader, Reject, scalar, skip};
use crate::decode::columns::Scalar;
use crate::decode::rows::RowsBuilder;
use crate::decode::schemas::{ToColumns, WriterSchema};
use crate::record::RawRecord;
use crate::table::schema::Column;

/// What makes the columns of a changelog, or of a table that shows the present state.
pub(in crate::decode) fn to_columns(has_before: bool, is_state: bool) -> ToColumns {
    match (has_before, is_state) {
        (false, false) => |shape| columns(shape, false, false),
        (false, true) => |shape| columns(shape, false, true),
        (true, false) => |shape| columns(shape, true, false),
        (true, true) => |shape| columns(shape, true, true),
    }
}

fn columns(shape: &Shape, has_before: bool, is_state: bool) -> Result<Vec<Column>, String> {
    let record = shape.record(shape.root).ok_or("a change event is a record, and this is none")?;
    let field = |name: &str| record.fields.iter().find(|field| field.name == name);
    let (Some(after), Some(_)) = (field("after"), field("op")) else {
        return Err("a change event has the fields `op` and `after`".into());
    };
    let mut columns = shape.columns_of(after.node).unwrap_or_default();
    columns.extend(own_columns(is_state));
    for field in &record.fields {
        let (Some(name), Some(kind)) = (column_of(&field.name, has_before), shape.kind(field.node))
        else {
            continue;
        };
        columns.push(Column { name: name.clone(), field: Some(name), kind });
    }
    Ok(columns)
}

pub(super) fn format_of(decoder: &Decoder) -> &DebeziumFormat {
    let ValueFormat::Debezium(format) = &decoder.format.values else {
        unreachable!("only change events are read here")
    };
    format
}

/// Reads one event into the open row.
pub(in crate::decode) fn read(
    decoder: &Decoder,
    schema: &WriterSchema,
    (record, data): (&RawRecord, &[u8]),
    rows: &mut RowsBuilder,
) -> Result<(), Reject> {
    let DebeziumFormat { has_before, unavailable_value, .. } = format_of(decoder);
    let (shape, columns) = (&schema.shape, &mut rows.columns);
    let event = shape.record(shape.root).expect("columns were made of it");
    let mut input = Input::new(data);
    let mut places = Vec::with_capacity(event.fields.len());
    let mut op = None;
    for field in &event.fields {
        places.push(input.at());
        if field.name == "op"
            && let Scalar::Text(text) = scalar(shape.node(field.node), &mut input)?
        {
            op = Some(text);
        } else if field.name != "op" {
            skip(shape, field.node, &mut input)?;
        }
    }
    input.finish()?;
    let op = op.ok_or_else(|| Reject::Defect(no_envelope("its `op` is no text")))?;
    let mut unavailable = Unavailable::new(unavailable_value);
    for (field, at) in event.fields.iter().zip(places) {
        let mut reader = Reader::new(shape, input.from(at));
        if field.name == state_of(op) {
            reader.unavailable = Some(&mut unavailable);
            reader.members(field.node, columns)?;
        } else if let Some(name) = column_of(&field.name, *has_before) {
            reader.field(&name, 0, field.node, columns)?;
        }
    }
    finish(op, &unavailable.names, columns)?;
    rows.push(record);
    Ok(())
}
