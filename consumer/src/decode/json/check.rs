//! Pure. Reads a whole JSON text for what no column could keep: bad syntax, repeated keys, lone surrogates.

use jiter::{Jiter, JiterError, JiterErrorType, JsonErrorType, Peek};

use crate::decode::DeadLetterReason;
use crate::decode::rows::Defect;

/// How deep objects and arrays may be nested.
pub(super) const DEPTH_MAX: usize = 64;

/// What is wrong, and at which byte.
pub(in crate::decode) fn defect_of(error: &JiterError) -> Defect {
    let reason = match &error.error_type {
        JiterErrorType::JsonError(
            JsonErrorType::LoneLeadingSurrogateInHexEscape
            | JsonErrorType::UnexpectedEndOfHexEscape,
        ) => DeadLetterReason::LoneSurrogate,
        _ => DeadLetterReason::InvalidJson,
    };
    Defect::new(reason, format!("{} at byte {}", error.error_type, error.index))
}

pub(super) fn too_deep(at: usize) -> Defect {
    let text = format!("nested deeper than {DEPTH_MAX} at byte {at}");
    Defect::new(DeadLetterReason::TooDeep, text)
}

pub(super) fn duplicate_key(key: &str, at: usize) -> Defect {
    let text = format!("the key {key:?} is repeated before byte {at}");
    Defect::new(DeadLetterReason::DuplicateKey, text)
}

pub(super) fn not_an_object() -> Defect {
    Defect::new(DeadLetterReason::NotAnObject, "the value is JSON, but no object")
}

/// The text itself, if it is one JSON object that can be kept as it is.
pub(in crate::decode) fn check(value: &[u8]) -> Result<&str, Defect> {
    let mut jiter = Jiter::new(value);
    let peek = jiter.peek().map_err(|error| defect_of(&error))?;
    check_value(&mut jiter, peek, 0)?;
    jiter.finish().map_err(|error| defect_of(&error))?;
    if peek != Peek::Object {
        return Err(not_an_object());
    }
    // Strings were checked, and nothing else may be other than ASCII.
    std::str::from_utf8(value)
        .map_err(|error| Defect::new(DeadLetterReason::InvalidJson, error.to_string()))
}

fn check_value(jiter: &mut Jiter<'_>, peek: Peek, depth: usize) -> Result<(), Defect> {
    let of = |error: JiterError| defect_of(&error);
    match peek {
        Peek::Object => check_object(jiter, depth + 1),
        Peek::Array => check_array(jiter, depth + 1),
        Peek::String => jiter.known_str().map(drop).map_err(of),
        Peek::Null => jiter.known_null().map_err(of),
        Peek::True | Peek::False => jiter.known_bool(peek).map(drop).map_err(of),
        _ => jiter.known_number_bytes(peek).map(drop).map_err(of),
    }
}

fn check_array(jiter: &mut Jiter<'_>, depth: usize) -> Result<(), Defect> {
    let of = |error: JiterError| defect_of(&error);
    if depth > DEPTH_MAX {
        return Err(too_deep(jiter.current_index()));
    }
    let mut next = jiter.known_array().map_err(of)?;
    while let Some(peek) = next {
        check_value(jiter, peek, depth)?;
        next = jiter.array_step().map_err(of)?;
    }
    Ok(())
}

fn check_object(jiter: &mut Jiter<'_>, depth: usize) -> Result<(), Defect> {
    let of = |error: JiterError| defect_of(&error);
    if depth > DEPTH_MAX {
        return Err(too_deep(jiter.current_index()));
    }
    let mut keys = Vec::new();
    let mut next = jiter.known_object().map_err(of)?.map(str::to_owned);
    while let Some(key) = next {
        keys.push(key);
        let peek = jiter.peek().map_err(of)?;
        check_value(jiter, peek, depth)?;
        next = jiter.next_key().map_err(of)?.map(str::to_owned);
    }
    keys.sort_unstable();
    match keys.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(duplicate_key(&pair[0], jiter.current_index())),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(text: &[u8]) -> Option<DeadLetterReason> {
        check(text).err().map(|defect| defect.reason)
    }

    #[test]
    fn each_defect_has_its_reason() {
        use DeadLetterReason::{DuplicateKey, InvalidJson, LoneSurrogate, NotAnObject, TooDeep};
        let nested = |depth: usize| format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth));
        for (text, expected) in [
            (r#" {"a":[1,{"b":"\u00e9\ud83d\ude00"}]} "#.as_bytes(), None),
            (b"{}", None),
            (b"", Some(InvalidJson)),
            (b"{\"a\":1", Some(InvalidJson)),
            (b"{\"a\":1}x", Some(InvalidJson)),
            (b"{\"a\":01}", Some(InvalidJson)),
            (b"{\"a\":NaN}", Some(InvalidJson)),
            (b"{\"a\":\"\xff\"}", Some(InvalidJson)),
            (b"{\"a\":\"\x01\"}", Some(InvalidJson)),
            (b"\xef\xbb\xbf{}", Some(InvalidJson)),
            (b"null", Some(NotAnObject)),
            (b"[{}]", Some(NotAnObject)),
            (b"12", Some(NotAnObject)),
            (br#"{"a":1,"b":{"c":1,"\u0063":null}}"#, Some(DuplicateKey)),
            (br#"{"a":1,"a":1}"#, Some(DuplicateKey)),
            (br#"{"a":"\ud800"}"#, Some(LoneSurrogate)),
            (br#"{"a":"\udc00"}"#, Some(LoneSurrogate)),
            (br#"{"a":"\ud800\u0041"}"#, Some(LoneSurrogate)),
            (br#"{"\ud800":1}"#, Some(LoneSurrogate)),
            (nested(64).as_bytes(), None),
            (nested(65).as_bytes(), Some(TooDeep)),
            ("[".repeat(100_000).as_bytes(), Some(TooDeep)),
        ] {
            assert_eq!(reason(text), expected, "{}", String::from_utf8_lossy(text));
        }
    }
}
