//! Pure. One budget of bytes for all partitions of the process: who may go on reading, and who makes room.

use std::collections::BTreeMap;

/// Bytes that one lane holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Records that wait to be decoded: rows take far less.
    pub gathered: usize,
    /// Records that are being decoded, and their rows.
    pub decoding: usize,
    /// Rows in the open object: free once that is closed and stored.
    pub open: usize,
    /// In the object that is being stored: free once it is.
    pub in_flight: usize,
}

/// What a lane may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stance {
    Gather,
    /// Takes no records until others have made room.
    Wait,
    /// The same, and decodes now what it has: it has most of that.
    DecodeEarly,
    /// The same, and closes its open object now: it is the largest.
    CloseEarly,
}

/// Names a lane within one process.
pub type LaneNumber = u64;

/// What every lane holds, against what all may hold together.
#[derive(Clone, Debug)]
pub struct Budget {
    bytes_max: usize,
    /// So many lanes decode at once.
    decoders: usize,
    lanes: BTreeMap<LaneNumber, Usage>,
}

impl Usage {
    fn total(self) -> usize {
        self.gathered + self.open + self.busy()
    }

    /// What becomes free by itself.
    fn busy(self) -> usize {
        self.decoding + self.in_flight
    }
}

impl Budget {
    pub fn new(bytes_max: usize, decoders: usize) -> Self {
        Self { bytes_max, decoders, lanes: BTreeMap::new() }
    }

    /// Notes what a lane holds now. Returns whether that may change what others may do.
    pub fn set(&mut self, lane: LaneNumber, usage: Usage) -> bool {
        let was_exceeded = self.is_exceeded();
        self.lanes.insert(lane, usage);
        was_exceeded || self.is_exceeded()
    }

    /// A lane that ended holds nothing. Returns as [`Budget::set`].
    pub fn remove(&mut self, lane: LaneNumber) -> bool {
        let was_exceeded = self.is_exceeded();
        self.lanes.remove(&lane);
        was_exceeded
    }

    /// Bytes held by all lanes together.
    pub fn used(&self) -> usize {
        self.sum(Usage::total)
    }

    /// While the budget binds, records are decoded before objects are closed, as long as they are the greater
    /// part: so objects become large.
    pub fn stance(&self, lane: LaneNumber) -> Stance {
        if !self.is_exceeded() {
            return Stance::Gather;
        }
        let busy = self.sum(Usage::busy);
        if busy > 0 && self.used() - busy < self.bytes_max / 2 {
            return Stance::Wait;
        }
        let gathered = self.sum(|usage| usage.gathered);
        if gathered > 0 && gathered >= self.sum(|usage| usage.open) {
            return if self.is_to_decode(lane) { Stance::DecodeEarly } else { Stance::Wait };
        }
        if self.largest_open() == Some(lane) { Stance::CloseEarly } else { Stance::Wait }
    }

    fn is_exceeded(&self) -> bool {
        self.used() >= self.bytes_max
    }

    fn sum(&self, part: impl Fn(Usage) -> usize) -> usize {
        self.lanes.values().map(|usage| part(*usage)).sum()
    }

    /// Whether it is among the lanes with most to decode, of which so many as there are decoders free.
    fn is_to_decode(&self, lane: LaneNumber) -> bool {
        let Some(own) = self.lanes.get(&lane) else { return false };
        let decoding = self.lanes.values().filter(|usage| usage.decoding > 0).count();
        let free = self.decoders.saturating_sub(decoding);
        let has_more = |(other, usage): &(&LaneNumber, &Usage)| {
            usage.decoding == 0 && (usage.gathered, **other) > (own.gathered, lane)
        };
        let before = self.lanes.iter().filter(has_more).count();
        own.decoding == 0 && own.gathered > 0 && before < free
    }

