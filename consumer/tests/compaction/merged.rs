//! What merged files look like, on a real folder; and that nothing of the rows changes.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use common::moment::Timestamp;
use consumer::compact::compactor::{Compactor, Options, Summary};
use consumer::compact::lake::TableLake;
use consumer::compact::plan::Limits;
use consumer::sink::parquet::{Compression, Nonces};
use consumer::sink::store::Store;
use object_store::local::LocalFileSystem;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use rand::SeedableRng as _;
use rand::rngs::ChaCha8Rng;
use url::Url;

use crate::reader::records;
use crate::writer::PartitionWriter;

pub(crate) const OPTIONS: Options = Options {
    limits: Limits { target_bytes: 256 << 20, objects_min: 2, objects_max: 1_000, by_date: false },
    compression: Compression::Zstd,
    grace: Duration::from_secs(3_600),
    reclaim: false,
};
/// Long after everything was stored.
const LATER: Timestamp = Timestamp(i64::MAX / 2);

pub(crate) async fn lake(root: &Path) -> TableLake {
    let url = Url::from_directory_path(root).unwrap();
    let store = Store::open(&url, &BTreeMap::new()).await.unwrap();
    TableLake::open(store, "t").await.unwrap()
}

pub(crate) async fn compact(root: &Path, options: Options, now: Timestamp) -> Summary {
    let nonces = Nonces::new(ChaCha8Rng::seed_from_u64(7));
    Compactor::new(lake(root).await, options, nonces).run(|| now).await.unwrap()
}

pub(crate) async fn write(
    root: &Path,
    partition: u32,
    objects: u64,
    value: impl Fn(u64) -> (i64, String),
) {
    let objects_of = Arc::new(LocalFileSystem::new_with_prefix(root).unwrap());
    let mut writer = PartitionWriter::open(objects_of, partition).await;
    for _ in 0..objects {
        writer.write(10, &value).await;
    }
}

/// The whole content of the files, as text by offset; and the files' paths with their rows in order.
type Content = (BTreeMap<(i32, i64), String>, BTreeMap<String, Vec<(i32, i64)>>);

async fn content(root: &Path) -> Content {
    let files = lake(root).await.see().await.unwrap().files("t");
    let (mut rows, mut order) = (BTreeMap::new(), BTreeMap::new());
    for file in files {
        let bytes = Bytes::from(std::fs::read(root.join(&file.path)).unwrap());
        assert_eq!(bytes.len() as u64, file.bytes);
        let keys = records(bytes.clone());
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap().build().unwrap();
        let mut texts = Vec::new();
        for batch in reader.map(Result::unwrap) {
            for row in 0..batch.num_rows() {
                let columns = batch.schema_ref().fields().iter().zip(batch.columns());
                // A column that came later is null in older rows, as it is when a reader unites the files.
                let present = columns.filter(|(_, column)| !column.is_null(row));
                let text = present
                    .map(|(field, column)| format!("{}={:?}", field.name(), column.slice(row, 1)));
                texts.push(text.collect::<Vec<_>>().join(" "));
            }
        }
        for (key, text) in keys.iter().zip(texts) {
            assert_eq!(rows.insert(*key, text), None, "{key:?} is there twice");
        }
        order.insert(file.path, keys);
    }
    (rows, order)
}

