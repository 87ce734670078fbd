//! Compares topics with the lake, record by record and by content.
//!
//! It shares no code with the consumer: it reads Kafka and Parquet on its own, so that a fault of
//! the consumer cannot hide itself.
//!
//! ```text
//!  kafka ──────> record ──┐
//!    IO           pure    ├─> digest ─> compare ─> report
//!  lake ──> json, chain ──┘    pure       pure      pure
//! ```

pub mod record;
pub mod json;
pub mod digest;
pub mod chain;
pub mod compare;
pub mod dead_letters;
pub mod report;
pub mod kafka;
mod merged;
pub mod check;
pub mod wait;
