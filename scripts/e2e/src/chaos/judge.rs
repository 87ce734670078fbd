//! Pure. What readings and faults come to: times without an owner and their causes, and dual reading.

use std::time::Duration;

use common::partition::TopicPartition;

use super::fault::Kind;
use super::owners::{End, Pause, Reading};

/// Whoever has not recovered so long after a fault was lifted was not seen to.
const RECOVERY_MS: i64 = 15_000;

/// A fault that was carried out. Times are milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blow {
    pub kind: Kind,
    pub begun: i64,
    /// `None` while it lasts.
    pub lifted: Option<i64>,
    /// Whether it could be done; if not, half of it may have been.
    pub is_done: bool,
    /// When everything was seen to flow again.
    pub recovered: Option<i64>,
    /// It did not for so long that nobody waits for it any longer.
    pub is_given_up: bool,
}

/// A time in which nobody read a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    pub partition: TopicPartition,
    pub from: i64,
    pub to: i64,
    pub end: End,
}

/// What a gap is due to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A planned change of owner, with no fault near.
    Planned,
    /// One fault alone.
    Fault(Kind),
    /// Several faults at once.
    Several,
    /// No fault, and no plan either.
    Unknown,
}

impl Blow {
    /// Whether it had begun, and was not recovered from, at some moment of that time.
    pub fn touches(&self, from: i64, to: i64) -> bool {
        let over = self.recovered.or(self.lifted.map(|at| at + RECOVERY_MS)).unwrap_or(i64::MAX);
        self.begun <= to && from <= over
    }

    /// From its end until everything flowed again.
    pub fn recovery(&self) -> Option<Duration> {
        let ms = u64::try_from(self.recovered? - self.lifted?).unwrap_or(0);
        Some(Duration::from_millis(ms))
    }
}

impl Gap {
    /// Its length in milliseconds, without the time in which somebody outside the system was away.
    pub fn length_ms(&self, blows: &[Blow]) -> u64 {
        let outages = blows.iter().filter(|blow| blow.kind.is_outage());
        let mut away: Vec<(i64, i64)> = outages
            .map(|blow| (blow.begun.max(self.from), blow.lifted.unwrap_or(i64::MAX).min(self.to)))
            .filter(|(from, to)| from < to)
            .collect();
        away.sort_unstable();
        let (mut length, mut covered) = (self.to - self.from, self.from);
        for (from, to) in away {
            length -= (to - from.max(covered)).max(0);
            covered = covered.max(to);
        }
        u64::try_from(length).unwrap_or(0)
    }

    pub fn cause(&self, blows: &[Blow]) -> Cause {
        let near = || blows.iter().filter(|blow| blow.touches(self.from, self.to));
        match (near().count(), self.end) {
            (0 | 1, End::Struck(fault)) => Cause::Fault(blows[fault].kind),
            (0, End::Released) => Cause::Planned,
            (0, End::Open | End::Dropped) => Cause::Unknown,
            (1, End::Open | End::Released | End::Dropped) => {
                near().next().map_or(Cause::Unknown, |blow| Cause::Fault(blow.kind))
            }
            (_, _) => Cause::Several,
        }
    }
}

/// The times in which nobody read a partition, after its first owner began. `readings` are in the
/// order of partitions and beginnings, and end at `at`.
pub fn gaps(readings: &[Reading], at: i64) -> Vec<Gap> {
    let mut gaps = Vec::new();
    for partition in readings.chunk_by(|one, other| one.partition == other.partition) {
        let mut last = &partition[0];
        for next in &partition[1..] {
            if next.from > last.until {
                gaps.push(gap(last, next.from));
            }
            if next.until > last.until {
                last = next;
            }
        }
        if at > last.until {
            gaps.push(gap(last, at));
        }
    }
    gaps
}

fn gap(last: &Reading, to: i64) -> Gap {
    Gap { partition: last.partition.clone(), from: last.until, to, end: last.end }
}

/// The longest time in which two incarnations may have read one partition, in milliseconds.
pub fn dual_reading_max_ms(readings: &[Reading]) -> u64 {
    let mut longest = 0;
    for partition in readings.chunk_by(|one, other| one.partition == other.partition) {
        for (number, one) in partition.iter().enumerate() {
            let others = partition[number + 1..].iter().filter(|other| other.by != one.by);
            let both = others.map(|other| one.until.min(other.until) - other.from);
            longest = both.fold(longest, i64::max);
        }
    }
    u64::try_from(longest).unwrap_or(0)
}

