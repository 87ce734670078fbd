//! IO. Fuzz target: the headers of dead letters, which anybody may write: a name and a value on each line.
#![no_main]

use bytes::Bytes;
use consumer::letter::{Entry, Headers, read};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let headers: Headers = bytes.split(|byte| *byte == b'\n').filter_map(header).collect();
    let Entry::Letter(letter, own) = read(&headers) else { return };
    assert!(own.len() < headers.len(), "what follows them is ours");
    // What is written again is read as the same letter of the same record.
    let ours = letter.headers().into_iter();
    let ours = ours.map(|(name, value)| (name.to_owned(), Some(value.into())));
    let again: Headers = own.iter().cloned().chain(ours).collect();
    let Entry::Letter(mut second, same) = read(&again) else { panic!("{again:?}") };
    assert_eq!(same, own);
    assert!(letter.error.starts_with(&second.error), "it is cut at most");
    second.error.clone_from(&letter.error);
    // Only of a timestamp is it said who made it.
    second.is_append_time |= letter.is_append_time && letter.timestamp_ms.is_none();
    assert_eq!(second, letter);
    let _ = letter.replay_headers(own, "0:0");
});

fn header(line: &[u8]) -> Option<(String, Option<Bytes>)> {
    let mut parts = line.splitn(2, |byte| *byte == b'=');
    let name = std::str::from_utf8(parts.next()?).ok()?;
    Some((name.into(), parts.next().map(Bytes::copy_from_slice)))
}
