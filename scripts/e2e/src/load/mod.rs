//! Writes records to a topic at set rates.
//!
//! ```text
//!  shape ──> schedule ──> event | replay ──> produce
//!   pure       pure        pure    IO          IO
//! ```

pub mod shape;
pub mod schedule;
pub mod event;
pub mod replay;
pub mod produce;
