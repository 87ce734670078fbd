//! One row: its values, how it is read from JSON and from protobuf, and what a change says about it.

pub mod decimal;
pub mod civil;
pub mod value;
pub mod parse;
pub mod change;
pub mod encoded;
pub mod format;
