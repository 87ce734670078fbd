//! Pure. Exact search in a small group of bins: everything in them is packed anew, at least cost.

use super::draft::{Draft, with};
use super::foresee::{Cost, Foresight, Outlook};
use super::problem::{BinId, ItemId};

/// At most so many of the items in them.
const ITEMS_MAX: usize = 12;

/// At most so many steps.
const STEPS_MAX: u64 = 2_000;

/// One bin of the group with what it holds on the way down.
#[derive(Clone, Copy, Default)]
struct Slot {
    bin: BinId,
    outlook: Outlook,
    arrivals: usize,
    /// Nothing stops what was there from staying.
    may_keep: bool,
    /// What it costs to put the first item in.
    rent: Cost,
    /// The pieces in it, as bits.
    set: usize,
}

struct Piece {
    item: ItemId,
    size: u64,
    variance: f64,
    /// The slot that is its home.
    home: usize,
    /// What it costs to be elsewhere.
    away: Cost,
}

struct Search<'a> {
    foresight: &'a Foresight,
    slots: Vec<Slot>,
    pieces: Vec<Piece>,
    /// The least that the pieces from each on cost.
    least: Vec<Cost>,
    place: Vec<usize>,
    best: Cost,
    best_place: Option<Vec<usize>>,
    steps: u64,
    /// What the look-ahead prices each slot at with each set of pieces, as far as asked for.
    prices: Vec<Cost>,
}

/// Up to so many pieces the prices of all sets are remembered.
const REMEMBERED: usize = 9;

const UNKNOWN: Cost = Cost::MIN;

/// Packs the bins anew if that costs less. Returns whether anything changed.
pub(super) fn improve(draft: &mut Draft<'_>, bins: &[BinId]) -> bool {
    let mut search = Search::new(draft, bins);
    search.descend(0, 0);
    let held: usize = bins.iter().map(|bin| draft.bins[*bin].items.len()).sum();
    draft.effort = draft.effort.saturating_sub(search.steps + 8 + 2 * held as u64);
    let Some(place) = search.best_place else { return false };
    let goals =
        search.pieces.iter().zip(place).map(|(piece, slot)| (piece.item, search.slots[slot].bin));
    let changed: Vec<_> = goals.filter(|(item, bin)| draft.place[*item] != Some(*bin)).collect();
    for (item, _) in &changed {
        draft.take(*item);
    }
    for (item, bin) in &changed {
        draft.put(*item, *bin);
    }
    !changed.is_empty()
}

impl<'a> Search<'a> {
    fn new(draft: &Draft<'a>, bins: &[BinId]) -> Self {
        let chosen = choose_pieces(draft, bins);
        let mut current = 0;
        let mut slots: Vec<Slot> =
            bins.iter().map(|bin| frozen_slot(draft, *bin, &chosen)).collect();
        keep_open(draft, &mut slots);
        let mut pieces: Vec<Piece> = Vec::with_capacity(chosen.len());
        for item in chosen {
            let facts = &draft.problem.items[item];
            let home = bins.iter().position(|bin| facts.is_home(*bin)).unwrap_or(usize::MAX);
            let away = draft.move_cost(item, usize::MAX);
            let piece = Piece { item, size: facts.size, variance: facts.variance, home, away };
            current += draft.place[item].map_or(0, |bin| draft.move_cost(item, bin));
            pieces.push(piece);
        }
        for (slot, bin) in slots.iter().zip(bins) {
            let hold = &draft.bins[*bin];
            current += hold.foresight;
            if slot.outlook.items == 0 && !hold.items.is_empty() {
                current += slot.rent;
            }
        }
        let mut least = vec![0; pieces.len() + 1];
        for (at, piece) in pieces.iter().enumerate().rev() {
            least[at] = least[at + 1] + if piece.home == usize::MAX { piece.away } else { 0 };
        }
        let place = vec![0; pieces.len()];
        let remembered = if pieces.len() <= REMEMBERED { slots.len() << pieces.len() } else { 0 };
        let prices = vec![UNKNOWN; remembered];
        let foresight = draft.foresight;
        Self {
            foresight,
            slots,
            pieces,
            least,
            place,
            best: current,
            best_place: None,
            steps: 0,
            prices,
        }
    }

