//! A small topic in memory and a small lake on disk, to be corrupted on purpose.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Float64Array, Int32Array, Int64Array, ListArray,
    RecordBatch, StringArray, StructArray, TimestampMillisecondArray,
};
use arrow::datatypes::{DataType, Field, Float64Type, Schema};
use e2e::lake::store::Lake;
use e2e::verify::check::{Request, verify};
use e2e::verify::report::TopicReport;
use parquet::arrow::ArrowWriter;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;

use crate::topics::{DEAD, ID, Owned, TOPIC, Topics, timestamp};

/// One row of the lake, as it will be written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Row {
    pub(crate) offset: u64,
    pub(crate) partition: i32,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) amount: Option<f64>,
    pub(crate) count: Option<i64>,
    pub(crate) city: Option<String>,
    pub(crate) prices: Option<Vec<Option<f64>>>,
    pub(crate) tombstone: bool,
    pub(crate) unparsed: Option<String>,
    pub(crate) time_shift: i64,
}

/// One object of the lake, as it will be written.
#[derive(Clone, Debug)]
pub(crate) struct Object {
    pub(crate) partition: u32,
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) term: &'static str,
    pub(crate) rows: Vec<Row>,
}

impl Object {
    pub(crate) fn path(&self) -> String {
        let Self { partition, from, .. } = self;
        format!("sales/partition={partition}/{TOPIC}+{partition}+{from:020}.parquet")
    }

    pub(crate) fn write(&self, root: &Path) -> PathBuf {
        let path = root.join(self.path());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let batch = batch(&self.rows);
        let pairs = [
            ("stowage.topic", TOPIC.to_owned()),
            ("stowage.topic_id", ID.to_owned()),
            ("stowage.partition", self.partition.to_string()),
            ("stowage.from", self.from.to_string()),
            ("stowage.to", self.to.to_string()),
            ("stowage.table_id", "0b1c0000-0000-4000-8000-000000000002".to_owned()),
            ("stowage.controller_topic_id", "0b1c0000-0000-4000-8000-000000000003".to_owned()),
            ("stowage.term", self.term.to_owned()),
        ];
        let pairs = pairs.map(|(key, value)| KeyValue::new(key.to_owned(), value));
        let properties =
            WriterProperties::builder().set_key_value_metadata(Some(pairs.to_vec())).build();
        let file = fs::File::create(&path).unwrap();
        let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        path
    }
}

fn batch(rows: &[Row]) -> RecordBatch {
    let int = |of: &dyn Fn(&Row) -> Option<i64>| -> ArrayRef {
        Arc::new(rows.iter().map(of).collect::<Int64Array>())
    };
    let text = |of: &dyn Fn(&Row) -> Option<String>| -> ArrayRef {
        Arc::new(rows.iter().map(of).collect::<StringArray>())
    };
    let times = rows.iter().map(|row| Some(timestamp(row.offset) + row.time_shift));
    let times = times.collect::<TimestampMillisecondArray>().with_timezone("UTC");
    let keys: BinaryArray = rows.iter().map(|row| row.key.as_deref()).collect();
    let partitions: Int32Array = rows.iter().map(|row| Some(row.partition)).collect();
    let cities = text(&|row| row.city.clone());
    let address_fields = vec![Field::new("City_2", DataType::Utf8, true)].into();
    let present = rows.iter().map(|row| row.city.is_some()).collect::<Vec<bool>>();
    let address = StructArray::new(address_fields, vec![cities], Some(present.into()));
    let prices = rows.iter().map(|row| row.prices.clone());
    let prices = ListArray::from_iter_primitive::<Float64Type, _, _>(prices);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("kafka_topic", text(&|_| Some(TOPIC.into()))),
        ("kafka_topic_id", text(&|_| Some(ID.into()))),
        ("kafka_partition", Arc::new(partitions)),
        ("kafka_offset", int(&|row| i64::try_from(row.offset).ok())),
        ("kafka_timestamp", Arc::new(times)),
        ("kafka_key", Arc::new(keys)),
        (
            "kafka_tombstone",
            Arc::new(
                rows.iter().map(|row| row.tombstone.then_some(true)).collect::<BooleanArray>(),
            ),
        ),
        ("kafka_unparsed", text(&|row| row.unparsed.clone())),
        ("amount", Arc::new(rows.iter().map(|row| row.amount).collect::<Float64Array>())),
        ("Amount_2", int(&|row| row.count)),
        ("address", Arc::new(address)),
        ("prices", Arc::new(prices)),
    ];
    let fields: Vec<Field> = columns
        .iter()
        .map(|(name, array)| Field::new(*name, array.data_type().clone(), true))
        .collect();
    let arrays = columns.into_iter().map(|(_, array)| array).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap()
}

