//! The clients that a sink is built on, against the double: every call, every answer, every fault.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod admin;
mod appends;
mod faults;
mod quotas;
mod rest;
mod scene;
