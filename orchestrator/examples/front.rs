//! IO. Prints the front of bins against movement over the papers' streams: all twelve published
//! heuristics, and ours at several prices.
//!
//! `front --partitions 32,100 --deltas 5,10,15,20,25 --seeds 101..120 --iterations 500 --prices inf,1000`

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use orchestrator::pack::drift::Drift;
use orchestrator::pack::fit::{Id, Input};
use orchestrator::pack::pack;
use orchestrator::pack::problem::{Bin, BinId, Item, Price, Problem, Scope};
use orchestrator::pack::published::Heuristic;
use orchestrator::pack::score;
use orchestrator::pack::stream::{CAPACITY, Orders, Stream};

/// Bins used at each iteration, and the mean R-score.
struct Run {
    used: Vec<usize>,
    r_score: f64,
}

/// Cardinal bin score, mean R-score, and time per plan, as means over seeds; and the longest plan.
#[derive(Clone, Copy, Default)]
struct Mean {
    bins: f64,
    r_score: f64,
    micros: f64,
    micros_max: f64,
}

struct Options {
    partitions: Vec<usize>,
    deltas: Vec<u64>,
    seeds: Vec<u64>,
    iterations: usize,
    prices: Vec<Price>,
}

fn main() {
    let options = Options::read();
    let mut ratios = Vec::new();
    for partitions in &options.partitions {
        for delta in &options.deltas {
            let means = evaluate(&options, *partitions, *delta);
            println!("P {partitions}, δ {delta}: CBS, R-score");
            print(&options, &means);
            ratios.push(ratios_of(&means));
        }
    }
    let mean = |of: fn(&[f64; 3]) -> f64| ratios.iter().map(of).sum::<f64>() / count(ratios.len());
    println!(
        "first price against BFD: CBS {:+.5}, R-score × {:.3}",
        mean(|r| r[0]),
        mean(|r| r[1])
    );
    println!("at MWF's CBS, between prices: R-score × {:.3}", mean(|r| r[2]));
}

fn evaluate(options: &Options, partitions: usize, delta: u64) -> Vec<Mean> {
    let algorithms = Heuristic::ALL.len() + options.prices.len();
    let mut means = vec![Mean::default(); algorithms];
    let seeds = count(options.seeds.len());
    for seed in &options.seeds {
        let stream: Vec<_> =
            Stream::new(partitions, delta, *seed).take(options.iterations).collect();
        let mut runs: Vec<Run> =
            Heuristic::ALL.iter().map(|heuristic| published(*heuristic, *seed, &stream)).collect();
        for (price, mean) in options.prices.iter().zip(&mut means[Heuristic::ALL.len()..]) {
            let (run, times) = ours(*price, &stream);
            let micros = times.iter().map(|time| time.as_secs_f64() * 1e6);
            mean.micros += micros.clone().sum::<f64>() / count(stream.len()) / seeds;
            mean.micros_max = micros.fold(mean.micros_max, f64::max);
            runs.push(run);
        }
        let r_scores: Vec<f64> = runs.iter().map(|run| run.r_score).collect();
        let used: Vec<_> = runs.into_iter().map(|run| run.used).collect();
        let bins = score::cardinal_bin_scores(&used, Heuristic::ALL.len());
        for ((mean, bins), r_score) in means.iter_mut().zip(bins).zip(r_scores) {
            mean.bins += bins / seeds;
            mean.r_score += r_score / seeds;
        }
    }
    means
}

fn published(heuristic: Heuristic, seed: u64, stream: &[Vec<u64>]) -> Run {
    let partitions = stream[0].len();
    let mut owners: Vec<Option<Id>> = vec![None; partitions];
    let mut run = Run { used: Vec::new(), r_score: 0.0 };
    for (rates, shuffled) in stream.iter().zip(Orders::new(partitions, seed)) {
        let order = if heuristic.follows_order() { shuffled } else { (0..partitions).collect() };
        let sizes: Vec<u64> = order.iter().map(|item| rates[*item]).collect();
        let current: Vec<_> = order.iter().map(|item| owners[*item]).collect();
        let input = Input { capacity: CAPACITY, sizes: &sizes, current: &current };
        let packed = heuristic.pack(&input);
        run.note(&sizes, &current, &packed, stream.len());
        for (item, owner) in order.iter().zip(packed) {
            owners[*item] = Some(owner);
        }
    }
    run
}

fn ours(price: Price, stream: &[Vec<u64>]) -> (Run, Vec<Duration>) {
    let mut home: Vec<Option<BinId>> = vec![None; stream[0].len()];
    let mut drift = Drift::default();
    let mut run = Run { used: Vec::new(), r_score: 0.0 };
    let mut times = Vec::new();
    for rates in stream {
        drift.observe(rates);
        let problem = problem(price, rates, &home, &drift);
        let before = now();
        let packing = pack(&problem);
        times.push(before.elapsed());
        run.note(rates, &home, &packing.bin_of, stream.len());
        home = packing.bin_of.into_iter().map(Some).collect();
    }
    (run, times)
}

