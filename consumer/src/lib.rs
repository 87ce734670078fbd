//! Reads the partitions that it is told to, and stores their records exactly once where the sink allows it.
//!
//! ```text
//!  control ─> ownership                      (commands in, events out)
//!    IO         pure
//!  gather ─> batch ─> decode ─> sink ─> offsets ─> commit
//!    IO      pure      pure      IO      pure       IO
//! ```

pub mod lease;
pub mod ownership;
pub mod record;
pub mod decode;
pub mod table;
pub mod lease_watch;
pub mod sink;
