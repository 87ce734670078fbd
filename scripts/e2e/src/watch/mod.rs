//! What monitor and consumers say on their own topics, as seen by somebody who only reads them.
//!
//! ```text
//!  follow ──> fleet, moves, announced
//!    IO           pure
//! ```

pub mod moves;
pub mod fleet;
pub mod follow;
pub mod announced;
