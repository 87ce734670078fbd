//! What passes over our own topics: every kind of message, its frozen schema, and the codec.
//!
//! ```text
//!  people ──request──> orchestrator ──command──> consumer ──event──> orchestrator
//!                      monitor ──measurement──> orchestrator
//!                      people ──service entry──> orchestrator
//! ```

pub mod command;
pub mod event;
pub mod request;
pub mod snapshot;
pub mod measurement;
pub mod format;
pub mod entry;
pub mod service;
pub mod codec;
pub mod chunk;

use std::collections::BTreeMap;

/// What a later version may add to a message without a new kind; readers of today keep it aside.
pub type Extra = BTreeMap<String, String>;

pub use codec::{Kind, Message};
