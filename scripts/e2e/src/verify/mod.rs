//! Compares topics with what is stored of them, record by record and by content.
//!
//! It shares no code with the consumer: it reads Kafka, Parquet and BigQuery on its own, so that a fault of
//! the consumer cannot hide itself.
//!
//! ```text
//!  kafka ──────────────> record ──┐
//!    IO                   pure    ├─> digest ─> compare ─> report
//!  lake ────> json, chain ┬ sink ─┘    pure       pure      pure
//!  bigquery ─> json, cells┘ pure
//! ```

pub mod record;
pub mod json;
pub mod digest;
pub mod chain;
pub mod compare;
pub mod dead_letters;
pub mod report;
pub mod sink;
pub mod kafka;
mod merged;
mod lake_topic;
mod table_topic;
pub mod check;
pub mod wait;
