//! The real monitor, orchestrators and consumers, in one thread and in virtual time, on simulated brokers and a simulated sink.
//!
//! Each history is drawn from a seed. Two orchestrators with their fleets lead and depose one
//! another; consumers die, freeze, wake and lose their volumes; messages, commits and puts are lost, repeated,
//! delayed and reordered, and so are the answers to them; calendars jump; topics grow, are created anew and lose
//! records that nobody read; people ask for this and that; records are written that must change nothing.
//! What of the protocol is checked where it says [`history::Invariant`].
//!
//! `STOWAGE_SEED=n` repeats one history and shows how it ended; `STOWAGE_SEEDS=n` runs so many, from
//! `STOWAGE_SEEDS_FROM` on.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]
#![expect(clippy::disallowed_methods, reason = "histories are chosen by the environment")]

mod history;
mod seen;
mod kafka;
mod network;
mod lake;
mod streams;
mod outside;
mod lane;
mod process;
mod fleet;
mod taking_over;
mod orchestrator;
mod monitor;
mod forge;
mod world;
mod faults;
mod settle;
mod single_faults;
mod outages;

use std::collections::BTreeMap;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use history::Violation;
use seen::Seen;
use single_faults::Fault;
use world::World;

const SEEDS: u64 = 5_000;
const STEPS: u32 = 2_000;
/// Lines of a history that are shown.
const SHOWN: usize = 80;
/// Failures after which a thread gives up.
const FAILURES_MAX: usize = 10;

/// Histories that showed a fault of the code when it was found. They are always run.
const REMEMBERED: [u64; 0] = [];

/// What became of one history, or of many.
#[derive(Default)]
struct Outcome {
    seen: Seen,
    settled_in: Duration,
    /// For how long a partition was without an owner, by what had happened; after an outage, until
    /// all was well.
    unowned: BTreeMap<Fault, Duration>,
    failures: Vec<(u64, Violation)>,
}

impl Outcome {
    fn add(&mut self, other: Self) {
        self.seen += other.seen;
        self.settled_in = self.settled_in.max(other.settled_in);
        for (fault, unowned) in other.unowned {
            let longest = self.unowned.entry(fault).or_default();
            *longest = unowned.max(*longest);
        }
        self.failures.extend(other.failures);
    }
}

fn run(seed: u64) -> Result<Outcome, Violation> {
    let history = panic::catch_unwind(AssertUnwindSafe(|| {
        let mut world = World::new(seed);
        for _ in 0..STEPS {
            world.step();
        }
        let settled_in = world.settle();
        world.check_bounds();
        let mut unowned = BTreeMap::new();
        match seed % 8 {
            0 => world.stay_still(),
            1 | 2 => unowned.extend([world.suffer_one_fault()]),
            3 => unowned.extend([world.suffer_an_outage()]),
            _ => {}
        }
        Outcome { seen: world.seen(), settled_in, unowned, failures: vec![] }
    }));
    history.map_err(Violation::of)
}

/// Repeats a history, and ends with what led to its failure.
fn show(seed: u64) {
    history::begin(true);
    let outcome = run(seed);
    let Err(violation) = outcome else {
        let lines = history::last(None, SHOWN);
        return println!("{lines}\nseed {seed} is sound");
    };
    let lines = history::last(violation.partition.as_ref(), SHOWN);
    panic!("\n{lines}\n\n{violation}\nSTOWAGE_SEED={seed} repeats it");
}

#[test]
fn no_history_breaks_a_promise() {
    let number = |name| std::env::var(name).ok().map(|text| text.parse().unwrap());
    if let Some(seed) = number("STOWAGE_SEED") {
        return show(seed);
    }
    let count = number("STOWAGE_SEEDS").unwrap_or(SEEDS);
    let from = number("STOWAGE_SEEDS_FROM").unwrap_or(0);
    // What a history panics with is shown below.
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let total = run_all(from, count);
    panic::set_hook(hook);
    println!("{}longest until settled {:?}", total.seen, total.settled_in);
    println!("longest without an owner, by single faults: {:?}", total.unowned);
    for (seed, violation) in &total.failures {
        println!("seed {seed}: {violation}");
    }
    if let Some((seed, _)) = total.failures.first() {
        show(*seed);
    }
    if count >= SEEDS {
        check_that_something_happened(&total.seen);
    }
}

fn run_all(from: u64, count: u64) -> Outcome {
    let next = AtomicU64::new(0);
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let mut total = thread::scope(|scope| {
        let work = || work(&next, from, count);
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let done = workers.into_iter().map(|worker| worker.join().unwrap());
        done.fold(Outcome::default(), |mut total, outcome| {
            total.add(outcome);
            total
        })
    });
    total.failures.sort_by_key(|(seed, _)| *seed);
    total
}

/// Runs histories until there is no more, or many have failed.
fn work(next: &AtomicU64, from: u64, count: u64) -> Outcome {
    let mut total = Outcome::default();
    let remembered = REMEMBERED.len() as u64;
    while total.failures.len() < FAILURES_MAX {
        let index = next.fetch_add(1, Ordering::Relaxed);
        if index >= count + remembered {
            break;
        }
        let remembered_one = usize::try_from(index).ok().and_then(|index| REMEMBERED.get(index));
        let seed = remembered_one.copied().unwrap_or_else(|| from + index - remembered);
        match run(seed) {
            Ok(outcome) => total.add(outcome),
            Err(violation) => total.failures.push((seed, violation)),
        }
    }
    total
}

/// A simulation in which nothing happens proves nothing.
fn check_that_something_happened(seen: &Seen) {
    let often = [seen.moves, seen.opened, seen.lapses, seen.take_overs, seen.deposed, seen.gaps];
    assert!(often.iter().all(|count| *count > 1_000), "{seen}");
    let seldom = [seen.fenced, seen.accepted, seen.reopened, seen.late_commits, seen.failed_opens];
    assert!(seldom.iter().all(|count| *count > 20), "{seen}");
    let faults = [seen.kills, seen.freezes, seen.leader_kills, seen.leader_freezes, seen.volumes];
    assert!(faults.iter().all(|count| *count > 100), "{seen}");
    assert!(seen.farewells > 100, "{seen}");
    let fences = [seen.streams, seen.finalized, seen.appends, seen.already_there, seen.not_found];
    assert!(fences.iter().all(|count| *count > 10_000), "{seen}");
    let seldom = [seen.late_appends, seen.given_up_as_gone, seen.rows_missing, seen.late_answers];
    assert!(seldom.iter().all(|count| *count > 1_000), "{seen}");
    let trouble = [seen.forgotten, seen.unusable, seen.condemned];
    assert!(trouble.iter().all(|count| *count > 100), "{seen}");
    let others = [seen.topics_grown, seen.topics_created_anew, seen.clock_steps, seen.forged];
    assert!(others.iter().all(|count| *count > 100), "{seen}");
}