/// Topic and lake that agree: partition 0 with offsets 0 to 11, of which 5 is a transaction's
/// marker and 7 a dead letter, in the objects 0–4, 4–9 and 9–12; partition 1 is empty.
pub(crate) struct Small {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) topics: Topics,
    pub(crate) objects: Vec<Object>,
}

impl Small {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let offsets = (0..12).filter(|offset| *offset != 5);
        let records: Vec<Owned> = offsets.map(record).collect();
        let letter = Owned { headers: letter_headers(), ..record(7) };
        let topics = Topics {
            partitions: BTreeMap::from([
                ((TOPIC.into(), 0), records),
                ((TOPIC.into(), 1), Vec::new()),
                ((DEAD.into(), 0), vec![Owned { offset: 0, ..letter }]),
            ]),
            log_start: 0,
        };
        let object = |from: u64, to: u64, term| {
            let offsets = (from..to).filter(|offset| ![5, 7].contains(offset));
            Object { partition: 0, from, to, term, rows: offsets.map(row).collect() }
        };
        let objects = vec![object(0, 4, "3.1"), object(4, 9, "3.1"), object(9, 12, "3.7")];
        let small = Self { folder, topics, objects };
        let schema = small.folder.path().join("sales/_schema");
        fs::create_dir_all(&schema).unwrap();
        fs::write(schema.join("1.json"), SCHEMA).unwrap();
        small.write();
        small
    }

    /// Writes all objects anew, as they are described now.
    pub(crate) fn write(&self) {
        let _ = fs::remove_dir_all(self.folder.path().join("sales/partition=0"));
        for object in &self.objects {
            object.write(self.folder.path());
        }
    }

    pub(crate) fn lake(&self) -> Lake {
        Lake::open(self.folder.path().to_str().unwrap(), &BTreeMap::new()).unwrap()
    }

    pub(crate) fn verify(&mut self) -> TopicReport {
        let request = Request { topics: vec![TOPIC.into()], dead_letter_topic: Some(DEAD.into()) };
        let lake = self.lake();
        verify(&mut self.topics, &lake, &request).unwrap().topics.remove(0)
    }
}

const SCHEMA: &str = r#"{"version":1,"columns":[
    {"name":"amount","field":"amount","type":"float"},
    {"name":"Amount_2","field":"Amount","type":"integer"},
    {"name":"address","field":"address","type":{"struct":[
        {"name":"City_2","field":"City","type":"text"}]}},
    {"name":"prices","field":"prices","type":{"list":"float"}}]}"#;

fn letter_headers() -> Vec<(String, Vec<u8>)> {
    let ours = [("stowage-topic", TOPIC), ("stowage-partition", "0"), ("stowage-offset", "7")];
    let ours = ours.map(|(name, text)| (name.to_owned(), text.as_bytes().to_vec()));
    [vec![("trace".to_owned(), b"x".to_vec())], ours.to_vec()].concat()
}

fn record(offset: u64) -> Owned {
    let headers = vec![("trace".to_owned(), b"x".to_vec())];
    let key = (offset != 2).then(|| format!("k{offset}").into_bytes());
    let value = match offset {
        3 => None,
        7 => Some(b"{not json".to_vec()),
        8 => Some(format!("{{\"amount\": \"much\", \"Amount\":{offset} }}").into_bytes()),
        _ => Some(json(offset).into_bytes()),
    };
    Owned { offset, key, value, headers }
}

fn json(offset: u64) -> String {
    let count = offset + 9_007_199_254_740_992;
    format!(
        r#"{{"Amount": {count}, "amount": {offset}.50, "note": null, "none": {{}},
            "address": {{"City": "Zo\u00eb {offset}", "zip": null}}, "prices": [1e1, null, 2.25]}}"#
    )
}

fn row(offset: u64) -> Row {
    let plain = Row {
        offset,
        key: (offset != 2).then(|| format!("k{offset}").into_bytes()),
        ..Row::default()
    };
    let number = i32::try_from(offset).unwrap();
    match offset {
        3 => Row { tombstone: true, ..plain },
        8 => Row { unparsed: Some("{\"amount\": \"much\", \"Amount\":8 }".into()), ..plain },
        _ => Row {
            amount: Some(f64::from(number) + 0.5),
            count: i64::try_from(offset).ok().map(|offset| offset + 9_007_199_254_740_992),
            city: Some(format!("Zoë {offset}")),
            prices: Some(vec![Some(10.0), None, Some(2.25)]),
            ..plain
        },
    }
}
