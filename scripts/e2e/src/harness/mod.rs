//! Runs the programs of the system as a person would, and looks at them from outside.

pub mod patience;
pub mod programs;
pub mod registry;
pub mod process;
pub mod http;
pub mod system;
pub mod kafka;
pub mod bigquery;
pub mod kubernetes;
