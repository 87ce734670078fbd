//! Readers go on reading while a table is written and compacted, and see every record once.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use common::clock::Clock;
use common::moment::Timestamp;
use common::partition::TopicPartition;
use consumer::compact::compactor::{Compactor, Options, Summary};
use consumer::compact::lake::TableLake;
use consumer::compact::plan::Limits;
use consumer::record::RawRecord;
use consumer::sink::parquet::{Compression, Nonces};
use consumer::sink::store::Store;
use rand::SeedableRng as _;
use rand::rngs::ChaCha8Rng;
use url::Url;

use super::{python_or_skip, record, store, tables};

const STEPS: u64 = 8;
const STEPS_MAX: u64 = 200;
const OBJECTS: u64 = 12;
const PATIENCE: Duration = Duration::from_secs(120);
const GRACE_MS: i64 = 3_600_000;
/// A file's time is taken some moments before it gets its name.
const SLACK_MS: i64 = 2_000;

/// DuckDB and PyArrow read by the documented queries all the while, as files are merged, written anew and removed,
/// and objects give up their rows.
#[tokio::test]
async fn readers_see_every_record_once_while_a_table_is_compacted() {
    let Some(python) = python_or_skip() else { return };
    let root = tempfile::tempdir().unwrap();
    let mut stored = 0;
    // The queries are for tables that were compacted.
    write(root.path(), &mut stored).await;
    compact_orders(root.path(), Timestamp(0)).await;
    let mut reader = read(&python, root.path());
    let mut done = Summary::default();
    // On a quick machine nothing is old enough to be removed for a while.
    for step in 0.. {
        let is_all_seen = done.removed_files > 0 && done.reclaimed_objects > 0;
        if step >= STEPS && is_all_seen {
            break;
        }
        assert!(step < STEPS_MAX, "{done:?}");
        write(root.path(), &mut stored).await;
        // So long as the grace is, nobody has read but who began the round that is under way.
        let (round, began_ms) = round(&mut reader, root.path(), |_| true).await;
        let summary = compact_orders(root.path(), Timestamp(began_ms + GRACE_MS - SLACK_MS)).await;
        done.removed_files += summary.removed_files;
        done.reclaimed_objects += summary.reclaimed_objects;
        self::round(&mut reader, root.path(), |now| now > round).await;
    }
    let last = round(&mut reader, root.path(), |_| true).await.0;
    round(&mut reader, root.path(), |now| now > last + 1).await;
    std::fs::write(root.path().join("stop"), "").unwrap();
    let output = reader.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Each call stores some objects behind those before, in two partitions.
async fn write(root: &Path, stored: &mut u64) {
    let tables = tables(root).await;
    let each = *stored / 2;
    for partition in 0..2 {
        let object = |at: u64| {
            let offsets = each + at * 5..each + (at + 1) * 5;
            offsets.map(|offset| record(offset, r#"{"n": 1}"#)).collect::<Vec<RawRecord>>()
        };
        let objects = (0..OBJECTS).map(object).collect();
        store(&tables, TopicPartition::new("orders", partition), "json", objects).await;
    }
    *stored += 2 * 5 * OBJECTS;
    std::fs::write(root.join("stored.new"), stored.to_string()).unwrap();
    std::fs::rename(root.join("stored.new"), root.join("stored")).unwrap();
}

/// Merges as few objects as `objects_min` of a table.
pub(crate) async fn compact(root: &Path, table: &str, objects_min: usize) -> Summary {
    compact_at(root, table, objects_min, Timestamp(0)).await
}

async fn compact_orders(root: &Path, now: Timestamp) -> Summary {
    compact_at(root, "orders", 4, now).await
}

async fn compact_at(root: &Path, table: &str, objects_min: usize, now: Timestamp) -> Summary {
    let url = Url::from_directory_path(root.join("lake")).unwrap();
    let store = Store::open(&url, &[].into()).await.unwrap();
    let lake = TableLake::open(store, table).await.unwrap();
    let limits = Limits { target_bytes: 100_000, objects_min, objects_max: 15, by_date: false };
    let grace = Duration::from_millis(u64::try_from(GRACE_MS).unwrap());
    let options = Options { limits, compression: Compression::Zstd, grace, reclaim: true };
    let seed = Clock.timestamp().0.cast_unsigned();
    let nonces = Nonces::new(ChaCha8Rng::seed_from_u64(seed));
    Compactor::new(lake, options, nonces).run(|| now).await.unwrap()
}

fn read(python: &Path, root: &Path) -> Child {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    Command::new(python)
        .arg(here.join("tests/lake_readers/while_compacting.py"))
        .arg(here.join("../docs/compaction.md"))
        .current_dir(root)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Waits for a round of the reader; its number and when it began.
async fn round(reader: &mut Child, root: &Path, is_wanted: impl Fn(u64) -> bool) -> (u64, i64) {
    let began = Clock.now();
    loop {
        let text = std::fs::read_to_string(root.join("round")).unwrap_or_default();
        if let Some((round, at)) = text.split_once(' ')
            && is_wanted(round.parse().unwrap())
        {
            return (round.parse().unwrap(), at.parse().unwrap());
        }
        let is_over = reader.try_wait().unwrap().is_some();
        if is_over || Clock.now().saturating_since(began) > PATIENCE {
            let _ = reader.kill();
            let mut said = String::new();
            let mut errors = reader.stderr.take().unwrap();
            std::io::Read::read_to_string(&mut errors, &mut said).unwrap();
            panic!("the reader ended or stood still: {said}");
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
