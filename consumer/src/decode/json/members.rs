//! Pure. Finds members of JSON objects without reading the others.

use jiter::{Jiter, JiterResult, Peek};

use super::check::{defect_of, not_an_object};
use crate::decode::rows::Defect;

/// Calls `found` with each member of the object that `value` is: its name, and the text of its value.
pub(in crate::decode) fn each_member<'v>(
    value: &'v [u8],
    mut found: impl FnMut(&str, &'v [u8]) -> Result<(), Defect>,
) -> Result<(), Defect> {
    let mut jiter = Jiter::new(value);
    if jiter.peek().map_err(|error| defect_of(&error))? != Peek::Object {
        return Err(not_an_object());
    }
    let mut next = owned(jiter.known_object()).map_err(|error| defect_of(&error))?;
    while let Some(name) = next {
        let peek = jiter.peek().map_err(|error| defect_of(&error))?;
        let start = jiter.current_index();
        jiter.known_skip(peek).map_err(|error| defect_of(&error))?;
        found(&name, jiter.slice_to_current(start))?;
        next = owned(jiter.next_key()).map_err(|error| defect_of(&error))?;
    }
    jiter.finish().map_err(|error| defect_of(&error))
}

fn owned(key: JiterResult<Option<&str>>) -> JiterResult<Option<String>> {
    key.map(|key| key.map(str::to_owned))
}

/// The text, number or boolean at a path of members, as text; `None` where there is none.
pub(super) fn text_at(value: &[u8], path: &[String]) -> Option<String> {
    let mut value = value;
    for wanted in path {
        let mut found = None;
        // The rest of a broken record may be unreadable: whoever reads all of it says so.
        let _ = each_member(value, |name, member| {
            if name == wanted {
                found.get_or_insert(member);
            }
            Ok(())
        });
        value = found?;
    }
    let mut jiter = Jiter::new(value);
    match jiter.peek().ok()? {
        Peek::String => jiter.known_str().ok().map(str::to_owned),
        Peek::Null | Peek::Array | Peek::Object => None,
        _ => std::str::from_utf8(value).ok().map(str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_by_their_path() {
        let value = br#"{"a": {"b": "x\u0041", "c": [1]}, "n": 12, "t": true}"#;
        let at = |path: &[&str]| {
            let path: Vec<_> = path.iter().map(|name| (*name).to_owned()).collect();
            text_at(value, &path)
        };
        assert_eq!(at(&["a", "b"]).as_deref(), Some("xA"));
        assert_eq!((at(&["n"]).as_deref(), at(&["t"]).as_deref()), (Some("12"), Some("true")));
        assert_eq!((at(&["a"]), at(&["a", "c"]), at(&["x"])), (None, None, None));
    }
}
