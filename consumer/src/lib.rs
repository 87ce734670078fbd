//! Reads the partitions that it is told to, and stores their records exactly once where the sink allows it.
//!
//! ```text
//!  control ─> ownership                      (commands in, events out)
//!    IO         pure
//!  gather ─> batch ─> decode ─> sink ─> offsets ─> commit
//!    IO      pure      pure      IO      pure       IO
//! ```

pub mod args;
pub mod control;
pub mod inbox;
pub mod by_hand;
pub mod heart;
pub mod lease;
pub mod lease_watch;
pub mod ownership;
pub mod gather;
pub mod record;
pub mod batch;
pub mod budget;
pub mod budget_watch;
pub mod decode;
pub mod refusal;
pub mod schema_registry;
pub mod letter;
pub mod dead_letter;
pub mod object;
pub mod table;
pub mod sink;
pub mod offsets;
pub mod commit;
pub mod lane;
pub mod lanes;
pub mod topics;
pub mod events;
pub mod state;
pub mod volume;
pub mod keep;
pub mod metrics;
pub mod start;
pub mod conduct;
pub mod compact;
pub mod run;
pub mod command_line;
