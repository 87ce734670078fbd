//! Decides which consumer reads which partition, and carries the decision out.
//!
//! ```text
//!  sense ──> trigger ──> plan ──> diff ──> rebalance ──> execute
//!   IO        pure       pure     pure       pure          IO
//!    │                                                      ^
//!    └───────> conductor: holds the pure parts together ────┘
//! ```

pub mod args;
pub mod topics;
pub mod inbox;
pub mod sense;
pub mod service;
pub mod catalog;
pub mod wishes;
pub mod operations;
pub mod ledger;
pub mod leadership;
pub mod swing;
pub mod monitors;
pub mod demand;
pub mod pace;
pub mod capacity;
pub mod expansion;
pub mod standstill;
pub mod reason;
pub mod trigger;
pub mod pack;
pub mod plan;
pub mod simulate;
pub mod compare;
pub mod diff;
pub mod decision;
pub mod proposal;
pub mod recover;
pub mod roster;
pub mod rebalance;
pub mod conductor;
pub mod status;
pub mod fleet;
pub mod outbox;
pub mod takeover;
pub mod journal;
pub mod state_dir;
mod labels;
pub mod metrics;
pub mod narrate;
pub mod execute;
pub mod command_line;
pub mod run;
