//! Pure. Whose measurements count, where more than one monitor publishes some.
//!
//! Two monitors that disagree would have partitions moved to and fro. So one is followed until it has
//! been silent for a while; what the others say is left out, and said to be.

use std::collections::BTreeSet;
use std::time::Duration;

use common::messages::measurement::Measurement;
use common::moment::{Moment, Timestamp};

use crate::conductor::input::Now;
use crate::demand::Anomaly;

/// Another monitor is followed after this: before rates count as unknown.
const SILENCE: Duration = Duration::from_secs(5);
/// Clocks of two machines may differ by this.
const AHEAD_MAX: Duration = Duration::from_secs(60);

#[derive(Clone, Debug, Default)]
pub struct Monitors {
    followed: Option<Followed>,
    /// What was said of others since the followed one is followed.
    others: BTreeSet<String>,
    is_ahead: bool,
}

#[derive(Clone, Debug)]
struct Followed {
    monitor: String,
    sequence: u64,
    heard: Moment,
}

/// What is to be done with a chunk of a measurement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judgement {
    pub counts: bool,
    /// What a person should know; once, not with every measurement.
    pub anomaly: Option<Anomaly>,
}

impl Monitors {
    /// Whether the measurement counts. One from the future counts as one of now.
    pub fn judge(&mut self, measurement: &mut Measurement, now: Now) -> Judgement {
        let monitor = &measurement.monitor;
        match &mut self.followed {
            Some(followed) if followed.monitor == *monitor => {
                if measurement.sequence < followed.sequence {
                    return Judgement::default(); // Repeated, or held up on its way.
                }
                (followed.sequence, followed.heard) = (measurement.sequence, now.moment);
            }
            Some(followed) if now.moment.saturating_since(followed.heard) < SILENCE => {
                let is_new = self.others.insert(monitor.clone());
                let anomaly = is_new.then(|| Anomaly::SecondMonitor {
                    followed: followed.monitor.clone(),
                    other: monitor.clone(),
                });
                return Judgement { counts: false, anomaly };
            }
            Some(_) | None => {
                self.followed = Some(Followed {
                    monitor: monitor.clone(),
                    sequence: measurement.sequence,
                    heard: now.moment,
                });
                self.others.clear();
            }
        }
        Judgement { counts: true, anomaly: self.clamp(measurement, now.timestamp) }
    }

    fn clamp(&mut self, measurement: &mut Measurement, now: Timestamp) -> Option<Anomaly> {
        let ahead_ms = Timestamp(measurement.measured_at).saturating_ms_since(now);
        let was_ahead = self.is_ahead;
        self.is_ahead = u128::from(ahead_ms) > AHEAD_MAX.as_millis();
        if self.is_ahead {
            measurement.measured_at = now.0;
        }
        let monitor = measurement.monitor.clone();
        let seconds = ahead_ms / 1_000;
        (self.is_ahead && !was_ahead).then_some(Anomaly::FromTheFuture { monitor, seconds })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now(seconds: u64) -> Now {
        let ms = i64::try_from(1_000 * seconds).unwrap();
        Now { moment: Moment::since_boot(Duration::from_secs(seconds)), timestamp: Timestamp(ms) }
    }

    fn by(monitor: &str, sequence: u64) -> Measurement {
        Measurement {
            measured_at: 0,
            monitor: monitor.into(),
            sequence,
            chunk: 0,
            chunks: 1,
            interval_ms: 1_000,
            window_ms: 30_000,
            partitions: vec![],
        }
    }

    #[test]
    fn one_monitor_is_followed_until_it_is_silent() {
        let mut monitors = Monitors::default();
        assert!(monitors.judge(&mut by("a", 1), now(0)).counts);
        let (followed, other) = ("a".to_owned(), "b".to_owned());
        let anomaly = Some(Anomaly::SecondMonitor { followed, other });
        let second = monitors.judge(&mut by("b", 1), now(1));
        assert_eq!(second, Judgement { counts: false, anomaly });
        let again = monitors.judge(&mut by("b", 2), now(2));
        assert_eq!(again, Judgement::default(), "it was said");
        assert!(monitors.judge(&mut by("a", 2), now(3)).counts);
        assert!(!monitors.judge(&mut by("b", 3), now(7)).counts);
        assert!(monitors.judge(&mut by("b", 4), now(8)).counts, "nobody else is heard");
        assert!(!monitors.judge(&mut by("a", 3), now(9)).counts);
    }

    #[test]
    fn chunks_of_one_measurement_count_and_older_ones_do_not() {
        let mut monitors = Monitors::default();
        assert!(monitors.judge(&mut by("a", 7), now(0)).counts);
        assert!(monitors.judge(&mut by("a", 7), now(0)).counts);
        assert!(!monitors.judge(&mut by("a", 6), now(1)).counts);
    }

    #[test]
    fn a_measurement_from_the_future_counts_as_one_of_now() {
        let mut monitors = Monitors::default();
        let mut measured = Measurement { measured_at: 71_000, ..by("a", 1) };
        let judged = monitors.judge(&mut measured, now(10));
        let anomaly = Anomaly::FromTheFuture { monitor: "a".into(), seconds: 61 };
        assert_eq!(judged, Judgement { counts: true, anomaly: Some(anomaly) });
        assert_eq!(measured.measured_at, 10_000);
        let mut next = Measurement { measured_at: 72_000, ..by("a", 2) };
        assert_eq!(monitors.judge(&mut next, now(11)).anomaly, None, "it was said");
        let mut within = Measurement { measured_at: 72_000, ..by("a", 3) };
        assert_eq!(monitors.judge(&mut within, now(12)).anomaly, None);
        assert_eq!(within.measured_at, 72_000);
    }
}
