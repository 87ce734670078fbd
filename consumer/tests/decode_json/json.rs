//! A JSON value as the properties generate it, its text, and what it should become.

use std::collections::BTreeMap;

use arrow::array::{Array, ArrayRef, AsArray as _};
use arrow::datatypes::{Float64Type, Int64Type};
use consumer::table::schema::{Column, ColumnType};
use proptest::prelude::*;

/// A number: its text, and its value as an integer and as a float where nothing is lost.
pub(crate) type Number = (&'static str, Option<i64>, Option<f64>);

pub(crate) const NUMBERS: [Number; 16] = [
    ("0", Some(0), Some(0.0)),
    ("7", Some(7), Some(7.0)),
    ("-12", Some(-12), Some(-12.0)),
    ("9007199254740993", Some(9_007_199_254_740_993), None),
    ("9223372036854775807", Some(i64::MAX), None),
    ("9223372036854775808", None, Some(9_223_372_036_854_775_808.0)),
    ("18446744073709551615", None, None),
    ("1.0", Some(1), Some(1.0)),
    ("1.5", None, Some(1.5)),
    ("-2.5e3", Some(-2500), Some(-2500.0)),
    ("0.1", None, Some(0.1)),
    ("0.10000000000000000555", None, None),
    ("1e300", None, Some(1e300)),
    ("1e400", None, None),
    ("5e-324", None, Some(5e-324)),
    ("1e-400", None, None),
];

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

pub(crate) fn object() -> impl Strategy<Value = Json> {
    fields(value().boxed()).prop_map(Json::Object)
}

fn value() -> impl Strategy<Value = Json> {
    let scalar = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::Bool),
        (0..NUMBERS.len()).prop_map(|at| Json::Number(NUMBERS[at])),
        "[a-z\"\\\\\n\u{0}é😀]{0,4}".prop_map(Json::Text),
    ];
    scalar.prop_recursive(3, 12, 4, |inner| {
        let list = prop::collection::vec(inner.clone(), 0..4).prop_map(Json::List);
        prop_oneof![list, fields(inner.boxed()).prop_map(Json::Object)]
    })
}

fn fields(value: BoxedStrategy<Json>) -> impl Strategy<Value = Vec<(String, Json)>> {
    let names = ["a", "b", "c", "A", "kafka_offset", "partition", "", "é\"\\"];
    let name = (0..names.len()).prop_map(move |at| names[at].to_owned());
    // Repeated keys are rare, so that most records are rows.
    let all = prop::collection::vec((name, value), 0..5);
    (all, 0..20_u8).prop_map(|(all, dice)| {
        let mut kept: Vec<(String, Json)> = Vec::new();
        for (name, value) in all {
            if dice == 0 || kept.iter().all(|(other, _)| *other != name) {
                kept.push((name, value));
            }
        }
        kept
    })
}

impl Json {
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Null => "null".into(),
            Self::Bool(value) => value.to_string(),
            Self::Number((text, ..)) => (*text).into(),
            Self::Text(text) => serde_json::to_string(text).unwrap(),
            Self::List(items) => {
                let items: Vec<_> = items.iter().map(Self::text).collect();
                format!("[{}]", items.join(" , "))
            }
            Self::Object(fields) => {
                let field = |(name, value): &(String, Self)| {
                    format!("{} : {}", serde_json::to_string(name).unwrap(), value.text())
                };
                format!("{{{}}}", fields.iter().map(field).collect::<Vec<_>>().join(","))
            }
        }
    }

    pub(crate) fn repeats_a_key(&self) -> bool {
        match self {
            Self::List(items) => items.iter().any(Self::repeats_a_key),
            Self::Object(fields) => {
                let names: BTreeMap<_, _> = fields.iter().map(|(name, _)| (name, ())).collect();
                names.len() < fields.len() || fields.iter().any(|(_, value)| value.repeats_a_key())
            }
            _ => false,
        }
    }

    /// Holds nothing but nulls, `{}` and `[]`.
    fn is_void(&self) -> bool {
        match self {
            Self::Null => true,
            Self::List(items) => items.iter().all(Self::is_void),
            Self::Object(fields) => fields.iter().all(|(_, value)| value.is_void()),
            _ => false,
        }
    }

    /// The same without the fields that hold nothing, and in the order of names. Elements of lists
    /// that hold nothing are nulls.
    pub(crate) fn normal(self) -> Self {
        match self {
            Self::List(items) => {
                let item = |item: Self| if item.is_void() { Self::Null } else { item.normal() };
                Self::List(items.into_iter().map(item).collect())
            }
            Self::Object(fields) => {
                let kept = fields.into_iter().filter(|(_, value)| !value.is_void());
                let mut kept: Vec<_> = kept.map(|(name, value)| (name, value.normal())).collect();
                kept.sort_by(|one, other| one.0.cmp(&other.0));
                Self::Object(kept)
            }
            scalar => scalar,
        }
    }
}

