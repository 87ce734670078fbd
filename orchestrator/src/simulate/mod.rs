//! Pure. Plans a stream of rates step by step, without a cluster: for people who compare and decide.
//!
//! ```text
//!  input ──> contest ──> output
//!  a line    one plan    a line
//! ```

pub mod contest;
pub mod line;

pub use contest::Contest;
pub use line::{Answer, LineError, Step};
