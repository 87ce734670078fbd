//! Pure. A stream as data: how much each partition is written to, step by step.

use std::collections::BTreeMap;

use serde::Deserialize;
use thiserror::Error;

/// The write rates of all partitions over time.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    /// `topic/partition`, ordered by topic, then by partition number.
    pub names: Vec<String>,
    /// At least one.
    pub steps: Vec<Step>,
}

/// The rates that hold from one instant until the next step.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Time since the step before, in seconds; above zero. Of the first step: what is taken for
    /// its length if there is no other.
    pub seconds: f64,
    /// The highest load that a consumer sustains, in bytes per second; above zero.
    pub capacity: u64,
    /// Bytes per second, in the order of `Trace::names`.
    pub rates: Vec<u64>,
}

impl Step {
    /// Bytes per second of all partitions together.
    pub fn rate_total(&self) -> u64 {
        self.rates.iter().fold(0, |total, rate| total.saturating_add(*rate))
    }
}

impl Trace {
    /// Each step with the seconds that its rates hold: until the next one. The last holds as long
    /// as the one before it.
    pub fn steps_with_lengths(&self) -> impl Iterator<Item = (&Step, f64)> {
        let lengths = self.steps.iter().skip(1).map(|step| step.seconds);
        let last = self.steps.last().map(|step| step.seconds);
        self.steps.iter().zip(lengths.chain(last))
    }

    /// The step with the highest rate of all partitions together, the earliest among equals.
    pub fn busiest_step(&self) -> Option<&Step> {
        self.steps.iter().rev().max_by_key(|step| step.rate_total())
    }

    /// The largest factor by which the rate of all partitions together rose within
    /// `window_seconds`; 1 if it never rose. Rises from nothing are left out.
    pub fn jump_factor(&self, window_seconds: f64) -> f64 {
        let mut largest: f64 = 1.0;
        for (from, step) in self.steps.iter().enumerate() {
            let before = step.rate_total();
            let mut elapsed = 0.0;
            for later in &self.steps[from + 1..] {
                elapsed += later.seconds;
                if before == 0 || elapsed > window_seconds {
                    break;
                }
                largest = largest.max(later.rate_total() as f64 / before as f64);
            }
        }
        largest
    }

    /// Reads lines as `{"capacity": 100, "rates": {"orders/0": 12}}`, each a step. A line may say
    /// `"seconds"`, the time since the line before; where it does not, `seconds` is taken. A
    /// partition that a line does not name has the rate zero there. Empty lines are skipped.
    ///
    /// # Errors
    /// With the number of the line that is not of this form, or if there is no line at all.
    pub fn from_json_lines<'a>(
        lines: impl IntoIterator<Item = &'a str>,
        seconds: f64,
    ) -> Result<Self, TraceError> {
        let mut rows = Rows::default();
        for (line, text) in numbered(lines) {
            let row: Row =
                serde_json::from_str(text).map_err(|source| TraceError::Syntax { line, source })?;
            rows.begin(line, row.seconds.unwrap_or(seconds), row.capacity)?;
            for (name, rate) in row.rates {
                rows.add(Name::parse(&name).ok_or(TraceError::Name { line, name })?, rate);
            }
        }
        rows.into_trace()
    }
}

/// Why text is not a trace.
#[derive(Debug, Error)]
pub enum TraceError {
    #[error("line {line} could not be read")]
    Syntax { line: usize, source: serde_json::Error },
    #[error("line {line}: `{name}` is not a partition; expected topic/number, as in orders/0")]
    Name { line: usize, name: String },
    #[error("line {line}: the capacity must be above zero")]
    Capacity { line: usize },
    #[error("line {line}: {seconds} s since the line before; must be above zero and finite")]
    Seconds { line: usize, seconds: f64 },
    #[error(
        "line {line}: measurement {sequence} of monitor {monitor} has {found} of its {chunks} \
         chunks"
    )]
    ChunkMissing { line: usize, monitor: String, sequence: u64, found: usize, chunks: usize },
    #[error("there is no step to read")]
    Empty,
}

#[derive(Deserialize)]
struct Row {
    seconds: Option<f64>,
    capacity: u64,
    rates: BTreeMap<String, u64>,
}

/// A partition, ordered by topic, then by number.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name {
    pub(super) topic: String,
    pub(super) partition: u32,
}

impl Name {
    /// From `topic/partition`.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let (topic, partition) = name.rsplit_once('/')?;
        let partition = partition.parse().ok()?;
        (!topic.is_empty()).then(|| Self { topic: topic.to_owned(), partition })
    }
}

/// Lines that are not empty, counted from 1.
pub(super) fn numbered<'a>(
    lines: impl IntoIterator<Item = &'a str>,
) -> impl Iterator<Item = (usize, &'a str)> {
    let lines = lines.into_iter().enumerate().map(|(index, text)| (index + 1, text));
    lines.filter(|(_, text)| !text.trim().is_empty())
}

