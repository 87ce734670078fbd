//! Pure. The descriptor of a table's rows: one message that holds the types of its records.

use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto};

use super::numbered;
use crate::sink::bigquery::frame_columns::{HEADERS, change_kinds, frame_kinds};
use crate::sink::bigquery::service_field::{ELEMENT, KEY, VALUE, is_wrapped};
use crate::table::schema::{Column, ColumnType, TableSchema};

/// The message of the rows of a schema, `kafka_*` columns first.
///
/// A field keeps its number in all later versions of the schema, with headers or without.
pub fn descriptor(schema: &TableSchema, has_headers: bool) -> DescriptorProto {
    let (ours, changes) = (frame_kinds(), change_kinds(schema));
    let columns = numbered(&ours, &schema.columns, &changes);
    message("Row", columns.filter(|(_, column)| has_headers || column.name != HEADERS))
}

fn message<'a>(name: &str, columns: impl Iterator<Item = (u32, &'a Column)>) -> DescriptorProto {
    let columns: Vec<_> = columns.collect();
    let mut message = DescriptorProto { name: Some(name.into()), ..Default::default() };
    for (number, column) in &columns {
        let mut nested = format!("{name}_{number}");
        // A message's fields and the types within it share their names.
        while columns.iter().any(|(_, column)| column.name == nested) {
            nested.push('_');
        }
        add(&mut message, *number, column, nested);
    }
    message
}

/// Adds a field, and its type if that is a record called `nested`.
fn add(message: &mut DescriptorProto, number: u32, column: &Column, nested: String) {
    let (is_list, kind) = match &column.kind {
        ColumnType::List(element) => (true, element.as_ref()),
        kind @ ColumnType::Map(_) => (true, kind),
        kind => (false, kind),
    };
    let inner = record(&column.kind, kind, &nested);
    let kind = if inner.is_some() { Type::Message } else { scalar(kind) };
    let label = if is_list { Label::Repeated } else { Label::Optional };
    message.field.push(FieldDescriptorProto {
        name: Some(column.name.clone()),
        number: Some(i32::try_from(number).expect("a table has fewer columns")),
        r#type: Some(kind.into()),
        label: Some(label.into()),
        type_name: inner.is_some().then_some(nested),
        ..Default::default()
    });
    message.nested_type.extend(inner);
}

/// The type of a column's records, or of its list's elements.
fn record(whole: &ColumnType, kind: &ColumnType, name: &str) -> Option<DescriptorProto> {
    let column = |name: &str, kind: &ColumnType| Column {
        name: name.into(),
        field: None,
        kind: kind.clone(),
    };
    let columns = match (whole, kind) {
        (ColumnType::List(element), _) if is_wrapped(element) => vec![column(ELEMENT, element)],
        (_, ColumnType::Map(value)) => vec![column(KEY, &ColumnType::Text), column(VALUE, value)],
        (_, ColumnType::Struct(columns)) => return Some(message(name, (1..).zip(columns))),
        _ => return None,
    };
    Some(message(name, (1..).zip(&columns)))
}

fn scalar(kind: &ColumnType) -> Type {
    match kind {
        ColumnType::Boolean => Type::Bool,
        ColumnType::Integer | ColumnType::Timestamp { utc: true, .. } => Type::Int64,
        ColumnType::Float => Type::Double,
        ColumnType::Binary => Type::Bytes,
        ColumnType::Date => Type::Int32,
        ColumnType::Text
        | ColumnType::Uuid
        | ColumnType::Decimal { .. }
        | ColumnType::Time(_)
        | ColumnType::Timestamp { utc: false, .. } => Type::String,
        ColumnType::List(_) | ColumnType::Map(_) | ColumnType::Struct(_) => Type::Message,
    }
}
