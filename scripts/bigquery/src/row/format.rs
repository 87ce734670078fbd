//! Pure. How a stored row is encoded: rows are kept as they came, and read when they are asked for.

use std::sync::Arc;

use prost_reflect::MessageDescriptor;

use super::change::Change;
use super::encoded::{self, Missing};
use super::parse::{WrongField, row_of_json};
use super::value::Row;
use crate::schema::{Column, find};

/// What is needed to read a row again, with the columns that it was checked against.
#[derive(Debug)]
pub enum Format {
    Encoded { message: MessageDescriptor, columns: Arc<Vec<Column>>, missing: Missing },
    Json { columns: Arc<Vec<Column>>, ignore_unknown: bool },
}

/// What it takes to read some columns of a stored row, and no others.
#[derive(Debug)]
pub struct Part<'a> {
    format: &'a Format,
    columns: Vec<Column>,
    /// Those of their fields.
    numbers: Vec<u32>,
}

impl Format {
    /// Names that are no column's are left out.
    pub fn part(&self, names: &[&str]) -> Part<'_> {
        let (Self::Encoded { columns, .. } | Self::Json { columns, .. }) = self;
        let is_asked = |column: &&Column| names.iter().any(|name| column.is_called(name));
        let columns: Vec<_> = columns.iter().filter(is_asked).cloned().collect();
        let numbers = match self {
            Self::Encoded { message, .. } => {
                let fields = message.fields();
                let fields = fields.filter(|field| find(&columns, field.name()).is_some());
                fields.map(|field| field.number()).collect()
            }
            Self::Json { .. } => Vec::new(),
        };
        Part { format: self, columns, numbers }
    }

    pub fn read(&self, bytes: &[u8]) -> Result<(Row, Option<Change>), WrongField> {
        match self {
            Self::Encoded { message, columns, missing } => {
                encoded::row_of_bytes(bytes, message, columns, missing)
            }
            Self::Json { columns, ignore_unknown } => {
                let json = serde_json::from_slice(bytes);
                let json = json.map_err(|error| WrongField::new("", error.to_string()))?;
                Ok((row_of_json(&json, columns, *ignore_unknown)?, None))
            }
        }
    }
}

