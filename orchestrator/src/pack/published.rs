//! Pure. The twelve published heuristics by name.

use super::fit::{Fit, Id, Input};
use super::{any_fit, modified};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Heuristic {
    NextFit,
    NextFitDecreasing,
    FirstFit,
    FirstFitDecreasing,
    BestFit,
    BestFitDecreasing,
    WorstFit,
    WorstFitDecreasing,
    ModifiedWorstFit,
    ModifiedBestFit,
    ModifiedWorstFitPartition,
    ModifiedBestFitPartition,
}

impl Heuristic {
    pub const ALL: [Self; 12] = [
        Self::NextFit,
        Self::NextFitDecreasing,
        Self::FirstFit,
        Self::FirstFitDecreasing,
        Self::BestFit,
        Self::BestFitDecreasing,
        Self::WorstFit,
        Self::WorstFitDecreasing,
        Self::ModifiedWorstFit,
        Self::ModifiedBestFit,
        Self::ModifiedWorstFitPartition,
        Self::ModifiedBestFitPartition,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::NextFit => "nf",
            Self::NextFitDecreasing => "nfd",
            Self::FirstFit => "ff",
            Self::FirstFitDecreasing => "ffd",
            Self::BestFit => "bf",
            Self::BestFitDecreasing => "bfd",
            Self::WorstFit => "wf",
            Self::WorstFitDecreasing => "wfd",
            Self::ModifiedWorstFit => "mwf",
            Self::ModifiedBestFit => "mbf",
            Self::ModifiedWorstFitPartition => "mwfp",
            Self::ModifiedBestFitPartition => "mbfp",
        }
    }

    /// Whether the result depends on the order as given: the papers shuffle it at each iteration.
    pub fn follows_order(self) -> bool {
        matches!(self, Self::NextFit | Self::FirstFit | Self::BestFit | Self::WorstFit)
    }

    /// The consumer of every item, in the order of `input.sizes`.
    pub fn pack(self, input: &Input<'_>) -> Vec<Id> {
        match self {
            Self::NextFit => any_fit::as_given(input, Fit::Next),
            Self::NextFitDecreasing => any_fit::decreasing(input, Fit::Next),
            Self::FirstFit => any_fit::as_given(input, Fit::First),
            Self::FirstFitDecreasing => any_fit::decreasing(input, Fit::First),
            Self::BestFit => any_fit::as_given(input, Fit::Best),
            Self::BestFitDecreasing => any_fit::decreasing(input, Fit::Best),
            Self::WorstFit => any_fit::as_given(input, Fit::Worst),
            Self::WorstFitDecreasing => any_fit::decreasing(input, Fit::Worst),
            Self::ModifiedWorstFit => modified::by_total(input, Fit::Worst),
            Self::ModifiedBestFit => modified::by_total(input, Fit::Best),
            Self::ModifiedWorstFitPartition => modified::by_largest(input, Fit::Worst),
            Self::ModifiedBestFitPartition => modified::by_largest(input, Fit::Best),
        }
    }
}
