//! A small client of Kafka's own protocol, for what librdkafka does not tell: how large the log of
//! each replica is, the ids of topics, and where in a log the epochs of its leaders end.
//!
//! ```text
//! client ─> connection ─> tls, login ─> broker
//!    │          └─ frame ─> shape                (what comes in is checked before it is decoded)
//!    └─> cluster, log_dirs, epochs               (what the answers mean)
//! ```

pub mod cluster;
pub mod log_dirs;
pub mod epochs;
pub mod client;
pub(crate) mod connection;
pub(crate) mod tls;
pub(crate) mod login;
pub(crate) mod call;
pub(crate) mod frame;
pub(crate) mod shape;

pub use frame::understand;
