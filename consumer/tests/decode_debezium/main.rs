//! Change events as Debezium writes them become rows of a changelog, in JSON with and without schemas and in Avro.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../decode_avro/arrow_json.rs"]
mod arrow_json;
mod changes;
mod unavailable;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use apache_avro::types::Value as Avro;
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
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use arrow_json::row;

/// Captured from a real Debezium that reads PostgreSQL: `shop` without schemas, `shops` with them.
const SAMPLES: &str = include_str!("samples.jsonl");

#[derive(Deserialize)]
struct Sample {
    topic: String,
    value: Option<String>,
}

struct Table {
    decoder: Decoder,
    schema: TableSchema,
}

impl Table {
    fn new(options: &[(&str, &str)], cache: &Arc<SchemaCache>) -> Self {
        let options = options.iter().map(|(key, value)| ((*key).into(), (*value).into()));
        let source = Source {
            table: "t".into(),
            format: "debezium".into(),
            sink: "parquet".into(),
            options: options.collect::<BTreeMap<_, _>>(),
        };
        let id = TopicId(Uuid::from_u128(1));
        let decoder = Decoder::new(&source, TopicPartition::new("orders", 0), id, cache).unwrap();
        Self { decoder, schema: TableSchema::default() }
    }

    fn rows(&mut self, values: &[Option<Vec<u8>>]) -> Rows {
        let records: Vec<_> = (0..)
            .zip(values)
            .map(|(offset, value)| RawRecord {
                offset,
                value: value.clone().map(Bytes::from),
                ..RawRecord::default()
            })
            .collect();
        let mut wider = None;
        loop {
            let decoded = match &wider {
                None => self.decoder.decode(&records, &self.schema),
                Some(wider) => self.decoder.decode_again(wider, &records, &self.schema),
            };
            match decoded {
                Decoded::Rows(rows) => {
                    let of_its_record = |it: &DeadLetter| records[it.index].offset == it.offset;
                    assert!(rows.dead_letters.iter().all(of_its_record));
                    return rows;
                }
                Decoded::Wider(needed) => {
                    let schema = self.schema.widened(&needed.columns);
                    self.schema = schema.expect("a table is widened by columns that it lacks");
                    wider = Some(needed);
                }
            }
        }
    }
}

fn samples(topic: &str) -> Vec<Option<Vec<u8>>> {
    let samples = SAMPLES.lines().map(|line| serde_json::from_str::<Sample>(line).unwrap());
    let samples = samples.filter(|sample| sample.topic == topic);
    samples.map(|sample| sample.value.map(String::into_bytes)).collect()
}

/// Rows as a person would look at them, without what only the source's clock knows.
fn printed(rows: &Rows) -> String {
    let mut text = String::new();
    for at in 0..rows.batch.num_rows() {
        let mut row = row(&rows.batch, at);
        let members = row.as_object_mut().unwrap();
        members.retain(|_, value| !value.is_null());
        if let Some(Value::Object(source)) = members.get_mut("__source") {
            source.retain(|name, _| ["table", "lsn", "snapshot", "txId"].contains(&name.as_str()));
        }
        writeln!(text, "{row}").unwrap();
    }
    text
}

#[test]
fn events_with_schemas_are_rows_with_types() {
    let mut table = Table::new(&[], &Arc::default());
    let rows = table.rows(&samples("shops.public.orders"));
    assert!(rows.dead_letters.is_empty(), "{:?}", rows.dead_letters);
    insta::assert_snapshot!("with_schemas", printed(&rows));
}

#[test]
fn events_without_schemas_are_rows_of_what_json_tells() {
    let mut table = Table::new(&[("before", "true")], &Arc::default());
    let rows = table.rows(&samples("shop.public.orders"));
    assert!(rows.dead_letters.is_empty(), "{:?}", rows.dead_letters);
    insta::assert_snapshot!("without_schemas", printed(&rows));
    let rows =
        Table::new(&[("before", "true")], &Arc::default()).rows(&samples("shop.public.payments"));
    insta::assert_snapshot!("with_before", printed(&rows));
}

