//! Change events of Debezium as rows of a changelog: the row's state as columns, and what happened to it in columns that
//! begin with `__`.
//!
//! Pure. `envelope` holds what all encodings share, `json` reads JSON with the schemas that `connect` understands.

mod avro;
mod connect;
mod envelope;
mod json;
mod unavailable;
mod value;

pub(super) use avro::{read as read_avro, to_columns};
pub(super) use envelope::own_columns;
pub(super) use json::EnvelopeReader;
pub(super) use unavailable::Unavailable;