/// The types of a table, told by where in a record they stand: the rule, written down once more.
#[derive(Clone, Debug, Default)]
pub(crate) struct Types(BTreeMap<String, char>);

impl Types {
    /// True if the record fits; then its new fields are kept.
    pub(crate) fn admit(&mut self, record: &Json) -> bool {
        let mut trial = self.clone();
        if !trial.fits("", record) {
            return false;
        }
        *self = trial;
        true
    }

    fn fits(&mut self, path: &str, value: &Json) -> bool {
        let kind = match value {
            _ if value.is_void() => return true,
            Json::Null => unreachable!("null is void"),
            Json::Bool(_) => 'b',
            Json::Text(_) => 's',
            Json::Number((text, ..)) if text.contains(['.', 'e']) => 'f',
            Json::Number(_) => 'i',
            Json::List(_) => 'l',
            Json::Object(_) => 'o',
        };
        // The separator cannot be part of a name, and ends every path.
        let kind_there = *self.0.entry(format!("{path}\u{1}")).or_insert(kind);
        match value {
            Json::Number((_, integer, float)) => match kind_there {
                'i' => integer.is_some(),
                'f' => float.is_some(),
                _ => false,
            },
            _ if kind_there != kind => false,
            Json::List(items) => {
                items.iter().all(|item| self.fits(&format!("{path}\u{1}[]"), item))
            }
            Json::Object(fields) => {
                fields.iter().all(|(name, value)| self.fits(&format!("{path}\u{1}.{name}"), value))
            }
            _ => true,
        }
    }
}

/// What stands in one row of columns, as an object.
pub(crate) fn row(columns: &[Column], arrays: &[Option<ArrayRef>], row: usize) -> Json {
    let cell = |(column, array): (&Column, &Option<ArrayRef>)| {
        let value = cell(&column.kind, array.as_ref()?, row);
        Some((column.field.clone()?, value))
    };
    Json::Object(columns.iter().zip(arrays).filter_map(cell).collect()).normal()
}

fn cell(kind: &ColumnType, array: &ArrayRef, at: usize) -> Json {
    if array.is_null(at) {
        return Json::Null;
    }
    match kind {
        ColumnType::Boolean => Json::Bool(array.as_boolean().value(at)),
        ColumnType::Integer => {
            Json::Number(("", Some(array.as_primitive::<Int64Type>().value(at)), None))
        }
        ColumnType::Float => {
            Json::Number(("", None, Some(array.as_primitive::<Float64Type>().value(at))))
        }
        ColumnType::Text => Json::Text(array.as_string::<i32>().value(at).into()),
        ColumnType::List(element) => {
            let items = array.as_list::<i32>().value(at);
            Json::List((0..items.len()).map(|item| cell(element, &items, item)).collect())
        }
        ColumnType::Struct(columns) => {
            let arrays: Vec<_> = array.as_struct().columns().iter().cloned().map(Some).collect();
            row(columns, &arrays, at)
        }
        other => unreachable!("JSON tells of no {other:?}"),
    }
}

/// Equal, where a stored number has only the value that its column could hold.
pub(crate) fn is_same(sent: &Json, stored: &Json) -> bool {
    match (sent, stored) {
        (Json::Number((_, integer, float)), Json::Number((_, as_integer, as_float))) => {
            (as_integer.is_some() && integer == as_integer)
                || (as_float.is_some() && float.map(f64::to_bits) == as_float.map(f64::to_bits))
        }
        (Json::List(sent), Json::List(stored)) => {
            sent.len() == stored.len()
                && sent.iter().zip(stored).all(|(one, other)| is_same(one, other))
        }
        (Json::Object(sent), Json::Object(stored)) => {
            sent.len() == stored.len()
                && sent
                    .iter()
                    .zip(stored)
                    .all(|(one, other)| one.0 == other.0 && is_same(&one.1, &other.1))
        }
        _ => sent == stored,
    }
}
