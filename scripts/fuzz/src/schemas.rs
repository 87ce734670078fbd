//! IO. Fuzz target: Avro schemas that people or a registry wrote.
#![no_main]

use std::sync::Arc;

use bytes::Bytes;
use common::avro_schema::{AvroSchema, Role};
use common::identity::TopicId;
use common::messages::command::Source;
use common::partition::TopicPartition;
use consumer::decode::Decoder;
use consumer::decode::schemas::{Registered, SchemaCache};
use consumer::record::RawRecord;
use consumer::table::schema::TableSchema;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(schema) = AvroSchema::parse(text, &[], Role::Writer) else { return };
    let cache = Arc::new(SchemaCache::default());
    cache.insert(0, Registered::Avro(Arc::new(schema)));
    let source = Source {
        table: "orders".into(),
        format: "avro".into(),
        sink: "parquet".into(),
        options: [].into(),
    };
    let (partition, id) = (TopicPartition::new("orders", 0), TopicId(uuid::Uuid::nil()));
    let decoder = Decoder::new(&source, partition, id, &cache).expect("a format that exists");
    let value = Some(Bytes::from_static(&[0; 64]));
    let records = [RawRecord { value, ..RawRecord::default() }];
    let _ = decoder.decode(&records, &TableSchema::default());
});
