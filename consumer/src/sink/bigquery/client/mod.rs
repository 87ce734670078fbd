//! Calls to BigQuery: tables and queries by REST, streams and rows by gRPC.
//!
//! ```text
//!  options, credentials ──> connect ──┬─ tables, query     REST: repeated until answered, for a while
//!             tokens, channels        ├─ streams           gRPC: the same
//!                                     └─ append ──> verdict   one connection; never repeats anything
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

pub use append::Append;
pub use call_error::{Call, CallError, Kind};
pub use connect::Client;
pub use options::{BigQueryOptions, Credentials, Patience};
pub use query::{Asked, StoredRows};
pub use tables::{FoundTable, Patched};
pub use verdict::{Answer, Verdict};
