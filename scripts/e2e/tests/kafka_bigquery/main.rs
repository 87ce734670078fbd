//! The whole system on real Kafka with a double of BigQuery: whatever happens to either, every record is in its table
//! once.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../kafka_system/crew.rs"]
#[allow(dead_code, reason = "a part of it is used here")]
mod crew;
#[path = "../kafka_system/flow.rs"]
mod flow;
#[path = "../stage/mod.rs"]
mod stage;

mod warehouse;

mod changes;
mod deaths;
mod delivery;
mod faults;
mod growth;
mod widening;
