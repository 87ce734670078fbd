//! Pure. Values from JSON and text: rows of insertAll, defaults of columns, literals of queries.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value as Json;

use super::civil;
use super::decimal::{Decimal, Precision};
use super::value::{Row, Value};
use crate::schema::{Column, Kind, Mode, find};

/// A field of a row that is wrong, with its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrongField {
    pub location: String,
    pub message: String,
}

impl WrongField {
    pub fn new(location: &str, message: impl Into<String>) -> Self {
        Self { location: location.into(), message: message.into() }
    }
}

/// A row of insertAll. `ignore_unknown` passes over fields that the table lacks.
pub fn row_of_json(
    json: &Json,
    columns: &[Column],
    ignore_unknown: bool,
) -> Result<Row, WrongField> {
    let Some(object) = json.as_object() else {
        return Err(WrongField::new("", "a row is an object"));
    };
    let mut row = Row::default();
    for (name, value) in object {
        match find(columns, name) {
            Some(column) => row.set(name, column_of_json(value, column, ignore_unknown)?),
            None if ignore_unknown => {}
            None => return Err(WrongField::new(name, format!("no such field: {name}."))),
        }
    }
    let missing =
        |column: &&Column| column.mode == Mode::Required && *row.get(&column.name) == Value::Null;
    match columns.iter().find(missing) {
        Some(column) => {
            let message = format!("Missing required field: {}.", column.name);
            Err(WrongField::new(&column.name, message))
        }
        None => Ok(row),
    }
}

fn column_of_json(json: &Json, column: &Column, ignore: bool) -> Result<Value, WrongField> {
    match json {
        Json::Null => Ok(Value::Null),
        Json::Array(items) if column.mode == Mode::Repeated => {
            let values = items.iter().map(|item| value_of_json(item, column, ignore));
            values.collect::<Result<_, _>>().map(Value::List)
        }
        _ if column.mode == Mode::Repeated => Err(WrongField::new(
            &column.name,
            "Array specified for non-repeated field or the reverse.",
        )),
        _ => value_of_json(json, column, ignore),
    }
}

fn value_of_json(json: &Json, column: &Column, ignore: bool) -> Result<Value, WrongField> {
    if column.kind == Kind::Record {
        return row_of_json(json, &column.fields, ignore).map(Value::Record).map_err(|wrong| {
            WrongField::new(&format!("{}.{}", column.name, wrong.location), wrong.message)
        });
    }
    let text = match json {
        Json::String(text) => text.clone(),
        Json::Number(number) if column.kind == Kind::Timestamp => return seconds(number, column),
        Json::Bool(_) | Json::Number(_) => json.to_string(),
        _ if column.kind == Kind::Json => json.to_string(),
        _ => {
            let message = format!("This field: {} is not a record.", column.name);
            return Err(WrongField::new(&column.name, message));
        }
    };
    value_of_text(&text, column.kind).map_err(|message| WrongField::new(&column.name, message))
}

fn seconds(number: &serde_json::Number, column: &Column) -> Result<Value, WrongField> {
    let micros = Decimal::parse(&format!("{number}e6"), Precision::Numeric);
    let micros = micros.ok().and_then(|micros| micros.to_string().parse().ok());
    let wrong = || format!("Could not parse '{number}' as a timestamp");
    let found = micros.ok_or_else(wrong).and_then(civil::timestamp_of_microseconds);
    found.map(Value::Timestamp).map_err(|message| WrongField::new(&column.name, message))
}

