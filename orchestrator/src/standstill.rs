//! Pure. Partitions whose owner lives and reads nothing of what there is, without a known cause.

use std::collections::BTreeMap;
use std::time::Duration;

use common::identity::Incarnation;
use common::messages::event::{PartitionReport, Report};
use common::moment::Moment;
use common::partition::TopicPartition;

/// For so long a partition may stand still.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// How far each partition was read, and since when no further.
#[derive(Clone, Debug, Default)]
pub struct Standstill {
    known: BTreeMap<TopicPartition, Progress>,
}

#[derive(Clone, Copy, Debug)]
struct Progress {
    incarnation: Incarnation,
    position: u64,
    since: Moment,
}

impl Standstill {
    /// Takes a report that was read now; `log_end` is what is known of the end of a partition's log.
    /// Returns the partitions that have stood still for too long, each once.
    pub fn take(
        &mut self,
        report: &Report,
        log_end: impl Fn(&TopicPartition) -> Option<u64>,
        now: Moment,
    ) -> Vec<TopicPartition> {
        let (waits_for_sink, paused) = (report.sink_wait_permille() > 0, report.paused());
        let mut stuck = vec![];
        for said in &report.partitions {
            let (incarnation, position) = (report.incarnation, said.position);
            let next = Progress { incarnation, position, since: now };
            let known = self.known.entry(said.partition.clone()).or_insert(next);
            let is_left = log_end(&said.partition).is_some_and(|end| position < end);
            let has_cause = waits_for_sink || paused.contains_key(&said.partition);
            let stands = known.incarnation == incarnation && known.position == position;
            if !stands || has_cause || !is_left || is_at_end(said) {
                *known = next;
            } else if now.saturating_since(known.since) >= PATIENCE {
                *known = next;
                stuck.push(said.partition.clone());
            }
        }
        stuck
    }

    /// Forgets the partitions that nobody holds.
    pub fn retain(&mut self, is_held: impl Fn(&TopicPartition) -> bool) {
        self.known.retain(|partition, _| is_held(partition));
    }
}

/// The client itself said that there is nothing more: what is behind may belong to a transaction that
/// is not over.
fn is_at_end(said: &PartitionReport) -> bool {
    said.high_watermark.is_some()
}

#[cfg(test)]
mod tests {
    use common::identity::ConsumerId;
    use common::messages::event::{SINK_WAIT, report_extra};

    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::since_boot(Duration::from_secs(seconds))
    }

    const NEVER: [u64; 0] = [];

    fn orders() -> TopicPartition {
        TopicPartition::new("orders", 0)
    }

    fn report(incarnation: u128, position: u64, end: Option<u64>, sink_wait: u32) -> Report {
        Report {
            consumer: ConsumerId(1),
            incarnation: Incarnation(incarnation),
            reported_at_ms: 0,
            interval_ms: 1_000,
            busy_permille: 0,
            buffered_bytes: 0,
            partitions: vec![PartitionReport {
                partition: orders(),
                position,
                stored: position,
                high_watermark: end,
                records: 0,
                bytes: 0,
                rows_stored: 0,
                dead_letters: 0,
                latency_max_ms: None,
            }],
            extra: [(SINK_WAIT.to_owned(), sink_wait.to_string())].into(),
        }
    }

    /// Two minutes of such reports, by second.
    fn stuck(report_of: impl Fn(u64) -> Report, log_end: Option<u64>) -> Vec<u64> {
        let mut standstill = Standstill::default();
        let is_stuck = |second: &u64| {
            !standstill.take(&report_of(*second), |_| log_end, at(*second)).is_empty()
        };
        (0..=120).filter(is_stuck).collect()
    }

    #[test]
    fn whoever_is_paused_and_says_why_does_not_stand_still() {
        let paused = |_| {
            let reason = [(orders(), "too many".to_owned())].into();
            Report { extra: report_extra(0, &reason), ..report(1, 5, None, 0) }
        };
        assert_eq!(stuck(paused, Some(9)), NEVER);
    }

    #[test]
    fn whoever_reads_nothing_of_what_there_is_stands_still() {
        assert_eq!(stuck(|_| report(1, 5, None, 0), Some(9)), [60, 120], "told once a minute");
    }

    #[test]
    fn a_known_cause_is_no_standstill() {
        assert_eq!(stuck(|_| report(1, 5, None, 0), Some(5)), NEVER, "there is nothing to read");
        assert_eq!(stuck(|_| report(1, 5, None, 0), None), NEVER, "nobody knows");
        assert_eq!(stuck(|_| report(1, 5, Some(5), 0), Some(9)), NEVER, "an open transaction");
        assert_eq!(stuck(|_| report(1, 5, None, 1), Some(9)), NEVER, "the sink");
        assert_eq!(stuck(|second| report(1, second / 59, None, 0), Some(9)), NEVER, "it is slow");
        let another = |second| report(u128::from(second / 59), 5, None, 0);
        assert_eq!(stuck(another, Some(9)), NEVER, "another owner");
    }
}
