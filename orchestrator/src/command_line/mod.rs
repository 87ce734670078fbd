//! What a person asks an orchestrator that runs, from the command line.

pub mod status;
pub mod table;
pub mod send;
pub mod service;
