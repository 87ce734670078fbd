//! Pure. Which groups of bins are searched: those around every item that moves.

use super::draft::Draft;
use super::group;
use super::problem::{BinId, ItemId};

/// Searches around each moved item until nothing improves.
pub(super) fn regroup(draft: &mut Draft<'_>) {
    let mut searched_at = vec![0; draft.place.len()];
    loop {
        let before = draft.cost;
        for item in moved(draft) {
            if draft.effort == 0 {
                return;
            }
            let since = std::mem::replace(&mut searched_at[item], draft.clock);
            around(draft, item, since);
        }
        if draft.cost == before {
            return;
        }
    }
}

/// The largest first.
fn moved(draft: &Draft<'_>) -> Vec<ItemId> {
    let items = draft.problem.items.iter().enumerate();
    let moved = items
        .filter(|(item, facts)| draft.place[*item].is_some() && draft.place[*item] != facts.home);
    let mut moved: Vec<ItemId> = moved.map(|(item, _)| item).collect();
    moved.sort_by_key(|item| (std::cmp::Reverse(draft.size(*item)), *item));
    moved
}

/// Searches the groups of the item's bin, its home, and each other bin, as far as one of them has
/// changed since.
fn around(draft: &mut Draft<'_>, item: ItemId, since: u64) {
    let home = draft.problem.items[item].home;
    let home = home.filter(|home| draft.bins[*home].may_receive);
    let mut has_had_empty = false;
    draft.effort = draft.effort.saturating_sub(draft.bins.len() as u64 / 4);
    for other in 0..draft.bins.len() {
        let Some(place) = draft.place[item] else { return };
        let is_empty = draft.bins[other].items.is_empty();
        if !draft.bins[other].may_receive || is_empty && (has_had_empty || !draft.may_open(other)) {
            continue;
        }
        // One empty bin is as good as another.
        has_had_empty |= is_empty;
        let mut bins: Vec<BinId> = [Some(place), Some(other), home].into_iter().flatten().collect();
        bins.sort_unstable();
        bins.dedup();
        if draft.effort > 0 && bins.iter().any(|bin| draft.bins[*bin].changed_at > since) {
            group::improve(draft, &bins);
        }
    }
}
