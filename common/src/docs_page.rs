//! IO. Keeps the printed parts of the documents in step with the code, for the tests of the services.

use std::fs;
use std::path::Path;

use crate::docs::with_section;

/// Checks that `docs/<page>` holds `content` as its part `section`. With `UPDATE_DOCS=1` in the
/// environment it writes the page instead.
///
/// # Panics
/// If the page is stale, or cannot be read: this is an assertion.
#[expect(
    clippy::disallowed_methods,
    reason = "asks the person who runs the tests, not the service"
)]
pub fn assert_in_step(page: &str, section: &str, content: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(page);
    let found = fs::read_to_string(&path).expect("every page with printed parts exists");
    let wanted = with_section(&found, section, content).expect("the page has a place for it");
    if found == wanted {
        return;
    }
    assert!(
        std::env::var("UPDATE_DOCS").is_ok_and(|answer| answer == "1"),
        "docs/{page} is stale in its part `{section}`: run the tests with UPDATE_DOCS=1"
    );
    fs::write(&path, wanted).expect("the page can be written");
}
