//! The system seen from outside: load, verification, latency.
//!
//! ```text
//!  load ──> topics ──> (the system) ──┬─> lake ──> latency
//!                                     └─> bigquery, lake ──> verify
//! ```

pub mod clients;
pub mod load;
pub mod lake;
pub mod bigquery;
pub mod verify;
pub mod latency;
pub mod harness;
pub mod watch;
pub mod demo;
pub mod chaos;
pub mod reaction;
pub mod args;
pub mod run;