    fn largest_open(&self) -> Option<LaneNumber> {
        let open = self.lanes.iter().filter(|(_, usage)| usage.open > 0);
        open.max_by_key(|(lane, usage)| (usage.open, **lane)).map(|(lane, _)| *lane)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn usage() -> impl Strategy<Value = Usage> {
        let part = || prop_oneof![Just(0usize), 0usize..100];
        (part(), part(), part(), part()).prop_map(|(gathered, decoding, open, in_flight)| Usage {
            gathered,
            decoding,
            open,
            in_flight,
        })
    }

    fn budget(usages: &[Usage]) -> Budget {
        let mut budget = Budget::new(150, 2);
        for (lane, usage) in (0..).zip(usages) {
            budget.set(lane, *usage);
        }
        budget
    }

    proptest! {
        /// The budget never lets everybody wait for nobody: when it binds, those with most records decode them or
        /// the one with most rows stores them, unless what is under way makes room.
        #[test]
        fn somebody_always_makes_room(usages in prop::collection::vec(usage(), 1..8)) {
            let budget = budget(&usages);
            let stances: Vec<_> =
                (0..).zip(&usages).map(|(lane, usage)| (budget.stance(lane), *usage)).collect();
            let with = |wanted: Stance| stances.iter().filter(move |(stance, _)| *stance == wanted);
            let is_exceeded = usages.iter().map(|usage| usage.total()).sum::<usize>() >= 150;
            prop_assert_eq!(with(Stance::Gather).count(), if is_exceeded { 0 } else { usages.len() });
            let is_busy = usages.iter().any(|usage| usage.busy() > 0);
            let (decode, close) = (with(Stance::DecodeEarly).count(), with(Stance::CloseEarly).count());
            prop_assert!(!is_exceeded || is_busy || decode + close > 0, "everybody waits");
            prop_assert!(close <= 1 && (decode == 0 || close == 0));
            let decoding = usages.iter().filter(|usage| usage.decoding > 0).count();
            prop_assert!(decode == 0 || decode + decoding <= 2, "more decode than can");
            let left = stances.iter().filter(|(stance, usage)| *stance == Stance::Wait && usage.decoding == 0);
            let most_left = left.map(|(_, usage)| usage.gathered).max().unwrap_or(0);
            prop_assert!(with(Stance::DecodeEarly).all(|(_, usage)| usage.gathered >= most_left.max(1)));
            let most = usages.iter().map(|usage| usage.open).max();
            prop_assert!(with(Stance::CloseEarly).all(|(_, usage)| Some(usage.open) == most && usage.open > 0));
        }

        /// A change that nobody is told of changes nobody's stance.
        #[test]
        fn a_change_that_matters_is_told(
            usages in prop::collection::vec(usage(), 1..8), changed: prop::sample::Index, to in usage(),
        ) {
            let mut budget = budget(&usages);
            let stances = |budget: &Budget| {
                (0..usages.len() as u64).map(|lane| budget.stance(lane)).collect::<Vec<_>>()
            };
            let before = stances(&budget);
            let is_told = budget.set(changed.index(usages.len()) as u64, to);
            prop_assert!(is_told || before == stances(&budget));
        }
    }

    #[test]
    fn a_lane_that_ended_frees_what_it_held() {
        let mut budget =
            budget(&[Usage { open: 100, in_flight: 90, ..Usage::default() }, Usage::default()]);
        assert_eq!(budget.stance(1), Stance::Wait);
        assert!(budget.remove(0));
        assert_eq!((budget.stance(1), budget.used()), (Stance::Gather, 0));
    }

    /// Else many partitions with much lag make as many small objects.
    #[test]
    fn records_are_decoded_before_objects_are_closed() {
        let gathered = Usage { gathered: 80, open: 30, ..Usage::default() };
        let rows = Usage { gathered: 10, open: 50, ..Usage::default() };
        assert_eq!(budget(&[gathered, rows]).stance(0), Stance::DecodeEarly);
        let decoded = Usage { gathered: 0, open: 90, ..Usage::default() };
        assert_eq!(budget(&[decoded, rows]).stance(0), Stance::CloseEarly);
    }
}
