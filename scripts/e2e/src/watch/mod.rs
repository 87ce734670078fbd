//! What monitor and consumers say on their own topics, as seen by somebody who only reads them.
//!
//! ```text
//!  follow ──> fleet, moves
//!    IO           pure
//! ```

pub mod moves;
pub mod fleet;
pub mod follow;
