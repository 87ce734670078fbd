//! The chain of Parquet objects: every offset once, whoever writes, whatever the store does.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod faulty;
mod lake;
mod owner;
mod open;
mod agree;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::term::Term;
use consumer::lease_watch::{Lease, lease_channel};
use faulty::{Faults, Faulty};
use lake::check_chain;
use object_store::memory::InMemory;
use owner::{Fate, Known, own};
use rand::rngs::ChaCha8Rng;
use rand::{RngExt as _, SeedableRng as _};

const SEEDS: u64 = 150;

/// However owners come, freeze, wake and go, and whatever the store loses or delays: every offset is
/// stored exactly once, in a chain without holes, and no term follows a later one.
#[test]
fn every_offset_is_stored_once() {
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
    let objects = Arc::new(InMemory::new());
    // The log has holes where transactions ended and where it was compacted.
    let log: BTreeSet<u64> = (0..120).filter(|_| rng.random_bool(0.7)).collect();
    let log = Arc::new(log);
    let known = Arc::new(Mutex::new(Known::default()));
    let mut owners = tokio::task::JoinSet::new();
    for number in 0..6_u64 {
        let faults = Faults {
            refused: rng.random_range(0..20),
            answer_lost: rng.random_range(0..40),
            delayed: rng.random_range(0..20),
        };
        let store = Faulty::new(Arc::clone(&objects), faults, rng.random());
        let is_planned = rng.random_bool(0.3);
        let term = Term::new(1 + number / 3, number % 3);
        let fate = Fate { term, batches: rng.random_range(1..12), is_planned, seed: rng.random() };
        let (lease_end, lease) = lease_channel();
        let owned = own(store, Arc::clone(&log), Arc::clone(&known), fate, lease);
        let beat = Duration::from_millis(rng.random_range(10..400));
        // It freezes at some moment; the next owner comes, and it may wake and go on.
        let life = Duration::from_millis(rng.random_range(100..20_000));
        let owner = owners.spawn_local(owned);
        let heart = heart(lease_end, beat, life);
        if rng.random_bool(0.3) {
            // Worse than what may happen: it keeps its lease while others own the partition.
            tokio::task::spawn_local(heart);
            tokio::time::sleep(life / 4).await;
            unclean(&known);
            continue;
        }
        if is_planned {
            tokio::select! { () = heart => {}, () = async { while !owner.is_finished() { tokio::time::sleep(beat).await } } => {} }
        } else {
            heart.await;
            // Its end was not clean: what it said before counts for nothing.
            unclean(&known);
        }
    }
    while let Some(ended) = owners.join_next().await {
        ended.unwrap();
    }
    unclean(&known);
    let healthy = Faulty::new(Arc::clone(&objects), Faults::default(), 0);
    let last = Fate { term: Term::new(9, 0), batches: usize::MAX, is_planned: true, seed };
    own(healthy, Arc::clone(&log), Arc::clone(&known), last, owner::beating()).await;
    check(&objects, &log, seed).await;
}

/// Keeps a lease until `life` is over.
async fn heart(lease: tokio::sync::watch::Sender<Lease>, beat: Duration, life: Duration) {
    let beats = life.as_millis() / beat.as_millis();
    for _ in 0..beats {
        tokio::time::sleep(beat).await;
        lease.send_modify(|lease| {
            lease.sent += 1;
            lease.acknowledged = lease.sent;
        });
    }
    lease.send_modify(|lease| lease.lapsed = true);
}

fn unclean(known: &Mutex<Known>) {
    if let Some(hand_over) = &mut known.lock().unwrap().hand_over {
        hand_over.clean = false;
    }
}

async fn check(objects: &InMemory, log: &BTreeSet<u64>, seed: u64) {
    let objects = lake::objects(objects).await;
    let end = check_chain(&objects);
    assert_eq!(end, log.last().unwrap() + 1, "seed {seed}");
    let stored: Vec<u64> = objects.iter().flat_map(|object| object.offsets.clone()).collect();
    assert_eq!(stored, log.iter().copied().collect::<Vec<_>>(), "seed {seed}: every offset once");
    let terms: Vec<Term> = objects.iter().map(|object| object.term.parse().unwrap()).collect();
    assert!(terms.is_sorted(), "seed {seed}: {terms:?}");
}
