//! The program `consumer`.

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use common::chain::Chain;
use common::crypto::install_crypto_provider;
use common::native::allocator::share_pools;
use common::shutdown::Shutdown;
use consumer::args::{Args, Command, command_line};
use consumer::command_line::Failure;
use consumer::command_line::bench::{self, BenchArgs};
use consumer::command_line::dead_letters::{self, DeadLettersArgs};
use consumer::compact::args::{CompactArgs, FilesArgs};
use consumer::compact::run as compaction;
use consumer::run::run;
use tokio::runtime::{Builder, Runtime};

const FAILED: u8 = 1;
const BAD_INPUT: u8 = 2;
/// How long a client that waits for a broker may hold up the end of the process.
const END_PATIENCE: Duration = Duration::from_millis(500);

/// Many partitions open or store at the same moment, each in a thread that waits for a broker or a disk. A thread
/// that has nothing to do keeps memory, and by tokio's ten seconds none would ever be without work for long enough.
const IDLE_THREADS_END_AFTER: Duration = Duration::from_millis(100);

type Outcome = Result<(), (u8, anyhow::Error)>;

fn main() -> ExitCode {
    share_pools();
    install_crypto_provider();
    let outcome = match command_line() {
        Ok(Command::Run(args)) => start(&args),
        Ok(Command::DeadLetters(args)) => look_at_dead_letters(&args),
        Ok(Command::Compact(args)) => compact(&args),
        Ok(Command::Files(args)) => files(&args),
        Ok(Command::Bench(args)) => measure(&args),
        Err(error) => {
            // There is nobody to tell if this cannot be printed.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { BAD_INPUT } else { 0 });
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err((status, error)) => {
            eprintln!("consumer: {}", Chain(error.as_ref()));
            ExitCode::from(status)
        }
    }
}

fn start(args: &Args) -> Outcome {
    args.check().map_err(bad_input)?;
    args.registry.settings().map_err(bad_input)?;
    let kafka = args.kafka.load().map_err(bad_input)?;
    args.telemetry.install().map_err(failed)?;
    args.crash_points.install();
    let shutdown = Shutdown::install().map_err(failed)?;
    let runtime = runtime()?;
    let outcome = runtime.block_on(run(args, kafka, &shutdown));
    runtime.shutdown_timeout(END_PATIENCE);
    outcome.map_err(|error| (FAILED, error))
}

fn look_at_dead_letters(args: &DeadLettersArgs) -> Outcome {
    args.telemetry().install().map_err(failed)?;
    let runtime = runtime()?;
    let said = runtime.block_on(dead_letters::carry_out(args));
    runtime.shutdown_timeout(END_PATIENCE);
    let said =
        said.map_err(|error| if error.is_input() { bad_input(error) } else { failed(error) })?;
    if !said.is_empty() {
        print(&said);
    }
    Ok(())
}

fn compact(args: &CompactArgs) -> Outcome {
    args.telemetry.install().map_err(failed)?;
    args.crash_points.install();
    runtime()?.block_on(compaction::compact(args)).map_err(status)
}

fn files(args: &FilesArgs) -> Outcome {
    runtime()?.block_on(compaction::files(args)).map_err(status)
}

fn measure(args: &BenchArgs) -> Outcome {
    args.telemetry.install().map_err(failed)?;
    let runtime = runtime()?;
    let said = runtime.block_on(bench::carry_out(args));
    runtime.shutdown_timeout(END_PATIENCE);
    print(&said.map_err(status)?);
    Ok(())
}

fn print(text: &str) {
    // Whoever reads only the beginning closes the pipe: no failure of ours.
    let _ = writeln!(io::stdout(), "{text}");
}

fn status(failure: Failure) -> (u8, anyhow::Error) {
    match failure {
        Failure::Input(error) => bad_input(error),
        Failure::Run(error) => failed(error),
    }
}

fn runtime() -> Result<Runtime, (u8, anyhow::Error)> {
    let mut builder = Builder::new_multi_thread();
    builder.enable_all().thread_keep_alive(IDLE_THREADS_END_AFTER).build().map_err(failed)
}

fn bad_input(error: impl Into<anyhow::Error>) -> (u8, anyhow::Error) {
    (BAD_INPUT, error.into())
}

fn failed(error: impl Into<anyhow::Error>) -> (u8, anyhow::Error) {
    (FAILED, error.into())
}
