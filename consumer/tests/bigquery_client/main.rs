//! The client of BigQuery against the double: every call, every fault.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod scene;
mod calls;
mod faults;
mod appends;
mod shared;
mod inserts;
mod addresses;
mod credentials;
