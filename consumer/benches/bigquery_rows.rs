//! IO. How fast one thread makes rows for BigQuery out of what was decoded, by the bytes of the records; and how fast that
//! is decoded, for comparison.

#![expect(clippy::unwrap_used, reason = "a measurement that panics has failed")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use apache_avro::Schema;
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use bytes::Bytes;
use common::identity::TopicId;
use common::messages::command::Source;
use common::partition::TopicPartition;
use consumer::decode::{Decoded, Decoder, Rows};
use consumer::record::RawRecord;
use consumer::sink::bigquery::columns::adopt;
use consumer::sink::bigquery::encode::encode;
use consumer::sink::bigquery::frame_columns::new_columns;
use consumer::table::schema::TableSchema;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use uuid::Uuid;

/// As many as come together at some MB/s.
const RECORDS: u64 = 10_000;
/// That of the orders which `e2e preload` writes.
const SCHEMA: &str = include_str!("../../scripts/e2e/src/load/order.avsc");
const WORDS: [&str; 8] = ["amber", "basil", "cedar", "dune", "ember", "fjord", "grove", "søndag"];
const NOTE_WORDS: usize = 17;

fn words(count: usize, random: &mut ChaCha8Rng) -> String {
    let words = (0..count).map(|_| WORDS[random.random_range(0..WORDS.len())]);
    words.collect::<Vec<_>>().join(" ")
}

/// An order in Avro.
fn avro(number: u64, random: &mut ChaCha8Rng, writer: &GenericDatumWriter<'_>) -> Vec<u8> {
    let text = |text: &str| Value::String(text.into());
    let number = number.cast_signed();
    let order = [
        ("order_id", Value::Long(number)),
        ("customer_id", Value::Long(random.random_range(0..1 << 31))),
        ("country", text("PT")),
        ("status", text("paid")),
        ("amount", Value::Double(f64::from(random.random_range(0..100_000)) / 100.0)),
        ("currency", text("EUR")),
        ("items", Value::Int(random.random_range(1..12))),
        ("created_at", Value::TimestampMillis(1_767_225_600_000 + number * 7)),
        ("express", Value::Boolean(random.random())),
        ("sku", text(&format!("amber-{:06}", random.random_range(0..1_000_000)))),
        ("note", text(&words(NOTE_WORDS, random))),
    ];
    let order = order.map(|(name, value)| (name.to_owned(), value));
    writer.write_value_to_vec(Value::Record(order.into())).unwrap()
}

/// An order in JSON, with records and lists within it.
fn nested(number: u64, random: &mut ChaCha8Rng) -> Vec<u8> {
    let (user, zip) = (random.random_range(0..10_000), random.random_range(1_000..100_000));
    let (sku, note) = (random.random_range(0..500), words(NOTE_WORDS, random));
    let customer =
        format!(r#"{{"id":{user},"name":"Zoë","address":{{"city":"Porto","zip":"{zip}"}}}}"#);
    let items = format!(r#"[{{"sku":"S-{sku}","quantity":2}},{{"sku":"S-1","quantity":1}}]"#);
    let text = format!(
        r#"{{"id":{number},"customer":{customer},"total":{user}.25,"paid":true,"tags":["new","b2b"],"items":{items},"note":"{note}"}}"#
    );
    text.into_bytes()
}

fn records(mut value: impl FnMut(u64, &mut ChaCha8Rng) -> Vec<u8>) -> Vec<RawRecord> {
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let mut record = |offset: u64| RawRecord {
        offset,
        key: Some(Bytes::from(offset.to_string())),
        value: Some(Bytes::from(value(offset, &mut random))),
        ..RawRecord::default()
    };
    (0..RECORDS).map(&mut record).collect()
}

fn decoder(format: &str, options: &[(&str, &str)]) -> Decoder {
    let options = options.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let options: BTreeMap<_, _> = options.collect();
    let (table, sink) = ("t".into(), "bigquery".into());
    let source = Source { table, sink, format: format.into(), options };
    let id = TopicId(Uuid::from_u128(7));
    Decoder::new(&source, TopicPartition::new("orders", 3), id, &Arc::default()).unwrap()
}

/// The rows of all records, once the table has all columns that they need.
fn rows(decoder: &Decoder, records: &[RawRecord]) -> (Rows, TableSchema) {
    let (mut schema, mut service) = (TableSchema::default(), new_columns(false));
    loop {
        match decoder.decode(records, &schema) {
            Decoded::Rows(rows) => return (rows, schema),
            Decoded::Wider(wider) => {
                let adopted = adopt(&schema, &service, &wider.columns, false).unwrap();
                (schema, service) = (adopted.schema, adopted.fields.unwrap_or(service));
            }
        }
    }
}

fn measure(criterion: &mut Criterion, name: &str, decoder: &Decoder, records: &[RawRecord]) {
    let (decoded, schema) = rows(decoder, records);
    let encoded = encode(&decoded.batch, &schema).unwrap();
    assert_eq!((encoded.rows.rows(), encoded.misfits.len()), (RECORDS, 0));
    let bytes = |record: &RawRecord| record.value.as_ref().map_or(0, Bytes::len);
    let bytes: usize = records.iter().map(bytes).sum();
    let mut group = criterion.benchmark_group("bigquery_rows");
    group.throughput(Throughput::BytesDecimal(bytes as u64));
    group.sample_size(20).measurement_time(Duration::from_secs(3));
    group.bench_function(format!("{name}, encoded"), |bencher| {
        bencher.iter(|| encode(&decoded.batch, &schema).unwrap());
    });
    group.bench_function(format!("{name}, decoded"), |bencher| {
        bencher.iter(|| decoder.decode(records, &schema));
    });
    group.finish();
}

fn bigquery_rows(criterion: &mut Criterion) {
    let schema = Schema::parse_str(SCHEMA).unwrap();
    let writer = GenericDatumWriter::builder(&schema).build().unwrap();
    let flat = records(|number, random| avro(number, random, &writer));
    let avro = decoder("avro", &[("encoding", "raw"), ("schema", SCHEMA)]);
    measure(criterion, "flat Avro", &avro, &flat);
    measure(criterion, "nested JSON", &decoder("json", &[]), &records(nested));
}

criterion_group!(benches, bigquery_rows);
criterion_main!(benches);
