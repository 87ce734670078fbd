//! The Storage Write API over gRPC.

pub mod service;
pub mod unary;
pub mod appends;