impl Part<'_> {
    pub fn read(&self, bytes: &[u8]) -> Result<Row, WrongField> {
        match self.format {
            Format::Encoded { message, missing, .. } => {
                let part = encoded::part_of(bytes, &self.numbers);
                let part = part.map_err(|error| WrongField::new("", error.to_string()))?;
                let read = encoded::row_of_bytes(&part, message, &self.columns, missing);
                read.map(|(row, _)| row)
            }
            // It cannot be taken apart without being read.
            json => json.read(bytes).map(|(row, _)| row),
        }
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use prost_reflect::{DynamicMessage, Value as Encoded};
    use prost_types::field_descriptor_proto::{Label, Type};
    use prost_types::{DescriptorProto, FieldDescriptorProto};
    use serde_json::{Value as Json, json};

    use super::super::encoded::{Misfit, check_fit, compile};
    use super::super::value::Value;
    use super::*;
    use crate::schema::Mode;

    fn message(fields: &[(&str, Type, Label)]) -> MessageDescriptor {
        let field =
            |(number, (name, kind, label)): (i32, &(&str, Type, Label))| FieldDescriptorProto {
                name: Some((*name).into()),
                number: Some(number),
                r#type: Some((*kind).into()),
                label: Some((*label).into()),
                ..Default::default()
            };
        let field = (1..).zip(fields).map(field).collect();
        compile(&DescriptorProto { name: Some("M".into()), field, ..Default::default() }).unwrap()
    }

    fn one(kind: Type) -> MessageDescriptor {
        message(&[("v", kind, Label::Optional)])
    }

    fn columns(kind: &str) -> Vec<Column> {
        serde_json::from_value(json!([{"name": "V", "type": kind}])).unwrap()
    }

    fn read(kind: &str, wire: Type, value: Encoded) -> Result<Json, WrongField> {
        let (message, columns) = (one(wire), Arc::new(columns(kind)));
        assert_eq!(check_fit(&message, &columns, false), Ok(()), "{kind} {wire:?}");
        let mut row = DynamicMessage::new(message.clone());
        row.set_field_by_name("v", value);
        let missing = Missing::default();
        let format = Format::Encoded { message, columns: Arc::clone(&columns), missing };
        let (row, change) = format.read(&row.encode_to_vec())?;
        assert_eq!(change, None);
        Ok(row.plain(&columns)["V"].clone())
    }

    fn text(text: &str) -> Encoded {
        Encoded::String(text.into())
    }

    #[test]
    fn every_type_is_read_from_its_wire_types() {
        for (kind, wire, value, expected) in [
            ("INTEGER", Type::Int64, Encoded::I64(-5), json!(-5)),
            ("INTEGER", Type::Uint32, Encoded::U32(u32::MAX), json!(u32::MAX)),
            ("INTEGER", Type::Int64, Encoded::I64(0), json!(0)),
            ("FLOAT", Type::Float, Encoded::F32(1.5), json!(1.5)),
            ("BOOLEAN", Type::Bool, Encoded::Bool(false), json!(false)),
            ("STRING", Type::String, text(""), json!("")),
            ("GEOGRAPHY", Type::String, text("POINT(1 2)"), json!("POINT(1 2)")),
            ("JSON", Type::String, text("{\"a\": [1, null]}"), json!({"a": [1, null]})),
            ("BYTES", Type::String, text("a"), json!("YQ==")),
            ("BYTES", Type::Bytes, Encoded::Bytes(vec![0, 255].into()), json!("AP8=")),
            ("TIMESTAMP", Type::Int64, Encoded::I64(1), json!("1970-01-01T00:00:00.000001Z")),
            ("DATE", Type::Int32, Encoded::I32(19_675), json!("2023-11-14")),
            ("DATE", Type::String, text("2023-11-14"), json!("2023-11-14")),
            ("TIME", Type::String, text("22:13:20.5"), json!("22:13:20.500000")),
            (
                "DATETIME",
                Type::String,
                text("2023-11-14 22:13:20.5"),
                json!("2023-11-14T22:13:20.500000"),
            ),
            ("NUMERIC", Type::Bytes, Encoded::Bytes(vec![0, 202, 154, 59].into()), json!("1")),
            ("BIGNUMERIC", Type::String, text("1.50"), json!("1.5")),
        ] {
            assert_eq!(read(kind, wire, value), Ok(expected), "{kind} {wire:?}");
        }
    }

    #[test]
    fn values_that_their_type_lacks_are_refused() {
        for (kind, value) in
            [("JSON", "{"), ("NUMERIC", "no number"), ("DATE", "2023-02-30"), ("TIME", "24:00:00")]
        {
            let wrong = read(kind, Type::String, text(value)).unwrap_err();
            assert_eq!(wrong.location, "V", "{kind}");
        }
        assert!(read("TIMESTAMP", Type::Int64, Encoded::I64(i64::MAX)).is_err());
    }

    #[test]
    fn fields_without_a_column_or_with_another_type_do_not_fit() {
        let fit = |message: MessageDescriptor, kind| check_fit(&message, &columns(kind), false);
        let extra = message(&[("w", Type::String, Label::Optional)]);
        assert_eq!(fit(extra, "STRING"), Err(Misfit::Extra("M.w".into())));
        let list = message(&[("v", Type::String, Label::Repeated)]);
        assert!(matches!(fit(list, "STRING"), Err(Misfit::Incompatible(_))));
        for (wire, kind) in [
            (Type::String, "INTEGER"),
            (Type::Int64, "DATE"),
            (Type::String, "TIMESTAMP"),
            (Type::Uint64, "INTEGER"),
        ] {
            assert!(
                matches!(fit(one(wire), kind), Err(Misfit::Incompatible(_))),
                "{wire:?} {kind}"
            );
        }
    }

    #[test]
    fn a_part_of_a_row_has_the_values_of_the_whole() {
        let kinds = [Type::Int64, Type::String, Type::Bytes, Type::Double, Type::Uint32];
        let names = ["a", "b", "c", "d", "e"];
        let fields: Vec<_> =
            names.iter().zip(kinds).map(|(name, kind)| (*name, kind, Label::Optional)).collect();
        let columns: Vec<Column> = serde_json::from_value(json!([
            {"name": "A", "type": "INTEGER"}, {"name": "b", "type": "STRING"}, {"name": "c", "type": "BYTES"},
            {"name": "d", "type": "FLOAT"}, {"name": "e", "type": "INTEGER"},
            {"name": "later", "type": "STRING", "defaultValueExpression": "'x'"},
        ]))
        .unwrap();
        let columns = Arc::new(columns);
        let message = message(&fields);
        let mut row = DynamicMessage::new(message.clone());
        row.set_field_by_name("a", Encoded::I64(-7));
        row.set_field_by_name("b", text("abc"));
        row.set_field_by_name("c", Encoded::Bytes(vec![1, 2, 3].into()));
        row.set_field_by_name("d", Encoded::F64(0.5));
        let bytes = row.encode_to_vec();
        let missing = Missing { default: true, columns: Vec::new() };
        let format = Format::Encoded { message, columns: Arc::clone(&columns), missing };
        let whole = format.read(&bytes).unwrap().0;
        for names in [&["a"][..], &["D", "c"], &["b", "e", "later"], &["none"]] {
            let part = format.part(names).read(&bytes).unwrap();
            for column in columns.iter() {
                let is_asked = names.iter().any(|name| column.is_called(name));
                let expected = if is_asked { whole.get(&column.name) } else { &Value::Null };
                assert_eq!(part.get(&column.name), expected, "{names:?} {}", column.name);
            }
        }
    }

    #[test]
    fn an_absent_field_is_null_or_the_default() {
        let mut columns = columns("INTEGER");
        columns[0].default = Some("7".into());
        let read = |columns: &[Column], missing: Missing| {
            let columns = Arc::new(columns.to_vec());
            let format = Format::Encoded {
                message: one(Type::Int64),
                columns: Arc::clone(&columns),
                missing,
            };
            format.read(&[]).map(|(row, _)| row.plain(&columns)["V"].clone())
        };
        let all = Missing { default: true, columns: Vec::new() };
        let all_but = Missing { default: true, columns: vec![("v".into(), false)] };
        assert_eq!(read(&columns, Missing::default()), Ok(Json::Null));
        assert_eq!(read(&columns, all.clone()), Ok(json!(7)));
        assert_eq!(read(&columns, all_but), Ok(Json::Null));
        columns[0].mode = Mode::Required;
        assert!(read(&columns, Missing::default()).is_err());
        assert_eq!(read(&columns, all), Ok(json!(7)));
    }

    #[test]
    fn a_change_is_read_with_its_row() {
        let message = message(&[
            ("v", Type::Int64, Label::Optional),
            ("_CHANGE_TYPE", Type::String, Label::Optional),
            ("_CHANGE_SEQUENCE_NUMBER", Type::String, Label::Optional),
        ]);
        let mut columns = columns("INTEGER");
        columns[0].mode = Mode::Required;
        assert_eq!(check_fit(&message, &columns, true), Ok(()));
        assert!(check_fit(&message, &columns, false).is_err());
        let read = |kind: &str, sequence: &str| {
            let mut row = DynamicMessage::new(message.clone());
            row.set_field_by_name("_CHANGE_TYPE", text(kind));
            row.set_field_by_name("_CHANGE_SEQUENCE_NUMBER", text(sequence));
            let (message, columns) = (message.clone(), Arc::new(columns.clone()));
            let format = Format::Encoded { message, columns, missing: Missing::default() };
            format.read(&row.encode_to_vec()).map(|(_, change)| change.is_some())
        };
        assert_eq!(read("DELETE", "1/a"), Ok(true));
        for (kind, sequence) in [("UPSERT", "1"), ("delete", "1"), ("", "1"), ("DELETE", "x")] {
            assert!(read(kind, sequence).is_err(), "{kind} {sequence}");
        }
    }
}