/// Steps in the making, while it is not known yet which partitions there will be.
#[derive(Default)]
pub(super) struct Rows {
    /// Each partition met so far, with the order in which it was met.
    met: BTreeMap<Name, usize>,
    rows: Vec<SparseStep>,
}

/// A step with the rates of those partitions that it names, by the order in which they were met.
struct SparseStep {
    seconds: f64,
    capacity: u64,
    rates: Vec<(usize, u64)>,
}

impl Rows {
    /// Begins a step; what is added next belongs to it.
    pub(super) fn begin(
        &mut self,
        line: usize,
        seconds: f64,
        capacity: u64,
    ) -> Result<(), TraceError> {
        if capacity == 0 {
            return Err(TraceError::Capacity { line });
        }
        if !(seconds > 0.0 && seconds.is_finite()) {
            return Err(TraceError::Seconds { line, seconds });
        }
        self.rows.push(SparseStep { seconds, capacity, rates: Vec::new() });
        Ok(())
    }

    pub(super) fn add(&mut self, name: Name, rate: u64) {
        let next = self.met.len();
        let id = *self.met.entry(name).or_insert(next);
        if let Some(step) = self.rows.last_mut() {
            step.rates.push((id, rate));
        }
    }

    pub(super) fn into_trace(self) -> Result<Trace, TraceError> {
        if self.rows.is_empty() {
            return Err(TraceError::Empty);
        }
        let mut places = vec![0; self.met.len()];
        for (place, id) in self.met.values().enumerate() {
            places[*id] = place;
        }
        let steps = self.rows.into_iter().map(|sparse| {
            let mut rates = vec![0; places.len()];
            for (id, rate) in sparse.rates {
                rates[places[id]] = rate;
            }
            Step { seconds: sparse.seconds, capacity: sparse.capacity, rates }
        });
        let steps = steps.collect();
        let name = |name: Name| format!("{}/{}", name.topic, name.partition);
        Ok(Trace { names: self.met.into_keys().map(name).collect(), steps })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> Result<Trace, TraceError> {
        Trace::from_json_lines(lines.iter().copied(), 1.0)
    }

    /// By topic, then by number, not by text; what is missing is zero.
    #[test]
    fn partitions_are_ordered_by_number_and_missing_ones_have_no_rate() {
        let trace = read(&[
            r#"{"capacity": 100, "rates": {"orders/10": 1, "orders/9": 2}}"#,
            "",
            r#"{"capacity": 90, "seconds": 2.5, "rates": {"a/b/11": 7, "orders/9": 3}}"#,
        ]);
        let trace = trace.unwrap();
        assert_eq!(trace.names, ["a/b/11", "orders/9", "orders/10"]);
        let first = Step { seconds: 1.0, capacity: 100, rates: vec![0, 2, 1] };
        let second = Step { seconds: 2.5, capacity: 90, rates: vec![7, 3, 0] };
        assert_eq!(trace.steps, [first, second]);
    }

    #[test]
    fn errors_name_the_line() {
        let good = r#"{"capacity": 1, "rates": {"a/0": 1}}"#;
        let cases = [
            (r#"{"rates": {}}"#, "line 3 could not be read"),
            (r#"{"capacity": 0, "rates": {}}"#, "line 3: the capacity must be above zero"),
            (
                r#"{"capacity": 1, "seconds": 0, "rates": {}}"#,
                "line 3: 0 s since the line before; must be above zero and finite",
            ),
            (
                r#"{"capacity": 1, "rates": {"orders": 1}}"#,
                "line 3: `orders` is not a partition; expected topic/number, as in orders/0",
            ),
        ];
        for (bad, message) in cases {
            assert_eq!(read(&[good, "", bad]).unwrap_err().to_string(), message);
        }
        assert!(matches!(read(&["", " "]), Err(TraceError::Empty)));
    }

    #[test]
    fn rates_hold_until_the_next_step() {
        let line = |seconds: u32| format!(r#"{{"capacity":1,"seconds":{seconds},"rates":{{}}}}"#);
        let lines = [line(1), line(2), line(3)];
        let trace = Trace::from_json_lines(lines.iter().map(String::as_str), 1.0).unwrap();
        let lengths: Vec<f64> = trace.steps_with_lengths().map(|(_, length)| length).collect();
        assert_eq!(lengths, [2.0, 3.0, 3.0]);
    }

    /// 100 → 150 → 300: threefold in two steps, twofold in one.
    #[test]
    fn the_jump_factor_looks_as_far_as_the_window() {
        let line = |rate: u32| format!(r#"{{"capacity":1,"rates":{{"a/0":{rate}}}}}"#);
        let lines = [line(100), line(150), line(300), line(90)];
        let trace = Trace::from_json_lines(lines.iter().map(String::as_str), 5.0).unwrap();
        let near = |factor: f64, expected: f64| assert!((factor - expected).abs() < 1e-12);
        near(trace.jump_factor(10.0), 3.0);
        near(trace.jump_factor(5.0), 2.0);
        near(trace.jump_factor(1.0), 1.0);
        assert_eq!(trace.busiest_step().unwrap().rates, [300]);
    }
}
