//! The demonstration: the whole system on one machine, a load that rises and falls, one live page.
//!
//! ```text
//!  follow ──> fleet, moves ──> page, summary      run wires them, and kills when told to
//!    IO           pure             pure             IO
//! ```

pub mod follow;
pub mod moves;
pub mod fleet;
pub mod page;
pub mod summary;
pub mod run;
