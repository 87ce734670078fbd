//! Pure. Small packings computed by hand, one for each thing that a plan can do.

use orchestrator::pack::pack;
use orchestrator::pack::problem::{Bin, BinId, Cause, Item, Packing, Price, Problem, Scope};

const BIN: Bin = Bin { capacity: 100, ceiling: 110, may_receive: true, exists: true };

fn at(size: u64, home: BinId) -> Item {
    Item { size, home: Some(home), is_pinned: false, variance: 0.0 }
}

fn problem(items: &[Item], bins: usize) -> Problem {
    Problem {
        items: items.to_vec(),
        bins: vec![BIN; bins],
        new_bin: Bin { exists: false, ..BIN },
        scope: Scope::Pack,
        price: Price::Infinite,
        bins_min: 0,
        bins_max: usize::MAX,
        create_max: usize::MAX,
        effort: 100_000,
    }
}

fn moves(packing: &Packing) -> &[(usize, Cause)] {
    &packing.moves
}

#[test]
fn a_bin_between_capacity_and_ceiling_is_left_alone() {
    let packing = pack(&problem(&[at(60, 0), at(48, 0), at(95, 1)], 2));
    assert_eq!(moves(&packing), []);
}

#[test]
fn the_cheapest_items_whose_leaving_suffices_leave_an_overloaded_bin() {
    // 115 have to become 100 at most: 10 does not suffice, 16 does, and costs less than 10 and 14.
    let items = [at(75, 0), at(14, 0), at(10, 0), at(16, 0), at(80, 1), at(90, 2)];
    let packing = pack(&problem(&items, 3));
    assert_eq!(packing.bin_of, [0, 0, 0, 1, 1, 2]);
    assert_eq!(moves(&packing), [(3, Cause::Evicted { from: 0 })]);
}

#[test]
fn an_item_displaces_smaller_ones_that_find_room_elsewhere() {
    // 30 has to leave 0 and fits nowhere; 20 makes room for it in 1 and moves on to 2.
    let items = [at(85, 0), at(30, 0), at(65, 1), at(20, 1), at(80, 2)];
    let packing = pack(&problem(&items, 3));
    assert_eq!(packing.bin_of, [0, 1, 1, 2, 2]);
    let made_room = Cause::MadeRoom { from: 1, room_for: 1 };
    assert_eq!(moves(&packing), [(1, Cause::Evicted { from: 0 }), (3, made_room)]);
    // At half a bin the two moves are worth it, at a third they are not.
    let priced = |price| Problem { price: Price::Thousandths(price), ..problem(&items, 3) };
    assert_eq!(pack(&priced(500)).bin_of, packing.bin_of);
    let packing = pack(&priced(190));
    assert_eq!(packing.bin_of, [0, 3, 1, 1, 2]);
}

#[test]
fn a_bin_is_closed_if_that_costs_less_than_it_is_worth() {
    let items = [at(60, 0), at(50, 1), at(20, 2), at(15, 2)];
    let closing = pack(&problem(&items, 3));
    assert!(!closing.bin_of.contains(&2), "{closing:?}");
    assert_eq!(moves(&closing)[0], (2, Cause::Closed { from: 2 }));
    let cheap = Problem { price: Price::Thousandths(300), ..problem(&items, 3) };
    assert_eq!(moves(&pack(&cheap)), []);
    let least = Problem { bins_min: 3, ..problem(&items, 3) };
    assert_eq!(moves(&pack(&least)), []);
    let relieve = Problem { scope: Scope::Relieve, ..problem(&items, 3) };
    assert_eq!(moves(&pack(&relieve)), []);
}

#[test]
fn a_bin_that_may_not_receive_is_emptied_but_for_what_is_pinned() {
    let mut problem = problem(&[at(30, 0), at(20, 0), at(40, 1)], 2);
    problem.bins[0].may_receive = false;
    problem.items[1].is_pinned = true;
    let packing = pack(&problem);
    assert_eq!(packing.bin_of, [1, 0, 1]);
    assert_eq!(moves(&packing), [(0, Cause::Drained { from: 0 })]);
}

#[test]
fn what_is_larger_than_a_bin_has_one_for_itself() {
    let packing = pack(&problem(&[at(150, 0), at(0, 0), at(30, 1)], 2));
    assert_eq!(packing.bin_of, [0, 1, 1]);
}

#[test]
fn overload_is_spread_fairly_when_no_bin_may_be_created() {
    let items = [at(90, 0), at(60, 0), at(60, 0), at(80, 1)];
    let packing = pack(&Problem { bins_max: 2, ..problem(&items, 2) });
    assert!(packing.is_held_back);
    // 210 and 80 become 150 and 140.
    assert_eq!(packing.bin_of, [0, 1, 0, 1]);
    let packing = pack(&Problem { create_max: 1, ..problem(&items, 2) });
    assert_eq!(packing.bin_of.iter().max(), Some(&2), "the one that may be created is");
}

#[test]
fn large_bins_take_what_small_ones_cannot() {
    let mut problem = problem(&[at(150, 0), at(60, 0), at(50, 1)], 3);
    problem.bins[2].capacity = 220;
    problem.bins[2].ceiling = 220;
    let packing = pack(&problem);
    assert_eq!(packing.bin_of, [0, 2, 2]);
}

/// With two places for the same item, it goes where the next change is less likely to evict.
#[test]
fn headroom_is_left_where_sizes_change() {
    let vary = |size, home, variance| Item { variance, ..at(size, home) };
    let restless = [vary(40, 1, 100.0), vary(40, 1, 100.0)];
    let calm = [vary(40, 2, 0.0), vary(40, 2, 0.0)];
    let items = [&[at(100, 0), at(15, 0)][..], &restless, &calm].concat();
    let packing = pack(&problem(&items, 3));
    assert_eq!(packing.bin_of, [0, 2, 1, 1, 2, 2]);
}

#[test]
fn everything_has_a_bin_even_where_none_may_receive() {
    let mut problem = Problem { create_max: 0, ..problem(&[at(30, 0), at(20, 0)], 1) };
    problem.bins[0].may_receive = false;
    problem.items[1].home = None;
    let packing = pack(&problem);
    assert!(packing.is_held_back);
    assert_eq!(packing.bin_of, [0, 0]);
}
