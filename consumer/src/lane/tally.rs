//! Pure. What a lane did since it was last asked, and since it was opened.

use std::time::Duration;

use common::messages::event::PartitionReport;
use common::moment::{Moment, Timestamp};
use common::partition::TopicPartition;

use crate::refusal::LastMinute;

/// The figures of one lane.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Next offset to read.
    pub position: u64,
    /// Everything below is stored.
    pub stored: u64,
    /// While the client says that it has read everything.
    pub high_watermark: Option<u64>,
    /// Rows stored and records dead-lettered since the lane was opened.
    pub rows_stored: u64,
    pub dead_letters: u64,
    /// What became of the records of the last minute.
    pub last_minute: LastMinute,
    /// Why nothing is read at present, if a pause is the reason.
    pub paused: Option<String>,
    records: u64,
    bytes: u64,
    latency_max_ms: Option<u64>,
    work: Work,
    /// The lane can do nothing until the sink is done.
    is_full: bool,
    /// Decoding is tried again: the table or the dead-letter topic cannot be written.
    is_retrying: bool,
    /// Storing is tried again: the sink throttles, or is away.
    is_storing_again: bool,
    /// While one of them holds: since when, not counted yet.
    waiting_since: Option<Moment>,
}

/// What the time of a lane was spent on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Decoding and storing; both go on at once.
    pub busy: Duration,
    /// Waiting for the sink, or for the dead-letter topic, with nothing else to do or because it refuses for now.
    pub sink_wait: Duration,
    /// Whether anything was read, or waited for the sink.
    pub is_active: bool,
}

impl Tally {
    /// Counts records, and the bytes of their keys, values and headers.
    pub fn read(&mut self, records: u64, bytes: u64) {
        self.records += records;
        self.bytes += bytes;
    }

    /// Counts time in which records were decoded or stored.
    pub fn worked(&mut self, busy: Duration) {
        self.work.busy += busy;
    }

    /// Notes whether the lane can do nothing until the sink is done.
    pub fn waits_for_sink(&mut self, waits: bool, now: Moment) {
        self.is_full = waits;
        self.count_wait(now);
    }

    /// Notes whether decoding has to be tried again.
    pub fn retries(&mut self, retries: bool, now: Moment) {
        self.is_retrying = retries;
        self.count_wait(now);
    }

    /// Notes whether storing has to be tried again: others would wait for the sink as well, however much fits into memory.
    pub fn stores_again(&mut self, again: bool, now: Moment) {
        self.is_storing_again = again;
        self.count_wait(now);
    }

    fn count_wait(&mut self, now: Moment) {
        if let Some(since) = self.waiting_since {
            self.work.sink_wait += now.saturating_since(since);
        }
        let waits = self.is_full || self.is_retrying || self.is_storing_again;
        self.waiting_since = waits.then_some(now);
    }

    /// Notes how long the oldest record of an object took, and returns that in milliseconds.
    pub fn stored_at(&mut self, now: Timestamp, oldest_ms: Option<i64>) -> Option<u64> {
        let latency_ms = oldest_ms.map(|oldest| now.saturating_ms_since(Timestamp(oldest)));
        self.latency_max_ms = self.latency_max_ms.max(latency_ms);
        latency_ms
    }

    /// The figures for a report, and what the time went into, since the last call.
    pub fn report(&mut self, partition: &TopicPartition, now: Moment) -> (PartitionReport, Work) {
        self.count_wait(now);
        self.work.is_active = self.records > 0 || self.work.sink_wait > Duration::ZERO;
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
        (report, std::mem::take(&mut self.work))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_counts_since_the_last_one() {
        let mut tally = Tally { rows_stored: 7, ..Tally::default() };
        tally.read(1, 10);
        tally.read(1, 5);
        tally.worked(Duration::from_millis(3));
        assert_eq!(tally.stored_at(Timestamp(900), Some(400)), Some(500));
        assert_eq!(tally.stored_at(Timestamp(900), Some(700)), Some(200));
        let partition = TopicPartition::new("orders", 0);
        let (first, work) = tally.report(&partition, Moment::default());
        assert_eq!((first.records, first.bytes, first.latency_max_ms), (2, 15, Some(500)));
        let busy = Duration::from_millis(3);
        assert_eq!((first.rows_stored, work), (7, Work { busy, is_active: true, ..work }));
        let (second, work) = tally.report(&partition, Moment::default());
        assert_eq!((second.records, second.bytes, second.latency_max_ms), (0, 0, None));
        assert_eq!((second.rows_stored, work), (7, Work::default()));
    }

    #[test]
    fn a_wait_for_the_sink_that_goes_on_is_told_in_every_report() {
        let at = |seconds| Moment::since_boot(Duration::from_secs(seconds));
        let (mut tally, partition) = (Tally::default(), TopicPartition::new("orders", 0));
        tally.waits_for_sink(true, at(1));
        tally.waits_for_sink(true, at(2));
        for seconds in [4, 5] {
            let (_, work) = tally.report(&partition, at(seconds));
            let expected = Duration::from_secs(if seconds == 4 { 3 } else { 1 });
            assert_eq!((work.sink_wait, work.is_active), (expected, true));
        }
        tally.waits_for_sink(false, at(7));
        tally.waits_for_sink(false, at(9));
        assert_eq!(tally.report(&partition, at(9)).1.sink_wait, Duration::from_secs(2));
        assert_eq!(tally.report(&partition, at(10)).1, Work::default());
    }

    #[test]
    fn a_sink_that_refuses_for_now_is_waited_for_though_more_can_be_read() {
        let at = |seconds| Moment::since_boot(Duration::from_secs(seconds));
        let (mut tally, partition) = (Tally::default(), TopicPartition::new("orders", 0));
        tally.stores_again(true, at(1));
        tally.waits_for_sink(false, at(2));
        assert_eq!(tally.report(&partition, at(4)).1.sink_wait, Duration::from_secs(3));
        tally.stores_again(false, at(6));
        assert_eq!(tally.report(&partition, at(9)).1.sink_wait, Duration::from_secs(2));
    }
}
