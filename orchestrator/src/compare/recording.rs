//! Pure. A trace out of what `monitor tail --json` wrote: a measurement, or a chunk of one, a line.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::trace::{Name, Rows, Trace, TraceError, numbered};

impl Trace {
    /// Reads a monitor's measurements in the order in which they were taken. The rate is the
    /// filtered one, in bytes per second; `capacity` is that of a consumer. Chunks of one
    /// measurement may stand on lines of their own, in any order. The first step is as long as
    /// the monitor's interval.
    ///
    /// # Errors
    /// With the number of the line (of several chunks: of the first) that could not be read, whose
    /// measurement lacks a chunk, or that was not measured later than the one before: two monitors
    /// in one recording, or a calendar clock that was set back.
    pub fn from_measurements<'a>(
        lines: impl IntoIterator<Item = &'a str>,
        capacity: u64,
    ) -> Result<Self, TraceError> {
        let mut rows = Rows::default();
        let mut last_measured_at = None;
        for joined in join(lines)? {
            let seconds = match last_measured_at {
                Some(last) => (joined.measured_at - last) as f64 / 1000.0,
                None => joined.interval_ms as f64 / 1000.0,
            };
            last_measured_at = Some(joined.measured_at);
            rows.begin(joined.line, seconds, capacity)?;
            for (name, rate) in joined.rates {
                rows.add(name, rate);
            }
        }
        rows.into_trace()
    }
}

#[derive(Deserialize)]
struct Chunk {
    measured_at: i64,
    monitor: String,
    sequence: u64,
    #[serde(default)]
    chunk: usize,
    #[serde(default = "one")]
    chunks: usize,
    interval_ms: u64,
    partitions: Vec<PartitionRate>,
}

#[derive(Deserialize)]
struct PartitionRate {
    topic: String,
    partition: u32,
    filtered: u64,
}

fn one() -> usize {
    1
}

/// A measurement whose chunks are being put together.
struct Joined {
    line: usize,
    measured_at: i64,
    interval_ms: u64,
    chunks: usize,
    rates: Vec<(Name, u64)>,
    /// Numbers of chunks: one that was written twice counts once.
    found: BTreeSet<usize>,
}

/// The measurements in the order of their first lines, each with all its chunks.
fn join<'a>(lines: impl IntoIterator<Item = &'a str>) -> Result<Vec<Joined>, TraceError> {
    let mut places = BTreeMap::<(String, u64), usize>::new();
    let mut all: Vec<Joined> = Vec::new();
    for (line, text) in numbered(lines) {
        let chunk: Chunk =
            serde_json::from_str(text).map_err(|source| TraceError::Syntax { line, source })?;
        let place = *places.entry((chunk.monitor, chunk.sequence)).or_insert(all.len());
        if place == all.len() {
            all.push(Joined {
                line,
                measured_at: chunk.measured_at,
                interval_ms: chunk.interval_ms,
                chunks: chunk.chunks,
                rates: Vec::new(),
                found: BTreeSet::new(),
            });
        }
        let joined = &mut all[place];
        joined.found.insert(chunk.chunk);
        joined.rates.extend(chunk.partitions.into_iter().map(|measured| {
            let name = Name { topic: measured.topic, partition: measured.partition };
            (name, measured.filtered)
        }));
    }
    for ((monitor, sequence), place) in places {
        let Joined { line, chunks, ref found, .. } = all[place];
        if found.len() < chunks {
            let found = found.len();
            return Err(TraceError::ChunkMissing { line, monitor, sequence, found, chunks });
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measurement(at: i64, sequence: u64, chunk: [usize; 2], rates: &str) -> String {
        let [chunk, chunks] = chunk;
        format!(
            r#"{{"measured_at": {at}, "monitor": "m", "sequence": {sequence}, "chunk": {chunk},
                    "chunks": {chunks}, "interval_ms": 1000, "window_ms": 30000,
                    "partitions": [{rates}]}}"#
        )
        .replace('\n', " ")
    }

    fn partition(number: u32, filtered: u64) -> String {
        format!(
            r#"{{"topic": "orders", "partition": {number}, "rate": 1, "filtered": {filtered},
                "burst": 2, "lag": null, "state": "steady"}}"#
        )
    }

    fn read(lines: &[String]) -> Result<Trace, TraceError> {
        Trace::from_measurements(lines.iter().map(String::as_str), 500)
    }

    #[test]
    fn a_recording_becomes_a_trace_of_filtered_rates() {
        let both = format!("{}, {}", partition(0, 30), partition(1, 40));
        let lines = [
            measurement(10_000, 1, [0, 1], &both),
            measurement(11_500, 2, [0, 1], &partition(1, 50)),
        ];
        let trace = read(&lines).unwrap();
        assert_eq!(trace.names, ["orders/0", "orders/1"]);
        let steps: Vec<_> =
            trace.steps.iter().map(|step| (step.seconds, &step.rates[..])).collect();
        assert_eq!(steps, [(1.0, &[30, 40][..]), (1.5, &[0, 50][..])]);
        assert!(trace.steps.iter().all(|step| step.capacity == 500));
    }

    #[test]
    fn chunks_are_joined_and_a_repeated_one_counts_once() {
        let lines = [
            measurement(10_000, 1, [1, 2], &partition(1, 40)),
            measurement(10_000, 1, [0, 2], &partition(0, 30)),
            measurement(10_000, 1, [0, 2], &partition(0, 30)),
        ];
        assert_eq!(read(&lines).unwrap().steps[0].rates, [30, 40]);
        let message = read(&lines[..1]).unwrap_err().to_string();
        assert_eq!(message, "line 1: measurement 1 of monitor m has 1 of its 2 chunks");
    }

    #[test]
    fn a_measurement_must_be_later_than_the_one_before() {
        let lines = [
            measurement(10_000, 1, [0, 1], &partition(0, 30)),
            measurement(9_000, 2, [0, 1], &partition(0, 30)),
        ];
        let message = read(&lines).unwrap_err().to_string();
        assert_eq!(message, "line 2: -1 s since the line before; must be above zero and finite");
    }
}
