//! Pure. A place for each homeless item: where there is room, where room can be made, or a new bin.

use std::cmp::Reverse;

use super::chain;
use super::draft::Draft;
use super::foresee::Cost;
use super::problem::{BinId, ItemId, Scope};

/// So many of the fullest and of the emptiest bins that have room are compared.
const COMPARED: usize = 64;

/// Places all of them, the largest first, and returns those for which no limit leaves a place.
pub(super) fn place_all(draft: &mut Draft<'_>, mut homeless: Vec<ItemId>) -> Vec<ItemId> {
    homeless.sort_by_key(|item| (Reverse(draft.size(*item)), *item));
    homeless.retain(|item| !place(draft, *item));
    homeless
}

fn place(draft: &mut Draft<'_>, item: ItemId) -> bool {
    if place_beside(draft, item) {
        return true;
    }
    let before = draft.cost;
    let mark = draft.mark();
    let may_displace = draft.problem.scope != Scope::Place;
    let is_placed = may_displace && chain::make_room(draft, item, draft.rent);
    let gain = before + i128::from(draft.rent) - draft.cost;
    if is_placed && gain >= 0 {
        return true;
    }
    // Room was made at more than a new bin is worth.
    let Some(bin) = draft.empty_bin(draft.size(item)) else { return is_placed };
    draft.undo_to(mark);
    draft.put(item, bin);
    true
}

/// Puts the item into a bin that holds something and has room for it: where it costs least, then
/// where least room is left.
pub(super) fn place_beside(draft: &mut Draft<'_>, item: ItemId) -> bool {
    let mut fitting: Vec<(u64, BinId)> = (0..draft.bins.len())
        .filter(|bin| !draft.bins[*bin].items.is_empty() && draft.fits(item, *bin))
        .map(|bin| (draft.bins[bin].room(), bin))
        .collect();
    draft.effort = draft.effort.saturating_sub(draft.bins.len() as u64 / 8);
    if fitting.len() > COMPARED {
        fitting.sort_unstable();
        let emptiest = fitting.split_off(fitting.len() - COMPARED / 2);
        fitting.truncate(COMPARED / 2);
        fitting.extend(emptiest);
    }
    draft.effort = draft.effort.saturating_sub(fitting.len() as u64 * 8);
    let rank = |(room, bin): &(u64, BinId)| -> (Cost, u64, BinId) {
        let cost = draft.move_cost(item, *bin) + draft.added_foresight(item, *bin);
        (cost, *room, *bin)
    };
    let Some((_, _, bin)) = fitting.iter().map(rank).min() else { return false };
    draft.put(item, bin);
    true
}
