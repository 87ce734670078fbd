//! Pure. The option of a service entry that says where a table's rows begin.

use crate::kafka::reader::LogRange;
use crate::moment::Timestamp;

pub(super) const NAME: &str = "from";

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
#[error(
    "the option `{NAME}` is `beginning`, `offset NUMBER` or `time` with a time such as \
     2026-03-01T00:00:00Z, not `{0}`"
)]
pub struct FromError(String);

impl From {
    pub(super) fn parse(text: &str) -> Result<Self, FromError> {
        let parsed = match text.split_once(' ') {
            None => (text == "beginning").then_some(Self::Beginning),
            Some(("offset", number)) => number.parse().ok().map(Self::Offset),
            Some(("time", time)) => time
                .parse()
                .ok()
                .map(|at: jiff::Timestamp| Self::Time(Timestamp(at.as_millisecond()))),
            Some(_) => None,
        };
        parsed.ok_or_else(|| FromError(text.into()))
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beginning_is_the_first_record_an_offset_or_a_time() {
        for (value, wanted) in [
            ("beginning", From::Beginning),
            ("offset 7", From::Offset(7)),
            ("time 1970-01-01T00:00:02Z", From::Time(Timestamp(2_000))),
        ] {
            assert_eq!(From::parse(value), Ok(wanted));
        }
        for wrong in ["", "end", "offset", "offset -1", "time yesterday", "time 1970-01-01", "7"] {
            let refused = From::parse(wrong).unwrap_err().to_string();
            assert!(refused.contains(&format!("not `{wrong}`")), "{refused}");
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
