//! IO. Fuzz target: the metadata of committed offsets.
#![no_main]

use common::position::CommitMetadata;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Some(metadata) = CommitMetadata::parse(text) {
        assert_eq!(CommitMetadata::parse(&metadata.to_text()), Some(metadata));
    }
});
