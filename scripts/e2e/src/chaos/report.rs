//! Pure. What a run of faults came to, for people and for programs.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::fault::Kind;
use super::judge::{self, Blow, Cause, Gap};
use super::memory::Peaks;
use super::owners::{Pause, Reading};
use crate::latency::{Histogram, Milliseconds};
use crate::verify::report::Report as Verification;
use crate::watch::moves::Moves;

/// How long a partition may be without an owner in a planned move.
const PLANNED_MAX_MS: u64 = 1_000;
/// Sentences about what was over a limit.
const SENTENCES_MAX: usize = 20;

/// What became of the faults of one kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct KindReport {
    pub done: u64,
    /// How often it could not be done.
    pub left_out: u64,
    /// The longest time for which a partition had no owner after it, no other fault being near.
    pub without_owner_ms: u64,
    /// The longest time from its end until everything flowed, no other fault being near.
    pub recovery_ms: Option<u64>,
}

/// What is written to `--report`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ChaosReport {
    pub seed: u64,
    pub seconds: u64,
    pub faults: BTreeMap<Kind, KindReport>,
    pub records: u64,
    pub stored: u64,
    pub lost: u64,
    pub duplicated: u64,
    pub out_of_order: u64,
    pub corrupted: u64,
    pub dead_lettered: u64,
    /// The times without an owner in planned moves with no fault near.
    pub without_owner_planned_ms: Milliseconds,
    /// The longest time without an owner when several faults were near, and for no reason that is known.
    pub without_owner_several_ms: u64,
    pub without_owner_unknown_ms: u64,
    /// The longest time in which two incarnations may have read one partition.
    pub dual_reading_ms: u64,
    /// From the end of the last fault until everything flowed; `None`: it did not in time.
    pub recovery_ms: Option<u64>,
    pub moves: u64,
    pub takeovers: u64,
    pub move_gap_ms: Milliseconds,
    /// The longest time in which a partition that stayed was not read, to the second.
    pub stayed_gap_ms: u64,
    /// The most memory that one process of each service held, in MiB.
    pub memory_max_mib: Peaks,
    /// Services that ended though nobody had ended them.
    pub ended: Vec<String>,
    /// Faults that could not be done, and why.
    pub left_out: Vec<String>,
    /// What was over a limit.
    pub beyond: Vec<String>,
    pub problems: Vec<String>,
    pub is_within_limits: bool,
    pub is_sound: bool,
}

/// What a report is made of.
#[derive(Clone, Copy, Debug)]
pub struct Observed<'a> {
    pub seed: u64,
    /// Milliseconds since 1970.
    pub began: i64,
    pub ended: i64,
    pub readings: &'a [Reading],
    pub pauses: &'a [Pause],
    pub blows: &'a [Blow],
    pub moves: &'a Moves,
    pub memory: &'a Peaks,
    pub verification: &'a Verification,
    pub services_ended: &'a [String],
    pub left_out: &'a [(Kind, String)],
}

impl ChaosReport {
    pub fn of(observed: &Observed<'_>) -> Self {
        let counts = observed.verification.total();
        let mut report = Self {
            seed: observed.seed,
            seconds: seconds(observed.ended - observed.began),
            faults: faults(observed),
            records: counts.produced,
            stored: counts.stored,
            lost: counts.lost,
            duplicated: counts.duplicated,
            out_of_order: counts.out_of_order,
            corrupted: counts.corrupted + counts.beyond,
            dead_lettered: counts.dead_lettered,
            without_owner_planned_ms: Milliseconds::default(),
            without_owner_several_ms: 0,
            without_owner_unknown_ms: 0,
            dual_reading_ms: judge::dual_reading_max_ms(observed.readings),
            recovery_ms: last_recovery(observed.blows),
            moves: observed.moves.moves(),
            takeovers: observed.moves.takeovers(),
            move_gap_ms: observed.moves.gaps().into(),
            stayed_gap_ms: judge::pause_max_ms(observed.pauses, observed.blows),
            memory_max_mib: observed.memory.clone(),
            ended: observed.services_ended.to_vec(),
            left_out: observed
                .left_out
                .iter()
                .map(|(kind, why)| format!("{kind}: {why}"))
                .collect(),
            beyond: Vec::new(),
            problems: problems(observed.verification),
            is_within_limits: true,
            is_sound: observed.verification.is_sound(),
        };
        let gaps = judge::gaps(observed.readings, observed.ended);
        report.without_owner_planned_ms = planned(&gaps, observed.blows);
        gaps.iter().for_each(|gap| report.count_gap(gap, observed));
        report.judge_recovery(observed.blows);
        report.is_within_limits = report.beyond.is_empty();
        report.beyond.truncate(SENTENCES_MAX);
        report
    }

