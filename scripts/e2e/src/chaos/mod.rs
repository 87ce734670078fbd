//! Chaos: the whole system on real Kafka, a load, and a seeded mix of faults; then every record is verified.
//!
//! ```text
//!  fault ──> schedule ──> inflict ──> owners ──> judge ──> report      run wires them
//!  pure       pure          IO         pure      pure      pure          IO
//!                            ├── crash, at one of crash_points
//!             crew, proxy, sockets, room, letters: what faults are done to; leftovers, memory      IO
//! ```

pub mod fault;
pub mod crash_points;
pub mod sink_faults;
pub mod schedule;
pub mod owners;
pub mod judge;
pub mod report;
pub mod sight;
pub mod room;
pub mod sockets;
pub mod proxy;
pub mod crew;
pub mod letters;
pub mod leftovers;
pub mod memory;
pub mod stage;
pub mod inflict;
mod crash;
pub mod run;
