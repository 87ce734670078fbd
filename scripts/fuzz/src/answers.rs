//! IO. Fuzz target: what brokers answer to requests of our own.
#![no_main]

use common::kafka::wire::understand;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    understand(data);
});
