//! Values that PostgreSQL did not tell because they did not change: markers in the form of each type.

use std::collections::BTreeSet;
use std::sync::Arc;

use apache_avro::types::Value as Avro;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use common::avro_schema::{AvroSchema, Role};
use consumer::decode::schemas::{Registered, SchemaCache};
use serde_json::{Value, json};

use crate::arrow_json::row;
use crate::{Table, event};

const MARKER: &str = "__debezium_unavailable_value";
const NAMES: [&str; 5] = ["letter", "photo", "tags", "numbers", "attributes"];

fn numbers() -> Vec<i64> {
    MARKER.bytes().map(i64::from).collect()
}

/// Every column is null, and named; those that are told are not.
fn assert_untold(row: &Value) {
    for name in NAMES {
        assert_eq!(row[name], Value::Null, "{name} of {row}");
    }
    let named: BTreeSet<_> =
        row["__unavailable"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert_eq!((&row["id"], named), (&json!(1), BTreeSet::from(NAMES)));
}

#[test]
fn markers_in_json_are_told_whatever_the_columns_type_is() {
    let after = json!({"id": 1, "letter": MARKER, "photo": STANDARD.encode(MARKER), "tags": [MARKER],
        "numbers": numbers(), "attributes": {MARKER: MARKER}});
    let told = json!({"id": 2, "letter": "a", "photo": "AA==", "tags": ["b", MARKER], "numbers": [95], "attributes": {"c": MARKER}});
    let list = |kind: &str| json!({"type": "array", "optional": true, "items": {"type": kind, "optional": true}});
    let field = |name: &str, mut schema: Value| {
        schema["field"] = name.into();
        schema
    };
    let optional = |kind: &str| json!({"type": kind, "optional": true});
    let map = json!({"type": "map", "optional": true, "keys": {"type": "string"}, "values": optional("string")});
    let fields = [
        field("id", json!({"type": "int64"})),
        field("letter", optional("string")),
        field("photo", optional("bytes")),
        field("tags", list("string")),
        field("numbers", list("int32")),
        field("attributes", map),
    ];
    let row_schema =
        |name: &str| json!({"type": "struct", "optional": true, "field": name, "fields": fields});
    let schema = json!({"type": "struct", "fields": [row_schema("before"), row_schema("after"), {"type": "string", "field": "op"}]});
    let payload = |after: &Value| json!({"before": null, "after": after, "op": "u"});
    for has_schema in [false, true] {
        let event = |after: &Value| match has_schema {
            true => json!({"schema": schema, "payload": payload(after)}),
            false => payload(after),
        };
        let values = [&told, &after].map(|after| Some(event(after).to_string().into_bytes()));
        let rows = Table::new(&[], &Arc::default()).rows(&values);
        assert!(rows.dead_letters.is_empty(), "{:?}", rows.dead_letters);
        assert_untold(&row(&rows.batch, 1));
        let first = row(&rows.batch, 0);
        assert_eq!((&first["tags"], &first["numbers"]), (&told["tags"], &told["numbers"]));
        assert_eq!(first["__unavailable"], Value::Null);
    }
}

#[test]
fn markers_in_avro_are_told_whatever_the_columns_type_is() {
    const ENVELOPE: &str = r#"{"type": "record", "name": "Envelope", "fields": [
        {"name": "before", "type": ["null", {"type": "record", "name": "Value", "fields": [
            {"name": "id", "type": "long"},
            {"name": "letter", "type": ["null", "string"]}, {"name": "photo", "type": ["null", "bytes"]},
            {"name": "tags", "type": ["null", {"type": "array", "items": ["null", "string"]}]},
            {"name": "numbers", "type": ["null", {"type": "array", "items": ["null", "int"]}]},
            {"name": "attributes", "type": ["null", {"type": "map", "values": ["null", "string"]}]}]}]},
        {"name": "after", "type": ["null", "Value"]},
        {"name": "source", "type": {"type": "record", "name": "Source", "fields": [
            {"name": "ts_ms", "type": "long"}, {"name": "lsn", "type": ["null", "long"]}]}},
        {"name": "op", "type": "string"}, {"name": "ts_ms", "type": ["null", "long"]}]}"#;
    let some = |value| Avro::Union(1, Box::new(value));
    let text = |text: &str| Avro::String(text.into());
    let value = |id: i64, marker: &str, numbers: Vec<i64>| {
        let number = |number: i64| some(Avro::Int(i32::try_from(number).unwrap()));
        some(Avro::Record(vec![
            ("id".into(), Avro::Long(id)),
            ("letter".into(), some(text(marker))),
            ("photo".into(), some(Avro::Bytes(marker.into()))),
            ("tags".into(), some(Avro::Array(vec![some(text(marker))]))),
            ("numbers".into(), some(Avro::Array(numbers.into_iter().map(number).collect()))),
            (
                "attributes".into(),
                some(Avro::Map([(marker.to_owned(), some(text(marker)))].into())),
            ),
        ]))
    };
    let schema = AvroSchema::parse(ENVELOPE, &[], Role::Writer).unwrap();
    let cache = Arc::new(SchemaCache::default());
    cache.insert(5, Registered::Avro(Arc::new(schema.clone())));
    let none = || Avro::Union(0, Box::new(Avro::Null));
    let values = [
        Some(event(&schema, none(), value(2, "a", vec![95, 95]), "u")),
        Some(event(&schema, none(), value(1, MARKER, numbers()), "u")),
    ];
    let rows = Table::new(&[("encoding", "confluent")], &cache).rows(&values);
    assert!(rows.dead_letters.is_empty(), "{:?}", rows.dead_letters);
    assert_untold(&row(&rows.batch, 1));
    let first = row(&rows.batch, 0);
    assert_eq!((&first["tags"], &first["numbers"]), (&json!(["a"]), &json!([95, 95])));
    assert_eq!(first["__unavailable"], Value::Null);
}
