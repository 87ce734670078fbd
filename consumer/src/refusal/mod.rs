//! When so many records of a partition cannot become rows that the fault is not theirs: then it is not
//! read on, instead of emptying the topic into the dead letters.
//!
//! ```text
//!            too many of the last records            a pause is over
//!  reading ───────────────────────────────> paused ──────────────────> on trial
//!     ^                                        ^                          │ │
//!     │                                        └── still too many ────────┘ │
//!     └────────────────────────── few enough ───────────────────────────────┘
//! ```

mod guard;
mod minute;

pub use guard::{Counts, Guard, Refusal};
pub use minute::LastMinute;