/// The longest pause of a partition that stayed where it was, while nobody outside was away.
pub fn pause_max_ms(pauses: &[Pause], blows: &[Blow]) -> u64 {
    let is_excused = |pause: &&Pause| {
        let outages = blows.iter().filter(|blow| blow.kind.is_outage());
        outages.into_iter().any(|blow| blow.touches(pause.from, pause.to))
    };
    let counted = pauses.iter().filter(|pause| !is_excused(pause));
    u64::try_from(counted.map(|pause| pause.to - pause.from).max().unwrap_or(0)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use common::identity::Incarnation;

    use super::*;

    fn reading(by: u128, from: i64, until: i64, end: End) -> Reading {
        Reading::for_test(TopicPartition::new("orders", 0), Incarnation(by), (from, until), end)
    }

    fn blow(kind: Kind, begun: i64, lifted: i64, recovered: i64) -> Blow {
        Blow {
            kind,
            begun,
            lifted: Some(lifted),
            is_done: true,
            recovered: Some(recovered),
            is_given_up: false,
        }
    }

    #[test]
    fn a_gap_lies_between_the_last_that_ended_and_the_next_that_began() {
        let readings = [
            reading(1, 0, 1_000, End::Released),
            reading(2, 1_200, 9_000, End::Struck(0)),
            reading(3, 2_000, 3_000, End::Released),
            reading(4, 9_500, 12_000, End::Open),
        ];
        let found = gaps(&readings, 12_000);
        let spans: Vec<_> = found.iter().map(|gap| (gap.from, gap.to, gap.end)).collect();
        assert_eq!(spans, [(1_000, 1_200, End::Released), (9_000, 9_500, End::Struck(0))]);
        assert_eq!(gaps(&readings, 13_000).last().map(|gap| gap.to), Some(13_000), "to the end");
        assert_eq!(dual_reading_max_ms(&readings), 1_000);
    }

    #[test]
    fn one_incarnation_is_never_two() {
        let readings = [reading(1, 0, 5_000, End::Struck(0)), reading(1, 4_000, 6_000, End::Open)];
        assert_eq!(dual_reading_max_ms(&readings), 0);
    }

    #[test]
    fn the_time_in_which_the_broker_was_away_is_not_counted_and_only_once() {
        let readings = [reading(1, 0, 10_000, End::Dropped), reading(2, 30_000, 40_000, End::Open)];
        let gap = &gaps(&readings, 40_000)[0];
        let broker = blow(Kind::BrokerRestart, 8_000, 15_000, 31_000);
        let sink = blow(Kind::SinkFull, 14_000, 16_000, 31_000);
        assert_eq!(gap.length_ms(&[]), 20_000);
        assert_eq!(gap.length_ms(&[broker]), 15_000);
        assert_eq!(gap.length_ms(&[broker, sink]), 14_000);
        assert_eq!(gap.length_ms(&[blow(Kind::ConsumerKill, 8_000, 15_000, 31_000)]), 20_000);
    }

    #[test]
    fn a_cause_is_named_only_when_it_is_the_only_one() {
        let gap = |end| Gap {
            partition: TopicPartition::new("orders", 0),
            from: 10_000,
            to: 12_000,
            end,
        };
        let kill = blow(Kind::ConsumerKill, 10_000, 10_000, 12_500);
        let before = blow(Kind::MonitorKill, 1_000, 2_000, 3_000);
        let broker = blow(Kind::BrokerRestart, 7_000, 9_000, 11_000);
        assert_eq!(gap(End::Released).cause(&[before]), Cause::Planned);
        assert_eq!(gap(End::Dropped).cause(&[before]), Cause::Unknown);
        assert_eq!(gap(End::Struck(1)).cause(&[before, kill]), Cause::Fault(Kind::ConsumerKill));
        assert_eq!(gap(End::Dropped).cause(&[broker]), Cause::Fault(Kind::BrokerRestart));
        assert_eq!(gap(End::Struck(1)).cause(&[broker, kill]), Cause::Several);
    }

    #[test]
    fn a_pause_counts_unless_somebody_outside_was_away() {
        let partition = TopicPartition::new("orders", 0);
        let pause = |from, to| Pause { partition: partition.clone(), from, to };
        let pauses = [pause(1_000, 3_000), pause(8_000, 14_000)];
        assert_eq!(pause_max_ms(&pauses, &[]), 6_000);
        let sink = blow(Kind::SinkFull, 7_000, 12_000, 13_000);
        assert_eq!(pause_max_ms(&pauses, &[sink]), 2_000);
        assert_eq!(pause_max_ms(&pauses, &[blow(Kind::LeaderKill, 7_000, 12_000, 13_000)]), 6_000);
    }
}
