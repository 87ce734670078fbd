//! Merges the small objects of a table into large files, and says which files hold a table now.
//!
//! ```text
//!  lake ──> plan ──> merge (source ─> encode) ──> lake (manifest)     … until nothing is left to merge
//!   IO      pure      IO      pure      pure       IO
//!  lake ──> retire ──> sweep, reclaim
//!   IO       pure        IO      IO
//! ```
//!
//! Why readers see every record once at any moment: docs/compaction.md.

pub mod args;
pub mod layout;
pub mod manifest;
pub mod lake;
pub mod plan;
pub mod source;
pub mod encode;
pub mod merge;
pub mod retire;
pub mod reclaim;
pub mod compactor;
pub mod run;