/// Where a batch ends changes nothing: rows, table and dead letters are the same.
#[test]
fn events_may_come_one_by_one() {
    for topic in ["shop.public.orders", "shops.public.orders"] {
        let values = samples(topic);
        let mut whole = Table::new(&[], &Arc::default());
        let together = printed(&whole.rows(&values));
        let mut table = Table::new(&[], &Arc::default());
        let one_by_one: String =
            values.iter().map(|value| printed(&table.rows(std::slice::from_ref(value)))).collect();
        assert_eq!(together, one_by_one);
        assert_eq!(whole.schema.columns, table.schema.columns);
    }
}

const ENVELOPE: &str = r#"{"type": "record", "name": "Envelope", "namespace": "shop.public.orders", "fields": [
    {"name": "before", "type": ["null", {"type": "record", "name": "Value", "fields": [
        {"name": "id", "type": "long"},
        {"name": "amount", "type": {"type": "bytes", "logicalType": "decimal", "precision": 10, "scale": 2}},
        {"name": "due", "type": ["null", {"type": "int", "connect.name": "io.debezium.time.Date"}], "default": null},
        {"name": "letter", "type": ["null", "string"], "default": null}]}], "default": null},
    {"name": "after", "type": ["null", "Value"], "default": null},
    {"name": "source", "type": {"type": "record", "name": "Source", "namespace": "io.debezium", "fields": [
        {"name": "ts_ms", "type": "long"}, {"name": "lsn", "type": ["null", "long"], "default": null}]}},
    {"name": "op", "type": "string"},
    {"name": "ts_ms", "type": ["null", "long"], "default": null}]}"#;

fn value(id: i64, letter: &str) -> Avro {
    let some = |value| Avro::Union(1, Box::new(value));
    some(Avro::Record(vec![
        ("id".into(), Avro::Long(id)),
        ("amount".into(), Avro::Decimal(apache_avro::Decimal::from([4, 0xe2]))),
        ("due".into(), some(Avro::Date(20_521))),
        ("letter".into(), some(Avro::String(letter.into()))),
    ]))
}

fn event(schema: &AvroSchema, before: Avro, after: Avro, op: &str) -> Vec<u8> {
    let source = Avro::Record(vec![
        ("ts_ms".into(), Avro::Long(1_700_000_000_000)),
        ("lsn".into(), Avro::Union(1, Box::new(Avro::Long(7)))),
    ]);
    let event = Avro::Record(vec![
        ("before".into(), before),
        ("after".into(), after),
        ("source".into(), source),
        ("op".into(), Avro::String(op.into())),
        ("ts_ms".into(), Avro::Union(1, Box::new(Avro::Long(8)))),
    ]);
    let writer = GenericDatumWriter::builder(&schema.schema).build().unwrap();
    [&[0, 0, 0, 0, 5], &writer.write_value_to_vec(event).unwrap()[..]].concat()
}

