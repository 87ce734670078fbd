//! Decides which consumer reads which partition, and carries the decision out.
//!
//! ```text
//!  sense ──> trigger ──> plan ──> diff ──> rebalance ──> execute
//!   IO        pure       pure     pure       pure          IO
//! ```

pub mod demand;
pub mod trigger;
pub mod plan;
pub mod diff;
pub mod leadership;
pub mod recover;
pub mod roster;
pub mod rebalance;
