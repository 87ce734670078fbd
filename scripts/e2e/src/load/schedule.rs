//! Pure. Which partition is due for its next record, so that each keeps its rate.

use std::time::Duration;

use common::rate::BytesPerSecond;

const NANOS: i128 = 1_000_000_000;
/// What a partition may be behind by, in time; more is given up and counted, so that a load that
/// was held up does not flood the broker afterwards.
const BEHIND_MAX_SECS: i128 = 2;

/// What each partition is owed. A record is due while anything is owed; its size is then taken
/// off, so that rates hold on average whatever the sizes are.
#[derive(Debug)]
pub struct Schedule {
    /// Byte-nanoseconds per partition; below zero after a record that was larger than the debt.
    owed: Vec<i128>,
    given_up: u128,
}

impl Schedule {
    pub fn new(partitions: u32) -> Self {
        let count = usize::try_from(partitions).expect("32 bits fit");
        Self { owed: vec![0; count], given_up: 0 }
    }

    /// Lets `elapsed` pass at `rates`, one rate per partition.
    pub fn advance(&mut self, rates: &[BytesPerSecond], elapsed: Duration) {
        let nanos = i128::try_from(elapsed.as_nanos()).unwrap_or(i128::MAX / i128::from(u64::MAX));
        for (owed, rate) in self.owed.iter_mut().zip(rates) {
            let rate = i128::from(rate.0);
            let most = rate * BEHIND_MAX_SECS * NANOS;
            *owed = owed.saturating_add(rate.saturating_mul(nanos));
            let excess = (*owed - most.max(0)).max(0);
            *owed -= excess;
            self.given_up += excess.unsigned_abs();
        }
    }

    pub fn partitions(&self) -> std::ops::Range<usize> {
        0..self.owed.len()
    }

    pub fn is_due(&self, partition: usize) -> bool {
        self.owed[partition] > 0
    }

    pub fn sent(&mut self, partition: usize, bytes: usize) {
        let bytes = i128::try_from(bytes).expect("a record fits in memory");
        self.owed[partition] -= bytes * NANOS;
    }

    /// What was never sent because the load could not keep up, in bytes.
    pub fn given_up_bytes(&self) -> u64 {
        u64::try_from(self.given_up / NANOS.unsigned_abs()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn send_all_due(schedule: &mut Schedule, partition: usize, size: usize) -> usize {
        let mut sent = 0;
        while schedule.is_due(partition) {
            schedule.sent(partition, size);
            sent += size;
        }
        sent
    }

    #[test]
    fn every_partition_keeps_its_rate_whatever_the_turns_and_sizes_are() {
        let rates = [BytesPerSecond(100_000), BytesPerSecond(333), BytesPerSecond(0)];
        let mut schedule = Schedule::new(3);
        let mut sent = [0; 3];
        for turn in 0..10_000_u64 {
            schedule.advance(&rates, Duration::from_micros(700 + turn % 600));
            for (partition, total) in sent.iter_mut().enumerate() {
                *total += send_all_due(&mut schedule, partition, 307);
            }
        }
        assert!((990_000..1_010_000).contains(&sent[0]), "{}", sent[0]);
        assert!((3_000..3_700).contains(&sent[1]), "{}", sent[1]);
        assert_eq!((sent[2], schedule.given_up_bytes()), (0, 0));
    }

    #[test]
    fn a_long_halt_is_made_up_for_two_seconds_and_counted_beyond() {
        let mut schedule = Schedule::new(1);
        schedule.advance(&[BytesPerSecond(1_000)], Duration::from_secs(10));
        assert_eq!(send_all_due(&mut schedule, 0, 100), 2_000);
        assert_eq!(schedule.given_up_bytes(), 8_000);
    }
}