#[test]
fn events_in_avro_are_rows_with_types() {
    let schema = AvroSchema::parse(ENVELOPE, &[], Role::Writer).unwrap();
    let cache = Arc::new(SchemaCache::default());
    cache.insert(5, Registered::Avro(Arc::new(schema.clone())));
    let none = || Avro::Union(0, Box::new(Avro::Null));
    let values = [
        Some(event(&schema, none(), value(1, "a"), "c")),
        Some(event(&schema, value(1, "a"), value(1, "__debezium_unavailable_value"), "u")),
        Some(event(&schema, value(1, "b"), none(), "d")),
        None,
        Some(event(&schema, none(), none(), "t")),
    ];
    let rows = Table::new(&[("encoding", "confluent")], &cache).rows(&values);
    assert!(rows.dead_letters.is_empty(), "{:?}", rows.dead_letters);
    let source = json!({"ts_ms": 1_700_000_000_000_i64, "lsn": 7});
    let expected = |op: Value, letter: Value, unavailable: Value| {
        let is_row = op == "c" || op == "u" || op == "d";
        let if_row = |value: Value| if is_row { value } else { Value::Null };
        let if_event = |value: Value| if op.is_null() { Value::Null } else { value };
        json!({
            "id": if_row(1.into()), "amount": if_row("12.50".into()), "due": if_row(20_521.into()),
            "letter": letter, "__op": op, "__deleted": if_event((op == "d").into()),
            "__source_ts_ms": if_event(1_700_000_000_000_i64.into()), "__unavailable": unavailable,
            "__source": if_event(source.clone()), "__ts_ms": if_event(8.into()),
        })
    };
    let null = Value::Null;
    assert_eq!(row(&rows.batch, 0), expected("c".into(), "a".into(), null.clone()));
    assert_eq!(row(&rows.batch, 1), expected("u".into(), null.clone(), json!(["letter"])));
    assert_eq!(row(&rows.batch, 2), expected("d".into(), "b".into(), null.clone()));
    assert_eq!(row(&rows.batch, 3), expected(null.clone(), null.clone(), null.clone()));
    assert_eq!(row(&rows.batch, 4), expected("t".into(), null.clone(), null));
}

