//! What a person asks from the command line: of an orchestrator that runs, or of the planner alone.

pub mod status;
pub mod table;
pub mod kubernetes;
pub mod operate;
pub mod send;
pub mod service;
pub mod policy;
pub mod plan_table;
pub mod plan;
pub mod simulate;
pub mod trace;
pub mod compare;
pub mod size;
