//! Pure. A packing in the making: who is where so far, what that costs, and how to take it back.

use std::cmp::Reverse;

use super::foresee::{Cost, Foresight, Outlook, UNIT};
use super::problem::{Bin, BinId, ItemId, Price, Problem, Scope};

/// What one bin less is worth if nothing else counts: more than all that can be moved.
const INFINITE: Cost = 1 << 58;

/// The cost of a draft is the rent of the bins that hold something, what is moved, and what is
/// expected to be evicted soon. It is kept up with every change.
#[derive(Clone)]
pub(super) struct Draft<'a> {
    pub(super) problem: &'a Problem,
    pub(super) bins: Vec<Hold>,
    pub(super) place: Vec<Option<BinId>>,
    pub(super) foresight: &'a Foresight,
    pub(super) rent: Cost,
    pub(super) cost: i128,
    /// What of it is for moves.
    pub(super) moved: i128,
    /// Steps that the searches may still take.
    pub(super) effort: u64,
    used: usize,
    created: usize,
    create_max: usize,
    log: Vec<Change>,
    /// Counts changes, so that searches know what is new to them.
    pub(super) clock: u64,
}

/// One bin.
#[derive(Clone, Debug)]
pub(super) struct Hold {
    pub(super) capacity: u64,
    pub(super) ceiling: u64,
    pub(super) may_receive: bool,
    pub(super) exists: bool,
    /// It is to be empty: nothing comes in.
    pub(super) is_closing: bool,
    /// What it held at first was above its ceiling.
    pub(super) is_overloaded: bool,
    pub(super) load: u64,
    /// Ascending by size, then number.
    pub(super) items: Vec<ItemId>,
    /// How many of them have another home.
    pub(super) arrivals: usize,
    pub(super) foresight: Cost,
    pub(super) changed_at: u64,
}

#[derive(Clone, Copy)]
struct Change {
    item: ItemId,
    from: Option<BinId>,
}

impl Hold {
    fn new(bin: Bin) -> Self {
        Self {
            capacity: bin.capacity,
            ceiling: bin.ceiling.max(bin.capacity),
            may_receive: bin.may_receive,
            exists: bin.exists,
            is_closing: false,
            is_overloaded: false,
            load: 0,
            items: Vec::new(),
            arrivals: 0,
            foresight: 0,
            changed_at: 0,
        }
    }

    pub(super) fn room(&self) -> u64 {
        self.capacity.saturating_sub(self.load)
    }
}

impl<'a> Draft<'a> {
    /// Everything at home, whatever that means for the load.
    pub(super) fn new(problem: &'a Problem, foresight: &'a Foresight) -> Self {
        let rent = match problem.price {
            Price::Infinite => INFINITE,
            Price::Thousandths(price) => {
                let price = u128::from(problem.new_bin.capacity) * u128::from(price) / 1000;
                Cost::try_from(price).unwrap_or(INFINITE).saturating_mul(UNIT).min(INFINITE)
            }
        };
        let mut draft = Self {
            problem,
            bins: problem.bins.iter().map(|bin| Hold::new(*bin)).collect(),
            place: vec![None; problem.items.len()],
            foresight,
            rent,
            cost: 0,
            moved: 0,
            effort: problem.effort,
            used: 0,
            created: 0,
            create_max: problem.may_create(),
            log: Vec::new(),
            clock: 0,
        };
        for (item, facts) in problem.items.iter().enumerate() {
            if let Some(home) = facts.home {
                draft.put(item, home);
            }
        }
        for bin in &mut draft.bins {
            bin.is_overloaded = bin.load > bin.ceiling && bin.items.len() > 1;
        }
        draft
    }

    pub(super) fn size(&self, item: ItemId) -> u64 {
        self.problem.items[item].size
    }

    /// What it costs that the item is there.
    pub(super) fn move_cost(&self, item: ItemId, bin: BinId) -> Cost {
        let facts = &self.problem.items[item];
        if facts.home.is_none() || facts.is_home(bin) { 0 } else { cost_of(facts.size) }
    }

    /// Whether a bin may take the item in addition to what it holds.
    pub(super) fn fits(&self, item: ItemId, bin: BinId) -> bool {
        let hold = &self.bins[bin];
        hold.may_receive
            && !hold.is_closing
            && (hold.items.is_empty()
                || hold.load.saturating_add(self.size(item)) <= hold.capacity
                || self.is_back(item, bin))
    }

    /// Whether this only brings back what was there when the bin was no concern.
    fn is_back(&self, item: ItemId, bin: BinId) -> bool {
        let hold = &self.bins[bin];
        self.problem.items[item].is_home(bin) && hold.arrivals == 0 && !hold.is_overloaded
    }

    /// How many bins that may receive hold something.
    pub(super) fn used(&self) -> usize {
        self.used
    }

    /// Whether up to `bins` bins may be closed.
    pub(super) fn may_close(&self, bins: usize) -> bool {
        self.problem.scope == Scope::Pack && self.used >= self.problem.bins_min + bins
    }

    /// Whether something may be put into this bin if it is empty.
    pub(super) fn may_open(&self, bin: BinId) -> bool {
        let hold = &self.bins[bin];
        hold.may_receive && !hold.is_closing && (hold.exists || self.created < self.create_max)
    }

