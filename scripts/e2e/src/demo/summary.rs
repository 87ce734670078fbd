//! Pure. What a demonstration came to, for people and for programs.

use std::fmt;

use serde::Serialize;

use crate::latency::{Latency, Milliseconds};
use crate::verify::report::Report;
use crate::watch::moves::Moves;

/// The fewest and the most consumers that worked at once, from the first complete assignment on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    seen: Option<(usize, usize)>,
}

/// What is written to `--report`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Summary {
    pub seconds: u64,
    pub produced: u64,
    pub stored: u64,
    pub lost: u64,
    pub duplicated: u64,
    pub out_of_order: u64,
    pub corrupted: u64,
    pub dead_lettered: u64,
    pub unparsed: u64,
    pub consumers_min: usize,
    pub consumers_max: usize,
    /// Planned changes of owner.
    pub moves: u64,
    /// Changes of owner after a death.
    pub takeovers: u64,
    pub kills: u64,
    pub move_gap_ms: Milliseconds,
    pub end_to_end_ms: Milliseconds,
    /// Nothing was lost, doubled, disordered, changed or made up, and all objects form chains.
    pub is_sound: bool,
    pub lake: String,
}

/// What a summary is made of.
#[derive(Clone, Copy, Debug)]
pub struct Observed<'a> {
    pub seconds: u64,
    pub extent: Extent,
    pub moves: &'a Moves,
    pub kills: u64,
    pub report: &'a Report,
    pub end_to_end: Latency,
    pub lake: &'a str,
}

impl Extent {
    pub fn note(&mut self, working: usize) {
        let (least, most) = self.seen.unwrap_or((working, working));
        self.seen = Some((least.min(working), most.max(working)));
    }

    pub fn min(self) -> usize {
        self.seen.map_or(0, |(least, _)| least)
    }

    pub fn max(self) -> usize {
        self.seen.map_or(0, |(_, most)| most)
    }
}

impl Summary {
    pub fn of(observed: &Observed<'_>) -> Self {
        let counts = observed.report.total();
        Self {
            seconds: observed.seconds,
            produced: counts.produced,
            stored: counts.stored,
            lost: counts.lost,
            duplicated: counts.duplicated,
            out_of_order: counts.out_of_order,
            corrupted: counts.corrupted + counts.beyond,
            dead_lettered: counts.dead_lettered,
            unparsed: counts.unparsed,
            consumers_min: observed.extent.min(),
            consumers_max: observed.extent.max(),
            moves: observed.moves.moves(),
            takeovers: observed.moves.takeovers(),
            kills: observed.kills,
            move_gap_ms: observed.moves.gaps().into(),
            end_to_end_ms: observed.end_to_end.into(),
            is_sound: observed.report.is_sound(),
            lake: observed.lake.to_owned(),
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { produced, stored, dead_lettered, lost, duplicated, .. } = self;
        let Self { consumers_min, consumers_max, moves, takeovers, kills, .. } = self;
        writeln!(f, "produced     {produced} records in {} s", self.seconds)?;
        writeln!(f, "stored       {stored} rows, {dead_lettered} dead letters")?;
        writeln!(f, "lost         {lost}")?;
        writeln!(f, "duplicated   {duplicated}")?;
        if self.out_of_order + self.corrupted > 0 {
            writeln!(f, "disordered   {}, corrupted {}", self.out_of_order, self.corrupted)?;
        }
        writeln!(f, "consumers    {consumers_min} to {consumers_max}, {kills} killed")?;
        writeln!(f, "moves        {moves}, {takeovers} takeovers; not read {}", self.move_gap_ms)?;
        writeln!(f, "end to end   {}", self.end_to_end_ms)?;
        write!(f, "verdict      {}", if self.is_sound { "sound" } else { "NOT SOUND" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::compare::Counts;
    use crate::verify::report::TopicReport;

    fn summary(counts: Counts) -> Summary {
        let topic = TopicReport { counts, ..TopicReport::default() };
        let report = Report { topics: vec![topic], unnamed_dead_letters: 0 };
        let mut extent = Extent::default();
        [2, 4, 3].into_iter().for_each(|working| extent.note(working));
        Summary::of(&Observed {
            seconds: 120,
            extent,
            moves: &Moves::default(),
            kills: 1,
            report: &report,
            end_to_end: Latency { records: 9, p50: 700, p99: 1_900, max: 2_100 },
            lake: "/lake",
        })
    }

    #[test]
    fn programs_find_every_field_that_they_are_promised() {
        let counts = Counts { produced: 9, stored: 8, dead_lettered: 1, ..Counts::default() };
        let value = serde_json::to_value(summary(counts)).unwrap();
        assert_eq!((value["produced"].as_u64(), value["stored"].as_u64()), (Some(9), Some(8)));
        assert_eq!(
            (value["consumers_min"].as_u64(), value["consumers_max"].as_u64()),
            (Some(2), Some(4))
        );
        for zero in ["lost", "duplicated", "moves"] {
            assert_eq!(value[zero].as_u64(), Some(0), "{zero}");
        }
        for key in ["move_gap_ms", "end_to_end_ms"] {
            assert!(["p50", "p99", "max"].iter().all(|part| value[key][part].is_u64()), "{key}");
        }
        assert_eq!((value["kills"].as_u64(), value["dead_lettered"].as_u64()), (Some(1), Some(1)));
    }

    #[test]
    fn people_read_the_verdict_last() {
        let lost = Counts { produced: 9, stored: 8, lost: 1, ..Counts::default() };
        assert!(summary(lost).to_string().ends_with("NOT SOUND"));
        let sound = Counts { produced: 9, stored: 9, ..Counts::default() };
        assert!(summary(sound).to_string().ends_with("verdict      sound"));
    }
}
