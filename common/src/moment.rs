//! Pure. Points in time: since boot, for leases and silences, and by the calendar, for people.

use std::fmt;
use std::ops::{Add, Sub};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Time since the machine booted, sleep included. Comparable only within one machine and boot,
/// and unmoved by whoever sets the calendar clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(Duration);

impl Moment {
    pub const fn since_boot(elapsed: Duration) -> Self {
        Self(elapsed)
    }

    pub const fn as_duration(self) -> Duration {
        self.0
    }

    /// The time from `earlier` to this moment, zero if `earlier` is the later one.
    pub fn saturating_since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, later_by: Duration) -> Self {
        Self(self.0.saturating_add(later_by))
    }
}

/// Saturates at boot.
impl Sub<Duration> for Moment {
    type Output = Self;

    fn sub(self, earlier_by: Duration) -> Self {
        Self(self.0.saturating_sub(earlier_by))
    }
}

/// Calendar time in milliseconds since 1970 (UTC), as Kafka stamps its records. For display, latency
/// and messages; nothing is ever decided by it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Milliseconds from `earlier` to this, zero if `earlier` is the later one.
    pub fn saturating_ms_since(self, earlier: Self) -> u64 {
        u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ms", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_arithmetic_on_moments_underflows_or_overflows() {
        let early = Moment::since_boot(Duration::from_secs(1));
        let late = early + Duration::from_secs(2);
        assert_eq!(late.saturating_since(early), Duration::from_secs(2));
        assert_eq!(early.saturating_since(late), Duration::ZERO);
        assert_eq!(early - Duration::from_secs(5), Moment::default());
        assert!(early + Duration::MAX > late);
    }

    #[test]
    fn a_calendar_that_was_set_back_gives_no_negative_latency() {
        assert_eq!(Timestamp(5).saturating_ms_since(Timestamp(2)), 3);
        assert_eq!(Timestamp(2).saturating_ms_since(Timestamp(5)), 0);
        assert_eq!(Timestamp(i64::MAX).saturating_ms_since(Timestamp(-2)), i64::MAX as u64);
    }
}
