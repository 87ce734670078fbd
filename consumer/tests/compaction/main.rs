//! Compaction: whoever writes, compacts, dies or sleeps, every reader sees every record once.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod merged;
mod refused;
mod reader;
mod slow;
mod writer;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::moment::Timestamp;
use consumer::compact::compactor::{Compactor, Options};
use consumer::compact::lake::{CompactError, TableLake};
use consumer::compact::plan::Limits;
use consumer::sink::parquet::{Compression, Nonces};
use consumer::sink::store::Store;
use futures::TryStreamExt as _;
use object_store::{ObjectStore as _, ObjectStoreExt as _};
use rand::rngs::ChaCha8Rng;
use rand::{RngExt as _, SeedableRng as _};
use reader::{Seen, by_folder, by_manifest, link};
use slow::{Manners, Slow, World};
use writer::PartitionWriter;

const SEEDS: u64 = 16;
const PARTITIONS: u32 = 3;
const OBJECTS: u32 = 25;
const COMPACTORS: u64 = 3;
const READERS: u64 = 2;
const GRACE: Duration = Duration::from_secs(30);
/// From a reader's first look to its last; the grace must be longer.
const READ_MS: u64 = 120;

/// How far each partition is known to be stored.
type Ends = Arc<Mutex<BTreeMap<u32, u64>>>;

/// Writers append, compactors merge, die at any moment, or sleep for longer than the grace; meanwhile every
/// reader by the manifest sees each record that was stored before it began exactly once, and
/// nothing twice. So does a reader of the folders, unless objects give up their rows.
#[test]
fn every_reader_sees_every_record_once() {
    for seed in 0..SEEDS {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        tokio::task::LocalSet::new().block_on(&runtime, simulate(seed));
    }
}

async fn simulate(seed: u64) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let world = World::new();
    let ends = Ends::default();
    let is_reclaiming = rng.random_bool(0.5);
    let mut writers = tokio::task::JoinSet::new();
    for partition in 0..PARTITIONS {
        let written = write(world.clone(), Arc::clone(&ends), partition, rng.random());
        writers.spawn_local(written);
    }
    let mut others = tokio::task::JoinSet::new();
    for _ in 0..COMPACTORS {
        others.spawn_local(compact(world.clone(), is_reclaiming, rng.random()));
    }
    for _ in 0..READERS {
        let reads = read(world.clone(), Arc::clone(&ends), is_reclaiming, rng.random());
        others.spawn_local(reads);
    }
    while let Some(ended) = writers.join_next().await {
        ended.unwrap();
    }
    // Time for what is merged to be reclaimed and removed, with readers and compactors at it.
    tokio::time::sleep(4 * GRACE).await;
    others.abort_all();
    while let Some(ended) = others.join_next().await {
        let ended = ended.unwrap_err();
        assert!(ended.is_cancelled(), "seed {seed}: {ended}");
    }
    let calm = Slow::new(&world, Manners::default(), 0);
    let last = compactor(&calm, options(is_reclaiming, &mut rng), 1).await.unwrap();
    last.run(|| now(&world)).await.unwrap();
    check(&calm, &ends, is_reclaiming, &format!("seed {seed}, at the end")).await;
    check_chains(&world, &ends).await;
}

async fn write(world: World, ends: Ends, partition: u32, seed: u64) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let manners = Manners { delay_ms: 20, ..Manners::default() };
    let store = Slow::new(&world, manners, rng.random());
    let mut writer = PartitionWriter::open(Arc::new(store), partition).await;
    for _ in 0..OBJECTS {
        tokio::time::sleep(Duration::from_millis(rng.random_range(0..4_000))).await;
        let grows = rng.random_bool(0.05).then(|| rng.random_range(0..4_u32));
        let value = |offset: u64| {
            let more = grows.map(|field| format!(", \"f{field}\": 1")).unwrap_or_default();
            (86_400_000 * i64::try_from(offset / 40).unwrap(), format!("{{\"n\": {offset}{more}}}"))
        };
        writer.write(rng.random_range(1..6), value).await;
        ends.lock().unwrap().insert(partition, writer.end);
    }
}

