//! Pure. What holds for every packing of every problem.

use std::collections::{BTreeMap, BTreeSet};

use orchestrator::pack::fit::Input;
use orchestrator::pack::pack;
use orchestrator::pack::problem::{Bin, BinId, Item, Packing, Price, Problem, Scope};
use orchestrator::pack::published::Heuristic;
use orchestrator::pack::score;
use proptest::prelude::*;

const CAPACITY: u64 = 100;

fn bin() -> impl Strategy<Value = Bin> {
    let capacity = prop_oneof![4 => Just(CAPACITY), 1 => 50_u64..200];
    (capacity, 0_u64..20, prop::bool::weighted(0.85), prop::bool::weighted(0.85)).prop_map(
        |(capacity, margin, may_receive, exists)| {
            let may_receive = may_receive || !exists;
            Bin { capacity, ceiling: capacity + margin, may_receive, exists }
        },
    )
}

fn price() -> impl Strategy<Value = Price> {
    prop_oneof![Just(Price::Infinite), (100_u32..3000).prop_map(Price::Thousandths)]
}

/// Up to 40 items in up to 12 bins, with no limit on how many are created.
fn unlimited() -> impl Strategy<Value = Problem> {
    let bins = prop::collection::vec(bin(), 0..12);
    let size = prop_oneof![1 => Just(0), 8 => 0_u64..=CAPACITY, 1 => CAPACITY..300];
    let home = prop::option::weighted(0.8, any::<prop::sample::Index>());
    let item = (size, home, prop::bool::weighted(0.05), 0_u32..100);
    let items = prop::collection::vec(item, 0..40);
    (bins, items, price(), 0_usize..6, 0_u64..20).prop_map(
        |(bins, items, price, bins_min, margin)| {
            let living: Vec<BinId> = (0..bins.len()).filter(|bin| bins[*bin].exists).collect();
            let item = |(size, home, is_pinned, variance): (
                u64,
                Option<prop::sample::Index>,
                bool,
                u32,
            )| {
                let home = home.filter(|_| !living.is_empty()).map(|home| *home.get(&living));
                Item {
                    size,
                    home,
                    is_pinned: is_pinned && home.is_some(),
                    variance: variance.into(),
                }
            };
            Problem {
                items: items.into_iter().map(item).collect(),
                bins,
                new_bin: Bin {
                    capacity: CAPACITY,
                    ceiling: CAPACITY + margin,
                    may_receive: true,
                    exists: false,
                },
                scope: Scope::Pack,
                price,
                bins_min,
                bins_max: usize::MAX,
                create_max: usize::MAX,
                effort: 100_000,
            }
        },
    )
}

fn limited() -> impl Strategy<Value = Problem> {
    let scope = prop_oneof![Just(Scope::Place), Just(Scope::Relieve), Just(Scope::Pack)];
    (unlimited(), scope, 0_usize..12, 0_usize..4).prop_map(|(problem, scope, more, create_max)| {
        let existing = problem.bins.iter().filter(|bin| bin.exists).count();
        Problem { scope, bins_max: existing + more, create_max, ..problem }
    })
}

/// Whether some bin is there that can receive, or may be created.
fn has_receiver(problem: &Problem) -> bool {
    let existing: Vec<_> = problem.bins.iter().filter(|bin| bin.exists).collect();
    let may_create = problem.create_max > 0 && problem.bins_max > existing.len();
    may_create || existing.iter().any(|bin| bin.may_receive)
}

/// As the papers have it: one capacity, nothing pinned, nothing drains.
fn uniform() -> impl Strategy<Value = Problem> {
    unlimited().prop_map(|mut problem| {
        let bin = Bin { capacity: CAPACITY, ceiling: CAPACITY, may_receive: true, exists: true };
        problem.bins.fill(bin);
        problem.bins_min = 0;
        problem.new_bin = Bin { exists: false, ..bin };
        for item in &mut problem.items {
            item.is_pinned = false;
        }
        problem
    })
}

fn facts(problem: &Problem, bin: BinId) -> Bin {
    problem.bins.get(bin).copied().unwrap_or(problem.new_bin)
}

fn contents(place: &[BinId]) -> BTreeMap<BinId, Vec<usize>> {
    let mut contents = BTreeMap::<BinId, Vec<usize>>::new();
    for (item, bin) in place.iter().enumerate() {
        contents.entry(*bin).or_default().push(item);
    }
    contents
}

fn load(problem: &Problem, items: &[usize]) -> u64 {
    items.iter().map(|item| problem.items[*item].size).sum()
}

fn homes(problem: &Problem) -> BTreeMap<BinId, Vec<usize>> {
    let mut homes = BTreeMap::<BinId, Vec<usize>>::new();
    for (item, facts) in problem.items.iter().enumerate() {
        if let Some(home) = facts.home {
            homes.entry(home).or_default().push(item);
        }
    }
    homes
}

