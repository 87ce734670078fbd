//! A reader of a table as docs/compaction.md describes it, written apart from the code that compacts.

use std::collections::BTreeMap;
use std::ops::Range;

use arrow::array::AsArray as _;
use arrow::datatypes::{Int32Type, Int64Type};
use bytes::Bytes;
use futures::TryStreamExt as _;
use object_store::path::Path;
use object_store::{ObjectStore as _, ObjectStoreExt as _};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;

use crate::slow::Slow;

/// Partition and offset of a record, and how often it was seen.
pub(crate) type Seen = BTreeMap<(i32, i64), usize>;

async fn listed(store: &Slow) -> Vec<String> {
    let folder = Path::from("t");
    let found: Vec<_> = store.list(Some(&folder)).try_collect().await.unwrap();
    let mut paths: Vec<_> = found.into_iter().map(|meta| meta.location.to_string()).collect();
    paths.sort();
    paths
}

/// Reads the table by its newest manifest.
pub(crate) async fn by_manifest(store: &Slow) -> Seen {
    loop {
        let paths = listed(store).await;
        let newest = paths.iter().rfind(|path| path.starts_with("t/_files/"));
        let manifest = match newest {
            Some(newest) => match store.get(&Path::from(newest.as_str())).await {
                Ok(found) => serde_json::from_slice(&found.bytes().await.unwrap()).unwrap(),
                // Replaced by newer ones in the meantime.
                Err(_) => continue,
            },
            None => Value::Null,
        };
        let files = paths.iter().filter(|path| is_uncovered(path, &manifest)).cloned();
        let merged = manifest["files"].as_array().into_iter().flatten();
        let merged = merged.map(|file| file["path"].as_str().unwrap().to_owned());
        return read(store, merged.chain(files).collect()).await;
    }
}

fn is_uncovered(path: &str, manifest: &Value) -> bool {
    if !path.ends_with(".parquet") {
        return false;
    }
    let mut chains = manifest["chains"].as_array().into_iter().flatten();
    // Names of one chain differ in the offset only, which has as many digits in all.
    let without_offset = |path: &str| {
        let mut words: Vec<String> = path.split('+').map(str::to_owned).collect();
        words[2].replace_range(..20, "");
        words
    };
    !chains.any(|chain| {
        let next = chain["next"].as_str().unwrap();
        without_offset(next) == without_offset(path) && path < next
    })
}

/// Reads the table as those do who know of no manifest.
pub(crate) async fn by_folder(store: &Slow) -> Seen {
    let paths = listed(store).await;
    read(store, paths.into_iter().filter(|path| path.ends_with(".parquet")).collect()).await
}

async fn read(store: &Slow, paths: Vec<String>) -> Seen {
    let mut seen = Seen::new();
    for path in paths {
        let found = store.get(&Path::from(path.as_str())).await;
        let found = found.unwrap_or_else(|error| panic!("a reader is cut off: {error}"));
        let bytes = found.bytes().await.unwrap();
        for record in records(bytes) {
            *seen.entry(record).or_default() += 1;
        }
    }
    seen
}

pub(crate) fn records(bytes: Bytes) -> Vec<(i32, i64)> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap().build().unwrap();
    let mut records = Vec::new();
    for batch in reader {
        let batch = batch.unwrap();
        let partitions = batch.column_by_name("kafka_partition").unwrap();
        let partitions = partitions.as_primitive::<Int32Type>().values();
        let offsets = batch.column_by_name("kafka_offset").unwrap();
        let offsets = offsets.as_primitive::<Int64Type>().values();
        records.extend(partitions.iter().copied().zip(offsets.iter().copied()));
    }
    records
}

/// What an object's footer says of its range, and the rows that it holds.
pub(crate) fn link(bytes: Bytes) -> (Range<u64>, usize) {
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap();
    let metadata = builder.metadata().file_metadata();
    let entries = metadata.key_value_metadata().unwrap();
    let number = |key: &str| {
        let entry = entries.iter().find(|entry| entry.key == key).unwrap();
        entry.value.as_ref().unwrap().parse().unwrap()
    };
    let rows = usize::try_from(metadata.num_rows()).unwrap();
    (number("stowage.from")..number("stowage.to"), rows)
}
