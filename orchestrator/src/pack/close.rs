//! Pure. Bins are closed as long as moving what they hold costs less than they are worth.

use super::chain::make_room;
use super::draft::{Draft, cost_of};
use super::foresee::Cost;
use super::place::place_beside;
use super::problem::{BinId, ItemId};

/// Closes bins, those that cost least first, down to `least` bins. Returns whether any was closed.
pub(super) fn close_spare(draft: &mut Draft<'_>, least: usize) -> bool {
    let mut has_closed = false;
    while draft.used() > least && draft.may_close(1) && draft.effort > 0 {
        if !close_one(draft) {
            break;
        }
        has_closed = true;
    }
    has_closed
}

fn close_one(draft: &mut Draft<'_>) -> bool {
    let is_candidate = |bin: &BinId| {
        let hold = &draft.bins[*bin];
        let is_pinned = |item: &ItemId| draft.problem.items[*item].is_pinned;
        hold.may_receive && !hold.items.is_empty() && !hold.items.iter().any(is_pinned)
    };
    let rooms = draft.bins.iter().filter(|hold| hold.may_receive && !hold.items.is_empty());
    let room = rooms.fold(0_u64, |room, hold| room.saturating_add(hold.room()));
    let is_room_left = |bin: &BinId| room - draft.bins[*bin].room() >= draft.bins[*bin].load;
    let candidates = (0..draft.bins.len()).filter(is_candidate).filter(is_room_left);
    let mut candidates: Vec<(Cost, BinId)> =
        candidates.map(|bin| (least_cost(draft, bin), bin)).collect();
    candidates.sort_unstable();
    candidates.into_iter().take_while(|(cost, _)| *cost < 0).any(|(_, bin)| close(draft, bin))
}

/// What closing the bin costs if everything finds room where that costs nothing more.
fn least_cost(draft: &Draft<'_>, bin: BinId) -> Cost {
    let hold = &draft.bins[bin];
    let at_home = hold.items.iter().filter(|item| draft.problem.items[**item].is_home(bin));
    let moves: Cost = at_home.map(|item| cost_of(draft.size(*item))).sum();
    moves - draft.rent - hold.foresight
}

fn worth(cost: i128) -> Cost {
    Cost::try_from(cost).unwrap_or(Cost::MAX)
}

/// Closes the bin if that pays.
fn close(draft: &mut Draft<'_>, bin: BinId) -> bool {
    let before = draft.cost;
    let mark = draft.mark();
    let items: Vec<ItemId> = draft.bins[bin].items.iter().rev().copied().collect();
    draft.bins[bin].is_closing = true;
    for item in &items {
        draft.take(*item);
    }
    let pays = items.iter().all(|item| {
        draft.effort > 0
            && draft.cost < before
            && (place_beside(draft, *item) || make_room(draft, *item, worth(before - draft.cost)))
    });
    draft.bins[bin].is_closing = false;
    let pays = pays && draft.cost < before;
    if !pays {
        draft.undo_to(mark);
    }
    pays
}
