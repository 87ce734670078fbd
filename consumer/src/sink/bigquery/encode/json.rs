//! Pure. A row's message as JSON, for insertAll. Made of the message itself, it holds what that holds, and nothing is
//! refused or lost on one way that is not on the other.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use prost::encoding::{decode_key, decode_varint};
use serde_json::{Map, Value as Json};

use super::FIRST_COLUMN;
use super::civil::{put_date, put_date_time};
use crate::sink::bigquery::frame_columns::frame_kinds;
use crate::sink::bigquery::service_field::{ELEMENT, KEY, VALUE, is_wrapped};
use crate::table::schema::{Column, ColumnType, TableSchema};

/// Reads the rows of a schema, or of an earlier version of it.
#[derive(Debug)]
pub struct JsonRows<'a> {
    ours: Vec<Column>,
    columns: &'a [Column],
}

/// Name and type of the field with a number.
type FieldOf<'f> = &'f dyn Fn(u32) -> Option<(&'f str, &'f ColumnType)>;

impl<'a> JsonRows<'a> {
    pub fn new(schema: &'a TableSchema) -> Self {
        Self { ours: frame_kinds(), columns: &schema.columns }
    }

    /// As `insertAll` takes it. What is NULL is left out.
    ///
    /// # Panics
    /// If it is no message of [`encode`](super::encode) under that schema.
    pub fn row(&self, message: &[u8]) -> Json {
        record(message, &|number| {
            let column = match number.checked_sub(FIRST_COLUMN) {
                Some(at) => self.columns.get(at as usize),
                None => self.ours.get(number.checked_sub(1)? as usize),
            };
            column.map(|column| (column.name.as_str(), &column.kind))
        })
    }
}

fn record(mut bytes: &[u8], field_of: FieldOf<'_>) -> Json {
    let mut object = Map::new();
    while !bytes.is_empty() {
        let (number, _) = decode_key(&mut bytes).expect("a field begins with its key");
        let (name, kind) = field_of(number).expect("each field is of a column");
        let (ColumnType::List(element) | ColumnType::Map(element)) = kind else {
            object.insert(name.into(), value(kind, &mut bytes));
            continue;
        };
        let entry = match kind {
            ColumnType::Map(inner) => {
                let fields = [(KEY, &ColumnType::Text), (VALUE, &**inner)];
                record(delimited(&mut bytes), &|number| nth(&fields, number))
            }
            _ if is_wrapped(element) => {
                let fields = [(ELEMENT, &**element)];
                record(delimited(&mut bytes), &|number| nth(&fields, number))
            }
            _ => value(element, &mut bytes),
        };
        let list = object.entry(name).or_insert_with(|| Json::Array(Vec::new()));
        list.as_array_mut().expect("it was made so").push(entry);
    }
    Json::Object(object)
}

fn nth<'f>(fields: &[(&'f str, &'f ColumnType)], number: u32) -> Option<(&'f str, &'f ColumnType)> {
    fields.get(number.checked_sub(1)? as usize).copied()
}

/// A value that is no list. Integers stand as text: a number in JSON may be read as one with 53 bits.
fn value(kind: &ColumnType, bytes: &mut &[u8]) -> Json {
    match kind {
        ColumnType::Boolean => Json::Bool(varint(bytes) != 0),
        ColumnType::Integer => varint(bytes).to_string().into(),
        ColumnType::Float => float(bytes),
        ColumnType::Date => {
            let day = i32::try_from(varint(bytes)).expect("days are 32 bits");
            text(|out| put_date(day, out)).into()
        }
        ColumnType::Timestamp { utc: true, .. } => {
            let micros = varint(bytes);
            format!("{}+00:00", text(|out| put_date_time(micros, out))).into()
        }
        ColumnType::Binary => STANDARD.encode(delimited(bytes)).into(),
        ColumnType::Struct(columns) => record(delimited(bytes), &|number| {
            let column = columns.get(number.checked_sub(1)? as usize)?;
            Some((column.name.as_str(), &column.kind))
        }),
        ColumnType::Text
        | ColumnType::Uuid
        | ColumnType::Decimal { .. }
        | ColumnType::Time(_)
        | ColumnType::Timestamp { utc: false, .. } => {
            std::str::from_utf8(delimited(bytes)).expect("text is UTF-8").into()
        }
        ColumnType::List(_) | ColumnType::Map(_) => unreachable!("lists hold records of lists"),
    }
}

/// What is no number stands as text, as BigQuery prints it.
fn float(bytes: &mut &[u8]) -> Json {
    let (value, rest) = bytes.split_first_chunk().expect("eight bytes");
    *bytes = rest;
    let value = f64::from_le_bytes(*value);
    match value {
        _ if value.is_finite() => value.into(),
        _ if value.is_nan() => "NaN".into(),
        _ if value > 0.0 => "Infinity".into(),
        _ => "-Infinity".into(),
    }
}

fn varint(bytes: &mut &[u8]) -> i64 {
    decode_varint(bytes).expect("a whole number").cast_signed()
}

fn delimited<'b>(bytes: &mut &'b [u8]) -> &'b [u8] {
    let length = decode_varint(bytes).expect("a length");
    let length = usize::try_from(length).expect("it is in memory");
    let (value, rest) = bytes.split_at(length);
    *bytes = rest;
    value
}

fn text(put: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    put(&mut out);
    String::from_utf8(out).expect("digits")
}
