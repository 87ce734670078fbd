//! All that speaks to Kafka, in the order from settings to records.

pub mod config;
pub mod config_file;
pub mod security;
pub mod cause;
pub(crate) mod lookout;
pub mod client_events;
pub mod producer;
pub mod clients;
pub mod topic_spec;
pub mod admin;
pub mod reader;
pub mod partitions_reader;
pub mod writer;
pub mod wire;
