//! Comparing ways to assign partitions: on a trace, in consumers, movement, latency and cost; and
//! how many partitions and consumers a stream needs.
//!
//! ```text
//! trace ──────> contestant ──> fluid ─────────> outcome ──> table, csv, svg
//!  recording     assignor       queue, share                              axis
//!                autoscaler     latency
//!
//! trace, skew ─> size ─> report
//!                 population, budget, margin
//! ```

pub mod trace;
pub mod recording;
pub mod contestant;
pub mod assignor;
pub mod autoscaler;
pub mod planner;
mod share;
mod queue;
pub mod latency;
pub mod fluid;
pub mod outcome;
pub mod table;
pub mod csv;
mod axis;
pub mod svg;
pub mod skew;
mod population;
pub mod budget;
pub mod margin;
pub mod size;
pub mod report;