fn problem(price: Price, rates: &[u64], home: &[Option<BinId>], drift: &Drift) -> Problem {
    let bin = Bin { capacity: CAPACITY, ceiling: CAPACITY, may_receive: true, exists: true };
    let mut bins = Vec::new();
    for home in home.iter().flatten() {
        bins.resize(bins.len().max(home + 1), Bin { exists: false, ..bin });
        bins[*home].exists = true;
    }
    let items = rates.iter().zip(home).enumerate().map(|(item, (size, home))| Item {
        size: *size,
        home: *home,
        is_pinned: false,
        variance: drift.variance(item),
    });
    Problem {
        items: items.collect(),
        bins,
        new_bin: Bin { exists: false, ..bin },
        scope: Scope::Pack,
        price,
        bins_min: 0,
        bins_max: usize::MAX,
        create_max: usize::MAX,
        effort: Problem::usual_effort(rates.len()),
    }
}

impl Run {
    fn note<B: Ord + Clone>(
        &mut self,
        sizes: &[u64],
        before: &[Option<B>],
        after: &[B],
        iterations: usize,
    ) {
        let mut held = BTreeMap::<B, (u64, usize)>::new();
        for (size, bin) in sizes.iter().zip(after) {
            let (load, items) = held.entry(bin.clone()).or_default();
            *load += size;
            *items += 1;
        }
        assert!(held.values().all(|(load, items)| *load <= CAPACITY || *items == 1), "overload");
        self.used.push(held.len());
        self.r_score += score::r_score(CAPACITY, sizes, before, after) / count(iterations);
    }
}

fn print(options: &Options, means: &[Mean]) {
    let (published, ours) = means.split_at(Heuristic::ALL.len());
    for (heuristic, mean) in Heuristic::ALL.iter().zip(published) {
        let Mean { bins, r_score, .. } = mean;
        let is_dominated = ours.iter().any(|ours| {
            let (fewer, less) = (bins - ours.bins, r_score - ours.r_score);
            fewer >= 0.0 && less >= 0.0 && fewer + less > 0.0
        });
        let note = if is_dominated { "" } else { "  no price dominates it" };
        println!("  {:8} {bins:+.4} {r_score:6.3}{note}", heuristic.name());
    }
    for (price, mean) in options.prices.iter().zip(ours) {
        let name = match price {
            Price::Infinite => "inf".to_owned(),
            Price::Thousandths(price) => price.to_string(),
        };
        let Mean { bins, r_score, micros, micros_max } = mean;
        println!("  λ {name:6} {bins:+.4} {r_score:6.3}  {micros:.0} µs, at most {micros_max:.0}");
    }
}

/// Bins above BFD's and movement relative to it at the first price; movement relative to MWF at its
/// number of bins, interpolated between the prices around it.
fn ratios_of(means: &[Mean]) -> [f64; 3] {
    let (published, ours) = means.split_at(Heuristic::ALL.len());
    let of = |wanted: Heuristic| {
        let mut all = Heuristic::ALL.iter().zip(published);
        all.find(|(heuristic, _)| **heuristic == wanted).map_or(Mean::default(), |(_, mean)| *mean)
    };
    let (bfd, mwf) = (of(Heuristic::BestFitDecreasing), of(Heuristic::ModifiedWorstFit));
    let mut front = ours.to_vec();
    front.sort_by(|a, b| a.bins.total_cmp(&b.bins));
    let around = front.windows(2).find(|pair| (pair[0].bins..=pair[1].bins).contains(&mwf.bins));
    let at_mwf = around.map_or(f64::NAN, |pair| {
        let share = (mwf.bins - pair[0].bins) / (pair[1].bins - pair[0].bins);
        (pair[0].r_score.ln() * (1.0 - share) + pair[1].r_score.ln() * share).exp()
    });
    [ours[0].bins - bfd.bins, ours[0].r_score / bfd.r_score, at_mwf / mwf.r_score]
}

impl Options {
    fn read() -> Self {
        let args: Vec<String> = std::env::args().collect();
        let text = |name: &str, default: &str| {
            let at = args.iter().position(|arg| arg == name);
            at.and_then(|at| args.get(at + 1)).map_or(default, String::as_str).to_owned()
        };
        let partitions = numbers(&text("--partitions", "32,100"));
        let price = |text: &str| match text {
            "inf" => Price::Infinite,
            thousandths => {
                Price::Thousandths(thousandths.parse().expect("thousandths of a capacity"))
            }
        };
        Self {
            partitions: partitions.iter().map(|n| usize::try_from(*n).expect("a count")).collect(),
            deltas: numbers(&text("--deltas", "5,10,15,20,25")),
            seeds: numbers(&text("--seeds", "101..120")),
            iterations: text("--iterations", "500").parse().expect("a count"),
            prices: text("--prices", "inf,3000,2000,1500,1000,750,500,250")
                .split(',')
                .map(price)
                .collect(),
        }
    }
}

/// `1,2,5` or `1..5`, both ends included.
fn numbers(text: &str) -> Vec<u64> {
    let number = |text: &str| text.parse::<u64>().expect("a number");
    match text.split_once("..") {
        Some((first, last)) => (number(first)..=number(last)).collect(),
        None => text.split(',').map(number).collect(),
    }
}

#[expect(clippy::disallowed_methods, reason = "measures how long plans take")]
fn now() -> Instant {
    Instant::now()
}

fn count(count: usize) -> f64 {
    count as f64
}
