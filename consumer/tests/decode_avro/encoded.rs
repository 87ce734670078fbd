//! Data as other writers encode it: byte by byte, under schemas that come late or are read as others.

use std::sync::Arc;

use bytes::Bytes;
use common::avro_schema::{AvroSchema, Role};
use consumer::decode::DeadLetterReason;
use consumer::decode::schemas::{Registered, SchemaCache};
use consumer::record::RawRecord;
use serde_json::json;

use crate::arrow_json::row;
use crate::{Table, reasons, record_of};

fn long(value: i64) -> Vec<u8> {
    let mut rest = ((value << 1) ^ (value >> 63)).cast_unsigned();
    let mut bytes = Vec::new();
    while rest >= 0x80 {
        bytes.push(rest.to_le_bytes()[0] | 0x80);
        rest >>= 7;
    }
    bytes.push(rest.to_le_bytes()[0]);
    bytes
}

fn with_id(id: u8, data: &[u8]) -> Vec<u8> {
    [&[0, 0, 0, 0, id], data].concat()
}

fn schema(text: &str) -> Registered {
    Registered::Avro(Arc::new(AvroSchema::parse(text, &[], Role::Writer).unwrap()))
}

/// A time is told in the unit of its type, and what is of a fixed size has no length before it.
#[test]
fn each_logical_type_has_its_unit_and_size() {
    let at = "1970-01-01T00:00:01";
    for (kind, data, expected) in [
        (r#""long", "logicalType": "timestamp-millis""#, long(1_007), format!("{at}.007Z")),
        (r#""long", "logicalType": "timestamp-micros""#, long(1_000_007), format!("{at}.000007Z")),
        (
            r#""long", "logicalType": "timestamp-nanos""#,
            long(1_000_000_007),
            format!("{at}.000000007Z"),
        ),
        (r#""long", "logicalType": "local-timestamp-millis""#, long(1_007), format!("{at}.007")),
        (
            r#""long", "logicalType": "local-timestamp-micros""#,
            long(1_000_007),
            format!("{at}.000007"),
        ),
        (
            r#""long", "logicalType": "local-timestamp-nanos""#,
            long(1_000_000_007),
            format!("{at}.000000007"),
        ),
        (
            r#""fixed", "name": "d", "size": 4, "logicalType": "decimal", "precision": 6, "scale": 2"#,
            vec![0xff, 0xff, 0xfb, 0x1e],
            "-12.50".into(),
        ),
        (
            r#""fixed", "name": "u", "size": 16, "logicalType": "uuid""#,
            (1..17).collect(),
            "01020304-0506-0708-090a-0b0c0d0e0f10".into(),
        ),
    ] {
        let text = record_of(&format!(r#"{{"name": "v", "type": {{"type": {kind}}}}}"#));
        let rows = Table::raw(&text).rows(&[data]);
        assert_eq!(reasons(&rows), [], "{kind}: {:?}", rows.dead_letters);
        assert_eq!(row(&rows.batch, 0), json!({"v": expected}), "{kind}");
    }
}

/// Some writers tell a block's size in bytes, so that it can be skipped: behind a count that is negative.
#[test]
fn blocks_may_tell_their_size() {
    let text = record_of(
        r#"{"name": "l", "type": {"type": "array", "items": "int"}},
           {"name": "m", "type": {"type": "map", "values": "int"}}, {"name": "n", "type": "int"}"#,
    );
    let list = [long(-2), long(2), long(1), long(2), long(1), long(3), long(0)].concat();
    let map = [long(-1), long(3), vec![2, b'k'], long(5), long(0)].concat();
    let rows = Table::raw(&text).rows(&[[list, map, long(7)].concat()]);
    assert_eq!(reasons(&rows), []);
    assert_eq!(row(&rows.batch, 0), json!({"l": [1, 2, 3], "m": {"k": 5}, "n": 7}));
}

/// A schema that the registry did not have is asked for again, and used once it is there.
#[test]
fn a_schema_may_come_late() {
    let cache = Arc::new(SchemaCache::default());
    let mut table = Table::new("avro", &[], &cache);
    let value = with_id(1, &[14]);
    let record = RawRecord { value: Some(Bytes::from(value.clone())), ..RawRecord::default() };
    let asked = |table: &Table| table.decoder.unknown_schemas(std::slice::from_ref(&record));
    cache.insert(1, Registered::Missing);
    assert_eq!(asked(&table), [1].into());
    let rows = table.rows(std::slice::from_ref(&value));
    assert_eq!(reasons(&rows), [DeadLetterReason::UnknownSchema]);
    cache.insert(1, schema(&record_of(r#"{"name": "a", "type": "int"}"#)));
    assert_eq!(asked(&table), [].into());
    assert_eq!(row(&table.rows(&[value]).batch, 0), json!({"a": 7}));
}

/// What only the reader takes for one of several types can be looked at, too.
#[test]
fn events_are_skipped_by_fields_that_are_unions_to_the_reader_alone() {
    let writer = record_of(
        r#"{"name": "meta", "type": {"type": "record", "name": "m", "fields": [{"name": "kind", "type": "string"}]}}"#,
    );
    let reader = record_of(
        r#"{"name": "meta", "type": ["long", {"type": "record", "name": "m", "fields": [
            {"name": "kind", "type": ["long", "string"]}]}]}"#,
    );
    let cache = Arc::new(SchemaCache::default());
    cache.insert(1, schema(&writer));
    let ignore = r#"{"field": "meta.kind", "values": ["ping"]}"#;
    let mut table = Table::new("avro", &[("schema", &reader), ("ignore", ignore)], &cache);
    let of = |kind: &[u8; 4]| with_id(1, &[&[8], &kind[..]].concat());
    let rows = table.rows(&[of(b"ping"), of(b"pong")]);
    assert_eq!((rows.ignored, rows.batch.num_rows()), (1, 1));
    let kind = json!({"long": null, "string": "pong"});
    assert_eq!(row(&rows.batch, 0), json!({"meta": {"long": null, "m": {"kind": kind}}}));
}
