//! IO. Fuzz target: the state file on a volume.
#![no_main]

use common::identity::ConsumerId;
use consumer::state::{Belonging, State};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let belonging =
        Belonging { consumer: ConsumerId(3), group: "g".into(), cluster_id: "c".into() };
    if let Ok(state) = State::decode(data, &belonging) {
        assert_eq!(State::decode(&state.encode(), &belonging), Ok(state));
    }
});
