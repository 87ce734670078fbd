//! Pure. When no bin may be created, what does not fit is spread fairly.

use std::cmp::Reverse;

use super::draft::Draft;
use super::problem::{BinId, ItemId, Scope};

/// Puts each item where it leads to the least utilisation, the largest first.
pub(super) fn spread(draft: &mut Draft<'_>, mut homeless: Vec<ItemId>) {
    draft.create_all();
    homeless.sort_by_key(|item| (Reverse(draft.size(*item)), *item));
    for item in homeless {
        let open = least_utilised(draft, draft.size(item), None);
        let bin = open.unwrap_or_else(|| last_resort(draft, item));
        draft.put(item, bin);
    }
    let may_move = draft.problem.scope != Scope::Place;
    while may_move && draft.effort > 0 && lower_highest(draft) {}
}

/// Where no bin may receive and none may be created, things stay, or go to the lowest bin that
/// exists. If there is none at all, one is created whatever the limits say.
fn last_resort(draft: &mut Draft<'_>, item: ItemId) -> BinId {
    let existing = draft.bins.iter().position(|hold| hold.exists);
    draft.problem.items[item].home.or(existing).unwrap_or_else(|| draft.create())
}

fn utilisation(load: u64, capacity: u64) -> u128 {
    u128::from(load) * 1_000_000 / u128::from(capacity.max(1))
}

fn least_utilised(draft: &Draft<'_>, more: u64, except: Option<BinId>) -> Option<BinId> {
    let bins = draft.bins.iter().enumerate();
    let open = bins.filter(|(bin, hold)| {
        let is_open = hold.may_receive && (!hold.items.is_empty() || draft.may_open(*bin));
        is_open && Some(*bin) != except
    });
    open.min_by_key(|(bin, hold)| {
        (utilisation(hold.load.saturating_add(more), hold.capacity), *bin)
    })
    .map(|(bin, _)| bin)
}

/// Moves one item from the most utilised bin to where both are less utilised than that.
fn lower_highest(draft: &mut Draft<'_>) -> bool {
    let bins = draft.bins.iter().enumerate().filter(|(_, hold)| hold.items.len() > 1);
    let highest =
        bins.max_by_key(|(bin, hold)| (utilisation(hold.load, hold.capacity), Reverse(*bin)));
    let Some((from, hold)) = highest else { return false };
    if hold.load <= hold.ceiling {
        return false;
    }
    draft.effort = draft.effort.saturating_sub((hold.items.len() * draft.bins.len()) as u64);
    let before = utilisation(hold.load, hold.capacity);
    let movable = hold.items.iter().filter(|item| !draft.problem.items[**item].is_pinned);
    let best = movable
        .filter_map(|item| {
            let size = draft.size(*item);
            let to = least_utilised(draft, size, Some(from))?;
            let there =
                utilisation(draft.bins[to].load.saturating_add(size), draft.bins[to].capacity);
            let here = utilisation(hold.load - size, hold.capacity);
            (size > 0 && there < before).then_some((there.max(here), size, *item, to))
        })
        .min();
    let Some((_, _, item, to)) = best else { return false };
    draft.shift(item, to);
    true
}
