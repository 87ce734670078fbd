//! Measures how many bytes per second each partition receives, and how far its readers are behind.
//!
//! ```text
//!  selection ──> follow ──> log_dirs ──> measure ──> filter ──> report ──> publish
//!    pure          IO       offsets       window      pure       pure        IO
//!                  │          IO           pure
//!               catalog     brokers
//!                 pure        pure                assemble ──> table ──> tail
//!                                                   pure        pure      IO
//! ```
//!
//! `turn` is one way through it, `run` wires it together and repeats it.

pub mod args;
pub mod selection;
pub mod catalog;
pub mod follow;
pub mod brokers;
pub mod log_dirs;
pub mod offsets;
pub mod window;
pub mod measure;
pub mod filter;
pub mod report;
pub mod publish;
pub mod metrics;
pub mod turn;
pub mod run;
pub mod assemble;
pub mod table;
pub mod tail;
