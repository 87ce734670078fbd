//! Pure. Change data capture: upserts and deletes with sequence numbers, and what remains of them.

use std::collections::BTreeMap;

pub const CHANGE_TYPE: &str = "_CHANGE_TYPE";
pub const CHANGE_SEQUENCE_NUMBER: &str = "_CHANGE_SEQUENCE_NUMBER";

const SECTIONS_MAX: usize = 4;
const DIGITS_MAX: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    Upsert,
    Delete,
}

/// Up to four sections of hexadecimal digits, the first of which counts most.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sequence(Vec<u64>);

/// Without a sequence number, the order of arrival decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub kind: ChangeKind,
    pub sequence: Option<Sequence>,
}

/// The texts of a primary key's columns.
pub type Key = Vec<Option<String>>;

impl ChangeKind {
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "UPSERT" => Some(Self::Upsert),
            "DELETE" => Some(Self::Delete),
            _ => None,
        }
    }
}

impl Sequence {
    pub fn parse(text: &str) -> Option<Self> {
        let section = |section: &str| {
            let is_legal = (1..=DIGITS_MAX).contains(&section.len())
                && section.bytes().all(|b| b.is_ascii_hexdigit());
            if is_legal { u64::from_str_radix(section, 16).ok() } else { None }
        };
        let sections: Option<Vec<_>> = text.split('/').map(section).collect();
        sections.filter(|sections| sections.len() <= SECTIONS_MAX).map(Self)
    }
}

/// What remains of changes, which come in the order of their arrival: for each key the one with the
/// highest sequence number, the last of equal ones.
pub fn latest<T>(
    changes: impl IntoIterator<Item = (Key, Change, T)>,
) -> BTreeMap<Key, (Change, T)> {
    let mut latest: BTreeMap<Key, (Change, T)> = BTreeMap::new();
    for (key, change, row) in changes {
        let is_older = latest.get(&key).is_some_and(|(held, _)| change.sequence < held.sequence);
        if !is_older {
            latest.insert(key, (change, row));
        }
    }
    latest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sequence_numbers_are_compared_section_by_section() {
        let parsed = |text| Sequence::parse(text).unwrap();
        assert!(parsed("2") > parsed("1/F/F/F"));
        assert!(parsed("FFF/ABC") > parsed("FFF/B"));
        assert!(parsed("10") > parsed("f"));
        assert_eq!(parsed("0A"), parsed("a"));
        for wrong in ["", "/", "1/", "g", "-1", "+1", "1/2/3/4/5", "12345678901234567"] {
            assert_eq!(Sequence::parse(wrong), None, "{wrong}");
        }
    }

    proptest! {
        /// Changes with sequence numbers may come in any order and as often as they like.
        #[test]
        fn order_and_repetition_change_nothing(
            changes in prop::collection::vec((0..4u8, any::<bool>()), 1..20),
            arrivals in prop::collection::vec(any::<prop::sample::Index>(), 0..60),
        ) {
            let all: Vec<_> = changes.iter().enumerate().map(|(at, (key, is_delete))| {
                let kind = if *is_delete { ChangeKind::Delete } else { ChangeKind::Upsert };
                let sequence = Sequence::parse(&format!("{at:x}"));
                (vec![Some(key.to_string())], Change { kind, sequence }, at)
            }).collect();
            let repeated = arrivals.iter().map(|arrival| arrival.get(&all).clone());
            let late: Vec<_> = repeated.chain(all.iter().rev().cloned()).collect();
            prop_assert_eq!(latest(late), latest(all));
        }
    }

    #[test]
    fn without_sequence_numbers_the_last_one_counts() {
        let change = || Change { kind: ChangeKind::Upsert, sequence: None };
        let key = || vec![Some("k".to_owned())];
        let found = latest([(key(), change(), 1), (key(), change(), 2)]);
        assert_eq!(found.get(&key()), Some(&(change(), 2)));
    }
}