fn options(reclaim: bool, rng: &mut ChaCha8Rng) -> Options {
    let limits = Limits {
        target_bytes: rng.random_range(2_000..40_000),
        objects_min: rng.random_range(1..8),
        objects_max: rng.random_range(3..30),
        by_date: rng.random_bool(0.3),
    };
    Options { limits, compression: Compression::Snappy, grace: GRACE, reclaim }
}

async fn compactor(store: &Slow, options: Options, seed: u64) -> Result<Compactor, CompactError> {
    let lake = TableLake::open(Store::over(Arc::new(store.clone())), "t").await?;
    let nonces = Nonces::new(ChaCha8Rng::seed_from_u64(seed));
    Ok(Compactor::new(lake, options, nonces))
}

fn now(world: &World) -> Timestamp {
    Timestamp(i64::try_from(world.now_ms()).unwrap())
}

/// Compactors one after the other, each with a fate of its own.
async fn compact(world: World, reclaim: bool, seed: u64) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    loop {
        let manners = Manners {
            delay_ms: rng.random_range(1..50),
            refused: if rng.random_bool(0.2) { 2 } else { 0 },
            answer_lost: rng.random_range(0..5),
            frozen: if rng.random_bool(0.4) { 20 } else { 0 },
            frozen_ms: 120_000,
        };
        let store = Slow::new(&world, manners, rng.random());
        let (options, seed) = (options(reclaim, &mut rng), rng.random());
        let run = async {
            let compactor = compactor(&store, options, seed).await?;
            compactor.run(|| now(&world)).await
        };
        let life = if rng.random_bool(0.4) { rng.random_range(10..3_000) } else { 1_000_000 };
        if let Ok(Err(error)) = tokio::time::timeout(Duration::from_millis(life), run).await {
            let is_expected = matches!(
                error,
                CompactError::NoTable { .. }
                    | CompactError::Store(_)
                    | CompactError::Table { .. }
                    | CompactError::Crowded { .. }
            );
            assert!(is_expected, "{}", common::chain::Chain(&error));
        }
        tokio::time::sleep(Duration::from_millis(rng.random_range(0..15_000))).await;
    }
}

async fn read(world: World, ends: Ends, is_reclaiming: bool, seed: u64) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    loop {
        let manners = Manners { delay_ms: READ_MS, ..Manners::default() };
        let store = Slow::new(&world, manners, rng.random());
        check(&store, &ends, is_reclaiming, "meanwhile").await;
        tokio::time::sleep(Duration::from_millis(rng.random_range(0..6_000))).await;
    }
}

async fn check(store: &Slow, ends: &Ends, is_reclaiming: bool, when: &str) {
    let stored = ends.lock().unwrap().clone();
    check_seen(&by_manifest(store).await, &stored, &format!("{when}, by the manifest"));
    if !is_reclaiming {
        let stored = ends.lock().unwrap().clone();
        check_seen(&by_folder(store).await, &stored, &format!("{when}, by the folder"));
    }
}

fn check_seen(seen: &Seen, stored: &BTreeMap<u32, u64>, when: &str) {
    let twice: Vec<_> = seen.iter().filter(|(_, count)| **count > 1).collect();
    assert!(twice.is_empty(), "{when}: seen twice: {twice:?}");
    for (partition, end) in stored {
        let partition = i32::try_from(*partition).unwrap();
        for offset in 0..i64::try_from(*end).unwrap() {
            assert!(
                seen.contains_key(&(partition, offset)),
                "{when}: {partition}/{offset} is lost"
            );
        }
    }
}

/// Names stay taken: every object is where it was put, and its footer says what it said.
async fn check_chains(world: &World, ends: &Ends) {
    let mut chain_ends = BTreeMap::new();
    let mut found: Vec<_> = world.objects.list(None).try_collect().await.unwrap();
    found.sort_by(|one, other| one.location.cmp(&other.location));
    for object in found.iter().filter(|object| object.location.as_ref().starts_with("t/partition="))
    {
        let (range, _) =
            link(world.objects.get(&object.location).await.unwrap().bytes().await.unwrap());
        let partition: u32 = object.location.as_ref()["t/partition=".len()..]
            .split('/')
            .next()
            .unwrap()
            .parse()
            .unwrap();
        assert_eq!(chain_ends.insert(partition, range.end).unwrap_or(0), range.start);
    }
    assert_eq!(chain_ends, *ends.lock().unwrap());
}
