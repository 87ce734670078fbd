//! IO. The stream of rates that `compare` and `size` work on: from a file, or made.

use std::fs;
use std::io;
use std::path::PathBuf;

use clap::Args;
use clap::builder::RangedU64ValueParser;
use thiserror::Error;

use super::simulate::{StreamArgs, steps};
use crate::compare::trace::{Step, Trace, TraceError};

/// Bytes per second in one per cent of the capacity of a stream that is made.
const UNIT: u64 = 10_000;

#[derive(Args, Clone, Debug)]
pub struct TraceArgs {
    /// Recorded rates: lines as `orchestrator simulate` reads them, or what `monitor tail --json` wrote.
    /// Without a file a stream is made
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,

    #[command(flatten)]
    pub stream: StreamArgs,

    /// Seconds from line to line, where the lines do not say
    #[arg(long, value_name = "SECONDS", default_value_t = 60,
          value_parser = RangedU64ValueParser::<u32>::new().range(1..=86_400))]
    pub step_secs: u32,
}

#[derive(Debug, Error)]
pub enum TraceFileError {
    #[error("{} cannot be read", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} is no recording of rates", path.display())]
    Parse {
        path: PathBuf,
        #[source]
        source: TraceError,
    },
}

impl TraceArgs {
    /// `capacity` is that of a consumer where the lines do not say.
    ///
    /// # Errors
    /// If the file cannot be read or is no recording.
    pub fn load(&self, capacity: u64) -> Result<Trace, TraceFileError> {
        let Some(path) = &self.trace else { return Ok(self.made()) };
        let text = fs::read_to_string(path)
            .map_err(|source| TraceFileError::Read { path: path.clone(), source })?;
        let is_measured = text.lines().next().is_some_and(|line| line.contains("\"measured_at\""));
        let trace = if is_measured {
            Trace::from_measurements(text.lines(), capacity)
        } else {
            Trace::from_json_lines(text.lines(), f64::from(self.step_secs))
        };
        trace.map_err(|source| TraceFileError::Parse { path: path.clone(), source })
    }

    /// The papers' stream, with a consumer that sustains 1 MB/s.
    fn made(&self) -> Trace {
        let seconds = f64::from(self.step_secs);
        let mut names = Vec::new();
        let steps = steps(&self.stream).map(|step| {
            if names.is_empty() {
                names = step.rates.keys().map(ToString::to_string).collect();
            }
            let rates = step.rates.into_values().map(|rate| rate * UNIT).collect();
            Step { seconds, capacity: step.capacity * UNIT, rates }
        });
        let steps = steps.collect();
        Trace { names, steps }
    }
}
