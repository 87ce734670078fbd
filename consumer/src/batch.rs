//! Pure. Records of one partition that are decoded together: gathered until they are many or have waited.

use std::mem;
use std::time::Duration;

use common::moment::Moment;

use crate::record::RawRecord;

/// When a batch is decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchLimits {
    /// A batch of so many bytes is full.
    pub bytes: usize,
    /// So long a record waits for others at most.
    pub wait: Duration,
}

/// Records in the order of their offsets, not yet decoded.
#[derive(Debug, Default)]
pub struct Batch {
    records: Vec<RawRecord>,
    bytes: usize,
    began_at: Option<Moment>,
    /// How many records the last one had, for which memory is taken at once.
    usual: usize,
}

impl Batch {
    /// Takes records that follow those that are there.
    pub fn extend(&mut self, mut records: Vec<RawRecord>, now: Moment) {
        let (last, first) = (self.records.last(), records.first());
        debug_assert!(last.zip(first).is_none_or(|(last, first)| last.offset < first.offset));
        if first.is_some() {
            self.began_at.get_or_insert(now);
        }
        if self.records.is_empty() {
            self.records.reserve(self.usual.max(records.len()));
        }
        self.bytes += records.iter().map(RawRecord::size).sum::<usize>();
        self.records.append(&mut records);
    }

    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Bytes held in memory.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn is_full(&self, limits: BatchLimits) -> bool {
        self.bytes >= limits.bytes
    }

    /// When its first record will have waited long enough; `None` while there is none.
    pub fn due_at(&self, limits: BatchLimits) -> Option<Moment> {
        self.began_at.map(|began_at| began_at + limits.wait)
    }

    /// When its first record came.
    pub fn began_at(&self) -> Option<Moment> {
        self.began_at
    }

    /// Drops the records below `offset`.
    pub fn skip_below(&mut self, offset: u64) {
        let below = self.records.partition_point(|record| record.offset < offset);
        self.bytes -= self.records.drain(..below).map(|record| record.size()).sum::<usize>();
        if self.records.is_empty() {
            self.began_at = None;
        }
    }

    /// The records; the next batch begins empty.
    pub fn take(&mut self) -> Vec<RawRecord> {
        self.bytes = 0;
        self.began_at = None;
        self.usual = self.records.len();
        mem::take(&mut self.records)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use proptest::prelude::*;

    const LIMITS: BatchLimits = BatchLimits { bytes: 1_000, wait: Duration::from_secs(1) };

    fn record(offset: u64, size: usize) -> RawRecord {
        RawRecord { offset, value: Some(Bytes::from(vec![0; size])), ..RawRecord::default() }
    }

    fn at(seconds: u64) -> Moment {
        Moment::since_boot(Duration::from_secs(seconds))
    }

    #[test]
    fn a_batch_is_due_a_while_after_its_first_record() {
        let mut batch = Batch::default();
        assert_eq!(batch.due_at(LIMITS), None);
        batch.extend(vec![], at(4));
        assert_eq!(batch.due_at(LIMITS), None);
        batch.extend(vec![record(0, 1)], at(5));
        batch.extend(vec![record(1, 1)], at(9));
        assert_eq!(batch.due_at(LIMITS), Some(at(6)));
        batch.take();
        assert_eq!(batch.due_at(LIMITS), None);
    }

    proptest! {
        /// Nothing is lost or counted twice: what is taken or skipped is what was pushed, and the
        /// bytes are those of the records that are there.
        #[test]
        fn records_and_bytes_agree(sizes in prop::collection::vec(0usize..600, 1..40), skip in 0u64..50) {
            let mut batch = Batch::default();
            for (offset, size) in (0..).zip(&sizes) {
                batch.extend(vec![record(offset, *size)], at(0));
            }
            batch.skip_below(skip);
            let bytes = batch.bytes();
            let is_full = batch.is_full(LIMITS);
            let taken = batch.take();
            prop_assert_eq!(bytes, taken.iter().map(RawRecord::size).sum::<usize>());
            prop_assert_eq!(is_full, bytes >= LIMITS.bytes);
            let offsets: Vec<_> = taken.iter().map(|record| record.offset).collect();
            prop_assert_eq!(offsets, (skip..sizes.len() as u64).collect::<Vec<_>>());
            prop_assert!(batch.is_empty() && batch.bytes() == 0);
        }
    }
}
