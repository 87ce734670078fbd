//! The program `monitor`.

use std::process::ExitCode;

use common::chain::Chain;
use common::crypto::install_crypto_provider;
use common::shutdown::Shutdown;
use monitor::args::{self, Command, RunArgs, TailArgs};
use monitor::run::Monitor;
use monitor::tail::Tail;

const FAILED: u8 = 1;
const BAD_INPUT: u8 = 2;

#[tokio::main]
async fn main() -> ExitCode {
    install_crypto_provider();
    let outcome = match args::command_line() {
        Ok(Command::Run(args)) => run(args).await,
        Ok(Command::Tail(args)) => tail(args).await,
        Err(error) => {
            // There is nobody to tell if standard error cannot be written to.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { BAD_INPUT } else { 0 });
        }
    };
    outcome.err().map_or(ExitCode::SUCCESS, |(status, error)| {
        eprintln!("monitor: {}", Chain(error.as_ref()));
        ExitCode::from(status)
    })
}

async fn run(args: RunArgs) -> Result<(), (u8, anyhow::Error)> {
    args.telemetry.install().map_err(|error| (FAILED, error.into()))?;
    let monitor = Monitor::prepare(args).map_err(|error| (BAD_INPUT, error))?;
    let shutdown = Shutdown::install().map_err(|error| (FAILED, error.into()))?;
    monitor.run(&shutdown).await.map_err(|error| (FAILED, error))
}

async fn tail(args: TailArgs) -> Result<(), (u8, anyhow::Error)> {
    args.telemetry.install().map_err(|error| (FAILED, error.into()))?;
    let tail = Tail::prepare(args).map_err(|error| (BAD_INPUT, error))?;
    tail.run().await.map_err(|error| (FAILED, error.into()))
}
