//! IO. Fuzz target: JSON records of any topic.
#![no_main]

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use common::identity::TopicId;
use common::messages::command::Source;
use common::partition::TopicPartition;
use consumer::decode::Decoder;
use consumer::record::RawRecord;
use consumer::table::schema::TableSchema;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let source = Source {
        table: "orders".into(),
        format: "json".into(),
        sink: "parquet".into(),
        options: BTreeMap::new(),
    };
    let (partition, id) = (TopicPartition::new("orders", 0), TopicId(uuid::Uuid::nil()));
    let decoder =
        Decoder::new(&source, partition, id, &Arc::default()).expect("a format that exists");
    let records = data.split(|byte| *byte == b'\n').zip(0..).map(|(line, offset)| {
        let value = Some(Bytes::copy_from_slice(line));
        RawRecord { offset, value, ..RawRecord::default() }
    });
    let records: Vec<RawRecord> = records.collect();
    let _ = decoder.decode(&records, &TableSchema::default());
});
