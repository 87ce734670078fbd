//! What a person asks from the command line, beside running a consumer.

pub mod bench;
pub mod dead_letters;

/// Why a command was not carried out, and with it the status of the process.
#[derive(Debug)]
pub enum Failure {
    /// What was asked for cannot be: status 2.
    Input(anyhow::Error),
    /// It could not be done: status 1.
    Run(anyhow::Error),
}

impl Failure {
    pub fn input(error: impl Into<anyhow::Error>) -> Self {
        Self::Input(error.into())
    }

    pub fn run(error: impl Into<anyhow::Error>) -> Self {
        Self::Run(error.into())
    }
}