    fn count_gap(&mut self, gap: &Gap, observed: &Observed<'_>) {
        let ms = gap.length_ms(observed.blows);
        let (longest, limit, after) = match gap.cause(observed.blows) {
            Cause::Planned => {
                let longest = &mut self.without_owner_planned_ms.max;
                (longest, PLANNED_MAX_MS, "a planned move".to_owned())
            }
            Cause::Fault(kind) => {
                let of_kind = self.faults.entry(kind).or_default();
                (&mut of_kind.without_owner_ms, limit_ms(kind), kind.to_string())
            }
            Cause::Several => {
                (&mut self.without_owner_several_ms, u64::MAX, "several faults".to_owned())
            }
            Cause::Unknown => {
                (&mut self.without_owner_unknown_ms, PLANNED_MAX_MS, "nothing known".to_owned())
            }
        };
        *longest = ms.max(*longest);
        if ms > limit {
            let at = seconds(gap.from - observed.began);
            let Gap { partition, .. } = gap;
            self.beyond.push(format!(
                "{partition} had no owner for {ms} ms after {after}, from {at} s on: at most {limit} ms"
            ));
        }
    }

    fn judge_recovery(&mut self, blows: &[Blow]) {
        for (kind, of_kind) in &self.faults {
            let limit = limit_ms(*kind);
            if let Some(ms) = of_kind.recovery_ms.filter(|ms| *ms > limit) {
                self.beyond.push(format!(
                    "everything flowed again {ms} ms after {kind}: at most {limit} ms"
                ));
            }
        }
        for blow in blows.iter().filter(|blow| blow.is_given_up) {
            self.beyond.push(format!("not everything flowed again after {}", blow.kind));
        }
        let limit = last(blows).map_or(0, |blow| limit_ms(blow.kind));
        if let Some(ms) = self.recovery_ms.filter(|ms| *ms > limit) {
            self.beyond.push(format!(
                "everything flowed again {ms} ms after the last fault: at most {limit} ms"
            ));
        }
    }
}

fn limit_ms(kind: Kind) -> u64 {
    u64::try_from(kind.limit().as_millis()).unwrap_or(u64::MAX)
}

fn planned(gaps: &[Gap], blows: &[Blow]) -> Milliseconds {
    let mut lengths = Histogram::default();
    for gap in gaps.iter().filter(|gap| gap.cause(blows) == Cause::Planned) {
        lengths.push(gap.to - gap.from);
    }
    lengths.latency().into()
}

fn faults(observed: &Observed<'_>) -> BTreeMap<Kind, KindReport> {
    let mut faults: BTreeMap<Kind, KindReport> = BTreeMap::new();
    for (number, blow) in observed.blows.iter().enumerate().filter(|(_, blow)| blow.is_done) {
        let of_kind = faults.entry(blow.kind).or_default();
        of_kind.done += 1;
        let mut others = observed.blows.iter().enumerate().filter(|(other, _)| *other != number);
        let is_alone = blow.recovered.is_some_and(|recovered| {
            others.all(|(_, other)| !other.touches(blow.begun, recovered))
        });
        if let (true, Some(recovery)) = (is_alone, blow.recovery()) {
            let ms = u64::try_from(recovery.as_millis()).unwrap_or(u64::MAX);
            of_kind.recovery_ms = of_kind.recovery_ms.max(Some(ms));
        }
    }
    for (kind, _) in observed.left_out {
        faults.entry(*kind).or_default().left_out += 1;
    }
    faults
}