    /// An empty bin that has room for this, if there may be one: the lowest that exists, else a new
    /// one; if none is large enough, the largest.
    pub(super) fn empty_bin(&mut self, size: u64) -> Option<BinId> {
        let is_free = |bin: &BinId| self.bins[*bin].items.is_empty() && self.may_open(*bin);
        let free = (0..self.bins.len()).filter(is_free);
        let rank = |bin: &BinId| {
            let hold = &self.bins[*bin];
            let is_small = hold.capacity < size;
            (is_small.then_some(Reverse(hold.capacity)), !hold.exists, *bin)
        };
        let best = free.min_by_key(rank);
        let is_small = best.is_none_or(|bin| self.bins[bin].capacity < size);
        let is_new_better =
            best.is_none_or(|bin| self.bins[bin].capacity < self.problem.new_bin.capacity);
        if is_small && is_new_better && self.created < self.create_max {
            return Some(self.create());
        }
        best
    }

    /// Adds every bin that may be created.
    pub(super) fn create_all(&mut self) {
        let free = self.bins.iter().filter(|hold| !hold.exists && hold.items.is_empty()).count();
        let wanted = self.create_max.saturating_sub(self.created).min(self.problem.items.len());
        for _ in free..wanted {
            self.create();
        }
    }

    pub(super) fn create(&mut self) -> BinId {
        self.bins.push(Hold::new(self.problem.new_bin));
        self.bins.len() - 1
    }

    pub(super) fn put(&mut self, item: ItemId, bin: BinId) {
        debug_assert!(self.place[item].is_none(), "an item has one place");
        self.log.push(Change { item, from: None });
        self.insert(item, bin);
    }

    pub(super) fn take(&mut self, item: ItemId) {
        if let Some(bin) = self.place[item] {
            self.log.push(Change { item, from: Some(bin) });
            self.remove(item, bin);
        }
    }

    pub(super) fn shift(&mut self, item: ItemId, bin: BinId) {
        self.take(item);
        self.put(item, bin);
    }

    /// A point to go back to.
    pub(super) fn mark(&self) -> usize {
        self.log.len()
    }

    pub(super) fn undo_to(&mut self, mark: usize) {
        while self.log.len() > mark
            && let Some(change) = self.log.pop()
        {
            match (change.from, self.place[change.item]) {
                (Some(from), _) => self.insert(change.item, from),
                (None, Some(bin)) => self.remove(change.item, bin),
                (None, None) => {}
            }
        }
    }

    fn insert(&mut self, item: ItemId, bin: BinId) {
        let at = self.position(item, bin);
        let facts = &self.problem.items[item];
        let hold = &mut self.bins[bin];
        hold.items.insert(at, item);
        hold.load += facts.size;
        hold.arrivals += usize::from(!facts.is_home(bin));
        if hold.items.len() == 1 && hold.may_receive {
            self.used += 1;
            self.created += usize::from(!hold.exists);
            self.cost += self.rent_of_last();
        }
        self.place[item] = Some(bin);
        let move_cost = i128::from(self.move_cost(item, bin));
        self.moved += move_cost;
        self.cost += move_cost;
        self.look_ahead(bin);
    }

    fn remove(&mut self, item: ItemId, bin: BinId) {
        let at = self.position(item, bin);
        let facts = &self.problem.items[item];
        let hold = &mut self.bins[bin];
        hold.items.remove(at);
        hold.load -= facts.size;
        hold.arrivals -= usize::from(!facts.is_home(bin));
        if hold.items.is_empty() && hold.may_receive {
            let rent = self.rent_of_last();
            self.used -= 1;
            self.created -= usize::from(!self.bins[bin].exists);
            self.cost -= rent;
        }
        self.place[item] = None;
        let move_cost = i128::from(self.move_cost(item, bin));
        self.moved -= move_cost;
        self.cost -= move_cost;
        self.look_ahead(bin);
    }

    /// What having one bin less would save: up to the minimum bins are there anyway.
    fn rent_of_last(&self) -> i128 {
        if self.used > self.problem.bins_min { i128::from(self.rent) } else { 0 }
    }

    /// Where the item is among those of the bin, or would be.
    fn position(&self, item: ItemId, bin: BinId) -> usize {
        let rank = |item: ItemId| (self.size(item), item);
        self.bins[bin].items.partition_point(|other| rank(*other) < rank(item))
    }

    fn look_ahead(&mut self, bin: BinId) {
        self.clock += 1;
        let foresight = self.foresight.price(&self.outlook(bin));
        let hold = &mut self.bins[bin];
        self.cost += i128::from(foresight - hold.foresight);
        hold.foresight = foresight;
        hold.changed_at = self.clock;
    }

    pub(super) fn outlook(&self, bin: BinId) -> Outlook {
        let hold = &self.bins[bin];
        let mut smallest = [u64::MAX / 4; 3];
        for (slot, item) in smallest.iter_mut().zip(&hold.items) {
            *slot = self.size(*item);
        }
        Outlook {
            load: hold.load,
            capacity: hold.capacity,
            ceiling: hold.ceiling,
            items: hold.items.len(),
            variance: hold.items.iter().map(|item| self.problem.items[*item].variance).sum(),
            smallest,
        }
    }

    /// What the look-ahead would cost more if the bin held the item as well.
    pub(super) fn added_foresight(&self, item: ItemId, bin: BinId) -> Cost {
        let mut outlook = self.outlook(bin);
        let facts = &self.problem.items[item];
        outlook.load += facts.size;
        outlook.items += 1;
        outlook.variance += facts.variance;
        outlook.smallest = with(outlook.smallest, facts.size);
        self.foresight.price(&outlook) - self.bins[bin].foresight
    }
}

/// The three smallest with one more.
pub(super) fn with(smallest: [u64; 3], size: u64) -> [u64; 3] {
    let [x, y, z] = smallest;
    if size <= x {
        [size, x, y]
    } else if size <= y {
        [x, size, y]
    } else {
        [x, y, size.min(z)]
    }
}

pub(super) fn cost_of(size: u64) -> Cost {
    Cost::try_from(size).unwrap_or(INFINITE).saturating_mul(UNIT).min(INFINITE)
}
