//! Reads tables of BigQuery as any stranger would: by the listing of rows that its REST interface has. And judges what
//! was done to write streams, by the log of the double.

pub mod cells;
pub mod listing;
pub mod history;
