//! Change events of Debezium as rows of a changelog: the row's state as columns, and what happened to it in columns that
//! begin with `__`.
//!
//! Pure. `envelope` holds what all encodings share, `json` reads JSON with the schemas that `connect` understands. Where a
//! table shows the present state, `json_changes` and `avro_changes` make upserts and deletes of events, which `sequence` numbers.

mod avro;
mod avro_changes;
mod connect;
mod envelope;
mod json;
mod json_changes;
mod sequence;
mod unavailable;
mod value;

pub(super) use avro::{read as read_avro, to_columns};
pub(super) use avro_changes::{read as read_avro_change, read_tombstone as read_avro_tombstone};
pub(super) use envelope::own_columns;
pub(super) use json::EnvelopeReader;
pub(super) use json_changes::Planned;
pub(super) use unavailable::{Marker, Unavailable};
