//! Pure. Rows in protobuf: whether a writer's schema fits a table's columns, and the values of an encoded row.

use prost::DecodeError;
use prost::encoding::{DecodeContext, decode_key, skip_field};
use prost_reflect::{
    Cardinality, DescriptorPool, DynamicMessage, FieldDescriptor, Kind as Wire, MessageDescriptor,
    ReflectMessage as _, Value as Encoded,
};
use prost_types::{DescriptorProto, FileDescriptorProto};

use super::change::{CHANGE_SEQUENCE_NUMBER, CHANGE_TYPE, Change, ChangeKind, Sequence};
use super::civil;
use super::decimal::{Decimal, Precision};
use super::parse::{WrongField, default_of, value_of_text};
use super::value::{Row, Value};
use crate::schema::{Column, Kind, Mode, find};

/// Why a writer's schema cannot be used for a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Misfit {
    /// The table has no such column.
    Extra(String),
    Incompatible(String),
}

/// Which absent fields become their column's default; all others become NULL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Missing {
    pub default: bool,
    /// Exceptions, by the name of the column.
    pub columns: Vec<(String, bool)>,
}

impl Missing {
    fn value(&self, column: &Column) -> Value {
        let exception = self.columns.iter().find(|(name, _)| column.is_called(name));
        if exception.map_or(self.default, |(_, default)| *default) {
            return default_of(column);
        }
        Value::Null
    }
}

/// Makes a descriptor that contains all its types usable.
pub fn compile(descriptor: &DescriptorProto) -> Result<MessageDescriptor, String> {
    let file = FileDescriptorProto {
        name: Some("writer_schema.proto".into()),
        syntax: Some("proto2".into()),
        message_type: vec![descriptor.clone()],
        ..Default::default()
    };
    let mut pool = DescriptorPool::new();
    let added = pool.add_file_descriptor_proto(file);
    added.map_err(|error| format!("Invalid proto schema: {error}"))?;
    let found = pool.get_message_by_name(descriptor.name());
    found.ok_or_else(|| "Invalid proto schema: the message has no name".into())
}

/// Checks that every field has a column of a fitting type; the fields of a change have none.
pub fn check_fit(
    message: &MessageDescriptor,
    columns: &[Column],
    takes_changes: bool,
) -> Result<(), Misfit> {
    for field in message.fields() {
        if takes_changes && is_change_field(field.name()) {
            continue;
        }
        let Some(column) = find(columns, field.name()) else {
            return Err(Misfit::Extra(field.full_name().into()));
        };
        let is_list = field.cardinality() == Cardinality::Repeated;
        if is_list != (column.mode == Mode::Repeated) || !takes(column.kind, &field.kind()) {
            let (name, kind, mode) = (field.full_name(), column.kind, column.mode);
            return Err(Misfit::Incompatible(format!(
                "The proto field {name} does not fit the column: {kind:?}, {mode:?}"
            )));
        }
        if let Wire::Message(inner) = field.kind() {
            check_fit(&inner, &column.fields, false)?;
        }
    }
    Ok(())
}

pub fn has_change_fields(message: &MessageDescriptor) -> bool {
    message.fields().any(|field| is_change_field(field.name()))
}

fn is_change_field(name: &str) -> bool {
    name == CHANGE_TYPE || name == CHANGE_SEQUENCE_NUMBER
}

fn takes(kind: Kind, wire: &Wire) -> bool {
    match kind {
        Kind::Integer => matches!(wire, Wire::Int64 | Wire::Int32 | Wire::Uint32 | Wire::Enum(_)),
        Kind::Float => matches!(wire, Wire::Double | Wire::Float),
        Kind::Boolean => matches!(wire, Wire::Bool),
        Kind::String | Kind::Json | Kind::Geography => matches!(wire, Wire::String),
        Kind::Bytes | Kind::Numeric | Kind::BigNumeric => {
            matches!(wire, Wire::Bytes | Wire::String)
        }
        Kind::Timestamp => matches!(wire, Wire::Int64),
        Kind::Date => matches!(wire, Wire::Int32 | Wire::String),
        Kind::DateTime | Kind::Time => matches!(wire, Wire::Int64 | Wire::String),
        Kind::Record => matches!(wire, Wire::Message(_)),
    }
}

/// The values of an encoded row whose message fits the columns. A delete needs its key only.
pub fn row_of_bytes(
    bytes: &[u8],
    message: &MessageDescriptor,
    columns: &[Column],
    missing: &Missing,
) -> Result<(Row, Option<Change>), WrongField> {
    let decoded = DynamicMessage::decode(message.clone(), bytes);
    let decoded = decoded.map_err(|error| {
        WrongField::new("", format!("The row cannot be parsed with the writer schema: {error}"))
    })?;
    let change = change_of(&decoded)?;
    let is_delete = change.as_ref().is_some_and(|change| change.kind == ChangeKind::Delete);
    let row = row_of_message(&decoded, columns, missing, is_delete)?;
    Ok((row, change))
}

