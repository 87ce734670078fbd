//! Parquet objects: one conditional put per batch, chained by their offsets, so that each record is stored once.
//!
//! ```text
//!  decode ──> chunk (row groups)
//!  open: chain (where it ends), claims (where to go on) ──> write: object (bytes) ──> writer (put) ──> verdict (name taken)
//! ```

pub mod chunk;
pub mod footer;
pub mod object;
pub mod last;
pub mod verdict;

mod chain;
mod dictionary;
mod naming;
mod table;
mod writer;

pub use footer::{Footer, FooterError, footer_size, read_footer};
pub use object::Compression;
pub use table::{Nonces, ParquetTable};
pub use writer::ParquetWriter;
