//! Pure. Which dead letters are meant: all that every given condition holds for.

use std::collections::BTreeSet;

use common::moment::Timestamp;

use crate::letter::{Letter, LetterId};

/// Conditions; an empty set is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Selection {
    pub letters: BTreeSet<LetterId>,
    pub topics: BTreeSet<String>,
    pub partitions: BTreeSet<u32>,
    /// Of the record, not of the letter.
    pub from_offset: Option<u64>,
    pub reasons: BTreeSet<String>,
    pub tables: BTreeSet<String>,
    /// Set aside at this time or later.
    pub since: Option<Timestamp>,
    /// Set aside before this time.
    pub until: Option<Timestamp>,
}

/// A time as people give it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    At(Timestamp),
    /// So many milliseconds before now.
    Ago(i64),
}

impl When {
    pub fn at(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(at) => at,
            Self::Ago(ms) => Timestamp(now.0.saturating_sub(ms)),
        }
    }
}

/// Reads a time of the calendar with its zone, or how long ago it was.
pub(super) fn parse_when(text: &str) -> Result<When, String> {
    if let Ok(at) = text.parse::<jiff::Timestamp>() {
        return Ok(When::At(Timestamp(at.as_millisecond())));
    }
    let ago = text.char_indices().last().and_then(|(at, unit)| {
        let unit_ms = match unit {
            's' => 1_000,
            'm' => 60_000,
            'h' => 3_600_000,
            'd' => 86_400_000,
            _ => return None,
        };
        text[..at].parse::<u32>().ok().map(|count| When::Ago(i64::from(count) * unit_ms))
    });
    ago.ok_or_else(|| {
        "expected a time with its zone, as 2026-03-01T12:00:00Z, or how long ago, as 90s, 30m, 12h, 7d"
            .into()
    })
}

impl Selection {
    pub(super) fn is_everything(&self) -> bool {
        *self == Self::default()
    }

    /// Whether the letter at that place, written at that time, is meant.
    pub(super) fn holds(&self, id: LetterId, letter: &Letter, written_ms: Option<i64>) -> bool {
        let at = letter.refused_at_ms.or(written_ms).map(Timestamp);
        is_among(&self.letters, &id)
            && is_among(&self.topics, letter.partition.topic())
            && is_among(&self.partitions, &letter.partition.partition())
            && self.from_offset.is_none_or(|from| letter.offset >= from)
            && is_among(&self.reasons, letter.reason.as_str())
            && is_among(&self.tables, letter.table.as_str())
            && self.since.is_none_or(|since| at.is_some_and(|at| at >= since))
            && self.until.is_none_or(|until| at.is_some_and(|at| at < until))
    }
}

fn is_among<T: Ord + std::borrow::Borrow<Q>, Q: Ord + ?Sized>(
    wanted: &BTreeSet<T>,
    it: &Q,
) -> bool {
    wanted.is_empty() || wanted.contains(it)
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::partition::TopicPartition;

    const ID: LetterId = LetterId { partition: 0, offset: 7 };

    fn letter() -> Letter {
        Letter {
            reason: "too_deep".into(),
            error: "e".into(),
            partition: TopicPartition::new("orders", 3),
            topic_id: String::new(),
            offset: 41,
            timestamp_ms: Some(5),
            is_append_time: false,
            refused_at_ms: Some(1_000),
            consumer: 1,
            table: "sales".into(),
            attempt: 1,
        }
    }

    /// Each condition takes what fits and leaves what does not; with none everything is meant.
    #[test]
    fn every_condition_must_hold() {
        let all = Selection::default();
        assert!(all.is_everything() && all.holds(ID, &letter(), None));
        let word = |word: &str| BTreeSet::from([word.to_owned()]);
        let other = LetterId { offset: 8, ..ID };
        let pairs = [
            (
                Selection { letters: [ID].into(), ..all.clone() },
                Selection { letters: [other].into(), ..all.clone() },
            ),
            (
                Selection { topics: word("orders"), ..all.clone() },
                Selection { topics: word("order"), ..all.clone() },
            ),
            (
                Selection { partitions: [3].into(), ..all.clone() },
                Selection { partitions: [4].into(), ..all.clone() },
            ),
            (
                Selection { from_offset: Some(41), ..all.clone() },
                Selection { from_offset: Some(42), ..all.clone() },
            ),
            (
                Selection { reasons: word("too_deep"), ..all.clone() },
                Selection { reasons: word("x"), ..all.clone() },
            ),
            (
                Selection { tables: word("sales"), ..all.clone() },
                Selection { tables: word("x"), ..all.clone() },
            ),
            (
                Selection { since: Some(Timestamp(1_000)), ..all.clone() },
                Selection { since: Some(Timestamp(1_001)), ..all.clone() },
            ),
            (
                Selection { until: Some(Timestamp(1_001)), ..all.clone() },
                Selection { until: Some(Timestamp(1_000)), ..all },
            ),
        ];
        for (fits, does_not) in pairs {
            assert!(fits.holds(ID, &letter(), None) && !fits.is_everything(), "{fits:?}");
            assert!(!does_not.holds(ID, &letter(), None), "{does_not:?}");
        }
        let old = Letter { refused_at_ms: None, ..letter() };
        let since = Selection { since: Some(Timestamp(9)), ..Selection::default() };
        assert!(since.holds(ID, &old, Some(9)) && !since.holds(ID, &old, None));
    }

    #[test]
    fn times_are_of_the_calendar_or_ago() {
        let at = |text: &str| parse_when(text).map(|when| when.at(Timestamp(100_000_000_000)).0);
        assert_eq!(at("1970-01-01T00:00:01.5Z"), Ok(1_500));
        assert_eq!(at("1970-01-01T02:00:01+02:00"), Ok(1_000));
        assert_eq!(at("90s"), Ok(100_000_000_000 - 90_000));
        assert_eq!(at("2d"), Ok(100_000_000_000 - 172_800_000));
        for wrong in ["", "d", "5", "-5m", "yesterday", "2026-03-01", "5é"] {
            assert!(at(wrong).is_err(), "{wrong}");
        }
    }
}
