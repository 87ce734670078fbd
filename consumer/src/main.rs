//! The program `consumer`.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;
use common::chain::Chain;
use common::crypto::install_crypto_provider;
use common::shutdown::Shutdown;
use consumer::args::Args;
use consumer::run::run;

const FAILED: u8 = 1;
const BAD_INPUT: u8 = 2;
/// How long a client that waits for a broker may hold up the end of the process.
const END_PATIENCE: Duration = Duration::from_millis(500);

fn main() -> ExitCode {
    install_crypto_provider();
    match start(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err((status, error)) => {
            eprintln!("consumer: {}", Chain(error.as_ref()));
            ExitCode::from(status)
        }
    }
}

fn start(args: &Args) -> Result<(), (u8, anyhow::Error)> {
    let bad_input = |error: anyhow::Error| (BAD_INPUT, error);
    let failed = |error: anyhow::Error| (FAILED, error);
    args.check().map_err(|error| bad_input(error.into()))?;
    args.schema_registry().map_err(bad_input)?;
    let kafka = args.kafka.load().map_err(|error| bad_input(error.into()))?;
    args.telemetry.install().map_err(|error| failed(error.into()))?;
    args.crash_points.install();
    let shutdown = Shutdown::install().map_err(|error| failed(error.into()))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| failed(error.into()))?;
    let outcome = runtime.block_on(run(args, kafka, &shutdown));
    runtime.shutdown_timeout(END_PATIENCE);
    outcome.map_err(failed)
}
