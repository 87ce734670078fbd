//! IO. The process's log: text for a terminal, JSON lines for everything else, on standard error.

use std::io::{self, IsTerminal};

use clap::ValueEnum;
use thiserror::Error;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{Layer, Registry, fmt};

/// Libraries that write tokens and keys at their lower levels.
const SECRETIVE: &str = "yup_oauth2";

#[derive(Debug, Error)]
pub enum TelemetryError {
    #[error("failed to install the process's log")]
    Install {
        #[source]
        source: TryInitError,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Text if standard error is a terminal, else JSON.
    Auto,
    Text,
    Json,
}

/// Installs the log of this process, to be called once, first in `main`. `filter` holds levels by
/// module (`info,consumer::write=debug`); what libraries write through `log` is included.
pub fn install(filter: Targets, format: LogFormat) -> Result<(), TelemetryError> {
    let is_text = match format {
        LogFormat::Auto => io::stderr().is_terminal(),
        LogFormat::Text => true,
        LogFormat::Json => false,
    };
    let lines = if is_text { text_lines() } else { json_lines() };
    tracing_subscriber::registry()
        .with(lines.with_filter(without_secrets(&filter)))
        .try_init()
        .map_err(|source| TelemetryError::Install { source })
}

/// The same levels, but for what would show secrets: that stays silent below `info`, whatever was asked.
pub fn without_secrets(filter: &Targets) -> Targets {
    let kept = filter.iter().filter(|(target, _)| !target.starts_with(SECRETIVE));
    let default = filter.default_level().unwrap_or(LevelFilter::OFF);
    Targets::new()
        .with_targets(kept)
        .with_default(default)
        .with_target(SECRETIVE, LevelFilter::INFO)
}

type Lines = Box<dyn Layer<Registry> + Send + Sync>;

// A process outlives whoever read its standard error: a line that cannot be written is dropped, as
// reporting that on standard error would panic.
fn text_lines() -> Lines {
    let is_coloured = io::stderr().is_terminal();
    Box::new(fmt::layer().with_writer(io::stderr).with_ansi(is_coloured).log_internal_errors(false))
}

fn json_lines() -> Lines {
    Box::new(
        fmt::layer().json().flatten_event(true).with_writer(io::stderr).log_internal_errors(false),
    )
}
