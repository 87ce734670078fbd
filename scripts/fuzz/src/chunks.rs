//! IO. Fuzz target: messages in several records, as consumers and orchestrators put them together.
#![no_main]

use common::identity::TopicId;
use consumer::inbox::{Envelope, Inbox};
use libfuzzer_sys::fuzz_target;

/// Records are told apart by this byte.
const END: u8 = 0xfe;

fuzz_target!(|data: &[u8]| {
    let mut inbox = Inbox::new(false, TopicId(uuid::Uuid::nil()));
    for record in data.split(|byte| *byte == END) {
        let mut parts = record.splitn(2, |byte| *byte == b' ');
        let header = parts.next().unwrap_or_default();
        let chunk = String::from_utf8_lossy(header).into_owned();
        let value = parts.next().map(<[u8]>::to_vec);
        let _ = inbox.take(Envelope { event_type: None, chunk: Some(chunk), value });
    }
});
