//! BigQuery by its Storage Write API: rows are appended to a stream of the partition's own, at explicit offsets, so
//! that each record is stored once; or, where the service entry says so, at least once: to the table's default stream,
//! or by insertAll.
//!
//! ```text
//!  decode ──> encode (rows as protobuf)
//!  open:  claim (whose the table is) ──> table (fence former streams, ask where rows end, make a stream: token)
//!  write: writer ──> appends (what is under way) ──> link (by which way) ──> client ──> appends (what an answer means)
//!  widen: columns (which field is which column), key (by which rows change others) ──> table (change it under its ETag)
//! ```

pub mod service_field;
pub mod frame_columns;
pub mod columns;
pub mod key;
pub mod encode;
pub mod client;
pub mod token;
pub mod fencing;
pub mod appends;

mod names;
mod resolve;
mod widening;
mod closed;
mod claim;
mod table;
mod inserts;
mod link;
mod writer;

pub use claim::claim;
pub use table::BigQueryTable;
pub use writer::BigQueryWriter;
