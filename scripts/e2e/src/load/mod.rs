//! Writes records to a topic: at set rates, or a set number as fast as they go.
//!
//! ```text
//!  shape ──> schedule ──> event | replay ──> produce ──> sender
//!   pure       pure        pure    IO          IO          IO
//!                         order ───────────> preload ──────┘
//!                          pure                 IO
//! ```

pub mod shape;
pub mod schedule;
pub mod event;
pub mod order;
pub mod replay;
pub mod sender;
pub mod produce;
pub mod preload;