/// The same problem once the packing has been carried out; whoever is left without anything is gone,
/// but for as many as the minimum keeps.
fn carried_out(problem: &Problem, packing: &Packing) -> Problem {
    let mut next = problem.clone();
    let used: BTreeSet<BinId> = packing.bin_of.iter().copied().collect();
    let bins = used.last().map_or(0, |last| last + 1).max(next.bins.len());
    next.bins.resize(bins, next.new_bin);
    let receive = used.iter().filter(|bin| next.bins[**bin].may_receive);
    let mut lacking = problem.bins_min.saturating_sub(receive.count());
    for id in 0..bins {
        let bin = &mut next.bins[id];
        if used.contains(&id) {
            bin.exists = true;
        } else if bin.exists && bin.may_receive && lacking > 0 {
            lacking -= 1;
        } else {
            *bin = next.new_bin;
        }
    }
    for (item, bin) in next.items.iter_mut().zip(&packing.bin_of) {
        item.home = Some(*bin);
    }
    next
}

fn number(bin: BinId) -> u32 {
    u32::try_from(bin).expect("few bins") + 1
}

fn moved(problem: &Problem, packing: &Packing) -> u64 {
    let moves = packing.moves.iter().map(|(item, _)| &problem.items[*item]);
    moves.filter(|item| item.home.is_some()).map(|item| item.size).sum()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn every_item_has_one_bin_and_limits_are_kept(problem in limited()) {
        let packing = pack(&problem);
        prop_assert_eq!(packing.bin_of.len(), problem.items.len());
        let used: BTreeSet<BinId> = packing.bin_of.iter().copied().collect();
        let created = used.iter().filter(|bin| !facts(&problem, **bin).exists).count();
        let existing = problem.bins.iter().filter(|bin| bin.exists).count();
        let is_within = created <= problem.create_max && existing + created <= problem.bins_max;
        prop_assert!(is_within || created == 0 || !has_receiver(&problem));
    }

    #[test]
    fn the_same_problem_has_the_same_packing(problem in limited()) {
        prop_assert_eq!(pack(&problem), pack(&problem));
    }

    #[test]
    fn what_is_pinned_stays_and_what_may_not_receive_does_not(problem in limited()) {
        let packing = pack(&problem);
        for (item, bin) in problem.items.iter().zip(&packing.bin_of) {
            prop_assert!(!item.is_pinned || item.home == Some(*bin));
            let may_stay = problem.scope == Scope::Place || item.is_pinned;
            let stays = item.home == Some(*bin) && may_stay;
            prop_assert!(facts(&problem, *bin).may_receive || stays || !has_receiver(&problem));
        }
    }

    #[test]
    fn old_rates_move_nothing(problem in limited()) {
        let problem = Problem { scope: Scope::Place, ..problem };
        let packing = pack(&problem);
        prop_assert_eq!(moved(&problem, &packing), 0);
    }

    /// Unless what is pinned is too much by itself.
    #[test]
    fn nothing_is_overloaded_while_bins_may_be_created(problem in unlimited()) {
        let packing = pack(&problem);
        prop_assert!(!packing.is_held_back);
        let homes = homes(&problem);
        for (bin, items) in contents(&packing.bin_of) {
            let Bin { capacity, ceiling, .. } = facts(&problem, bin);
            let held = homes.get(&bin).cloned().unwrap_or_default();
            let was_overloaded = load(&problem, &held) > ceiling && held.len() > 1;
            let has_arrivals = items.iter().any(|item| problem.items[*item].home != Some(bin));
            let limit = if was_overloaded || has_arrivals { capacity } else { ceiling };
            let has_pinned = items.iter().any(|item| problem.items[*item].is_pinned);
            prop_assert!(load(&problem, &items) <= limit || items.len() == 1 || has_pinned);
        }
    }

    #[test]
    fn planning_again_changes_nothing(problem in unlimited()) {
        let packing = pack(&problem);
        let again = pack(&carried_out(&problem, &packing));
        prop_assert_eq!(&again.bin_of, &packing.bin_of);
        prop_assert!(again.moves.is_empty());
    }

    /// Unless it is for fewer bins.
    #[test]
    fn nothing_moves_more_than_best_fit_decreasing_from_nothing_would_move(problem in uniform()) {
        let packing = pack(&problem);
        let current: Vec<Option<u32>> =
            problem.items.iter().map(|item| item.home.map(number)).collect();
        let sizes: Vec<u64> = problem.items.iter().map(|item| item.size).collect();
        let input = Input { capacity: CAPACITY, sizes: &sizes, current: &current };
        let nothing = Heuristic::BestFitDecreasing.pack(&input);
        let after: Vec<u32> = packing.bin_of.iter().map(|bin| number(*bin)).collect();
        let r_score = |after| score::r_score(CAPACITY, &sizes, &current, after);
        prop_assert!(score::bins_used(&after) <= score::bins_used(&nothing) || problem.price != Price::Infinite);
        prop_assert!(
            score::bins_used(&after) < score::bins_used(&nothing)
                || r_score(&after) <= r_score(&nothing)
        );
    }
}
