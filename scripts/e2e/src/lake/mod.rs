//! Reads a lake of Parquet objects as any stranger would: by its folders, footers and columns.

pub mod name;
pub mod naming;
pub mod footer;
pub mod manifest;
pub mod rows;
pub mod store;
