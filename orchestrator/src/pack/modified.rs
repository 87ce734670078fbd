//! Pure. The published modified any-fit heuristics: they go through the consumers that there are.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::any_fit::{Created, descending};
use super::fit::{Fit, Id, Input};

/// MWF and MBF: consumers by descending sum of what they hold.
pub(super) fn by_total(input: &Input<'_>, fit: Fit) -> Vec<Id> {
    pack(input, fit, |sizes| sizes.iter().sum())
}

/// MWFP and MBFP: consumers by descending largest item.
pub(super) fn by_largest(input: &Input<'_>, fit: Fit) -> Vec<Id> {
    pack(input, fit, |sizes| sizes.iter().copied().max().unwrap_or(0))
}

fn pack(input: &Input<'_>, fit: Fit, rank: fn(&[u64]) -> u64) -> Vec<Id> {
    let mut created = Created::new(input);
    let homeless = (0..input.sizes.len()).filter(|item| input.current[*item].is_none());
    let mut unassigned: Vec<usize> = homeless.collect();
    for (id, items) in ranked(input, rank) {
        let items = descending(input.sizes, items);
        unassigned.extend(revisit(&mut created, id, &items, fit));
    }
    unassigned.sort_unstable();
    for item in descending(input.sizes, unassigned) {
        created.assign(item, fit);
    }
    created.into_assignment()
}

/// The consumers that hold something, highest rank first, equal ones by their number.
fn ranked(input: &Input<'_>, rank: fn(&[u64]) -> u64) -> Vec<(Id, Vec<usize>)> {
    let mut held = BTreeMap::<Id, Vec<usize>>::new();
    for (item, id) in input.current.iter().enumerate() {
        if let Some(id) = id {
            held.entry(*id).or_default().push(item);
        }
    }
    let mut ranked: Vec<_> = held.into_iter().collect();
    ranked.sort_by_key(|(_, items)| {
        let sizes: Vec<u64> = items.iter().map(|item| input.sizes[*item]).collect();
        Reverse(rank(&sizes))
    });
    ranked
}

/// Spreads the smallest of `items` over the consumers created before, keeps the largest of what
/// remains at `id`, and returns what does not fit. `items` are in descending order.
fn revisit(created: &mut Created<'_>, id: Id, items: &[usize], fit: Fit) -> Vec<usize> {
    let mut left = items.len();
    while left > 0 && created.assign_to_existing(items[left - 1], fit) {
        left -= 1;
    }
    if left == 0 {
        return Vec::new();
    }
    created.create(id);
    let mut kept = 0;
    while kept < left && created.put_if_it_fits(items[kept], id) {
        kept += 1;
    }
    items[kept..left].to_vec()
}

#[cfg(test)]
mod tests {
    use super::super::published::Heuristic::{self, *};
    use super::*;

    fn pack(heuristic: Heuristic, sizes: &[u64], current: &[u32]) -> Vec<Id> {
        let current: Vec<_> = current.iter().map(|id| (*id > 0).then_some(*id)).collect();
        heuristic.pack(&Input { capacity: 10, sizes, current: &current })
    }

    #[test]
    fn a_consumer_dissolves_if_all_it_holds_fits_elsewhere() {
        // 1 holds 6, 2 holds 3: the fuller one is kept first, then 3 joins it.
        for heuristic in [ModifiedWorstFit, ModifiedBestFit, ModifiedWorstFitPartition] {
            assert_eq!(pack(heuristic, &[6, 3], &[1, 2]), [1, 1]);
        }
    }

    #[test]
    fn the_largest_are_kept_and_the_rest_is_assigned_at_the_end() {
        // 1 keeps 6; 5 does not fit, so 1 goes with it. 2 keeps 5. At the end 5 joins 2, 1 joins 1.
        for heuristic in [ModifiedWorstFit, ModifiedBestFit, ModifiedBestFitPartition] {
            assert_eq!(pack(heuristic, &[6, 5, 1, 5], &[1, 1, 1, 2]), [1, 2, 1, 2]);
        }
    }

    #[test]
    fn the_rank_is_the_sum_or_the_largest() {
        // 1 holds 4 and 4 (sum 8), 2 holds 7. By sum, 1 comes first and 7 stays where it is.
        // By the largest, 2 comes first, and the two fours do not fit.
        // 3 holds 2: worst fit gives it to 7, best fit to 8.
        let (sizes, current) = ([4, 4, 7, 2], [1, 1, 2, 3]);
        assert_eq!(pack(ModifiedWorstFit, &sizes, &current), [1, 1, 2, 2]);
        assert_eq!(pack(ModifiedBestFit, &sizes, &current), [1, 1, 2, 1]);
        // 3 (largest 5) comes before 1 (largest 4) and keeps its 5; a 4 of 1 joins 5.
        let (sizes, current) = ([4, 4, 7, 5], [1, 1, 2, 3]);
        assert_eq!(pack(ModifiedWorstFitPartition, &sizes, &current), [1, 3, 2, 3]);
        assert_eq!(pack(ModifiedBestFitPartition, &sizes, &current), [1, 3, 2, 3]);
        assert_eq!(pack(ModifiedWorstFit, &sizes, &current), [1, 1, 2, 3]);
    }

    #[test]
    fn without_a_current_consumer_items_are_assigned_at_the_end() {
        assert_eq!(pack(ModifiedWorstFit, &[3, 8, 6], &[0, 0, 0]), [2, 1, 2]);
        assert_eq!(pack(ModifiedBestFitPartition, &[3, 8, 6], &[0, 5, 0]), [1, 5, 1]);
    }
}
