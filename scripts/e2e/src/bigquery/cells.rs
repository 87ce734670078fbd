//! Pure. Rows as the REST interface lists them, as digests of what they hold.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;
use serde_json::Value;

use crate::lake::rows::{StoredRow, WHOLE_VALUE, is_ours};
use crate::verify::digest::{self, Content, Kind, Place};
use crate::verify::json::{self, Json};

/// A column of a table, or a field of a record in it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Column {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    mode: String,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    fields: Vec<Column>,
}

/// A row, and the partition that it says it is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlacedRow {
    pub topic: String,
    pub topic_id: String,
    pub partition: u32,
    pub row: StoredRow,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CellError {
    #[error("it has another number of columns than its table")]
    Width,
    #[error("the column {column} holds {cell}, which is no {kind}")]
    Cell { column: String, cell: String, kind: String },
    #[error("it names no topic, topic id, partition or offset")]
    Place,
    #[error("its time is finer than a record's")]
    Time,
}

impl Column {
    /// The field of the record that it holds: the one that its description names, else its namesake.
    fn field(&self) -> String {
        self.described().unwrap_or_else(|| self.name.clone())
    }

    fn described(&self) -> Option<String> {
        let quoted = self.description.as_deref()?.strip_prefix("Field ")?;
        serde_json::from_str(quoted.strip_suffix(" of the record")?).ok()
    }

    fn is_repeated(&self) -> bool {
        self.mode.eq_ignore_ascii_case("REPEATED")
    }

    fn is_record(&self) -> bool {
        matches!(self.kind.as_str(), "RECORD" | "STRUCT")
    }

    fn is_whole_value(&self) -> bool {
        let is_bytes = self.kind == "BYTES" && !self.is_repeated();
        self.name == WHOLE_VALUE && is_bytes && self.described().is_none()
    }

    /// The elements of a list of lists, which no array of BigQuery is: each is a record of one of its own.
    fn inner_list(&self) -> Option<&Self> {
        match self.fields.as_slice() {
            [element] if self.is_record() && self.is_repeated() => {
                Some(element).filter(|element| element.name == "element" && element.is_repeated())
            }
            _ => None,
        }
    }

    fn value(&self, cell: &Value) -> Result<Json, CellError> {
        if cell.is_null() {
            return Ok(Json::Null);
        }
        if !self.is_repeated() {
            return self.single(cell);
        }
        let elements = cell.as_array().ok_or_else(|| self.wrong(cell))?;
        let each = elements.iter().map(|element| match (&element["v"], self.inner_list()) {
            (Value::Null, _) => Ok(Json::Null),
            (element, Some(inner)) => inner.value(&element["f"][0]["v"]),
            (element, None) => self.single(element),
        });
        Ok(Json::Array(each.collect::<Result<_, _>>()?))
    }

    fn single(&self, cell: &Value) -> Result<Json, CellError> {
        if self.is_record() {
            let mut object = BTreeMap::new();
            for (column, cell) in pairs(&self.fields, cell)? {
                object.insert(column.field(), column.value(cell)?);
            }
            return Ok(Json::Object(object));
        }
        let text = text(cell).ok_or_else(|| self.wrong(cell))?;
        match self.kind.as_str() {
            "BOOLEAN" | "BOOL" => match text.to_ascii_lowercase().as_str() {
                "true" => Ok(Json::Bool(true)),
                "false" => Ok(Json::Bool(false)),
                _ => Err(self.wrong(cell)),
            },
            "INTEGER" | "INT64" | "NUMERIC" | "BIGNUMERIC" => Ok(json::number(&text)),
            "FLOAT" | "FLOAT64" => match text.parse::<f64>() {
                Ok(float) => Ok(json::number(&format!("{float:e}"))),
                Err(_) => Err(self.wrong(cell)),
            },
            _ => Ok(Json::Text(text)),
        }
    }

    fn wrong(&self, cell: &Value) -> CellError {
        let (column, kind) = (self.name.clone(), self.kind.clone());
        CellError::Cell { column, cell: cell.to_string(), kind }
    }
}

/// The row of a table with these columns that is listed as `row`.
pub fn placed_row(columns: &[Column], row: &Value) -> Result<PlacedRow, CellError> {
    let mut frame = BTreeMap::new();
    let mut object = BTreeMap::new();
    let mut whole = None;
    for (column, cell) in pairs(columns, row)? {
        if is_ours(&column.name) {
            frame.insert(column.name.as_str(), cell);
        } else if column.is_whole_value() {
            whole = Some(bytes(cell).unwrap_or_default());
        } else {
            object.insert(column.field(), column.value(cell)?);
        }
    }
    let of = |name: &str| frame.get(name).copied().unwrap_or(&Value::Null);
    let number = |name: &str| text(of(name))?.parse::<u64>().ok();
    let named = |name: &str| text(of(name)).ok_or(CellError::Place);
    let (topic, topic_id) = (named("kafka_topic")?, named("kafka_topic_id")?);
    let partition = number("kafka_partition").and_then(|number| u32::try_from(number).ok());
    let partition = partition.ok_or(CellError::Place)?;
    let offset = number("kafka_offset").ok_or(CellError::Place)?;
    let is_tombstone = text(of("kafka_tombstone")).is_some_and(|flag| flag == "true");
    let held = match whole {
        Some(whole) => (Kind::Bytes, whole),
        None => (Kind::Parsed, digest::form(Json::Object(object))),
    };
    let unparsed = text(of("kafka_unparsed"));
    let (kind, body) = digest::kind_of_row(is_tombstone, unparsed.as_deref(), held);
    let key = bytes(of("kafka_key"));
    let content = Content {
        place: Place { topic: &topic, topic_id: &topic_id, partition },
        timestamp_ms: milliseconds(of("kafka_timestamp"))?,
        key: key.as_deref(),
        kind,
        body: &body,
    };
    let headers = headers(of("kafka_headers"));
    let row = StoredRow { offset, kind, digest: content.digest(), headers };
    Ok(PlacedRow { topic, topic_id, partition, row })
}

