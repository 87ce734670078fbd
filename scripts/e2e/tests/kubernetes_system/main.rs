//! The whole system on a real API server and real Kafka, installed as a user would: whatever happens to it, every record
//! is in the lake once.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../cluster/mod.rs"]
mod cluster;
#[path = "../kafka_system/flow.rs"]
mod flow;
#[path = "../stage/mod.rs"]
mod stage;

mod group;

mod growth;
mod hands;
mod outages;
mod role;
mod rollouts;