/// The fault that was lifted last.
fn last(blows: &[Blow]) -> Option<&Blow> {
    blows.iter().max_by_key(|blow| blow.lifted)
}

fn last_recovery(blows: &[Blow]) -> Option<u64> {
    let Some(last) = last(blows) else { return Some(0) };
    last.recovery().map(|recovery| u64::try_from(recovery.as_millis()).unwrap_or(u64::MAX))
}

fn problems(verification: &Verification) -> Vec<String> {
    let topics = verification.topics.iter();
    topics.flat_map(|topic| topic.chain_problems.iter().chain(&topic.examples)).cloned().collect()
}

fn seconds(ms: i64) -> u64 {
    u64::try_from(ms / 1_000).unwrap_or(0)
}

impl fmt::Display for ChaosReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:26} {:>5} {:>16} {:>14}", "fault", "done", "no owner, ms", "recovery, ms")?;
        for (kind, of_kind) in &self.faults {
            let recovery = of_kind.recovery_ms.map_or("-".to_owned(), |ms| ms.to_string());
            let KindReport { done, without_owner_ms, .. } = of_kind;
            writeln!(f, "{kind:26} {done:>5} {without_owner_ms:>16} {recovery:>14}")?;
        }
        let Self { records, stored, dead_lettered, lost, duplicated, seed, .. } = self;
        writeln!(f, "seed           {seed}, {} s", self.seconds)?;
        writeln!(f, "records        {records}: {stored} stored, {dead_lettered} dead letters")?;
        writeln!(f, "lost           {lost}")?;
        writeln!(f, "duplicated     {duplicated}")?;
        if self.out_of_order + self.corrupted > 0 {
            writeln!(f, "disordered     {}, corrupted {}", self.out_of_order, self.corrupted)?;
        }
        writeln!(f, "no owner       in planned moves {}", self.without_owner_planned_ms)?;
        let (several, unknown) = (self.without_owner_several_ms, self.without_owner_unknown_ms);
        writeln!(f, "               {several} ms after several faults, {unknown} ms unexplained")?;
        writeln!(f, "dual reading   {} ms", self.dual_reading_ms)?;
        let recovery = self.recovery_ms.map_or("not in time".to_owned(), |ms| format!("{ms} ms"));
        writeln!(f, "recovery       {recovery} after the last fault")?;
        let Self { moves, takeovers, move_gap_ms, stayed_gap_ms, .. } = self;
        writeln!(f, "moves          {moves}, {takeovers} takeovers; not read {move_gap_ms}")?;
        writeln!(f, "stayed         not read for {stayed_gap_ms} ms at most")?;
        let memory =
            self.memory_max_mib.iter().map(|(service, mib)| format!("{service} {mib} MiB"));
        writeln!(f, "memory         {} at most", memory.collect::<Vec<_>>().join(", "))?;
        for (heading, sentences) in [
            ("ended by itself", &self.ended),
            ("left out", &self.left_out),
            ("over a limit", &self.beyond),
            ("problem", &self.problems),
        ] {
            sentences.iter().try_for_each(|text| writeln!(f, "{heading}: {text}"))?;
        }
        let limits = if self.is_within_limits { "within" } else { "NOT within" };
        let sound = if self.is_sound { "sound" } else { "NOT SOUND" };
        write!(f, "verdict        {sound}, {limits} the limits")
    }
}

#[cfg(test)]
mod tests {
    use common::identity::Incarnation;
    use common::partition::TopicPartition;

    use super::*;
    use crate::chaos::owners::End;
    use crate::verify::compare::Counts;
    use crate::verify::report::TopicReport;

    const TAKEN_OVER: i64 = 30_000;

    /// A consumer is killed at 20 s; its partition is read again at `read_again`.
    fn report(counts: Counts, read_again: i64, recovered: Option<i64>) -> ChaosReport {
        of(counts, read_again, &[blow(Kind::ConsumerKill, 20_000, recovered)])
    }

