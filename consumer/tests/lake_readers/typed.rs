//! Records of every type that a schema can have, and the changes of a table.

use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use apache_avro::{Days, Decimal, Duration, Millis, Months, Schema};
use bytes::Bytes;
use consumer::record::RawRecord;

const FIRST: &str = r#"{"type": "record", "name": "r", "fields": [
    {"name": "flag", "type": "boolean"},
    {"name": "count", "type": "int"},
    {"name": "ratio", "type": "float"},
    {"name": "raw", "type": "bytes"},
    {"name": "kind", "type": {"type": "enum", "name": "kind", "symbols": ["A", "B"]}},
    {"name": "price", "type": {"type": "bytes", "logicalType": "decimal", "precision": 10, "scale": 2}},
    {"name": "large", "type": {"type": "bytes", "logicalType": "decimal", "precision": 50, "scale": 3}},
    {"name": "id", "type": {"type": "string", "logicalType": "uuid"}},
    {"name": "day", "type": {"type": "int", "logicalType": "date"}},
    {"name": "at_ms", "type": {"type": "int", "logicalType": "time-millis"}},
    {"name": "at_us", "type": {"type": "long", "logicalType": "time-micros"}},
    {"name": "then_ms", "type": {"type": "long", "logicalType": "timestamp-millis"}},
    {"name": "then_us", "type": {"type": "long", "logicalType": "timestamp-micros"}},
    {"name": "then_ns", "type": {"type": "long", "logicalType": "timestamp-nanos"}},
    {"name": "wall_ms", "type": {"type": "long", "logicalType": "local-timestamp-millis"}},
    {"name": "wall_us", "type": {"type": "long", "logicalType": "local-timestamp-micros"}},
    {"name": "wall_ns", "type": {"type": "long", "logicalType": "local-timestamp-nanos"}},
    {"name": "span", "type": {"type": "fixed", "name": "span", "size": 12, "logicalType": "duration"}},
    {"name": "labels", "type": {"type": "map", "values": "long"}},
    {"name": "list", "type": {"type": "array", "items": {"type": "string", "logicalType": "uuid"}}},
    {"name": "either", "type": ["null", "string", "long"]}]}"#;

/// A later writer: another scale, a wider integer, a field that is new and one that is gone.
const SECOND: &str = r#"{"type": "record", "name": "r", "fields": [
    {"name": "count", "type": "long"},
    {"name": "price", "type": {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 1}},
    {"name": "new", "type": ["null", "string"]}]}"#;

const ID: u128 = 0x1111_1111_2222_3333_4444_5555_5555_5555;
/// 2026-03-01T10:00:00.5Z.
const THEN_MS: i64 = 1_772_359_200_500;

/// Records, each group with the schema that it was written with.
pub(crate) fn objects() -> [(Vec<RawRecord>, &'static str); 2] {
    let id = || Value::Uuid(apache_avro::Uuid::from_u128(ID));
    let text = |text: &str| Value::String(text.into());
    let first = [
        ("flag", Value::Boolean(true)),
        ("count", Value::Int(-7)),
        ("ratio", Value::Float(0.5)),
        ("raw", Value::Bytes(vec![0, 255])),
        ("kind", Value::Enum(1, "B".into())),
        ("price", Value::Decimal(Decimal::from((-1250_i64).to_be_bytes()))),
        ("large", Value::Decimal(Decimal::from((1_i128 << 126).to_be_bytes()))),
        ("id", id()),
        ("day", Value::Date(20_521)),
        ("at_ms", Value::TimeMillis(36_000_500)),
        ("at_us", Value::TimeMicros(36_000_500_001)),
        ("then_ms", Value::TimestampMillis(THEN_MS)),
        ("then_us", Value::TimestampMicros(THEN_MS * 1_000 + 1)),
        ("then_ns", Value::TimestampNanos(THEN_MS * 1_000_000 + 1)),
        ("wall_ms", Value::LocalTimestampMillis(THEN_MS)),
        ("wall_us", Value::LocalTimestampMicros(THEN_MS * 1_000 + 1)),
        ("wall_ns", Value::LocalTimestampNanos(THEN_MS * 1_000_000 + 1)),
        ("span", Value::Duration(Duration::new(Months::new(1), Days::new(2), Millis::new(3)))),
        ("labels", Value::Map([("k".to_owned(), Value::Long(5))].into())),
        ("list", Value::Array(vec![id()])),
        ("either", Value::Union(1, Box::new(text("e")))),
    ];
    let second = [
        ("count", Value::Long(1 << 40)),
        ("price", Value::Decimal(Decimal::from(15_i64.to_be_bytes()))),
        ("new", Value::Union(1, Box::new(text("n")))),
    ];
    [
        (vec![record(0, datum(FIRST, &first))], FIRST),
        (vec![record(1, datum(SECOND, &second))], SECOND),
    ]
}

fn datum(schema: &str, fields: &[(&str, Value)]) -> Vec<u8> {
    let schema = Schema::parse_str(schema).unwrap();
    let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
    let writer = GenericDatumWriter::builder(&schema).build().unwrap();
    writer.write_value_to_vec(Value::Record(fields.collect())).unwrap()
}

fn record(offset: u64, value: Vec<u8>) -> RawRecord {
    let value = Some(Bytes::from(value));
    RawRecord { offset, timestamp_ms: Some(0), value, ..RawRecord::default() }
}

/// Two rows, one of which was deleted, the other updated by somebody who did not know its letter.
pub(crate) fn changes() -> Vec<RawRecord> {
    let event = |op: &str, before: &str, after: &str| {
        format!(
            r#"{{"before": {before}, "after": {after}, "source": {{"ts_ms": 5, "lsn": 9}}, "op": "{op}"}}"#
        )
    };
    let row = |id: u8, status: &str, letter: &str| {
        format!(r#"{{"id": {id}, "status": "{status}", "letter": "{letter}"}}"#)
    };
    let values = [
        Some(event("r", "null", &row(1, "new", "a"))),
        Some(event("c", "null", &row(2, "new", "b"))),
        Some(event("u", "null", &row(2, "sent", "__debezium_unavailable_value"))),
        Some(event("d", &row(1, "new", "a"), "null")),
        None,
    ];
    let records = (0..).zip(values).map(|(offset, value)| RawRecord {
        offset,
        value: value.map(Bytes::from),
        timestamp_ms: Some(0),
        ..RawRecord::default()
    });
    records.collect()
}
