//! Avro records become rows that hold exactly what was written, or are kept as text, or are dead letters.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod arrow_json;
mod encoded;
mod generated;

use std::collections::BTreeMap;
use std::sync::Arc;

use apache_avro::Schema;
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use bytes::Bytes;
use common::avro_schema::{AvroSchema, Role};
use common::identity::TopicId;
use common::messages::command::Source;
use common::partition::TopicPartition;
use consumer::decode::schemas::{Registered, SchemaCache};
use consumer::decode::{DeadLetter, DeadLetterReason, Decoded, Decoder, Rows};
use consumer::record::RawRecord;
use consumer::table::schema::TableSchema;
use proptest::prelude::*;
use serde_json::json;
use uuid::Uuid;

use arrow_json::row;
use generated::{Generated, record};

/// A table and the way to it.
struct Table {
    decoder: Decoder,
    schema: TableSchema,
}

impl Table {
    fn new(format: &str, options: &[(&str, &str)], cache: &Arc<SchemaCache>) -> Self {
        let options = options.iter().map(|(key, value)| ((*key).into(), (*value).into()));
        let source = Source {
            table: "t".into(),
            format: format.into(),
            sink: "parquet".into(),
            options: options.collect::<BTreeMap<_, _>>(),
        };
        let id = TopicId(Uuid::from_u128(1));
        let decoder = Decoder::new(&source, TopicPartition::new("orders", 3), id, cache).unwrap();
        Self { decoder, schema: TableSchema::default() }
    }

    /// Of raw data.
    fn raw(schema: &str) -> Self {
        Self::new("avro", &[("encoding", "raw"), ("schema", schema)], &Arc::default())
    }

    fn rows(&mut self, values: &[Vec<u8>]) -> Rows {
        let value = |value: &Vec<u8>| Some(Bytes::from(value.clone()));
        let records: Vec<_> = (0..)
            .zip(values)
            .map(|(offset, bytes)| RawRecord {
                offset,
                value: value(bytes),
                ..RawRecord::default()
            })
            .collect();
        loop {
            match self.decoder.decode(&records, &self.schema) {
                Decoded::Rows(rows) => {
                    let of_its_record = |it: &DeadLetter| records[it.index].offset == it.offset;
                    assert!(rows.dead_letters.iter().all(of_its_record));
                    return rows;
                }
                Decoded::Wider(wider) => {
                    let wider = self.schema.widened(&wider.columns);
                    self.schema = wider.expect("a table is widened by columns that it lacks");
                }
            }
        }
    }
}

fn datum(schema: &Schema, value: Value) -> Vec<u8> {
    let writer = GenericDatumWriter::builder(schema).build().unwrap();
    writer.write_value_to_vec(value).unwrap()
}

fn reasons(rows: &Rows) -> Vec<DeadLetterReason> {
    rows.dead_letters.iter().map(|letter| letter.reason).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// What apache-avro writes is read back, field by field.
    #[test]
    fn rows_hold_what_was_written(Generated { schema, values } in record()) {
        let text = schema.to_string();
        let parsed = Schema::parse_str(&text).unwrap();
        let written: Vec<_> =
            values.iter().map(|(value, _)| datum(&parsed, value.clone())).collect();
        let mut table = Table::raw(&text);
        let rows = table.rows(&written);
        prop_assert_eq!(reasons(&rows), vec![]);
        prop_assert_eq!(rows.unparsed, 0);
        for (at, (_, expected)) in values.iter().enumerate() {
            prop_assert_eq!(&row(&rows.batch, at), expected, "of {}", &text);
        }
    }

    /// Bytes that nobody wrote are rows, text or dead letters, and one of them for each record.
    #[test]
    fn any_bytes_end_somewhere(
        Generated { schema, values } in record(), cut: prop::sample::Index, other: u8,
        noise in prop::collection::vec(any::<u8>(), 0..60),
    ) {
        let text = schema.to_string();
        let parsed = Schema::parse_str(&text).unwrap();
        let mut broken = datum(&parsed, values[0].0.clone());
        if !broken.is_empty() {
            let at = cut.index(broken.len());
            broken[at] = other;
        }
        let mut shorter = datum(&parsed, values[0].0.clone());
        let is_short = shorter.pop().is_some();
        let mut longer = datum(&parsed, values[0].0.clone());
        longer.push(0);
        let rows = Table::raw(&text).rows(&[broken, noise, shorter, longer]);
        prop_assert_eq!(rows.batch.num_rows() + rows.dead_letters.len(), 4);
        let is_letter = |offset| rows.dead_letters.iter().any(|letter| letter.offset == offset);
        prop_assert!(is_letter(3), "what is too long is not read");
        prop_assert!(!is_short || is_letter(2), "what is too short is not read");
    }
}

