//! Pure. Which deliberate fault is at work: only in the copy that scripts/mutate.sh makes.

use std::sync::OnceLock;

/// Whether the environment asks for the fault of this name.
pub fn is(name: &str) -> bool {
    static ASKED: OnceLock<String> = OnceLock::new();
    ASKED.get_or_init(|| std::env::var("STOWAGE_FAULT").unwrap_or_default()) == name
}
