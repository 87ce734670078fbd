//! Pure. What a measurement found, in words and as JSON.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

/// What was read, and what that took.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Report {
    /// What was measured: `poll loop`, or format and sink.
    pub(super) what: String,
    pub(super) topics: usize,
    pub(super) partitions: usize,
    pub(super) records: u64,
    /// Of keys, values and headers.
    pub(super) bytes: u64,
    /// From the first partition's opening until everything was stored.
    pub(super) seconds: f64,
    /// Processor time of the whole process meanwhile.
    pub(super) cpu_seconds: f64,
    pub(super) memory_peak_bytes: u64,
    /// Of objects in the sink.
    pub(super) stored_bytes: u64,
    /// Rows whose record stands in `kafka_unparsed`.
    pub(super) unparsed: u64,
}

impl Report {
    pub(super) fn cpu_seconds_per_gb(&self) -> f64 {
        self.cpu_seconds / gigabytes(self.bytes)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, topics, partitions, records, seconds, cpu_seconds, .. } = self;
        let megabytes = gigabytes(self.bytes) * 1e3;
        writeln!(
            f,
            "{what}: {records} records, {megabytes:.1} MB, {partitions} partitions of {topics} topics"
        )?;
        let (rate, per_gb) = (megabytes / seconds, self.cpu_seconds_per_gb());
        let memory = gigabytes(self.memory_peak_bytes) * 1e3;
        write!(
            f,
            "  {seconds:.2} s = {rate:.0} MB/s; {cpu_seconds:.2} CPU s = {per_gb:.2} s/GB; "
        )?;
        write!(f, "memory at most {memory:.0} MB")?;
        if self.stored_bytes > 0 {
            write!(f, "; stored {:.1} MB", gigabytes(self.stored_bytes) * 1e3)?;
        }
        if self.unparsed > 0 {
            write!(f, "; {} rows hold their record as text", self.unparsed)?;
        }
        Ok(())
    }
}

/// In 10^9 bytes.
fn gigabytes(bytes: u64) -> f64 {
    Duration::from_nanos(bytes).as_secs_f64()
}