pub(crate) fn value(offset: u64) -> (i64, String) {
    let grown =
        if offset > 45 { format!(r#", "s": {{"t": [{offset}, null]}}"#) } else { String::new() };
    let odd = if offset % 17 == 3 { "1.5" } else { "2" };
    // Of three days, not in their order.
    let time = 86_400_000 * (i64::try_from(offset).unwrap() / 7 % 3) + 5;
    (time, format!(r#"{{"n": {odd}, "x": "é{offset}"{grown}}}"#))
}

/// Every value of every row stays as it is; merged rows stand by partition and offset; what was there
/// before stays where it was.
#[tokio::test]
async fn rows_stay_as_they_are_and_are_sorted() {
    let root = tempfile::tempdir().unwrap();
    for partition in [1, 0] {
        write(root.path(), partition, 8, value).await;
    }
    let (before, _) = content(root.path()).await;
    let summary = compact(root.path(), OPTIONS, LATER).await;
    assert_eq!((summary.read_files, summary.written_files, summary.steps), (14, 1, 1));
    let (after, files) = content(root.path()).await;
    assert_eq!(after, before);
    let merged = files.iter().find(|(path, _)| path.starts_with("_compacted/t/")).unwrap();
    assert_eq!(merged.1.len(), 140);
    assert!(merged.1.is_sorted());
    let again = compact(root.path(), OPTIONS, LATER).await;
    assert_eq!(again, Summary::default());
}

/// Folders by date hold the rows of that day and no other, also where files without dates were before.
#[tokio::test]
async fn folders_by_date_hold_the_rows_of_their_day() {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), 0, 12, value).await;
    let (before, _) = content(root.path()).await;
    compact(root.path(), OPTIONS, LATER).await;
    let dated = Options { limits: Limits { by_date: true, ..OPTIONS.limits }, ..OPTIONS };
    let summary = compact(root.path(), dated, LATER).await;
    assert_eq!((summary.removed_files, summary.removed_manifests), (1, 1), "{summary}");
    write(root.path(), 0, 3, value).await;
    compact(root.path(), dated, LATER).await;
    let (after, files) = content(root.path()).await;
    assert!(before.iter().all(|(key, text)| after.get(key) == Some(text)));
    assert_eq!(after.len(), 150);
    let folders: Vec<_> = files
        .iter()
        .filter_map(|(path, rows)| {
            let folder = path.strip_prefix("_compacted/t/")?.split('/').next()?;
            Some((folder, rows))
        })
        .collect();
    assert_eq!(folders.len(), 3, "{folders:?}");
    for (day, (folder, rows)) in (0..).zip(folders) {
        assert_eq!(folder, format!("kafka_date=1970-01-0{}", day + 1));
        assert!(rows.iter().all(|(_, offset)| offset / 7 % 3 == day), "{folder}: {rows:?}");
        assert!(rows.is_sorted());
    }
}

/// A file ends when it is large enough, and none holds more than its part; nothing small is left behind.
#[tokio::test]
async fn files_end_at_the_target_size() {
    let root = tempfile::tempdir().unwrap();
    let noise = |offset: u64| {
        let mut rng = ChaCha8Rng::seed_from_u64(offset);
        let text: String = (0..400)
            .map(|_| char::from(rand::RngExt::random_range(&mut rng, b'a'..=b'z')))
            .collect();
        (5, format!(r#"{{"x": "{text}"}}"#))
    };
    write(root.path(), 0, 60, noise).await;
    let limits = Limits { target_bytes: 40_000, ..OPTIONS.limits };
    compact(root.path(), Options { limits, ..OPTIONS }, LATER).await;
    let (rows, files) = content(root.path()).await;
    assert_eq!(rows.len(), 600);
    let sizes: Vec<u64> = files
        .keys()
        .filter(|path| path.starts_with("_compacted"))
        .map(|path| std::fs::metadata(root.path().join(path)).unwrap().len())
        .collect();
    assert!(sizes.len() >= 4 && sizes.len() <= 12, "{sizes:?}");
    assert!(sizes.iter().all(|size| *size < 90_000), "{sizes:?}");
}

/// Rows are given up only when every reader has had the time to learn of the merged files, and the
/// objects keep their names and footers; a second time there is nothing to do.
#[tokio::test]
async fn rows_are_given_up_after_the_grace() {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), 0, 5, value).await;
    let (before, _) = content(root.path()).await;
    let options = Options { reclaim: true, ..OPTIONS };
    let now = common::clock::Clock.timestamp();
    assert_eq!(compact(root.path(), options, now).await.reclaimed_objects, 0);
    let size = |root: &Path| {
        std::fs::metadata(root.join("t/partition=0/orders+0+00000000000000000010.parquet"))
            .unwrap()
            .len()
    };
    let whole = size(root.path());
    let after_grace = Timestamp(now.0 + 3_700_000);
    let summary = compact(root.path(), options, after_grace).await;
    assert_eq!(summary.reclaimed_objects, 4);
    assert!(size(root.path()) < whole && summary.reclaimed_bytes > 0);
    assert_eq!(compact(root.path(), options, after_grace).await.reclaimed_objects, 0);
    assert_eq!(content(root.path()).await.0, before);
    // A consumer goes on at the chain's end as before.
    write(root.path(), 0, 1, value).await;
    assert_eq!(content(root.path()).await.0.len(), 60);
}