/// The fields of these numbers, still encoded.
pub fn part_of(mut bytes: &[u8], numbers: &[u32]) -> Result<Vec<u8>, DecodeError> {
    let mut part = Vec::new();
    while !bytes.is_empty() {
        let field = bytes;
        let (number, wire) = decode_key(&mut bytes)?;
        skip_field(wire, number, &mut bytes, DecodeContext::default())?;
        if numbers.contains(&number) {
            part.extend_from_slice(&field[..field.len() - bytes.len()]);
        }
    }
    Ok(part)
}

fn row_of_message(
    message: &DynamicMessage,
    columns: &[Column],
    missing: &Missing,
    is_delete: bool,
) -> Result<Row, WrongField> {
    let mut row = Row::default();
    let descriptor = message.descriptor();
    for column in columns {
        let field = descriptor.fields().find(|field| column.is_called(field.name()));
        let present = field.filter(|field| message.has_field(field));
        let value = match present {
            Some(field) => value_of_field(message, &field, column, missing)?,
            None => missing.value(column),
        };
        if value == Value::Null && column.mode == Mode::Required && !is_delete {
            let message = format!("Field {} is required but missing", column.name);
            return Err(WrongField::new(&column.name, message));
        }
        row.set(&column.name, value);
    }
    Ok(row)
}

fn value_of_field(
    message: &DynamicMessage,
    field: &FieldDescriptor,
    column: &Column,
    missing: &Missing,
) -> Result<Value, WrongField> {
    match message.get_field(field).as_ref() {
        Encoded::List(items) => {
            let values = items.iter().map(|item| value_of(item, column, missing));
            values.collect::<Result<_, _>>().map(Value::List)
        }
        single => value_of(single, column, missing),
    }
}

fn value_of(encoded: &Encoded, column: &Column, missing: &Missing) -> Result<Value, WrongField> {
    if let Encoded::Message(inner) = encoded {
        let row = row_of_message(inner, &column.fields, missing, false);
        return row.map(Value::Record).map_err(|wrong| {
            WrongField::new(&format!("{}.{}", column.name, wrong.location), wrong.message)
        });
    }
    let wrong = |message: String| WrongField::new(&column.name, message);
    scalar(encoded, column.kind).map_err(wrong)
}

fn scalar(encoded: &Encoded, kind: Kind) -> Result<Value, String> {
    match (encoded, kind) {
        (Encoded::I64(packed), Kind::Time) => civil::time_of_packed(*packed).map(Value::Time),
        (Encoded::I64(packed), Kind::DateTime) => {
            civil::date_time_of_packed(*packed).map(Value::DateTime)
        }
        (Encoded::I64(micros), Kind::Timestamp) => {
            civil::timestamp_of_microseconds(*micros).map(Value::Timestamp)
        }
        (Encoded::I32(days), Kind::Date) => civil::date_of_days(*days).map(Value::Date),
        (Encoded::I64(value), _) => Ok(Value::Integer(*value)),
        (Encoded::I32(value) | Encoded::EnumNumber(value), _) => {
            Ok(Value::Integer((*value).into()))
        }
        (Encoded::U32(value), _) => Ok(Value::Integer((*value).into())),
        (Encoded::F64(value), _) => Ok(Value::Float(*value)),
        (Encoded::F32(value), _) => Ok(Value::Float((*value).into())),
        (Encoded::Bool(value), _) => Ok(Value::Boolean(*value)),
        (Encoded::Bytes(units), Kind::Numeric) => {
            Decimal::from_bytes(units, Precision::Numeric).map(Value::Decimal)
        }
        (Encoded::Bytes(units), Kind::BigNumeric) => {
            Decimal::from_bytes(units, Precision::BigNumeric).map(Value::Decimal)
        }
        (Encoded::Bytes(value), _) => Ok(Value::Bytes(value.to_vec())),
        // On the wire a string for BYTES is the bytes themselves, not base64.
        (Encoded::String(value), Kind::Bytes) => Ok(Value::Bytes(value.clone().into())),
        (Encoded::String(text), kind) => value_of_text(text, kind),
        (other, kind) => Err(format!("{other} is no value of {kind:?}")),
    }
}

fn change_of(message: &DynamicMessage) -> Result<Option<Change>, WrongField> {
    if !has_change_fields(&message.descriptor()) {
        return Ok(None);
    }
    let text = |name: &str| match message.get_field_by_name(name).as_deref() {
        Some(Encoded::String(text)) if message.has_field_by_name(name) => Some(text.clone()),
        _ => None,
    };
    let kind = text(CHANGE_TYPE).as_deref().and_then(ChangeKind::parse);
    let kind = kind.ok_or_else(|| WrongField::new(CHANGE_TYPE, "must be UPSERT or DELETE"))?;
    let sequence = text(CHANGE_SEQUENCE_NUMBER).map(|text| {
        let wrong = format!("'{text}' is not up to 4 sections of up to 16 hexadecimal digits");
        Sequence::parse(&text).ok_or_else(|| WrongField::new(CHANGE_SEQUENCE_NUMBER, wrong))
    });
    Ok(Some(Change { kind, sequence: sequence.transpose()? }))
}
