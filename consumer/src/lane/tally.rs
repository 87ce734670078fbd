//! Pure. What a lane did since it was last asked, and since it was opened.

use std::time::Duration;

use common::messages::event::PartitionReport;
use common::moment::Timestamp;
use common::partition::TopicPartition;

/// The figures of one lane.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Next offset to read.
    pub position: u64,
    /// Everything below is stored.
    pub stored: u64,
    /// As far as it is known: the client says when it has read everything.
    pub high_watermark: Option<u64>,
    /// Rows stored and records dead-lettered since the lane was opened.
    pub rows_stored: u64,
    pub dead_letters: u64,
    records: u64,
    bytes: u64,
    latency_max_ms: Option<u64>,
    busy: Duration,
}

impl Tally {
    pub fn read(&mut self, bytes: usize) {
        self.records += 1;
        self.bytes += bytes as u64;
    }

    /// Counts time in which records were decoded or stored.
    pub fn worked(&mut self, busy: Duration) {
        self.busy += busy;
    }

    /// Notes how long the oldest record of an object took, and returns that in milliseconds.
    pub fn stored_at(&mut self, now: Timestamp, oldest_ms: Option<i64>) -> Option<u64> {
        let latency_ms = oldest_ms.map(|oldest| now.saturating_ms_since(Timestamp(oldest)));
        self.latency_max_ms = self.latency_max_ms.max(latency_ms);
        latency_ms
    }

    /// The figures for a report, and the time worked, since the last call.
    pub fn report(&mut self, partition: &TopicPartition) -> (PartitionReport, Duration) {
        let report = PartitionReport {
            partition: partition.clone(),
            position: self.position,
            stored: self.stored,
            high_watermark: self.high_watermark,
            records: self.records,
            bytes: self.bytes,
            rows_stored: self.rows_stored,
            dead_letters: self.dead_letters,
            latency_max_ms: self.latency_max_ms,
        };
        (self.records, self.bytes, self.latency_max_ms) = (0, 0, None);
        (report, std::mem::take(&mut self.busy))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_counts_since_the_last_one() {
        let mut tally = Tally { rows_stored: 7, ..Tally::default() };
        tally.read(10);
        tally.read(5);
        tally.worked(Duration::from_millis(3));
        assert_eq!(tally.stored_at(Timestamp(900), Some(400)), Some(500));
        assert_eq!(tally.stored_at(Timestamp(900), Some(700)), Some(200));
        let partition = TopicPartition::new("orders", 0);
        let (first, busy) = tally.report(&partition);
        assert_eq!((first.records, first.bytes, first.latency_max_ms), (2, 15, Some(500)));
        assert_eq!((first.rows_stored, busy), (7, Duration::from_millis(3)));
        let (second, busy) = tally.report(&partition);
        assert_eq!((second.records, second.bytes, second.latency_max_ms), (0, 0, None));
        assert_eq!((second.rows_stored, busy), (7, Duration::ZERO));
    }
}