/// Columns with their cells, which are listed in the same order.
fn pairs<'a>(
    columns: &'a [Column],
    row: &'a Value,
) -> Result<impl Iterator<Item = (&'a Column, &'a Value)>, CellError> {
    let cells = row["f"].as_array().filter(|cells| cells.len() == columns.len());
    let cells = cells.ok_or(CellError::Width)?;
    Ok(columns.iter().zip(cells.iter().map(|cell| &cell["v"])))
}

/// The service writes every value as text.
fn text(cell: &Value) -> Option<String> {
    match cell {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn bytes(cell: &Value) -> Option<Vec<u8>> {
    BASE64.decode(cell.as_str()?).ok()
}

/// From microseconds; from seconds where they have a fraction, as they are written when integers were not asked for.
fn milliseconds(cell: &Value) -> Result<Option<i64>, CellError> {
    let Some(text) = text(cell) else { return Ok(None) };
    if let Ok(micros) = text.parse::<i64>() {
        let is_whole = micros.rem_euclid(1_000) == 0;
        return is_whole.then_some(Some(micros.div_euclid(1_000))).ok_or(CellError::Time);
    }
    let exact = json::canonical_number(&text).map_err(|_| CellError::Time)?;
    let (digits, exponent) = exact.split_once('e').ok_or(CellError::Time)?;
    let exponent = exponent.parse::<i32>().ok().and_then(|exponent| exponent.checked_add(3));
    let scale = exponent.and_then(|exponent| 10_i64.checked_pow(u32::try_from(exponent).ok()?));
    let digits = digits.parse::<i64>().ok();
    let milliseconds = digits.zip(scale).and_then(|(digits, scale)| digits.checked_mul(scale));
    milliseconds.map(Some).ok_or(CellError::Time)
}

/// `None` where there are none: a table may have the column though its rows carry no headers.
fn headers(cell: &Value) -> Option<u128> {
    let listed = cell.as_array().filter(|listed| !listed.is_empty())?;
    let pair = |entry: &Value| {
        let fields = &entry["v"]["f"];
        (text(&fields[0]["v"]).unwrap_or_default(), bytes(&fields[1]["v"]))
    };
    let pairs: Vec<_> = listed.iter().map(pair).collect();
    Some(digest::of_headers(pairs.iter().map(|(name, value)| (name.as_str(), value.as_deref()))))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::verify::record::Record;

    const PLACE: Place<'_> = Place { topic: "orders", topic_id: "id", partition: 3 };

    fn frame() -> Vec<Value> {
        vec![
            json!({"name": "kafka_topic", "type": "STRING", "mode": "REQUIRED"}),
            json!({"name": "kafka_topic_id", "type": "STRING", "mode": "REQUIRED"}),
            json!({"name": "kafka_partition", "type": "INTEGER", "mode": "REQUIRED"}),
            json!({"name": "kafka_offset", "type": "INTEGER", "mode": "REQUIRED"}),
            json!({"name": "kafka_timestamp", "type": "TIMESTAMP"}),
            json!({"name": "kafka_key", "type": "BYTES"}),
            json!({"name": "kafka_headers", "type": "RECORD", "mode": "REPEATED", "fields": [
                {"name": "key", "type": "STRING"}, {"name": "value", "type": "BYTES"}]}),
            json!({"name": "kafka_tombstone", "type": "BOOLEAN"}),
            json!({"name": "kafka_unparsed", "type": "STRING"}),
        ]
    }

    fn cells() -> Vec<Value> {
        let mut cells = vec![json!("orders"), json!("id"), json!("3"), json!("17")];
        cells.extend([json!("1700000000005000"), json!("aw=="), json!([]), json!(null)]);
        cells.push(json!(null));
        cells
    }

    fn read(columns: &[Value], cells: &[Value]) -> Result<PlacedRow, CellError> {
        let columns: Vec<Column> =
            serde_json::from_value([&frame()[..], columns].concat().into()).unwrap();
        let cells: Vec<Value> = cells.iter().map(|cell| json!({"v": cell})).collect();
        placed_row(&columns, &json!({"f": cells}))
    }

    /// What the row of a record with this value has to be.
    fn expected(value: Option<&[u8]>, kind: Kind) -> Option<u128> {
        let (timestamp_ms, key) = (Some(1_700_000_000_005), Some(&b"k"[..]));
        let record = Record { offset: 17, timestamp_ms, key, value, headers: Vec::new() };
        digest::of_record(&record, PLACE, kind)
    }

    #[test]
    fn every_type_of_a_json_record_is_read_back() {
        let columns = [
            json!({"name": "Amount_2", "type": "INTEGER", "description": "Field \"Amount\" of the record"}),
            json!({"name": "amount", "type": "FLOAT"}),
            json!({"name": "paid", "type": "BOOLEAN"}),
            json!({"name": "note", "type": "STRING", "description": "told by a person"}),
            json!({"name": "tags", "type": "STRING", "mode": "REPEATED"}),
            json!({"name": "items", "type": "RECORD", "mode": "REPEATED", "fields": [
                {"name": "sku", "type": "STRING"}, {"name": "n", "type": "INT64"}]}),
            json!({"name": "gone", "type": "STRING"}),
            json!({"name": "grid", "type": "RECORD", "mode": "REPEATED", "fields": [
                {"name": "element", "type": "INTEGER", "mode": "REPEATED"}]}),
        ];
        let item = json!({"v": {"f": [{"v": "S-1"}, {"v": "2"}]}});
        let line = |cells: Value| json!({"v": {"f": [{"v": cells}]}});
        let own = [
            json!("9007199254740993"),
            json!("1.5E2"),
            json!("true"),
            json!("Zoë"),
            json!([{"v": "a"}, {"v": "b"}]),
            json!([item]),
            json!(null),
            json!([line(json!([{"v": "1"}, {"v": "2"}])), line(json!([{"v": "3"}]))]),
        ];
        let row = read(&columns, &[&cells()[..], &own].concat()).unwrap();
        let value = r#"{"Amount": 9007199254740993, "amount": 150, "paid": true, "note": "Zoë",
            "tags": ["a", "b"], "items": [{"sku": "S-1", "n": 2}], "grid": [[1, 2], [3]]}"#;
        assert_eq!((row.topic.as_str(), row.partition, row.row.offset), ("orders", 3, 17));
        assert_eq!(Some(row.row.digest), expected(Some(value.as_bytes()), Kind::Parsed));
        assert_eq!(row.row.headers, None);
        for (index, other) in [(0, json!("1")), (1, json!("151")), (4, json!([])), (6, json!("x"))]
        {
            let mut changed = own.to_vec();
            changed[index] = other;
            let changed = read(&columns, &[&cells()[..], &changed].concat()).unwrap();
            assert_ne!(changed.row.digest, row.row.digest, "column {index}");
        }
    }

    #[test]
    fn rows_of_other_kinds_are_told_apart() {
        let of = |index: usize, cell: Value| {
            let mut cells = cells();
            cells[index] = cell;
            read(&[], &cells).unwrap().row
        };
        let tombstone = of(7, json!("true"));
        assert_eq!(Some(tombstone.digest), expected(None, Kind::Tombstone));
        let unparsed = of(8, json!("{\"a\": "));
        assert_eq!(Some(unparsed.digest), expected(Some(b"{\"a\": "), Kind::Unparsed));
        let value = json!({"name": "value", "type": "BYTES"});
        let whole = read(&[value], &[&cells()[..], &[json!("AP8=")]].concat()).unwrap().row;
        assert_eq!(Some(whole.digest), expected(Some(&[0, 255]), Kind::Bytes));
        let header = json!([{"v": {"f": [{"v": "trace"}, {"v": "eA=="}]}}]);
        let expected = digest::of_headers([("trace", Some(&b"x"[..]))].into_iter());
        assert_eq!(of(6, header).headers, Some(expected));
    }

    #[test]
    fn times_are_read_in_both_forms_and_none_is_rounded() {
        for text in ["1700000000005000", "1.700000000005E9", "1700000000.005000"] {
            assert_eq!(milliseconds(&json!(text)), Ok(Some(1_700_000_000_005)), "{text}");
        }
        assert_eq!(milliseconds(&json!("-1000")), Ok(Some(-1)));
        assert_eq!(milliseconds(&json!("1.7E9")), Ok(Some(1_700_000_000_000)));
        assert_eq!(milliseconds(&json!("1700000000005001")), Err(CellError::Time));
        assert_eq!(milliseconds(&json!("0.0005")), Err(CellError::Time));
        assert_eq!(milliseconds(&Value::Null), Ok(None));
    }

    #[test]
    fn rows_that_cannot_be_read_say_why() {
        assert_eq!(read(&[], &cells()[1..]), Err(CellError::Width));
        let mut nowhere = cells();
        nowhere[3] = json!(null);
        assert_eq!(read(&[], &nowhere), Err(CellError::Place));
        let flag = [json!({"name": "paid", "type": "BOOLEAN"})];
        let wrong = read(&flag, &[&cells()[..], &[json!("perhaps")]].concat()).unwrap_err();
        assert_eq!(wrong.to_string(), "the column paid holds \"perhaps\", which is no BOOLEAN");
    }
}
