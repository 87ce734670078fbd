//! Calls to BigQuery: tables and queries by REST, streams and rows by gRPC.
//!
//! ```text
//!  options, credentials ──> connect ──┬─ tables, query     REST: repeated until answered, for a while
//!             tokens, channels        ├─ insert ──> inserted  the same
//!                                     ├─ streams           gRPC: the same
//!                                     ├─ append ──> verdict   one connection; never repeats anything
//!                                     └─ shared, sharing   the same, with other writers on it
//!  call_error: why a call failed, whether it may succeed later, what a person can do
//! ```

pub mod options;
pub mod call_error;
pub mod verdict;
pub mod tokens;
pub mod credentials;
pub mod channels;
pub mod connect;
pub mod tables;
pub mod query;
pub mod streams;
pub mod append;
pub mod sharing;
pub mod shared_append;
pub mod insert;
pub mod inserted;

pub use append::Append;
pub use call_error::{Call, CallError, Kind};
pub use connect::Client;
pub use insert::{INSERT_BYTES_MAX, InsertRows};
pub use options::{BigQueryOptions, Credentials, Patience};
pub use query::{Asked, StoredRows};
pub use shared_append::SharedAppend;
pub use tables::{FoundTable, Patched};
pub use verdict::{Answer, Verdict};
