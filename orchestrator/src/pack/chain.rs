//! Pure. Ejection chains: an item displaces smaller ones, which find room elsewhere or displace in turn.

use std::collections::BTreeMap;

use super::draft::{Draft, Hold, cost_of};
use super::foresee::Cost;
use super::place::place_beside;
use super::problem::{BinId, ItemId};

/// So many of the smallest items of a bin may have to leave.
const WINDOW: usize = 12;

/// So many bins are looked at for each item: those with most room.
const COMPARED: usize = 1024;

/// Who leaves a bin so that another fits, and what their moves cost.
#[derive(Clone, Copy)]
struct Ejection {
    cost: Cost,
    bin: BinId,
    leaving: [Option<ItemId>; 2],
}

/// The least cost of making room for items of some sizes, as far as asked for.
struct Room {
    largest: u64,
    least: BTreeMap<u64, (Option<Cost>, Cost)>,
}

/// Puts the item into a bin after its smaller contents have moved on, by the chain that costs
/// least. Changes nothing if there is none.
pub(super) fn make_room(draft: &mut Draft<'_>, item: ItemId, limit: Cost) -> bool {
    let mark = draft.mark();
    let Some(ejection) = cheapest(draft, item, limit) else { return false };
    let left = limit - ejection.cost;
    let leaving: Vec<ItemId> = ejection.leaving.into_iter().flatten().collect();
    for item in &leaving {
        draft.take(*item);
    }
    draft.put(item, ejection.bin);
    // The sizes decrease with each link, so every chain ends.
    let are_placed =
        leaving.iter().all(|item| place_beside(draft, *item) || make_room(draft, *item, left));
    if !are_placed {
        draft.undo_to(mark);
    }
    are_placed
}

fn cheapest(draft: &mut Draft<'_>, item: ItemId, limit: Cost) -> Option<Ejection> {
    let rooms = draft.bins.iter().filter(|hold| is_open(hold));
    let largest = rooms.map(|hold| hold.room()).max()?;
    let mut room = Room { largest, least: BTreeMap::new() };
    let size = draft.size(item);
    room.cheapest(draft, size, limit).map(|(_, ejection)| ejection)
}

impl Room {
    /// The least cost of room for an item of this size, or none if there is no chain for it.
    fn least(&mut self, draft: &mut Draft<'_>, size: u64, limit: Cost) -> Option<Cost> {
        if size <= self.largest {
            return Some(0);
        }
        // What was not found within a lower limit may be found within this one.
        if let Some((known, within)) = self.least.get(&size)
            && (known.is_some() || *within >= limit)
        {
            return *known;
        }
        let least = self.cheapest(draft, size, limit).map(|(cost, _)| cost);
        self.least.insert(size, (least, limit));
        least
    }

    fn cheapest(
        &mut self,
        draft: &mut Draft<'_>,
        size: u64,
        limit: Cost,
    ) -> Option<(Cost, Ejection)> {
        let mut ejections = ejections(draft, size, limit);
        let bins = draft.bins.len();
        let steps = (bins / 16 + bins.min(COMPARED) / 2 + 8) as u64;
        draft.effort = draft.effort.saturating_sub(steps);
        ejections.sort_unstable_by_key(|ejection| (ejection.cost, ejection.bin, ejection.leaving));
        let mut best: Option<(Cost, Ejection)> = None;
        let mut limit = limit;
        for ejection in ejections {
            if draft.effort == 0 || ejection.cost >= limit {
                break;
            }
            let mut cost = Some(ejection.cost);
            for item in ejection.leaving.into_iter().flatten() {
                cost = cost.and_then(|cost| {
                    Some(cost + self.least(draft, draft.size(item), limit - cost)?)
                });
            }
            if let Some(cost) = cost
                && cost < limit
            {
                limit = cost;
                best = Some((cost, ejection));
            }
        }
        best
    }
}

fn is_open(hold: &Hold) -> bool {
    hold.may_receive && !hold.is_closing && !hold.items.is_empty()
}

/// For each bin the cheapest single items and the cheapest pair, all smaller than `size`, that leave
/// enough room.
fn ejections(draft: &Draft<'_>, size: u64, limit: Cost) -> Vec<Ejection> {
    let mut ejections = Vec::new();
    for (lacking, bin) in roomiest(draft, size) {
        let hold = &draft.bins[bin];
        let window = &hold.items[..hold.items.len().min(WINDOW)];
        let smaller = window.partition_point(|item| draft.size(*item) < size);
        let suffices_from = window.partition_point(|item| draft.size(*item) < lacking).min(smaller);
        let (small, sufficient) = window[..smaller].split_at(suffices_from);
        // Of those that are home the smallest is the cheapest; one that moves anyway costs nothing.
        let mut movable = sufficient.iter().filter(|item| !draft.problem.items[**item].is_pinned);
        let first = movable.next();
        let is_home = |item: &ItemId| draft.problem.items[*item].is_home(bin);
        let away =
            first.filter(|first| is_home(first)).and_then(|_| movable.find(|item| !is_home(item)));
        for item in first.into_iter().chain(away) {
            let leaving = [Some(*item), None];
            ejections.push(Ejection { cost: leave_cost(draft, *item, bin), bin, leaving });
        }
        ejections.extend(cheapest_pair(draft, bin, small, lacking));
    }
    ejections.retain(|ejection: &Ejection| ejection.cost < limit);
    ejections
}

/// The bins that lack least room for it, and how much each lacks.
fn roomiest(draft: &Draft<'_>, size: u64) -> Vec<(u64, BinId)> {
    let bins = draft.bins.iter().enumerate();
    let large = bins.filter(|(_, hold)| is_open(hold) && size <= hold.capacity);
    let mut lacking: Vec<(u64, BinId)> =
        large.map(|(bin, hold)| ((hold.load + size).saturating_sub(hold.capacity), bin)).collect();
    if lacking.len() > COMPARED {
        lacking.select_nth_unstable(COMPARED);
        lacking.truncate(COMPARED);
    }
    lacking
}

fn cheapest_pair(
    draft: &Draft<'_>,
    bin: BinId,
    items: &[ItemId],
    lacking: u64,
) -> Option<Ejection> {
    let may_move = |item: &&ItemId| !draft.problem.items[**item].is_pinned;
    let [.., second, first] = items else { return None };
    if draft.size(*first) + draft.size(*second) < lacking {
        return None;
    }
    let pairs =
        items.iter().enumerate().filter(|(_, one)| may_move(one)).filter_map(|(at, one)| {
            let needed = lacking - draft.size(*one);
            let others = &items[items[..at].partition_point(|item| draft.size(*item) < needed)..at];
            let other = others.iter().find(may_move)?;
            let cost = leave_cost(draft, *one, bin) + leave_cost(draft, *other, bin);
            Some(Ejection { cost, bin, leaving: [Some(*one), Some(*other)] })
        });
    pairs.min_by_key(|pair| (pair.cost, pair.leaving))
}

fn leave_cost(draft: &Draft<'_>, item: ItemId, bin: BinId) -> Cost {
    let facts = &draft.problem.items[item];
    if facts.is_home(bin) { cost_of(facts.size) } else { 0 }
}
