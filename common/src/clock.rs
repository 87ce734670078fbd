//! IO. The clocks: the one that counts while a machine sleeps, and the calendar.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, Timespec, clock_gettime};

use crate::moment::{Moment, Timestamp};

/// Reads the machine's clocks. Only the `run` of a service holds one: it hands the readings on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock;

impl Clock {
    /// Time since boot, sleep included: the clock that silences and leases are measured on.
    pub fn now(self) -> Moment {
        Moment::since_boot(elapsed(clock_gettime(ClockId::Boottime)))
    }

    /// Calendar time; zero on a machine that believes to be before 1970.
    #[expect(clippy::disallowed_methods, reason = "this is the place that reads the clock")]
    pub fn timestamp(self) -> Timestamp {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
    }
}

fn elapsed(time: Timespec) -> Duration {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanoseconds = u32::try_from(time.tv_nsec).unwrap_or(0);
    Duration::new(seconds, nanoseconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_goes_on_and_is_plausible() {
        let earlier = Clock.now();
        let year_2020 = Timestamp(1_577_836_800_000);
        assert!(earlier > Moment::default());
        assert!(Clock.timestamp() > year_2020);
        while Clock.now() == earlier {}
        assert!(Clock.now() > earlier);
    }
}
