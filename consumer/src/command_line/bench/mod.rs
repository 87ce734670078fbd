//! `consumer bench`: what it costs to read a topic, and to store its records, on this machine.
//!
//! ```text
//!  ask ──> run ──┬─> poll_loop        (Kafka's client alone, records are counted)
//!   IO      IO   └─> whole consumer   (led by hand, under names of its own)
//!                        │
//!             cost <─────┴──> report
//!              IO              pure
//! ```

mod ask;
mod cost;
mod poll_loop;
mod report;
mod run;

pub use ask::BenchArgs;
pub use run::carry_out;
