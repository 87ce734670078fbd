//! Pure. Which share of the records of the last minute could not become rows.

use common::messages::entry::share;
use std::collections::VecDeque;
use std::time::Duration;

use common::moment::Moment;

use super::guard::Counts;

const MINUTE: Duration = Duration::from_secs(60);
/// What comes within so long of another is counted with it.
const GRAIN: Duration = Duration::from_secs(1);

/// Counts of the last minute, by second.
#[derive(Clone, Debug, Default)]
pub struct LastMinute(VecDeque<(Moment, Counts)>);

impl LastMinute {
    pub fn note(&mut self, counts: Counts, now: Moment) {
        self.forget(now);
        match self.0.back_mut().filter(|(at, _)| now.saturating_since(*at) < GRAIN) {
            Some((_, known)) => {
                known.records += counts.records;
                known.letters += counts.letters;
            }
            None => self.0.push_back((now, counts)),
        }
    }

    /// From 0 to 1; 0 if there were none.
    pub fn share(&mut self, now: Moment) -> f64 {
        self.forget(now);
        let sum = |of: fn(&Counts) -> u64| self.0.iter().map(|(_, counts)| of(counts)).sum();
        share(sum(|counts| counts.letters), sum(|counts| counts.records))
    }

    fn forget(&mut self, now: Moment) {
        while self.0.front().is_some_and(|(at, _)| now.saturating_since(*at) >= MINUTE) {
            self.0.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// The share is that of the counts of the last minute, to the second, and memory is bounded.
        #[test]
        fn a_minute_is_remembered(
            steps in proptest::collection::vec((0_u64..5_000, 0_u64..9, 0_u64..9), 1..200),
        ) {
            let (mut minute, mut all, mut now) = (LastMinute::default(), vec![], Duration::ZERO);
            for (pause_ms, rows, letters) in steps {
                now += Duration::from_millis(pause_ms);
                let counts = Counts { records: rows + letters, letters };
                minute.note(counts, Moment::since_boot(now));
                all.push((now, counts));
                let within = |age: Duration| {
                    let late = all.iter().filter(move |(at, _)| now - *at < age);
                    late.fold((0, 0), |(records, letters), (_, counts)| {
                        (records + counts.records, letters + counts.letters)
                    })
                };
                let (sure, most) = (within(MINUTE - GRAIN), within(MINUTE));
                let share = minute.share(Moment::since_boot(now));
                prop_assert!((0.0..=1.0).contains(&share));
                prop_assert_eq!(sure.1 == 0 && share > 0.0, sure.1 == 0 && most.1 > 0 && share > 0.0);
                if sure == most && sure.0 > 0 {
                    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
                    let expected = sure.1 as f64 / sure.0 as f64;
                    prop_assert!((share - expected).abs() < 1e-9);
                }
                prop_assert!(minute.0.len() <= 61);
            }
        }
    }

    #[test]
    fn what_is_older_than_a_minute_is_forgotten() {
        let at = |seconds| Moment::since_boot(Duration::from_secs(seconds));
        let mut minute = LastMinute::default();
        minute.note(Counts { records: 4, letters: 1 }, at(0));
        assert!((minute.share(at(59)) - 0.25).abs() < 1e-9);
        assert!(minute.share(at(60)).abs() < 1e-9);
    }
}
