//! Streams of a partition's owners in BigQuery: every offset once, whoever writes, whatever the service does.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod owner;
mod scene;
mod open;
mod delivery;
mod changes;

use std::collections::BTreeSet;

use common::term::Term;
use futures::future::join_all;
use owner::{Fate, Life, own};
use rand::rngs::ChaCha8Rng;
use rand::{RngExt as _, SeedableRng as _};
use scene::Scene;
use serde_json::json;

const SEEDS: u64 = 12;

/// However owners come, freeze, wake and go, and whatever the service loses, refuses or delays: every offset
/// is stored exactly once, in order, and nothing is stored in a stream that was ended.
#[tokio::test]
async fn every_offset_is_stored_once() {
    join_all((0..SEEDS).map(simulate)).await;
}

async fn simulate(seed: u64) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let scene = Scene::new().await;
    // The log has holes where transactions ended and where it was compacted.
    let log: BTreeSet<u64> = (0..150).filter(|_| rng.random_bool(0.7)).collect();
    let mut frozen = Vec::new();
    for number in 0..6_u64 {
        scene.faults(faults(&mut rng));
        let fate = Fate {
            term: Term::new(1 + number / 3, number % 3),
            batches: rng.random_range(1..8),
            is_planned: rng.random_bool(0.3),
            seed: rng.random(),
        };
        let mut owner = Box::pin(own(&scene, &log, fate));
        // Whoever is not planned to end is put away in the middle of whatever it does.
        let calls = if fate.is_planned { u64::MAX } else { rng.random_range(1..25) };
        if let Life::Frozen = owner::live(&scene, &mut owner, calls).await {
            frozen.push(owner);
        }
        if !frozen.is_empty() && rng.random_bool(0.4) {
            let mut woken = frozen.swap_remove(rng.random_range(0..frozen.len()));
            if let Life::Frozen = owner::live(&scene, &mut woken, rng.random_range(1..4)).await {
                frozen.push(woken);
            }
        }
    }
    scene.no_more_faults();
    let last =
        Fate { term: Term::new(9, 0), batches: usize::MAX, is_planned: true, seed: rng.random() };
    own(&scene, &log, last).await;
    // Those that sleep still wake up now, and find their streams ended.
    for owner in frozen {
        owner.await;
    }
    assert_eq!(scene.offsets(), log.iter().copied().collect::<Vec<_>>(), "seed {seed}");
    scene.check_fences();
}

fn faults(rng: &mut ChaCha8Rng) -> serde_json::Value {
    let append = [
        json!({"rpc": "AppendRows", "action": "lose"}),
        json!({"rpc": "AppendRows", "action": "hang"}),
        json!({"rpc": "AppendRows", "action": "reset"}),
        json!({"rpc": "AppendRows", "action": "reset_before"}),
        json!({"rpc": "AppendRows", "action": {"refuse": {"code": "UNAVAILABLE"}}}),
        json!({"rpc": "AppendRows", "action": {"refuse": {"code": "RESOURCE_EXHAUSTED"}}}),
        json!({"rpc": "AppendRows", "action": {"refuse_in_band": {"code": "INTERNAL"}}}),
        json!({"rpc": "AppendRows", "action": {"delay_after": {"ms": 300}}}),
    ];
    let others = [
        json!({"rpc": "FinalizeWriteStream", "action": "lose"}),
        json!({"rpc": "CreateWriteStream", "action": "lose"}),
        json!({"rpc": "CreateWriteStream", "action": "reset"}),
        json!({"rpc": "jobs.query", "action": {"http": {"status": 503, "body": "html"}}}),
        json!({"rpc": "tables.get", "action": {"http": {"status": 500, "body": "empty"}}}),
    ];
    let mut list = Vec::new();
    for _ in 0..rng.random_range(0..4) {
        let mut fault = append[rng.random_range(0..append.len())].clone();
        fault["after"] = rng.random_range(0..4).into();
        list.push(fault);
    }
    if rng.random_bool(0.5) {
        list.push(others[rng.random_range(0..others.len())].clone());
    }
    list.into()
}
