//! The demonstration: the whole system on one machine, a load that rises and falls, one live page.
//!
//! ```text
//!  watch ──> page, summary      run wires them, and kills when told to
//!    IO          pure            IO
//! ```

pub mod page;
pub mod summary;
pub mod run;
