//! IO. Fuzz target: what stands on the service topic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use orchestrator::service::Services;

/// A key ends with this byte, and so does a value.
const END: u8 = 0;

fuzz_target!(|data: &[u8]| {
    let mut services = Services::default();
    let parts: Vec<&[u8]> = data.split(|byte| *byte == END).collect();
    for entry in parts.chunks(2) {
        services.take(entry.first().copied(), entry.get(1).copied());
    }
});
