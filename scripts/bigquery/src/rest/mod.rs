//! The REST interface, and the double's own pages beside it.

pub mod calls;
pub mod routes;
pub mod rows;
pub mod admin;
