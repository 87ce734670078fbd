//! Reads a partition's objects back, independently of the code that wrote them.

use std::collections::BTreeMap;

use arrow::array::AsArray as _;
use arrow::datatypes::Int64Type;
use bytes::Bytes;
use futures::TryStreamExt as _;
use object_store::memory::InMemory;
use object_store::{ObjectStore as _, ObjectStoreExt as _};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

/// One object as any Parquet reader sees it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Stored {
    pub(crate) path: String,
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) term: String,
    pub(crate) offsets: Vec<u64>,
    pub(crate) columns: Vec<String>,
    pub(crate) keys: BTreeMap<String, String>,
}

/// All Parquet objects, in the order of their names.
pub(crate) async fn objects(store: &InMemory) -> Vec<Stored> {
    let mut found: Vec<_> = store.list(None).try_collect().await.unwrap();
    found.sort_by(|one, other| one.location.cmp(&other.location));
    let mut objects = Vec::new();
    for object in found.iter().filter(|object| object.location.as_ref().ends_with(".parquet")) {
        let bytes = store.get(&object.location).await.unwrap().bytes().await.unwrap();
        objects.push(read(object.location.as_ref(), bytes));
    }
    objects
}

pub(crate) fn read(path: &str, bytes: Bytes) -> Stored {
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap();
    let metadata = builder.metadata().file_metadata().key_value_metadata().unwrap().clone();
    let keys: BTreeMap<_, _> =
        metadata.into_iter().map(|entry| (entry.key, entry.value.unwrap_or_default())).collect();
    let columns = builder.schema().fields().iter().map(|field| field.name().clone()).collect();
    let mut offsets = Vec::new();
    for batch in builder.build().unwrap() {
        let batch = batch.unwrap();
        let column = batch.column_by_name("kafka_offset").unwrap();
        let values = column.as_primitive::<Int64Type>().values();
        offsets.extend(values.iter().map(|offset| u64::try_from(*offset).unwrap()));
    }
    let number = |key: &str| keys[key].parse().unwrap();
    let (from, to) = (number("stowage.from"), number("stowage.to"));
    Stored {
        path: path.into(),
        from,
        to,
        term: keys["stowage.term"].clone(),
        offsets,
        columns,
        keys,
    }
}

/// The objects follow one another from offset 0 without a hole; returns where they end.
pub(crate) fn check_chain(objects: &[Stored]) -> u64 {
    let mut end = 0;
    for object in objects {
        assert_eq!(object.from, end, "{} begins where the one before ends", object.path);
        assert!(object.to > object.from, "{object:?}");
        assert!(object.path.contains(&format!("+{:020}", object.from)), "{object:?}");
        let range = object.from..object.to;
        assert!(object.offsets.iter().all(|offset| range.contains(offset)), "{object:?}");
        end = object.to;
    }
    end
}