/// Rows of two schemas, the second as a later writer has it.
fn evolved(first: (&str, Value), second: (&str, Value)) -> (Vec<serde_json::Value>, Rows) {
    let cache = Arc::new(SchemaCache::default());
    let mut values = Vec::new();
    for (id, (text, value)) in [(1_u32, first), (2, second)] {
        let schema = AvroSchema::parse(text, &[], Role::Writer).unwrap();
        let framed = [&[0], &id.to_be_bytes()[..], &datum(&schema.schema, value)].concat();
        cache.insert(id, Registered::Avro(Arc::new(schema)));
        values.push(framed);
    }
    let rows = Table::new("avro", &[], &cache).rows(&values);
    ((0..rows.batch.num_rows()).map(|at| row(&rows.batch, at)).collect(), rows)
}

fn record_of(fields: &str) -> String {
    format!(r#"{{"type": "record", "name": "r", "fields": [{fields}]}}"#)
}

fn value_of<const N: usize>(fields: [(&str, Value); N]) -> Value {
    Value::Record(fields.map(|(name, value)| (name.to_owned(), value)).into())
}

#[test]
fn one_topic_may_mix_schemas() {
    let first = record_of(r#"{"name": "a", "type": "int"}, {"name": "b", "type": "string"}"#);
    let second = record_of(
        r#"{"name": "b", "type": ["null", "string"]}, {"name": "a", "type": "long"}, {"name": "c", "type": "double"}"#,
    );
    let (rows, _) = evolved(
        (&first, value_of([("a", Value::Int(1)), ("b", Value::String("x".into()))])),
        (
            &second,
            value_of([
                ("b", Value::Union(0, Box::new(Value::Null))),
                ("a", Value::Long(1 << 40)),
                ("c", Value::Double(0.5)),
            ]),
        ),
    );
    assert_eq!(rows[0], json!({"a": 1, "b": "x", "c": null}));
    assert_eq!(rows[1], json!({"a": 1_i64 << 40, "b": null, "c": 0.5}));
}

#[test]
fn a_value_that_does_not_fit_is_kept_as_text() {
    let first = record_of(r#"{"name": "a", "type": "int"}"#);
    let second = record_of(r#"{"name": "a", "type": "string"}, {"name": "b", "type": "bytes"}"#);
    let (rows, decoded) = evolved(
        (&first, value_of([("a", Value::Int(1))])),
        (&second, value_of([("a", Value::String("x".into())), ("b", Value::Bytes(vec![0, 255]))])),
    );
    assert_eq!(decoded.unparsed, 1);
    assert_eq!(rows[1]["kafka_unparsed"], json!(r#"{"a":"x","b":"AP8="}"#));
    assert_eq!((&rows[1]["a"], &rows[0]["a"]), (&json!(null), &json!(1)));
}

/// Each case: the writer's type and value, the reader's type, and what the reader gets.
/// A table that gets no more columns keeps as text what needs more, whatever the schema is that says so.
#[test]
fn a_table_that_is_closed_gets_no_more_columns() {
    let narrow = record_of(r#"{"name":"n","type":"long"}"#);
    let wide = record_of(r#"{"name":"n","type":"long"},{"name":"x","type":"string"}"#);
    let schema = |text: &str| Schema::parse_str(text).unwrap();
    let mut table = Table::raw(&narrow);
    let one = datum(&schema(&narrow), value_of([("n", Value::Long(1))]));
    assert_eq!(table.rows(std::slice::from_ref(&one)).unparsed, 0);
    let known = table.schema.clone();
    table.decoder = table.decoder.closed();
    assert_eq!(table.rows(&[one]).unparsed, 0);
    let mut wider = Table { schema: known.clone(), ..Table::raw(&wide) };
    wider.decoder = wider.decoder.closed();
    let fields = [("n", Value::Long(2)), ("x", Value::String("y".into()))];
    let rows = wider.rows(&[datum(&schema(&wide), value_of(fields))]);
    assert_eq!((rows.unparsed, rows.batch.num_rows()), (1, 1));
    assert_eq!(wider.schema, known);
}

#[test]
fn data_is_resolved_to_the_readers_schema() {
    let record =
        |fields: &str| format!(r#"{{"type": "record", "name": "r", "fields": [{fields}]}}"#);
    let wrap = |kind: &str| record(&format!(r#"{{"name": "v", "type": {kind}}}"#));
    let one = |value: Value| value_of([("v", value)]);
    for (writer, value, reader, expected) in [
        (wrap(r#""int""#), one(Value::Int(7)), wrap(r#""double""#), json!({"v": 7.0})),
        (
            wrap(r#""string""#),
            one(Value::String("é".into())),
            wrap(r#""bytes""#),
            json!({"v": "w6k="}),
        ),
        (wrap(r#""int""#), one(Value::Int(7)), wrap(r#"["null", "long"]"#), json!({"v": 7})),
        (
            wrap(r#"["null", "int"]"#),
            one(Value::Union(1, Box::new(Value::Int(7)))),
            wrap(r#"["string", "long"]"#),
            json!({"v": {"long": 7, "string": null}}),
        ),
        (
            wrap(r#""long""#),
            one(Value::Long(5)),
            wrap(r#"{"type": "long", "logicalType": "timestamp-millis"}"#),
            json!({"v": "1970-01-01T00:00:00.005Z"}),
        ),
        (
            wrap(r#"{"type": "long", "logicalType": "timestamp-micros"}"#),
            one(Value::TimestampMicros(7_000)),
            wrap(r#"{"type": "long", "logicalType": "timestamp-millis"}"#),
            json!({"v": "1970-01-01T00:00:00.007Z"}),
        ),
        (
            wrap(r#""long""#),
            one(Value::Long(5)),
            wrap(r#"["double", "long"]"#),
            json!({"v": {"double": null, "long": 5}}),
        ),
        (
            wrap(r#"{"type": "enum", "name": "e", "symbols": ["A", "B"]}"#),
            one(Value::Enum(1, "B".into())),
            wrap(r#"{"type": "enum", "name": "e", "symbols": ["A", "C"], "default": "C"}"#),
            json!({"v": "C"}),
        ),
        (
            record(r#"{"name": "old", "type": "int"}, {"name": "gone", "type": "string"}"#),
            value_of([("old", Value::Int(1)), ("gone", Value::String("x".into()))]),
            record(
                r#"{"name": "new", "aliases": ["old"], "type": "int"},
                   {"name": "d", "type": {"type": "array", "items": "int"}, "default": [1, 2]},
                   {"name": "u", "type": ["string", "null"], "default": "s"},
                   {"name": "m", "type": {"type": "map", "values": "boolean"}, "default": {"k": true}}"#,
            ),
            json!({"new": 1, "d": [1, 2], "u": "s", "m": {"k": true}}),
        ),
    ] {
        let cache = Arc::new(SchemaCache::default());
        let schema = AvroSchema::parse(&writer, &[], Role::Writer).unwrap();
        let framed = [&[0, 0, 0, 0, 9], &datum(&schema.schema, value)[..]].concat();
        cache.insert(9, Registered::Avro(Arc::new(schema)));
        let rows = Table::new("avro", &[("schema", &reader)], &cache).rows(&[framed]);
        assert_eq!(reasons(&rows), [], "{writer} as {reader}: {:?}", rows.dead_letters);
        assert_eq!(row(&rows.batch, 0), expected, "{writer} as {reader}");
    }
}

#[test]
fn a_schema_that_the_reader_cannot_read_is_said_with_its_place() {
    let cache = Arc::new(SchemaCache::default());
    let writer = record_of(r#"{"name": "v", "type": "string"}"#);
    let schema = AvroSchema::parse(&writer, &[], Role::Writer).unwrap();
    cache.insert(9, Registered::Avro(Arc::new(schema)));
    let reader = record_of(r#"{"name": "v", "type": "int"}"#);
    let rows =
        Table::new("avro", &[("schema", &reader)], &cache).rows(&[vec![0, 0, 0, 0, 9, 2, b'x']]);
    assert_eq!(reasons(&rows), [DeadLetterReason::UnusableSchema]);
    let text = &rows.dead_letters[0].text;
    assert_eq!(text, "the writer's string cannot be read as the reader's int, at `v`");
}

#[test]
fn records_name_their_schema_or_are_dead_letters() {
    let schema = record_of(r#"{"name": "a", "type": "int"}"#);
    let parsed = AvroSchema::parse(&schema, &[], Role::Writer).unwrap();
    let mut single =
        Table::new("avro", &[("encoding", "single_object"), ("schema", &schema)], &Arc::default());
    let framed = [&[0xc3, 1], &parsed.fingerprint()[..], &[14]].concat();
    let foreign = [&[0xc3, 1], &[7; 8][..], &[14]].concat();
    let other_magic = [&[0xc3, 2], &parsed.fingerprint()[..], &[14]].concat();
    let rows = single.rows(&[framed, foreign, vec![14], vec![], other_magic]);
    assert_eq!(row(&rows.batch, 0), json!({"a": 7}));
    use DeadLetterReason::{InvalidAvro, NotFramed, UnknownSchema, UnusableSchema};
    assert_eq!(reasons(&rows), [UnknownSchema, NotFramed, NotFramed, NotFramed]);

    let cache = Arc::new(SchemaCache::default());
    cache.insert(1, Registered::Avro(Arc::new(parsed)));
    cache.insert(2, Registered::Missing);
    cache.insert(3, Registered::Unusable("it is a schema of PROTOBUF".into()));
    let int = AvroSchema::parse(r#""int""#, &[], Role::Writer).unwrap();
    cache.insert(4, Registered::Avro(Arc::new(int)));
    let mut confluent = Table::new("avro", &[], &cache);
    let of = |id: u8, data: &[u8]| [&[0, 0, 0, 0, id], data].concat();
    let rows = confluent.rows(&[
        of(1, &[14]),
        of(2, &[14]),
        of(3, &[14]),
        of(4, &[14]),
        b"{\"a\": 7}".to_vec(),
        of(1, &[14, 14]),
    ]);
    assert_eq!(row(&rows.batch, 0), json!({"a": 7}));
    assert_eq!(
        reasons(&rows),
        [UnknownSchema, UnusableSchema, UnusableSchema, NotFramed, InvalidAvro]
    );
}

#[test]
fn a_record_that_holds_itself_is_text_below_the_first_level() {
    let schema =
        record_of(r#"{"name": "v", "type": "int"}, {"name": "next", "type": ["null", "r"]}"#);
    let rows = Table::raw(&schema).rows(&[vec![2, 2, 4, 2, 6, 0]]);
    assert_eq!(
        row(&rows.batch, 0),
        json!({"v": 1, "next": r#"{"next":{"next":null,"v":3},"v":2}"#})
    );
    let deep = [2, 2].repeat(5_000);
    let rows = Table::raw(&schema).rows(&[deep]);
    assert_eq!(reasons(&rows), [DeadLetterReason::InvalidAvro]);
}

#[test]
fn events_of_some_kinds_are_skipped_and_counted() {
    let schema = record_of(
        r#"{"name": "meta", "type": ["null", {"type": "record", "name": "m", "fields": [{"name": "kind", "type": "string"}]}]}, {"name": "n", "type": "int"}"#,
    );
    let options = [
        ("encoding", "raw"),
        ("schema", &*schema),
        ("ignore", r#"{"field": "meta.kind", "values": ["ping"]}"#),
    ];
    let mut table = Table::new("avro", &options, &Arc::default());
    let ping = vec![2, 8, b'p', b'i', b'n', b'g', 2];
    let pong = vec![2, 8, b'p', b'o', b'n', b'g', 4];
    let none = vec![0, 6];
    let rows = table.rows(&[ping, pong, none]);
    assert_eq!((rows.ignored, rows.batch.num_rows()), (1, 2));
    assert_eq!(row(&rows.batch, 0), json!({"meta": {"kind": "pong"}, "n": 2}));
}

/// A few bytes cannot claim billions of elements.
#[test]
fn blocks_of_nothing_have_an_end() {
    let schema = record_of(
        r#"{"name": "l", "type": {"type": "array", "items": "null"}}, {"name": "n", "type": "int"}"#,
    );
    let claim = vec![0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0, 2];
    let rows = Table::raw(&schema).rows(&[claim]);
    assert_eq!(reasons(&rows), [DeadLetterReason::InvalidAvro]);
}

/// A schema of the service entry that makes no table is refused when the partition is opened, not record by record.
#[test]
fn a_declared_schema_without_columns_is_refused() {
    let schema = record_of(r#"{"name": "n", "type": "null"}"#);
    for (format, encoding) in [
        ("json", None),
        ("avro", Some("raw")),
        ("avro", Some("confluent")),
        ("avro", Some("single_object")),
    ] {
        let encoding = encoding.map(|encoding: &str| ("encoding".to_owned(), encoding.to_owned()));
        let options = encoding.into_iter().chain([("schema".to_owned(), schema.clone())]).collect();
        let source =
            Source { table: "t".into(), format: format.into(), sink: "parquet".into(), options };
        let id = TopicId(Uuid::from_u128(1));
        let partition = TopicPartition::new("orders", 3);
        let error = Decoder::new(&source, partition, id, &Arc::default()).unwrap_err().to_string();
        assert!(error.contains("records with fields"), "{format}: {error}");
    }
}
