//! Pure. What a published heuristic is given, and how it chooses.

/// A consumer's number, as the published heuristics count them: from 1.
pub type Id = u32;

/// What a published heuristic is given: one capacity for all, the sizes in the order as given, and
/// who holds each item now.
#[derive(Clone, Debug)]
pub struct Input<'a> {
    pub capacity: u64,
    pub sizes: &'a [u64],
    pub current: &'a [Option<Id>],
}

/// Which of the consumers that are there takes an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// The last one created, or none.
    Next,
    /// The lowest number.
    First,
    /// The fullest.
    Best,
    /// The emptiest.
    Worst,
}