/// A value of any kind but RECORD from its text.
pub fn value_of_text(text: &str, kind: Kind) -> Result<Value, String> {
    let cannot =
        || format!("Cannot convert value to {}: {text}", format!("{kind:?}").to_lowercase());
    match kind {
        Kind::String | Kind::Geography => Ok(Value::Text(text.into())),
        Kind::Integer => text.parse().map(Value::Integer).map_err(|_| cannot()),
        Kind::Float => float(text).map(Value::Float).ok_or_else(cannot),
        Kind::Boolean => match text.to_ascii_lowercase().as_str() {
            "true" => Ok(Value::Boolean(true)),
            "false" => Ok(Value::Boolean(false)),
            _ => Err(cannot()),
        },
        Kind::Bytes => BASE64.decode(text).map(Value::Bytes).map_err(|_| cannot()),
        Kind::Timestamp => civil::parse_timestamp(text).map(Value::Timestamp),
        Kind::Date => civil::parse_date(text).map(Value::Date),
        Kind::Time => civil::parse_time(text).map(Value::Time),
        Kind::DateTime => civil::parse_date_time(text).map(Value::DateTime),
        Kind::Numeric => Decimal::parse(text, Precision::Numeric).map(Value::Decimal),
        Kind::BigNumeric => Decimal::parse(text, Precision::BigNumeric).map(Value::Decimal),
        Kind::Json => {
            let parsed = serde_json::from_str(text).map(Value::Json);
            parsed.map_err(|error| format!("Invalid JSON text: {error}"))
        }
        Kind::Record => Err(cannot()),
    }
}

/// A column's default where it is a literal; NULL stands for every other expression.
pub fn default_of(column: &Column) -> Value {
    let Some(expression) = column.default.as_deref() else {
        return Value::Null;
    };
    let quoted = expression.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\''));
    value_of_text(quoted.unwrap_or(expression), column.kind).unwrap_or(Value::Null)
}

fn float(text: &str) -> Option<f64> {
    match text.to_ascii_lowercase().as_str() {
        "nan" => Some(f64::NAN),
        "inf" | "infinity" | "+inf" => Some(f64::INFINITY),
        "-inf" | "-infinity" => Some(f64::NEG_INFINITY),
        _ => text.parse().ok().filter(|value: &f64| value.is_finite()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn columns() -> Vec<Column> {
        serde_json::from_value(json!([
            {"name": "id", "type": "INTEGER", "mode": "REQUIRED"},
            {"name": "at", "type": "TIMESTAMP"},
            {"name": "r", "type": "RECORD", "mode": "REPEATED", "fields": [{"name": "a", "type": "BOOLEAN"}]},
            {"name": "j", "type": "JSON"},
        ]))
        .unwrap()
    }

    #[test]
    fn a_row_is_read_by_its_columns() {
        let json = json!({"ID": "5", "at": 1.5, "r": [{"a": "true"}, {}], "j": {"x": [1]}});
        let row = row_of_json(&json, &columns(), false).unwrap();
        assert_eq!(
            row.plain(&columns()),
            json!({"id": 5, "at": "1970-01-01T00:00:01.500000Z", "r": [{"a": true}, {"a": null}], "j": {"x": [1]}})
        );
    }

    #[test]
    fn a_wrong_field_is_named() {
        for (json, location) in [
            (json!({"id": "abc"}), "id"),
            (json!({"id": 1, "zzz": 1}), "zzz"),
            (json!({}), "id"),
            (json!({"id": null}), "id"),
            (json!({"id": 1, "r": {"a": true}}), "r"),
            (json!({"id": 1, "r": [{"a": 5}]}), "r.a"),
            (json!({"id": [1]}), "id"),
            (json!(7), ""),
        ] {
            let wrong = row_of_json(&json, &columns(), false).unwrap_err();
            assert_eq!(wrong.location, location, "{json}");
        }
        assert!(row_of_json(&json!({"id": 1, "zzz": 1}), &columns(), true).is_ok());
    }

    #[test]
    fn a_default_is_a_literal() {
        let column = |default: &str, kind: &str| -> Column {
            serde_json::from_value(
                json!({"name": "c", "type": kind, "defaultValueExpression": default}),
            )
            .unwrap()
        };
        assert_eq!(default_of(&column("5", "INTEGER")), Value::Integer(5));
        assert_eq!(default_of(&column("'x'", "STRING")), Value::Text("x".into()));
        assert_eq!(default_of(&column("CURRENT_TIMESTAMP()", "TIMESTAMP")), Value::Null);
    }
}
