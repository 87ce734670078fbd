//! What all writers of a table agree on: who it belongs to and its columns.

pub mod claim;
pub mod schema;
pub mod schema_chain;
