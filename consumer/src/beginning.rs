//! Pure. The option of a service entry that says where a table's rows begin.

use common::kafka::reader::LogRange;
use common::messages::command::Source;
use common::moment::Timestamp;

const NAME: &str = "from";

/// Where the rows of a partition begin in a table that has none of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// With the first record that the log still has.
    Beginning,
    Offset(u64),
    /// With the first record of this time or later.
    Time(Timestamp),
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FromError {
    #[error(
        "the option `{NAME}` is `beginning`, `offset NUMBER` or `time` with a time such as \
         2026-03-01T00:00:00Z, not `{0}`"
    )]
    Value(String),
    #[error("the option `{NAME}` needs a sink that keeps tables, which `{0}` does not")]
    NoTable(String),
}

impl From {
    /// The offset to begin at, in a log of that range; `at_time` is the first of the time asked for, if
    /// there is one.
    pub fn offset(self, range: LogRange, at_time: Option<u64>) -> u64 {
        let offset = match self {
            Self::Beginning => range.start,
            Self::Offset(offset) => offset,
            Self::Time(_) => at_time.unwrap_or(range.end),
        };
        offset.clamp(range.start, range.end.max(range.start))
    }
}

/// Where an entry begins, and the entry without this option.
///
/// # Errors
/// If the option says nothing that can be followed.
pub fn split(source: &Source) -> Result<(Option<From>, Source), FromError> {
    let mut rest = source.clone();
    let Some(text) = rest.options.remove(NAME) else { return Ok((None, rest)) };
    let from = parse(&text).ok_or(FromError::Value(text))?;
    Ok((Some(from), rest))
}

fn parse(text: &str) -> Option<From> {
    match text.split_once(' ') {
        None => (text == "beginning").then_some(From::Beginning),
        Some(("offset", number)) => number.parse().ok().map(From::Offset),
        Some(("time", time)) => {
            let at: jiff::Timestamp = time.parse().ok()?;
            Some(From::Time(Timestamp(at.as_millisecond())))
        }
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(value: &str) -> Result<(Option<From>, Source), FromError> {
        let options = [(NAME.to_owned(), value.to_owned())].into();
        split(&Source { table: "t".into(), format: "json".into(), sink: "parquet".into(), options })
    }

    #[test]
    fn a_beginning_is_the_first_record_an_offset_or_a_time() {
        for (value, wanted) in [
            ("beginning", From::Beginning),
            ("offset 7", From::Offset(7)),
            ("time 1970-01-01T00:00:02Z", From::Time(Timestamp(2_000))),
        ] {
            let (from, rest) = of(value).unwrap();
            assert_eq!(from, Some(wanted));
            assert!(rest.options.is_empty());
        }
        for wrong in ["", "end", "offset", "offset -1", "time yesterday", "time 1970-01-01", "7"] {
            assert!(of(wrong).unwrap_err().to_string().contains(&format!("not `{wrong}`")));
        }
    }

    #[test]
    fn a_beginning_lies_in_the_log() {
        let range = LogRange { start: 3, end: 9 };
        let offsets = [From::Beginning, From::Offset(1), From::Offset(5), From::Offset(12)];
        assert_eq!(offsets.map(|from| from.offset(range, None)), [3, 3, 5, 9]);
        let time = From::Time(Timestamp(1));
        assert_eq!([Some(1), Some(5), None].map(|found| time.offset(range, found)), [3, 5, 9]);
    }
}