    fn blow(kind: Kind, at: i64, recovered: Option<i64>) -> Blow {
        let is_given_up = recovered.is_none();
        Blow { kind, begun: at, lifted: Some(at), is_done: true, recovered, is_given_up }
    }

    fn of(counts: Counts, read_again: i64, blows: &[Blow]) -> ChaosReport {
        let partition = TopicPartition::new("orders", 0);
        let reading =
            |by, span, end| Reading::for_test(partition.clone(), Incarnation(by), span, end);
        let readings = [
            reading(1, (1_000, 20_000), End::Struck(0)),
            reading(2, (read_again, 60_000), End::Open),
        ];
        let topic = TopicReport { counts, ..TopicReport::default() };
        ChaosReport::of(&Observed {
            seed: 7,
            began: 0,
            ended: 60_000,
            readings: &readings,
            pauses: &[],
            blows,
            moves: &Moves::default(),
            memory: &Peaks::from([("consumer", 90)]),
            verification: &Verification { topics: vec![topic], unnamed_dead_letters: 0 },
            services_ended: &[],
            left_out: &[(Kind::SinkFull, "mounts are not permitted here".into())],
        })
    }

    fn sound() -> Counts {
        Counts { produced: 9, stored: 9, ..Counts::default() }
    }

    #[test]
    fn a_fault_that_was_recovered_from_in_time_is_within_the_limits() {
        let report = report(sound(), TAKEN_OVER, Some(31_000));
        let kill = &report.faults[&Kind::ConsumerKill];
        assert_eq!((kill.done, kill.without_owner_ms, kill.recovery_ms), (1, 10_000, Some(11_000)));
        assert_eq!((report.recovery_ms, report.is_within_limits), (Some(11_000), true));
        assert_eq!(report.faults[&Kind::SinkFull].left_out, 1);
        let text = report.to_string();
        assert!(text.ends_with("sound, within the limits"), "{text}");
        assert!(text.contains("left out: sink_full: mounts are not permitted here"), "{text}");
    }

    #[test]
    fn what_is_over_a_limit_is_said_and_is_no_loss() {
        let late = report(sound(), 36_000, Some(40_000));
        assert!(late.is_sound && !late.is_within_limits);
        let expected = "orders/0 had no owner for 16000 ms after consumer_kill, from 20 s on: \
                        at most 15000 ms";
        assert_eq!(late.beyond[0], expected);
        let never = report(sound(), TAKEN_OVER, None);
        assert_eq!((never.recovery_ms, never.is_within_limits), (None, false));
    }

    #[test]
    fn of_faults_that_overlap_none_is_to_blame() {
        let consumer = blow(Kind::ConsumerKill, 20_000, Some(40_000));
        let broker = blow(Kind::BrokerRestart, 25_000, Some(40_000));
        let report = of(sound(), 38_000, &[consumer, broker]);
        assert!(report.faults.values().all(|one| one.recovery_ms.is_none()));
        assert!(report.faults.values().all(|one| one.without_owner_ms == 0));
        assert_eq!((report.without_owner_several_ms, report.recovery_ms), (18_000, Some(15_000)));
    }

    #[test]
    fn programs_find_kinds_by_name_and_a_loss_is_not_sound() {
        let lost = Counts { produced: 9, stored: 8, lost: 1, ..Counts::default() };
        let value = serde_json::to_value(report(lost, TAKEN_OVER, Some(31_000))).unwrap();
        assert_eq!(value["faults"]["consumer_kill"]["without_owner_ms"], 10_000);
        assert_eq!((value["lost"].as_u64(), value["is_sound"].as_bool()), (Some(1), Some(false)));
        for key in ["records", "duplicated", "dual_reading_ms", "recovery_ms", "stayed_gap_ms"] {
            assert!(value[key].is_u64(), "{key}");
        }
        for key in ["move_gap_ms", "without_owner_planned_ms"] {
            assert!(["p50", "p99", "max"].iter().all(|part| value[key][part].is_u64()), "{key}");
        }
    }
}
