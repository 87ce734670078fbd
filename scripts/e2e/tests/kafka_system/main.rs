//! The whole system on real Kafka: whatever happens to it, every record is in the lake once.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../stage/mod.rs"]
mod stage;

mod crew;
mod flow;
mod own_kafka;

mod bad_input;
mod bad_records;
mod broker;
mod cut;
mod deaths;
mod growth;
mod orders;
mod measurements;
mod readers;
mod reload;
