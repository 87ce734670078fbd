//! Pure. The values of a row, and how they are printed: as cells of REST, and as plain JSON.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use serde_json::{Value as Json, json};

use super::decimal::Decimal;
use crate::schema::{Column, Mode};

#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Null,
    Integer(i64),
    Float(f64),
    Boolean(bool),
    /// STRING and GEOGRAPHY.
    Text(String),
    Bytes(Vec<u8>),
    Timestamp(Timestamp),
    Date(Date),
    DateTime(DateTime),
    Time(Time),
    Decimal(Decimal),
    Json(Json),
    Record(Row),
    List(Vec<Value>),
}

/// Values by the names of their columns in lower case; what is absent is NULL.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row(BTreeMap<String, Value>);

/// How REST prints a TIMESTAMP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stamps {
    Seconds,
    Microseconds,
}

impl Row {
    pub fn set(&mut self, column: &str, value: Value) {
        self.0.insert(column.to_ascii_lowercase(), value);
    }

    pub fn get(&self, column: &str) -> &Value {
        self.0.get(&column.to_ascii_lowercase()).unwrap_or(&Value::Null)
    }

    /// `{"f": [{"v": …}, …]}`, in the order of the columns.
    pub fn cells(&self, columns: &[Column], stamps: Stamps) -> Json {
        let cell = |column| json!({"v": self.of(column).cell(column, stamps)});
        json!({"f": columns.iter().map(cell).collect::<Vec<_>>()})
    }

    /// An object with all columns.
    pub fn plain(&self, columns: &[Column]) -> Json {
        let value = |column: &Column| (column.name.clone(), self.of(column).plain(column));
        Json::Object(columns.iter().map(value).collect())
    }

    /// An array is empty where it is absent, never NULL.
    fn of(&self, column: &Column) -> Value {
        match self.get(&column.name) {
            Value::Null if column.mode == Mode::Repeated => Value::List(Vec::new()),
            value => value.clone(),
        }
    }
}

impl Value {
    /// The text that REST and SQL have for a value that is neither NULL, record nor array.
    pub fn text(&self, stamps: Stamps) -> String {
        match self {
            Self::Null | Self::Record(_) | Self::List(_) => String::new(),
            Self::Integer(value) => value.to_string(),
            Self::Float(value) => float_text(*value),
            Self::Boolean(value) => value.to_string(),
            Self::Text(value) => value.clone(),
            Self::Bytes(value) => BASE64.encode(value),
            Self::Timestamp(value) if stamps == Stamps::Microseconds => {
                value.as_microsecond().to_string()
            }
            Self::Timestamp(value) => {
                let (second, micro) = (value.as_second(), value.subsec_microsecond());
                if second < 0 || micro < 0 {
                    let micros = value.as_microsecond().unsigned_abs();
                    return format!("-{}.{:06}", micros / 1_000_000, micros % 1_000_000);
                }
                format!("{second}.{micro:06}")
            }
            Self::Date(value) => value.to_string(),
            Self::DateTime(value) => format!("{value:.6}"),
            Self::Time(value) => format!("{value:.6}"),
            Self::Decimal(value) => value.to_string(),
            Self::Json(value) => value.to_string(),
        }
    }

    fn cell(&self, column: &Column, stamps: Stamps) -> Json {
        match self {
            Self::Null => Json::Null,
            Self::Record(row) => row.cells(&column.fields, stamps),
            Self::List(values) => {
                values.iter().map(|value| json!({"v": value.cell(column, stamps)})).collect()
            }
            value => value.text(stamps).into(),
        }
    }

    fn plain(&self, column: &Column) -> Json {
        match self {
            Self::Null => Json::Null,
            Self::Integer(value) => (*value).into(),
            Self::Boolean(value) => (*value).into(),
            Self::Float(value) if value.is_finite() => (*value).into(),
            Self::Timestamp(value) => format!("{value:.6}").into(),
            Self::Json(value) => value.clone(),
            Self::Record(row) => row.plain(&column.fields),
            Self::List(values) => values.iter().map(|value| value.plain(column)).collect(),
            value => value.text(Stamps::Seconds).into(),
        }
    }

    /// The order of SQL between two values of one type; NULL comes first.
    pub fn order(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Integer(a), Self::Integer(b)) => a.cmp(b),
            (Self::Float(a), Self::Float(b)) => a.total_cmp(b),
            (Self::Boolean(a), Self::Boolean(b)) => a.cmp(b),
            (Self::Text(a), Self::Text(b)) => a.cmp(b),
            (Self::Bytes(a), Self::Bytes(b)) => a.cmp(b),
            (Self::Timestamp(a), Self::Timestamp(b)) => a.cmp(b),
            (Self::Date(a), Self::Date(b)) => a.cmp(b),
            (Self::DateTime(a), Self::DateTime(b)) => a.cmp(b),
            (Self::Time(a), Self::Time(b)) => a.cmp(b),
            (Self::Decimal(a), Self::Decimal(b)) => a.cmp(b),
            (a, b) => (*a != Self::Null).cmp(&(*b != Self::Null)),
        }
    }
}

fn float_text(value: f64) -> String {
    if value.is_infinite() {
        return if value > 0.0 { "Infinity" } else { "-Infinity" }.into();
    }
    // As whole numbers are printed by the service: `1.0`.
    if value.is_nan() { "NaN".into() } else { format!("{value:?}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_have_two_texts() {
        for (micros, seconds) in
            [(1_700_000_000_123_456, "1700000000.123456"), (-1, "-0.000001"), (0, "0.000000")]
        {
            let value = Value::Timestamp(Timestamp::from_microsecond(micros).unwrap());
            assert_eq!(value.text(Stamps::Seconds), seconds);
            assert_eq!(value.text(Stamps::Microseconds), micros.to_string());
        }
    }

    #[test]
    fn an_absent_array_is_empty_and_an_absent_value_null() {
        let columns: Vec<Column> = serde_json::from_value(json!([
            {"name": "A", "type": "INTEGER"}, {"name": "l", "type": "STRING", "mode": "REPEATED"},
        ]))
        .unwrap();
        let mut row = Row::default();
        assert_eq!(row.cells(&columns, Stamps::Seconds), json!({"f": [{"v": null}, {"v": []}]}));
        row.set("a", Value::Integer(5));
        assert_eq!(row.plain(&columns), json!({"A": 5, "l": []}));
    }
}
