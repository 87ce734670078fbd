//! `consumer dead-letters`: looks at the records that could not be stored, and sends them back through.
//!
//! ```text
//!  topic ──> select ──┬─> list, summary, show      (rows, for people and as JSON)
//!   IO        pure    └─> replay ──> producer      (copy and receipt in one transaction)
//! ```

mod ask;
mod select;
mod topic;
mod rows;
mod page;
mod choice;
mod replay;
mod run;

use clap::{Args, Subcommand};
use common::args::TelemetryArgs;
use thiserror::Error;

pub use ask::*;
use page::PageError;
use replay::ReplayError;
pub use run::carry_out;
use topic::TopicError;

/// Why a command came to nothing.
#[derive(Debug, Error)]
pub enum DeadLettersError {
    #[error(transparent)]
    Page(PageError),
    #[error(transparent)]
    Replay(ReplayError),
}

impl DeadLettersError {
    /// Whether whoever typed the command can mend it by typing another.
    pub fn is_input(&self) -> bool {
        match self {
            Self::Page(PageError::NoLetter { .. }) => true,
            Self::Page(PageError::Topic(error)) | Self::Replay(ReplayError::Topic(error)) => {
                matches!(error, TopicError::Config(_) | TopicError::NoTopic { .. })
            }
            Self::Replay(ReplayError::NothingSelected | ReplayError::NoTarget { .. }) => true,
            Self::Page(PageError::Write { .. })
            | Self::Replay(
                ReplayError::Client(_) | ReplayError::Begin { .. } | ReplayError::Send { .. },
            ) => false,
        }
    }
}

#[derive(Args, Clone, Debug)]
pub struct DeadLettersArgs {
    #[command(subcommand)]
    pub command: DeadLettersCommand,
}

#[derive(Subcommand, Clone, Debug)]
pub enum DeadLettersCommand {
    /// Lists dead letters, as a table, as JSON lines, or only how many there are
    List(ListArgs),
    /// Shows one dead letter with all that it holds
    Show(ShowArgs),
    /// Sends records back through: to the topic that they came from, or to another
    Replay(ReplayArgs),
}

impl DeadLettersArgs {
    pub fn telemetry(&self) -> &TelemetryArgs {
        match &self.command {
            DeadLettersCommand::List(list) => &list.topic.telemetry,
            DeadLettersCommand::Show(show) => &show.topic.telemetry,
            DeadLettersCommand::Replay(replay) => &replay.topic.telemetry,
        }
    }
}
