//! IO. Fuzz target: records of every format. The first byte chooses the format, a line is a record.
#![no_main]

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use common::avro_schema::{AvroSchema, Role};
use common::identity::TopicId;
use common::messages::command::Source;
use common::partition::TopicPartition;
use consumer::decode::schemas::{Registered, SchemaCache};
use consumer::decode::{Decoded, Decoder};
use consumer::record::RawRecord;
use consumer::table::schema::TableSchema;
use libfuzzer_sys::fuzz_target;

/// Every type that a schema can have.
const SCHEMA: &str = r#"{"type": "record", "name": "r", "fields": [
    {"name": "b", "type": "boolean"}, {"name": "i", "type": "int"}, {"name": "l", "type": "long"},
    {"name": "d", "type": ["null", "double"]}, {"name": "t", "type": "string"},
    {"name": "a", "type": {"type": "array", "items": ["null", "float"]}},
    {"name": "m", "type": {"type": "map", "values": "bytes"}},
    {"name": "e", "type": {"type": "enum", "name": "e", "symbols": ["A", "B"]}},
    {"name": "n", "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}},
    {"name": "u", "type": ["string", "int"]},
    {"name": "id", "type": {"type": "string", "logicalType": "uuid"}},
    {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
    {"name": "of", "type": {"type": "int", "logicalType": "time-millis"}},
    {"name": "op", "type": "string"},
    {"name": "after", "type": ["null", "r"]}]}"#;

static DECODERS: LazyLock<Vec<Decoder>> = LazyLock::new(|| {
    let schema = AvroSchema::parse(SCHEMA, &[], Role::Writer);
    let cache = Arc::new(SchemaCache::default());
    cache.insert(0, Registered::Avro(Arc::new(schema.expect("a schema"))));
    let plain = r#"{"type": "record", "name": "r", "fields": [
        {"name": "n", "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        {"name": "day", "type": {"type": "int", "logicalType": "date"}},
        {"name": "id", "type": {"type": "string", "logicalType": "uuid"}}]}"#;
    let entries: [(&str, &[(&str, &str)]); 5] = [
        ("json", &[]),
        ("json", &[("schema", plain), ("ignore", r#"{"field": "a.b", "values": [1]}"#)]),
        ("avro", &[]),
        ("debezium", &[("before", "true")]),
        ("debezium", &[("encoding", "confluent")]),
    ];
    let decoder = |(format, options): (&str, &[(&str, &str)])| {
        let source = Source {
            table: "orders".into(),
            format: format.into(),
            sink: "parquet".into(),
            options: options.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect(),
        };
        let (partition, id) = (TopicPartition::new("orders", 0), TopicId(uuid::Uuid::nil()));
        Decoder::new(&source, partition, id, &cache).expect("a format that exists")
    };
    entries.into_iter().map(decoder).collect()
});

fuzz_target!(|data: &[u8]| {
    let Some((format, data)) = data.split_first() else { return };
    let decoder = &DECODERS[usize::from(*format) % DECODERS.len()];
    let records = data.split(|byte| *byte == b'\n').zip(0..).map(|(line, offset)| {
        let value = Some(Bytes::copy_from_slice(line));
        RawRecord { offset, value, ..RawRecord::default() }
    });
    let records: Vec<RawRecord> = records.collect();
    let mut schema = TableSchema::default();
    let mut decoded = decoder.decode(&records, &schema);
    // Whatever a table is to have it can have, and then the records are decoded.
    if let Decoded::Wider(wider) = &decoded {
        schema = schema.widened(&wider.columns).expect("the table lacks what is asked for");
        decoded = decoder.decode_again(wider, &records, &schema);
    }
    let Decoded::Rows(rows) = decoded else { panic!("a table is widened once") };
    let count = rows.batch.num_rows() + rows.dead_letters.len() + rows.ignored;
    assert_eq!(count, records.len(), "each record ends somewhere");
});
