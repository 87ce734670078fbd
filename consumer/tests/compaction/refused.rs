//! What a compactor does not touch: chains and files that are not what they should be, and what others still need.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use common::moment::Timestamp;
use consumer::compact::compactor::{Compactor, Options};
use consumer::compact::encode::{PARTS, Part};
use consumer::compact::layout::manifest_path;
use consumer::compact::plan::Limits;
use consumer::sink::parquet::Nonces;
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use rand::SeedableRng as _;
use rand::rngs::ChaCha8Rng;

use crate::merged::{OPTIONS, compact, lake, value, write};

fn object(root: &Path, partition: u32, from: u64) -> PathBuf {
    root.join(format!("t/partition={partition}/orders+{partition}+{from:020}.parquet"))
}

/// Why nothing was merged.
async fn refused(root: &Path) -> String {
    let nonces = Nonces::new(ChaCha8Rng::seed_from_u64(7));
    let compactor = Compactor::new(lake(root).await, OPTIONS, nonces);
    let before = lake(root).await.see().await.unwrap();
    let error = compactor.run(|| common::clock::Clock.timestamp()).await.unwrap_err();
    let after = lake(root).await.see().await.unwrap();
    assert_eq!((&after.chains, &after.versions), (&before.chains, &before.versions));
    error.to_string()
}

/// A manifest that covers a hole would hide for good that records are missing.
#[tokio::test]
async fn a_chain_with_a_hole_is_not_merged() {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), 0, 5, value).await;
    fs::remove_file(object(root.path(), 0, 20)).unwrap();
    let problem = refused(root.path()).await;
    assert!(problem.contains("its footer says 10 to 20"), "{problem}");
}

#[tokio::test]
async fn an_object_of_another_partition_is_not_merged() {
    let root = tempfile::tempdir().unwrap();
    for partition in [0, 1] {
        write(root.path(), partition, 5, value).await;
    }
    fs::copy(object(root.path(), 1, 20), object(root.path(), 0, 20)).unwrap();
    let problem = refused(root.path()).await;
    assert!(problem.contains("its footer names another partition than orders/0"), "{problem}");
}

#[tokio::test]
async fn a_chain_of_another_topic_does_not_go_on_with_what_is_merged() {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), 0, 5, value).await;
    compact(root.path(), OPTIONS, common::clock::Clock.timestamp()).await;
    let manifest = root.path().join(manifest_path("t", 1));
    let text = fs::read_to_string(&manifest).unwrap();
    let id = |last: char| format!(r#""topic_id":"00000000-0000-0000-0000-00000000000{last}""#);
    assert!(text.contains(&id('1')), "{text}");
    fs::write(&manifest, text.replace(&id('1'), &id('9'))).unwrap();
    write(root.path(), 0, 5, value).await;
    let problem = refused(root.path()).await;
    assert!(problem.contains("its chain belongs to the topic id"), "{problem}");
}

/// Whoever lost a merged file is told before anything more is given up.
#[tokio::test]
async fn a_merged_file_that_is_missing_is_said() {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), 0, 5, value).await;
    compact(root.path(), OPTIONS, common::clock::Clock.timestamp()).await;
    let manifest = lake(root.path()).await.see().await.unwrap().manifest.unwrap();
    fs::remove_file(root.path().join(&manifest.files[0].path)).unwrap();
    let problem = refused(root.path()).await;
    assert!(problem.contains("it is not there"), "{problem}");
}

/// What a manifest covers that readers do not know yet is given up by a later run, and not forgotten.
#[tokio::test]
async fn rows_that_are_merged_later_are_given_up_later() {
    let root = tempfile::tempdir().unwrap();
    let options = Options { reclaim: true, ..OPTIONS };
    let now = common::clock::Clock.timestamp();
    write(root.path(), 0, 5, value).await;
    compact(root.path(), options, now).await;
    let first = File::options().write(true).open(root.path().join(manifest_path("t", 1))).unwrap();
    // Long before anybody began to read.
    first.set_modified(SystemTime::UNIX_EPOCH).unwrap();
    write(root.path(), 0, 5, value).await;
    assert_eq!(compact(root.path(), options, now).await.reclaimed_objects, 4);
    let later = Timestamp(now.0 + 3_700_000);
    assert_eq!(compact(root.path(), options, later).await.reclaimed_objects, 5);
}

/// Of the offsets that a part says, no other file of its folder holds any: also where a file was ended amid an object's rows.
#[tokio::test]
async fn parts_of_files_do_not_overlap() {
    let root = tempfile::tempdir().unwrap();
    let day = |offset: u64| i64::try_from(offset / 3 % 2).unwrap();
    let dated = |offset: u64| (86_400_000 * day(offset), format!(r#"{{"n": {offset}}}"#));
    write(root.path(), 0, 4, dated).await;
    // Each file is large enough at once.
    let limits = Limits { target_bytes: 1, by_date: true, ..OPTIONS.limits };
    compact(root.path(), Options { limits, ..OPTIONS }, common::clock::Clock.timestamp()).await;
    let manifest = lake(root.path()).await.see().await.unwrap().manifest.unwrap();
    let mut parts = Vec::new();
    for file in &manifest.files {
        let folder = file.path.rsplit_once('/').unwrap().0;
        let reader = SerializedFileReader::new(File::open(root.path().join(&file.path)).unwrap());
        let metadata = reader.unwrap().metadata().file_metadata().key_value_metadata().cloned();
        let entry = metadata.unwrap().into_iter().find(|entry| entry.key == PARTS).unwrap();
        let of_file: Vec<Part> = serde_json::from_str(&entry.value.unwrap()).unwrap();
        parts.extend(of_file.into_iter().map(|part| (folder.to_owned(), part.from, part.to)));
    }
    parts.sort_unstable();
    assert!(parts.len() > 8, "{parts:?}");
    let is_apart = |pair: &[(String, u64, u64)]| pair[0].0 != pair[1].0 || pair[0].2 <= pair[1].1;
    assert!(parts.windows(2).all(is_apart), "{parts:?}");
}
