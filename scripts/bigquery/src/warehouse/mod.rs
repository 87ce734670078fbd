//! What is stored: datasets, tables, write streams, and the calls that change them.

pub mod catalog;
pub mod streams;
pub mod append;
pub mod insert;