    fn descend(&mut self, at: usize, cost: Cost) {
        self.steps += 1;
        if cost + self.least[at] >= self.best || self.steps > STEPS_MAX {
            return;
        }
        if at == self.pieces.len() {
            self.finish(cost);
            return;
        }
        let home = self.pieces[at].home;
        if home != usize::MAX {
            self.try_slot(at, home, cost);
        }
        for slot in 0..self.slots.len() {
            if slot != home {
                self.try_slot(at, slot, cost);
            }
        }
    }

    fn try_slot(&mut self, at: usize, slot: usize, cost: Cost) {
        let piece = &self.pieces[at];
        let before = self.slots[slot];
        let outlook = &before.outlook;
        let is_home = piece.home == slot;
        let fits = outlook.items == 0
            || outlook.load + piece.size <= outlook.capacity
            || (is_home && before.may_keep && before.arrivals == 0);
        if !fits {
            return;
        }
        let rent = if outlook.items == 0 { before.rent } else { 0 };
        let away = if is_home { 0 } else { piece.away };
        let mut after = before;
        after.arrivals += usize::from(!is_home);
        after.set |= 1 << at;
        after.outlook.load += piece.size;
        after.outlook.items += 1;
        after.outlook.variance += piece.variance;
        after.outlook.smallest = with(outlook.smallest, piece.size);
        self.slots[slot] = after;
        self.place[at] = slot;
        self.descend(at + 1, cost + rent + away);
        self.slots[slot] = before;
    }

    fn finish(&mut self, mut cost: Cost) {
        for slot in 0..self.slots.len() {
            cost += self.price(slot);
            if cost >= self.best {
                return;
            }
        }
        self.best = cost;
        self.best_place = Some(self.place.clone());
    }
}

impl Search<'_> {
    fn price(&mut self, slot: usize) -> Cost {
        let of = &self.slots[slot];
        if self.prices.is_empty() {
            return self.foresight.price(&of.outlook);
        }
        let known = &mut self.prices[slot << self.pieces.len() | of.set];
        if *known == UNKNOWN {
            *known = self.foresight.price(&of.outlook);
        }
        *known
    }
}

/// The items that take part, in descending size: those that move anyway first, then the smallest.
fn choose_pieces(draft: &Draft<'_>, bins: &[BinId]) -> Vec<ItemId> {
    let rank = |item: &ItemId| {
        (draft.place[*item] == draft.problem.items[*item].home, draft.size(*item), *item)
    };
    let mut items: Vec<ItemId> = Vec::new();
    for bin in bins {
        let held = draft.bins[*bin].items.iter().copied();
        items.extend(held.filter(|item| !draft.problem.items[*item].is_pinned));
    }
    if items.len() > ITEMS_MAX {
        items.sort_unstable_by_key(rank);
        items.truncate(ITEMS_MAX);
    }
    items.sort_unstable_by_key(|item| (std::cmp::Reverse(draft.size(*item)), *item));
    items
}

/// Bins that may not be closed cost their rent whatever they hold.
fn keep_open(draft: &Draft<'_>, slots: &mut [Slot]) {
    let is_used = |slot: &Slot| !draft.bins[slot.bin].items.is_empty();
    let used = slots.iter().filter(|slot| is_used(slot)).count();
    if !draft.may_close(used.saturating_sub(1)) {
        for slot in slots.iter_mut().filter(|slot| is_used(slot)) {
            slot.rent = 0;
        }
    }
}

/// The bin with what does not take part.
fn frozen_slot(draft: &Draft<'_>, bin: BinId, chosen: &[ItemId]) -> Slot {
    let hold = &draft.bins[bin];
    let mut slot = Slot { bin, may_keep: !hold.is_overloaded, ..Slot::default() };
    slot.outlook.capacity = hold.capacity;
    slot.outlook.ceiling = hold.ceiling;
    slot.outlook.smallest = [u64::MAX / 4; 3];
    let frozen = hold.items.iter().filter(|item| !chosen.contains(item));
    for item in frozen {
        let facts = &draft.problem.items[*item];
        slot.outlook.load += facts.size;
        slot.outlook.items += 1;
        slot.outlook.variance += facts.variance;
        slot.outlook.smallest = with(slot.outlook.smallest, facts.size);
        slot.arrivals += usize::from(!facts.is_home(bin));
    }
    slot.rent = draft.rent;
    slot
}
