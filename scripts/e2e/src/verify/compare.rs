//! Pure. Holds the records of one partition against its rows and dead letters, offset by offset.

use std::ops::AddAssign;

use serde::Serialize;

use super::dead_letters::{self, OfPartition};
use super::digest::{self, Kind, Place};
use super::record::Record;
use crate::lake::rows::StoredRow;

const EXAMPLES_MAX: usize = 5;

/// What became of records, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Committed records that the topic holds.
    pub produced: u64,
    /// Those with a row.
    pub stored: u64,
    /// Those that are neither in the lake nor set aside.
    pub lost: u64,
    /// The part of the lost that lies at or after the end of what is stored: not *yet* stored.
    pub pending: u64,
    /// Rows beyond the first of their record.
    pub duplicated: u64,
    /// Records whose first row stands behind a row of a later one.
    pub out_of_order: u64,
    /// Those without a row that were set aside, with what they held.
    pub dead_lettered: u64,
    /// Stored as text because they did not fit the columns.
    pub unparsed: u64,
    /// Rows and dead letters that hold something else than their record.
    pub corrupted: u64,
    /// Rows and dead letters of offsets at which the topic has no record.
    pub beyond: u64,
    /// Rows of records that the topic no longer has; nothing can be said about them.
    pub expired: u64,
}

/// Counts, and a few of the offsets behind the bad ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    pub counts: Counts,
    pub examples: Vec<String>,
}

/// Rows of a partition in the order in which the lake holds them.
#[derive(Debug, Default)]
pub struct Rows {
    rows: Vec<(StoredRow, bool)>,
    highest: Option<u64>,
}

/// What is known of a partition beside its rows.
#[derive(Debug)]
pub struct Context<'a> {
    pub place: Place<'a>,
    /// The first offset that the topic still has.
    pub log_start: u64,
    /// The end of what is stored without a hole.
    pub stored_end: u64,
    pub dead_letters: OfPartition,
}

/// A comparison under way: records come in ascending order of their offsets.
#[derive(Debug)]
pub struct Comparison<'a> {
    context: Context<'a>,
    rows: Vec<(StoredRow, bool)>,
    next: usize,
    findings: Findings,
}

impl Rows {
    pub fn push(&mut self, row: StoredRow) {
        let is_late = self.highest.is_some_and(|highest| row.offset < highest);
        self.highest = self.highest.max(Some(row.offset));
        self.rows.push((row, is_late));
    }
}

impl<'a> Comparison<'a> {
    pub fn new(mut rows: Rows, context: Context<'a>) -> Self {
        rows.rows.sort_by_key(|(row, _)| row.offset); // stable: the first copy stays first
        Self { context, rows: rows.rows, next: 0, findings: Findings::default() }
    }

    pub fn observe(&mut self, record: &Record<'_>) {
        let offset = record.offset;
        self.skip_to(offset);
        let first = self.next;
        while self.rows.get(self.next).is_some_and(|(row, _)| row.offset == offset) {
            self.next += 1;
        }
        let letters = self.context.dead_letters.remove(&offset).unwrap_or_default();
        self.findings.counts.produced += 1;
        if self.next > first {
            self.stored(record, first..self.next);
        } else if !letters.is_empty() {
            self.set_aside(record, &letters);
        } else {
            self.findings.counts.lost += 1;
            self.findings.counts.pending += u64::from(offset >= self.context.stored_end);
            self.example("lost", offset);
        }
    }

    /// Ends the comparison: what rows are left belong to no record.
    pub fn finish(mut self) -> Findings {
        self.skip_to(u64::MAX);
        let log_start = self.context.log_start;
        let stray: Vec<u64> =
            self.context.dead_letters.range(log_start..).map(|(o, _)| *o).collect();
        for offset in stray {
            self.findings.counts.beyond += 1;
            self.example("set aside, but not in the topic", offset);
        }
        self.findings
    }

    fn stored(&mut self, record: &Record<'_>, copies: std::ops::Range<usize>) {
        let extra = copies.len() - 1;
        let (first, is_late) = self.rows[copies.start];
        let is_equal = self.rows[copies].iter().all(|(row, _)| self.holds(row, record));
        let counts = &mut self.findings.counts;
        counts.stored += 1;
        counts.unparsed += u64::from(first.kind == Kind::Unparsed);
        counts.duplicated += u64::try_from(extra).expect("64 bits fit");
        counts.out_of_order += u64::from(is_late);
        counts.corrupted += u64::from(!is_equal);
        let bad = [(extra > 0, "duplicated"), (is_late, "out of order"), (!is_equal, "corrupted")];
        for (_, what) in bad.into_iter().filter(|(is_bad, _)| *is_bad) {
            self.example(what, record.offset);
        }
    }

    fn holds(&self, row: &StoredRow, record: &Record<'_>) -> bool {
        let headers = || digest::of_headers(record.headers.iter().copied());
        digest::of_record(record, self.context.place, row.kind) == Some(row.digest)
            && row.headers.is_none_or(|stored| stored == headers())
    }

    fn set_aside(&mut self, record: &Record<'_>, letters: &[u128]) {
        let original = dead_letters::of_original(record);
        self.findings.counts.dead_lettered += 1;
        if letters.iter().any(|letter| *letter != original) {
            self.findings.counts.corrupted += 1;
            self.example("corrupted as a dead letter", record.offset);
        }
    }

