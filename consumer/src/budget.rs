//! Pure. One budget of bytes for all partitions of the process: who may go on reading, and whose object is closed early.

use std::collections::BTreeMap;

/// Bytes that one lane holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Gathered, being decoded, or in the open object: closing it early sets them free.
    pub open: usize,
    /// In the object that is being stored: free once it is.
    pub in_flight: usize,
}

/// What a lane may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stance {
    Gather,
    /// Takes no records until others have stored theirs.
    Wait,
    /// The same, and closes its open object now: it is the largest.
    CloseEarly,
}

/// Names a lane within one process.
pub type LaneNumber = u64;

/// What every lane holds, against what all may hold together.
#[derive(Clone, Debug)]
pub struct Budget {
    bytes_max: usize,
    lanes: BTreeMap<LaneNumber, Usage>,
}

impl Usage {
    fn total(self) -> usize {
        self.open + self.in_flight
    }
}

impl Budget {
    pub fn new(bytes_max: usize) -> Self {
        Self { bytes_max, lanes: BTreeMap::new() }
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
        self.lanes.values().map(|usage| usage.total()).sum()
    }

    pub fn stance(&self, lane: LaneNumber) -> Stance {
        if !self.is_exceeded() {
            return Stance::Gather;
        }
        if self.to_close() == Some(lane) { Stance::CloseEarly } else { Stance::Wait }
    }

    fn is_exceeded(&self) -> bool {
        self.used() >= self.bytes_max
    }

    /// The lane with the most open bytes; none while storing what is in flight will do.
    fn to_close(&self) -> Option<LaneNumber> {
        let in_flight: usize = self.lanes.values().map(|usage| usage.in_flight).sum();
        let is_enough = self.used() - in_flight < self.bytes_max / 2 && in_flight > 0;
        let open = self.lanes.iter().filter(|(_, usage)| usage.open > 0);
        let largest = open.max_by_key(|(lane, usage)| (usage.open, **lane));
        largest.map(|(lane, _)| *lane).filter(|_| !is_enough)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn usage() -> impl Strategy<Value = Usage> {
        (0usize..100, 0usize..100).prop_map(|(open, in_flight)| Usage { open, in_flight })
    }

    fn budget(usages: &[Usage]) -> Budget {
        let mut budget = Budget::new(150);
        for (lane, usage) in (0..).zip(usages) {
            budget.set(lane, *usage);
        }
        budget
    }

    proptest! {
        /// The budget never lets everybody wait for nobody: when it binds, exactly one lane is told
        /// to store the most that any has open, unless what is in flight makes room for half.
        #[test]
        fn somebody_always_makes_room(usages in prop::collection::vec(usage(), 1..8)) {
            let budget = budget(&usages);
            let stances: Vec<_> =
                (0..).zip(&usages).map(|(lane, usage)| (budget.stance(lane), *usage)).collect();
            let is_exceeded = usages.iter().map(|usage| usage.total()).sum::<usize>() >= 150;
            for (stance, _) in &stances {
                prop_assert_eq!(*stance == Stance::Gather, !is_exceeded);
            }
            let closing: Vec<_> =
                stances.iter().filter(|(stance, _)| *stance == Stance::CloseEarly).collect();
            let in_flight = usages.iter().any(|usage| usage.in_flight > 0);
            let open = usages.iter().map(|usage| usage.open).sum::<usize>();
            let is_enough = in_flight && open < 75;
            prop_assert_eq!(closing.len(), usize::from(is_exceeded && !is_enough));
            let most = usages.iter().map(|usage| usage.open).max();
            prop_assert!(closing.iter().all(|(_, usage)| Some(usage.open) == most && usage.open > 0));
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
        let mut budget = budget(&[Usage { open: 100, in_flight: 90 }, Usage::default()]);
        assert_eq!(budget.stance(1), Stance::Wait);
        assert!(budget.remove(0));
        assert_eq!((budget.stance(1), budget.used()), (Stance::Gather, 0));
    }
}
