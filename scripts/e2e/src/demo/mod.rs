//! The demonstration: the whole system on one machine, a load that rises and falls, one live page.
//!
//! ```text
//!  follow ──> fleet, moves ──> page
//!    IO           pure          pure
//! ```

pub mod follow;
pub mod moves;
pub mod fleet;
pub mod page;
pub mod summary;
