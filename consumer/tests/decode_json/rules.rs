//! What a service entry asks for: types that JSON does not have, records that are skipped, tables that are closed.

use bytes::Bytes;
use consumer::record::RawRecord;
use consumer::table::schema::TableSchema;
use serde_json::json;

use crate::arrow_json::row;
use crate::{decoder, rows, texts};

const TYPED: &str = r#"{"type": "record", "name": "r", "fields": [
    {"name": "price", "type": {"type": "bytes", "logicalType": "decimal", "precision": 10, "scale": 2}},
    {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
    {"name": "wall", "type": {"type": "long", "logicalType": "local-timestamp-micros"}},
    {"name": "clock", "type": {"type": "long", "logicalType": "time-micros"}},
    {"name": "day", "type": {"type": "int", "logicalType": "date"}},
    {"name": "raw", "type": "bytes"}]}"#;

/// Text says all of a value, its zone included; a number is in the unit of its column.
#[test]
fn values_of_declared_types_are_what_was_written() {
    let sent = [
        r#"{"price": "-12.50", "at": "2026-03-01T10:00:00.123+01:00", "wall": "2026-03-01T10:00:00.000005",
            "clock": "10:00:00.000007", "day": "2026-03-09", "raw": "AP8="}"#,
        r#"{"price": -1.5e1, "at": 5, "wall": 7, "clock": 9, "day": 20521}"#,
    ];
    let mut schema = TableSchema::default();
    let rows = rows(&decoder("json", &[("schema", TYPED)]), &texts(&sent), &mut schema);
    assert_eq!((rows.unparsed, rows.dead_letters.len()), (0, 0));
    let expected = [
        json!({"price": "-12.50", "at": "2026-03-01T09:00:00.123Z", "wall": "2026-03-01T10:00:00.000005",
               "clock": "10:00:00.000007", "day": 20_521, "raw": "AP8="}),
        json!({"price": "-15.00", "at": "1970-01-01T00:00:00.000005Z", "wall": "1970-01-01T00:00:00.000007",
               "clock": "00:00:00.000009", "day": 20_521, "raw": null}),
    ];
    assert_eq!([row(&rows.batch, 0), row(&rows.batch, 1)], expected);
}

#[test]
fn records_are_skipped_and_counted_by_a_field() {
    let ignore = r#"{"field": "meta.type", "values": ["ping", 3]}"#;
    let sent = [
        r#"{"meta": {"type": "ping"}}"#,
        r#"{"meta": {"type": "pong"}}"#,
        r#"{"meta": {"type": 3}}"#,
        r#"{"meta": "ping"}"#,
    ];
    let mut schema = TableSchema::default();
    let rows = rows(&decoder("json", &[("ignore", ignore)]), &texts(&sent), &mut schema);
    assert_eq!((rows.ignored, rows.batch.num_rows(), rows.unparsed), (2, 2, 1));
}

/// A header's name counts to the letter, whatever the value's format is.
#[test]
fn records_are_skipped_and_counted_by_a_header() {
    let ignore = ("ignore", r#"{"header": "type", "values": ["ping"]}"#);
    let avro = r#"{"type": "record", "name": "r", "fields": [{"name": "n", "type": "int"}]}"#;
    for (format, options, value) in [
        ("json", vec![ignore], &b"{\"n\": 1}"[..]),
        ("bytes", vec![ignore], b"x"),
        ("avro", vec![ignore, ("encoding", "raw"), ("schema", avro)], &[2]),
        ("debezium", vec![ignore], b"{\"op\": \"c\", \"after\": {\"n\": 1}}"),
    ] {
        let headers = [
            ("type", Some("ping")),
            ("type", Some("pong")),
            ("Type", Some("ping")),
            ("type", None),
        ];
        let record = |(offset, (name, text)): (u64, (&str, Option<&'static str>))| RawRecord {
            offset,
            value: Some(Bytes::from_static(value)),
            headers: vec![(name.to_owned(), text.map(Bytes::from))],
            ..RawRecord::default()
        };
        let records: Vec<_> = (0..).zip(headers).map(record).collect();
        let rows = rows(&decoder(format, &options), &records, &mut TableSchema::default());
        assert_eq!((rows.ignored, rows.batch.num_rows()), (1, 3), "{format}");
        assert_eq!((rows.unparsed, rows.dead_letters.len()), (0, 0), "{format}");
    }
}

/// A table that gets no more columns keeps as text what needs more, nested or not.
#[test]
fn a_closed_table_gets_no_more_columns() {
    let open = decoder("json", &[]);
    let mut schema = TableSchema::default();
    rows(&open, &texts(&[r#"{"n": 1, "s": {"a": 1}}"#]), &mut schema);
    let known = schema.clone();
    let sent = [r#"{"n": 2, "x": 1}"#, r#"{"s": {"a": 2, "b": 3}}"#, r#"{"n": 4, "y": null}"#];
    let decoded = rows(&open.closed(), &texts(&sent), &mut schema);
    assert_eq!((decoded.unparsed, decoded.batch.num_rows()), (2, 3));
    assert_eq!(row(&decoded.batch, 0)["kafka_unparsed"], sent[0]);
    assert_eq!(row(&decoded.batch, 2)["n"], 4);
    assert_eq!(schema, known);
}
