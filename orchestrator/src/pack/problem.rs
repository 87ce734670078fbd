//! Pure. A packing problem and its answer as plain data: items and bins are indices.

/// Position of an item in [`Problem::items`].
pub type ItemId = usize;

/// Position of a bin in [`Problem::bins`]; further new ones follow those.
pub type BinId = usize;

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Item {
    pub size: u64,
    /// The bin that holds it now.
    pub home: Option<BinId>,
    /// It may not leave its home.
    pub is_pinned: bool,
    /// Variance of the change of its size until the next plan; 0 if nothing is known of it.
    pub variance: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bin {
    /// What the items put into it may sum up to.
    pub capacity: u64,
    /// Above this it is overloaded, and brought down to its capacity. Never below the capacity.
    pub ceiling: u64,
    /// A bin that may not receive is emptied.
    pub may_receive: bool,
    /// Otherwise it stands for a number that is free: the bin would have to be created.
    pub exists: bool,
}

/// How much of what is there a plan may change. Each allows what the ones before it allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Only items without a home get one.
    Place,
    /// Overloaded bins are brought down, bins that may not receive are emptied.
    Relieve,
    /// Bins are closed as well.
    Pack,
}

/// What one bin less is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Price {
    /// Moving so many thousandths of the capacity of a new bin.
    Thousandths(u32),
    /// Whatever it takes: fewest bins first.
    Infinite,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    pub items: Vec<Item>,
    /// In the order of their numbers, free numbers between them included, so that ties go to the
    /// lowest number whether its bin exists or not.
    pub bins: Vec<Bin>,
    /// A bin that follows all those.
    pub new_bin: Bin,
    pub scope: Scope,
    pub price: Price,
    /// So many bins are kept, even if fewer would do.
    pub bins_min: usize,
    /// So many may exist at a time, those included that may not receive and those to be closed.
    pub bins_max: usize,
    /// So many may be created by one plan.
    pub create_max: usize,
    /// How many steps a plan may take in its searches. A step takes some fifty nanoseconds.
    pub effort: u64,
}

/// Each item in exactly one bin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packing {
    pub bin_of: Vec<BinId>,
    /// Every item that has another bin than its home, in ascending order, with the cause.
    pub moves: Vec<(ItemId, Cause)>,
    /// A limit on the number of bins forbids to resolve all overload: it is spread. If no bin may
    /// receive, things stay where they may not; if there is no bin at all, one is created anyway.
    pub is_held_back: bool,
    /// The searches ended before their steps did: more effort would change nothing.
    pub is_complete: bool,
}

/// Why an item is not where it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// It had no home.
    New,
    /// Its home may not receive.
    Drained { from: BinId },
    /// Its home was above its ceiling.
    Evicted { from: BinId },
    /// Its home is closed.
    Closed { from: BinId },
    /// Its place is needed for others, of which this is the largest.
    MadeRoom { from: BinId, room_for: ItemId },
    /// Its home is left with headroom.
    Eased { from: BinId },
}

impl Item {
    pub(super) fn is_home(&self, bin: BinId) -> bool {
        self.home == Some(bin)
    }
}

impl Problem {
    /// How many bins may be created.
    pub(super) fn may_create(&self) -> usize {
        let existing = self.bins.iter().filter(|bin| bin.exists).count();
        self.create_max.min(self.bins_max.saturating_sub(existing))
    }

    /// Steps that suffice for problems of this size: small ones are searched until nothing improves,
    /// large ones take no longer than people wait. Where there are many bins a step takes longer.
    pub fn usual_effort(items: usize) -> u64 {
        let most = if items <= 2_000 { 1_600_000 } else { 1_000_000 };
        (items as u64).saturating_pow(3).div_euclid(2).clamp(10_000, most)
    }
}
