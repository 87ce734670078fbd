//! IO. Fuzz target: the last bytes of an object in the lake.
#![no_main]

use bytes::Bytes;
use consumer::sink::parquet::read_footer;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = read_footer(&Bytes::copy_from_slice(data));
});
