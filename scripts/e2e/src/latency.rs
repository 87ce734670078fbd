//! IO. How long records took from their production to their object in the lake.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::lake::rows::{self, RowError};
use crate::lake::store::{Lake, LakeError};

#[derive(Debug, thiserror::Error)]
pub enum LatencyError {
    #[error("failed to read the lake")]
    Lake {
        #[source]
        source: LakeError,
    },
    #[error("failed to read the record times of {path}")]
    Rows {
        path: String,
        #[source]
        source: RowError,
    },
}

/// Percentiles over records, in milliseconds, from the record's own time to the moment at which
/// its object stood under its name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Latency {
    pub records: u64,
    pub p50: u64,
    pub p99: u64,
    pub max: u64,
}

/// Percentiles in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Milliseconds {
    pub p50: u64,
    pub p99: u64,
    pub max: u64,
}

/// How many records took how many milliseconds.
#[derive(Clone, Debug, Default)]
pub struct Histogram {
    by_ms: BTreeMap<u64, u64>,
}

impl Histogram {
    /// Takes a record; one from the future (clocks differ) counts as 0 ms.
    pub fn push(&mut self, ms: i64) {
        *self.by_ms.entry(u64::try_from(ms).unwrap_or(0)).or_default() += 1;
    }

    pub fn latency(&self) -> Latency {
        let records = self.by_ms.values().sum();
        Latency {
            records,
            p50: self.at_rank(records.div_ceil(2)),
            p99: self.at_rank((records * 99).div_ceil(100)),
            max: self.at_rank(records),
        }
    }

    /// The latency of the record with the `rank`-th smallest one, from 1.
    fn at_rank(&self, rank: u64) -> u64 {
        let mut below = 0;
        let at = self.by_ms.iter().find(|(_, count)| {
            below += **count;
            below >= rank
        });
        at.map_or(0, |(ms, _)| *ms)
    }
}

/// Reads the latency of every record of `topics` in `lake`, or of all topics if none is named.
pub fn measure(lake: &Lake, topics: &[String]) -> Result<Latency, LatencyError> {
    let mut histogram = Histogram::default();
    let listing = lake.list().map_err(|source| LatencyError::Lake { source })?;
    for object in &listing.objects {
        if !topics.is_empty() && !topics.contains(&object.name.topic) {
            continue;
        }
        let bytes = lake.read(&object.path).map_err(|source| LatencyError::Lake { source })?;
        let mut push = |timestamp_ms| histogram.push(object.stored_at_ms - timestamp_ms);
        rows::visit_timestamps(bytes, &mut push)
            .map_err(|source| LatencyError::Rows { path: object.path.clone(), source })?;
    }
    Ok(histogram.latency())
}

impl From<Latency> for Milliseconds {
    fn from(Latency { p50, p99, max, .. }: Latency) -> Self {
        Self { p50, p99, max }
    }
}

impl fmt::Display for Milliseconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p50 {} ms, p99 {} ms, max {} ms", self.p50, self.p99, self.max)
    }
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { records, p50, p99, max } = self;
        write!(f, "{records} records: p50 {p50} ms, p99 {p99} ms, max {max} ms")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_records() {
        let mut histogram = Histogram::default();
        (1..=200).rev().for_each(|ms| histogram.push(ms));
        let expected = Latency { records: 200, p50: 100, p99: 198, max: 200 };
        assert_eq!(histogram.latency(), expected);
        assert_eq!(Histogram::default().latency(), Latency::default());
    }

    #[test]
    fn a_single_slow_record_is_the_maximum_and_clocks_that_differ_give_zero() {
        let mut histogram = Histogram::default();
        (0..999).for_each(|_| histogram.push(-5));
        histogram.push(60_000);
        let expected = Latency { records: 1_000, p50: 0, p99: 0, max: 60_000 };
        assert_eq!(histogram.latency(), expected);
    }
}
