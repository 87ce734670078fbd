//! The system seen from outside: load, verification, latency.
//!
//! ```text
//!  load ──> topics ──> (the system) ──> lake ──> verify, latency
//! ```

pub mod load;
pub mod lake;
pub mod verify;
pub mod latency;