    /// Passes over the rows below `offset`, which no record claimed.
    fn skip_to(&mut self, offset: u64) {
        while let Some((row, _)) = self.rows.get(self.next)
            && row.offset < offset
        {
            let unclaimed = row.offset;
            self.next += 1;
            if unclaimed < self.context.log_start {
                self.findings.counts.expired += 1;
            } else {
                self.findings.counts.beyond += 1;
                self.example("in the lake, but not in the topic", unclaimed);
            }
        }
    }

    fn example(&mut self, what: &str, offset: u64) {
        let examples = &mut self.findings.examples;
        let of_kind = examples.iter().filter(|example| example.ends_with(what)).count();
        if of_kind < EXAMPLES_MAX {
            let Place { topic, partition, .. } = self.context.place;
            examples.push(format!("{topic}/{partition} offset {offset}: {what}"));
        }
    }
}

impl Counts {
    /// True if every record is in the lake or set aside, once, as it was, in order, and nothing else.
    pub fn is_sound(&self) -> bool {
        let Self { lost, duplicated, out_of_order, corrupted, beyond, .. } = *self;
        [lost, duplicated, out_of_order, corrupted, beyond].iter().all(|count| *count == 0)
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.produced += other.produced;
        self.stored += other.stored;
        self.lost += other.lost;
        self.pending += other.pending;
        self.duplicated += other.duplicated;
        self.out_of_order += other.out_of_order;
        self.dead_lettered += other.dead_lettered;
        self.unparsed += other.unparsed;
        self.corrupted += other.corrupted;
        self.beyond += other.beyond;
        self.expired += other.expired;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place<'_> = Place { topic: "orders", topic_id: "id", partition: 0 };

    fn record(offset: u64) -> Record<'static> {
        Record { offset, timestamp_ms: None, key: None, value: Some(b"v"), headers: Vec::new() }
    }

    fn row(offset: u64) -> StoredRow {
        let digest = digest::of_record(&record(offset), PLACE, Kind::Bytes).unwrap();
        StoredRow { offset, kind: Kind::Bytes, digest, headers: None }
    }

    fn compare(rows: &[StoredRow], records: &[u64], log_start: u64) -> Counts {
        let mut collected = Rows::default();
        rows.iter().for_each(|row| collected.push(*row));
        let dead_letters = OfPartition::new();
        let context = Context { place: PLACE, log_start, stored_end: 4, dead_letters };
        let mut comparison = Comparison::new(collected, context);
        records.iter().for_each(|offset| comparison.observe(&record(*offset)));
        comparison.finish().counts
    }

    #[test]
    fn equal_sides_are_sound_gaps_of_the_topic_included() {
        let counts = compare(&[row(0), row(2), row(3)], &[0, 2, 3], 0);
        assert_eq!(counts, Counts { produced: 3, stored: 3, ..Counts::default() });
        assert!(counts.is_sound());
    }

    #[test]
    fn each_fault_is_counted_as_what_it_is() {
        let sound = Counts { produced: 3, stored: 3, ..Counts::default() };
        let lost = compare(&[row(0), row(2)], &[0, 2, 3], 0);
        assert_eq!(lost, Counts { stored: 2, lost: 1, ..sound });
        let pending = compare(&[row(0), row(2)], &[0, 2, 5], 0);
        assert_eq!(pending, Counts { stored: 2, lost: 1, pending: 1, ..sound });
        let twice = compare(&[row(0), row(2), row(3), row(2)], &[0, 2, 3], 0);
        assert_eq!(twice, Counts { duplicated: 1, ..sound });
        let swapped = compare(&[row(2), row(0), row(3)], &[0, 2, 3], 0);
        assert_eq!(swapped, Counts { out_of_order: 1, ..sound });
        let forged = compare(&[row(0), row(1), row(2), row(3)], &[0, 2, 3], 0);
        assert_eq!(forged, Counts { beyond: 1, ..sound });
        let changed = StoredRow { digest: 1, ..row(3) };
        assert_eq!(
            compare(&[row(0), row(2), changed], &[0, 2, 3], 0),
            Counts { corrupted: 1, ..sound }
        );
        let expired = compare(&[row(0), row(2), row(3)], &[2, 3], 2);
        assert_eq!(expired, Counts { produced: 2, stored: 2, expired: 1, ..Counts::default() });
        assert!(expired.is_sound());
        assert!([lost, twice, swapped, forged].iter().all(|counts| !counts.is_sound()));
    }

    #[test]
    fn headers_are_compared_where_the_lake_has_them() {
        let none = digest::of_headers(std::iter::empty());
        let right = StoredRow { headers: Some(none), ..row(0) };
        let wrong = StoredRow { headers: Some(none ^ 1), ..row(0) };
        assert_eq!(compare(&[right], &[0], 0).corrupted, 0);
        assert_eq!(compare(&[wrong], &[0], 0).corrupted, 1);
    }

    #[test]
    fn dead_letters_account_for_records_and_must_hold_what_they_held() {
        let of = |digest: u128| {
            let letters = OfPartition::from([(0, vec![digest])]);
            let context =
                Context { place: PLACE, log_start: 0, stored_end: 4, dead_letters: letters };
            let mut comparison = Comparison::new(Rows::default(), context);
            comparison.observe(&record(0));
            comparison.finish().counts
        };
        let right = of(dead_letters::of_original(&record(0)));
        assert_eq!(right, Counts { produced: 1, dead_lettered: 1, ..Counts::default() });
        assert_eq!(of(7).corrupted, 1);
        let context = |offset| Context {
            place: PLACE,
            log_start: 0,
            stored_end: 4,
            dead_letters: OfPartition::from([(offset, vec![1])]),
        };
        assert_eq!(Comparison::new(Rows::default(), context(9)).finish().counts.beyond, 1);
    }
}
