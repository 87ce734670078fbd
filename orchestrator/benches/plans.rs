//! IO. How long a plan takes, from a hundred items to a hundred thousand.

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use orchestrator::pack::pack;
use orchestrator::pack::problem::{Bin, Item, Price, Problem, Scope};
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

const CAPACITY: u64 = 20_000_000;

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "far below 2⁶³")]
fn whole(size: f64) -> u64 {
    size as u64
}

/// Log-normal sizes, the sum of which fills `items` ÷ 20 bins.
fn sizes(items: usize, random: &mut ChaCha8Rng) -> Vec<u64> {
    let normal = |random: &mut ChaCha8Rng| {
        (0..12).map(|_| random.random_range(0.0..1.0_f64)).sum::<f64>() - 6.0
    };
    (0..items).map(|_| whole(CAPACITY as f64 / 33.0 * normal(random).exp())).collect()
}

fn problem(sizes: &[u64], home: &[Option<usize>], price: Price) -> Problem {
    let bins = home.iter().flatten().max().map_or(0, |bin| bin + 1);
    let bin = Bin { capacity: CAPACITY, ceiling: CAPACITY, may_receive: true, exists: true };
    let item = |(size, home): (&u64, &Option<usize>)| {
        let deviation = *size as f64 * 0.05 / 3.0_f64.sqrt();
        Item { size: *size, home: *home, is_pinned: false, variance: deviation * deviation }
    };
    Problem {
        items: sizes.iter().zip(home).map(item).collect(),
        bins: vec![bin; bins],
        new_bin: Bin { exists: false, ..bin },
        scope: Scope::Pack,
        price,
        bins_min: 0,
        bins_max: usize::MAX,
        create_max: usize::MAX,
        effort: Problem::usual_effort(sizes.len()),
    }
}

/// A plan of the day before, and the sizes of today, each up to 5 % away.
fn changed(items: usize, price: Price) -> Problem {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let mut sizes = sizes(items, &mut random);
    let packing = pack(&problem(&sizes, &vec![None; items], price));
    let home: Vec<_> = packing.bin_of.into_iter().map(Some).collect();
    for size in &mut sizes {
        *size = *size * random.random_range(950..=1050) / 1000;
    }
    problem(&sizes, &home, price)
}

fn plans(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("pack");
    group.sample_size(10);
    for items in [32, 100, 1_000, 10_000, 100_000] {
        for (name, price) in [("inf", Price::Infinite), ("1", Price::Thousandths(1000))] {
            let changed = changed(items, price);
            let id = BenchmarkId::new(format!("changed, price {name}"), items);
            group.bench_with_input(id, &changed, |bench, problem| bench.iter(|| pack(problem)));
        }
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let fresh = problem(&sizes(items, &mut random), &vec![None; items], Price::Infinite);
        let id = BenchmarkId::new("from nothing", items);
        group.bench_with_input(id, &fresh, |bench, problem| bench.iter(|| pack(problem)));
    }
    group.finish();
}

criterion_group!(benches, plans);
criterion_main!(benches);
