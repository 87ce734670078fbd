//! Pure. What must leave its bin: of an overloaded one the cheapest items whose leaving suffices.

use std::cmp::Reverse;

use super::draft::Draft;
use super::problem::{BinId, ItemId, Scope};

/// So many of the smallest items of a bin are tried in all combinations.
const WINDOW: usize = 12;

/// Takes out whatever must leave, and returns it with all that has no home.
pub(super) fn evict(draft: &mut Draft<'_>) -> Vec<ItemId> {
    let mut homeless = evict_drained(draft);
    if draft.problem.scope != Scope::Place {
        for bin in 0..draft.bins.len() {
            if draft.bins[bin].may_receive && draft.bins[bin].is_overloaded {
                homeless.extend(take_all(draft, cheapest_relief(draft, bin)));
            }
        }
    }
    homeless
}

/// Takes out what is in bins that may not receive, and returns it with all that has no home.
pub(super) fn evict_drained(draft: &mut Draft<'_>) -> Vec<ItemId> {
    let is_homeless = |item: &ItemId| draft.place[*item].is_none();
    let mut homeless: Vec<ItemId> = (0..draft.place.len()).filter(is_homeless).collect();
    if draft.problem.scope != Scope::Place {
        for bin in 0..draft.bins.len() {
            if !draft.bins[bin].may_receive {
                homeless.extend(take_all(draft, movable(draft, bin)));
            }
        }
    }
    homeless
}

fn take_all(draft: &mut Draft<'_>, items: Vec<ItemId>) -> Vec<ItemId> {
    for item in &items {
        draft.take(*item);
    }
    items
}

fn movable(draft: &Draft<'_>, bin: BinId) -> Vec<ItemId> {
    let items = draft.bins[bin].items.iter().copied();
    items.filter(|item| !draft.problem.items[*item].is_pinned).collect()
}

/// The least sum of items whose leaving brings the bin down to its capacity, or leaves one alone.
/// Where more have to leave than a few small ones, the largest that are no more than needed go first.
fn cheapest_relief(draft: &Draft<'_>, bin: BinId) -> Vec<ItemId> {
    let hold = &draft.bins[bin];
    let mut movable = movable(draft, bin);
    let mut leaving = Vec::new();
    let mut excess = hold.load.saturating_sub(hold.capacity);
    loop {
        let window = &movable[..movable.len().min(WINDOW)];
        let staying = hold.items.len() - leaving.len();
        if let Some(relief) = least_subset(draft, window, excess, staying) {
            leaving.extend(relief);
            return leaving;
        }
        if movable.len() <= WINDOW {
            leaving.extend(movable);
            return leaving;
        }
        let enough = movable[WINDOW..].partition_point(|item| draft.size(*item) <= excess);
        let item = movable.remove((WINDOW + enough).saturating_sub(1).max(WINDOW));
        excess = excess.saturating_sub(draft.size(item));
        leaving.push(item);
    }
}

/// Of all subsets that free `excess`, or leave at most one of `staying`, that with the least sum,
/// then the fewest items.
fn least_subset(
    draft: &Draft<'_>,
    window: &[ItemId],
    excess: u64,
    staying: usize,
) -> Option<Vec<ItemId>> {
    let count = 1_usize << window.len();
    let mut sums = vec![0_u64; count];
    let mut best = None;
    for set in 1..count {
        let lowest = set.trailing_zeros() as usize;
        sums[set] = sums[set & (set - 1)] + draft.size(window[lowest]);
        let left = staying - set.count_ones() as usize;
        if sums[set] >= excess || left <= 1 {
            let rank = (sums[set], set.count_ones(), Reverse(set));
            if best.is_none_or(|best| rank < best) {
                best = Some(rank);
            }
        }
    }
    let (_, _, Reverse(set)) = best?;
    let chosen = window.iter().enumerate().filter(|(at, _)| set >> at & 1 == 1);
    Some(chosen.map(|(_, item)| *item).collect())
}
