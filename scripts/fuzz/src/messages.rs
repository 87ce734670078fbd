//! IO. Fuzz target: what stands on the controller and events topics.
#![no_main]

use common::messages::Kind;
use common::messages::codec::decode;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((first, payload)) = data.split_first() else { return };
    // The header names a kind, or there is none.
    let kind = Kind::ALL.get(usize::from(*first)).map(|kind| kind.name());
    if let Ok(message) = decode(kind, payload) {
        let bytes = message.encode();
        assert_eq!(decode(None, &bytes).expect("what was written is read"), message);
    }
});