#[test]
fn what_is_no_event_is_a_dead_letter() {
    let text = |text: &str| Some(text.as_bytes().to_vec());
    let rows = Table::new(&[], &Arc::default()).rows(&[
        text(r#"{"id": 1}"#),
        text(r#"{"op": 1, "after": {}}"#),
        text("[1]"),
        text(r#"{"op": "c", "op": "d"}"#),
        text(r#"{"schema": {"type": "what"}, "payload": {"op": "c", "after": {}}}"#),
        text(r#"{"op": "c", "after": {"id": 1}"#),
        text(r#"{"schema": null, "payload": null}"#),
        text(r#"{"op": "m", "message": {"prefix": "p", "content": "aGk="}}"#),
    ]);
    use DeadLetterReason::{DuplicateKey, InvalidJson, NotAnEnvelope, NotAnObject, UnusableSchema};
    let reasons: Vec<_> = rows.dead_letters.iter().map(|letter| letter.reason).collect();
    assert_eq!(
        reasons,
        [NotAnEnvelope, NotAnEnvelope, NotAnObject, DuplicateKey, UnusableSchema, InvalidJson]
    );
    assert_eq!(row(&rows.batch, 1)["__message"], json!({"prefix": "p", "content": "aGk="}));
    assert_eq!(row(&rows.batch, 1)["__op"], "m");
}

/// A source table whose columns change: the scale of a decimal, and a type that no longer fits.
#[test]
fn a_table_whose_columns_change_keeps_every_value() {
    let event = |scale: u32, amount: &str, extra: (&str, &str)| {
        let value = format!(
            r#"{{"type": "struct", "optional": true, "fields": [
              {{"field": "a", "type": "bytes", "name": "org.apache.kafka.connect.data.Decimal", "parameters": {{"scale": "{scale}"}}}},
              {{"field": "b", "type": "{}"}}]"#,
            extra.0
        );
        let schema = format!(
            r#"{{"type": "struct", "fields": [{value}, "field": "before"}}, {value}, "field": "after"}}, {{"field": "op", "type": "string"}}]}}"#
        );
        let payload = format!(
            r#"{{"before": null, "after": {{"a": "{amount}", "b": {}}}, "op": "c"}}"#,
            extra.1
        );
        Some(format!(r#"{{"schema": {schema}, "payload": {payload}}}"#).into_bytes())
    };
    let rows = Table::new(&[], &Arc::default()).rows(&[
        event(2, "BOI=", ("int32", "1")),
        event(4, "AehI", ("int32", "2")),
        event(3, "MNU=", ("int32", "3")),
        event(2, "BOI=", ("string", "\"x\"")),
    ]);
    assert!(rows.dead_letters.is_empty(), "{:?}", rows.dead_letters);
    let amount = |at| row(&rows.batch, at)["a"].clone();
    assert_eq!((amount(0), amount(1)), (json!("12.50"), json!("12.50")));
    assert_eq!(amount(2), json!(null), "12.501 is not rounded");
    assert_eq!(rows.unparsed, 2);
}

/// An event of one column with a schema beside it.
fn of_type(kind: &str, value: &str) -> Vec<u8> {
    let row =
        format!(r#"{{"type": "struct", "optional": true, "fields": [{{"field": "v", {kind}}}]"#);
    let schema = format!(
        r#"{{"type": "struct", "fields": [{row}, "field": "after"}}, {{"field": "op", "type": "string"}}]}}"#
    );
    let payload = format!(r#"{{"after": {{"v": {value}}}, "op": "c"}}"#);
    format!(r#"{{"schema": {schema}, "payload": {payload}}}"#).into_bytes()
}

/// A number is a time in the unit that the name of its type says, with a zone or without.
#[test]
fn times_have_the_unit_of_their_type() {
    let (debezium, connect) = ("io.debezium.time", "org.apache.kafka.connect.data");
    for (kind, package, name, value, expected) in [
        ("int64", debezium, "Timestamp", "1007", "1970-01-01T00:00:01.007"),
        ("int64", debezium, "MicroTimestamp", "1000007", "1970-01-01T00:00:01.000007"),
        ("int64", debezium, "NanoTimestamp", "1000000007", "1970-01-01T00:00:01.000000007"),
        ("int64", connect, "Timestamp", "1007", "1970-01-01T00:00:01.007Z"),
        ("int32", debezium, "Time", "1007", "00:00:01.007"),
        ("int32", connect, "Time", "1007", "00:00:01.007"),
        ("int64", debezium, "MicroTime", "1000007", "00:00:01.000007"),
        ("int64", debezium, "NanoTime", "1000000007", "00:00:01.000000007"),
    ] {
        let kind = format!(r#""type": "{kind}", "name": "{package}.{name}""#);
        let rows = Table::new(&[], &Arc::default()).rows(&[Some(of_type(&kind, value))]);
        assert_eq!(rows.dead_letters, [], "{kind}");
        assert_eq!(row(&rows.batch, 0)["v"], expected, "{kind}");
    }
}

/// Where the point of a decimal stands is not guessed.
#[test]
fn a_decimal_without_a_scale_is_no_number() {
    let kind = r#""type": "bytes", "name": "org.apache.kafka.connect.data.Decimal""#;
    let rows = Table::new(&[], &Arc::default()).rows(&[Some(of_type(kind, "\"BOI=\""))]);
    assert_eq!(rows.dead_letters[0].reason, DeadLetterReason::UnusableSchema);
    assert!(rows.dead_letters[0].text.contains("scale"), "{:?}", rows.dead_letters);
}

/// An event that does not tell when it happened does not get the time of the event before it.
#[test]
fn the_time_of_an_event_is_its_own() {
    let event =
        |source: &str| Some(format!(r#"{{"op": "c", "after": {{"id": 1}}{source}}}"#).into_bytes());
    let told = || event(r#", "source": {"ts_ms": 5, "lsn": 1}"#);
    let others =
        ["", r#", "source": null"#, r#", "source": {"lsn": 2}"#, r#", "source": {"ts_ms": null}"#];
    for other in others {
        let rows = Table::new(&[], &Arc::default()).rows(&[told(), event(other), told()]);
        let times = [0, 1, 2].map(|at| row(&rows.batch, at)["__source_ts_ms"].clone());
        assert_eq!(times, [json!(5), json!(null), json!(5)], "{other}");
    }
}
