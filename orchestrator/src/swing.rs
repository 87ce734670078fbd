//! Pure. By how much a partition's rate changes between two plans, learned from the rate itself.

use common::moment::Timestamp;
use common::rate::BytesPerSecond;

/// About as long as plans are apart while load changes.
const INTERVAL_MS: u64 = 60_000;

/// Changes that the average remembers.
const MEMORY: u64 = 32;

/// The changes of one rate over a minute each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Swing {
    at: Timestamp,
    rate: BytesPerSecond,
    /// Mean of the squared changes, in (bytes/s)², the newer ones counting more.
    mean_square: u128,
    changes: u64,
}

impl Swing {
    pub fn new(at: Timestamp, rate: BytesPerSecond) -> Self {
        Self { at, rate, mean_square: 0, changes: 0 }
    }

    /// Takes the present rate; what comes within a minute is skipped. A clock that was set back
    /// begins a new minute.
    pub fn take(&mut self, at: Timestamp, rate: BytesPerSecond) {
        if at >= self.at && at.saturating_ms_since(self.at) < INTERVAL_MS {
            return;
        }
        let change = u128::from(rate.0.abs_diff(self.rate.0));
        self.changes = (self.changes + 1).min(MEMORY);
        let (weight, square) = (u128::from(self.changes), change.saturating_mul(change));
        self.mean_square =
            (self.mean_square.saturating_mul(weight - 1)).saturating_add(square) / weight;
        (self.at, self.rate) = (at, rate);
    }

    /// The standard deviation of a change; zero while none was seen.
    pub fn deviation(&self) -> BytesPerSecond {
        BytesPerSecond(u64::try_from(self.mean_square.isqrt()).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(minutes: i64) -> Timestamp {
        Timestamp(minutes * 60_000)
    }

    #[test]
    fn a_rate_that_goes_up_and_down_by_ten_deviates_by_ten() {
        let mut swing = Swing::new(after(0), BytesPerSecond(100));
        assert_eq!(swing.deviation(), BytesPerSecond(0));
        for minute in 1..100 {
            let rate = if minute % 2 == 0 { 100 } else { 110 };
            swing.take(after(minute), BytesPerSecond(rate));
            assert_eq!(swing.deviation(), BytesPerSecond(10));
        }
    }

    #[test]
    fn what_was_is_forgotten_and_what_comes_within_a_minute_does_not_count() {
        let mut swing = Swing::new(after(0), BytesPerSecond(0));
        swing.take(Timestamp(59_999), BytesPerSecond(1_000_000));
        assert_eq!(swing.deviation(), BytesPerSecond(0));
        swing.take(after(1), BytesPerSecond(1_000));
        for minute in 2..400 {
            swing.take(after(minute), BytesPerSecond(1_000));
        }
        assert_eq!(swing.deviation(), BytesPerSecond(0));
    }
}
