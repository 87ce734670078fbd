//! Pure. Planning from nothing: best fit decreasing, and each bin under the number that saves most moves.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::draft::{Draft, Hold};
use super::problem::{BinId, ItemId};

/// Packs all that may move anew. Returns false if a limit leaves no place for some of it.
pub(super) fn pack_anew(draft: &mut Draft<'_>) -> bool {
    let items = take_smallest(draft, draft.place.len());
    if !best_fit_decreasing(draft, items) {
        return false;
    }
    relabel(draft);
    true
}

/// Packs the homeless and so many of the smallest items anew, while larger ones stay. Small ones
/// fill what large ones leave, so this finds room where nothing else does.
pub(super) fn repack_smallest(draft: &mut Draft<'_>, homeless: Vec<ItemId>, count: usize) -> bool {
    let mut items = take_smallest(draft, count);
    items.extend(homeless);
    items.sort_unstable();
    items.dedup();
    best_fit_decreasing(draft, items)
}

/// Takes out the smallest items, as far as they may move.
fn take_smallest(draft: &mut Draft<'_>, count: usize) -> Vec<ItemId> {
    let is_free = |item: &ItemId| {
        let facts = &draft.problem.items[*item];
        !(facts.is_pinned && facts.home.is_some())
    };
    let mut items: Vec<ItemId> = (0..draft.place.len()).filter(is_free).collect();
    items.sort_by_key(|item| (draft.size(*item), *item));
    items.truncate(count);
    for item in &items {
        draft.take(*item);
    }
    items
}

fn best_fit_decreasing(draft: &mut Draft<'_>, mut items: Vec<ItemId>) -> bool {
    items.sort_by_key(|item| (Reverse(draft.size(*item)), *item));
    let has_room = |hold: &Hold| hold.may_receive && hold.load <= hold.capacity;
    let bins = draft.bins.iter().enumerate();
    let open = bins.filter(|(_, hold)| has_room(hold) && !hold.items.is_empty());
    let mut rooms: BTreeSet<(u64, BinId)> = open.map(|(bin, hold)| (hold.room(), bin)).collect();
    for item in items {
        let fullest = rooms.range((draft.size(item), 0)..).next().copied();
        if let Some(room) = fullest {
            rooms.remove(&room);
        }
        let chosen = fullest.map(|(_, bin)| bin).or_else(|| empty_bin(draft, item));
        let Some(bin) = chosen else { return false };
        draft.put(item, bin);
        if has_room(&draft.bins[bin]) {
            rooms.insert((draft.bins[bin].room(), bin));
        }
    }
    true
}

/// The item's own bin if that is empty, else any.
fn empty_bin(draft: &mut Draft<'_>, item: ItemId) -> Option<BinId> {
    let home = draft.problem.items[item].home.filter(|home| {
        let hold = &draft.bins[*home];
        let is_large = hold.capacity >= draft.size(item).min(draft.problem.new_bin.capacity);
        draft.may_open(*home) && hold.items.is_empty() && is_large
    });
    home.or_else(|| draft.empty_bin(draft.size(item)))
}

/// Exchanges the contents of bins so that more items are at home, the largest gains first.
fn relabel(draft: &mut Draft<'_>) {
    let mut gains = BTreeMap::<(BinId, BinId), u64>::new();
    for (item, facts) in draft.problem.items.iter().enumerate() {
        if let (Some(home), Some(bin)) = (facts.home, draft.place[item]) {
            *gains.entry((bin, home)).or_default() += facts.size;
        }
    }
    let mut gains: Vec<_> = gains.into_iter().map(|(pair, gain)| (Reverse(gain), pair)).collect();
    gains.sort_unstable();
    // What was in a bin at first is now in another, and the other way round.
    let mut now_in: Vec<BinId> = (0..draft.bins.len()).collect();
    let mut now_of = now_in.clone();
    let mut is_settled = vec![false; draft.bins.len()];
    let mut is_taken = vec![false; draft.bins.len()];
    for (_, (content, home)) in gains {
        let (from, other) = (now_in[content], now_of[home]);
        if is_settled[content] || is_taken[home] || !may_swap(draft, [content, other], [from, home])
        {
            continue;
        }
        (now_in[content], now_in[other]) = (home, from);
        (now_of[home], now_of[from]) = (content, other);
        is_settled[content] = true;
        is_taken[home] = true;
    }
    let place = draft.place.iter().enumerate();
    let goals = place.filter_map(|(item, bin)| Some((item, (*bin)?, now_in[(*bin)?])));
    let goals: Vec<_> = goals.filter(|(_, bin, to)| bin != to).collect();
    let (mark, before) = (draft.mark(), draft.moved);
    for (item, _, _) in &goals {
        draft.take(*item);
    }
    for (item, _, to) in goals {
        draft.put(item, to);
    }
    if draft.moved > before {
        draft.undo_to(mark);
    }
}

/// Whether what two bins held at first may change places between the bins in which it is now.
fn may_swap(draft: &Draft<'_>, contents: [BinId; 2], bins: [BinId; 2]) -> bool {
    let is_fixed = |bin: BinId| {
        let hold = &draft.bins[bin];
        !hold.may_receive || hold.items.iter().any(|item| draft.problem.items[*item].is_pinned)
    };
    let fits = |content: BinId, bin: BinId| {
        let hold = &draft.bins[content];
        hold.load <= draft.bins[bin].capacity || hold.items.len() <= 1
    };
    let stays = bins[0] == bins[1];
    let is_free = ![contents[0], contents[1], bins[0], bins[1]].into_iter().any(is_fixed);
    stays || is_free && fits(contents[0], bins[1]) && fits(contents[1], bins[0])
}
