//! The orchestrator's process.

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::error::ErrorKind;
use common::chain::Chain;
use common::crypto::install_crypto_provider;
use common::kafka::config_file::ConfigFileError;
use common::shutdown::Shutdown;
use orchestrator::args::{ArgsError, Command, parse};
use orchestrator::command_line::compare::CompareError;
use orchestrator::command_line::plan::PlanError;
use orchestrator::command_line::service::EntryError;
use orchestrator::command_line::simulate::SimulateError;
use orchestrator::command_line::size::SizeArgsError;
use orchestrator::command_line::{compare, operate, plan, send, service, simulate, size, status};

#[tokio::main]
async fn main() -> ExitCode {
    install_crypto_provider();
    let program = match parse(std::env::args_os()) {
        Ok(program) => program,
        Err(error) => {
            // Nobody is left to be told if this cannot be printed.
            let _ = error.print();
            let is_answer =
                [ErrorKind::DisplayHelp, ErrorKind::DisplayVersion].contains(&error.kind());
            return ExitCode::from(if is_answer { 0 } else { 2 });
        }
    };
    match carry_out(program.command).await {
        Ok(said) => {
            if !said.is_empty() {
                // Whoever reads only the beginning closes the pipe: no failure of ours.
                let _ = writeln!(io::stdout(), "{said}");
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("orchestrator: {}", Chain(error.as_ref()));
            ExitCode::from(if is_input(&error) { 2 } else { 1 })
        }
    }
}

/// Whether whoever typed the command can mend it by typing another.
fn is_input(error: &anyhow::Error) -> bool {
    let is_entry = matches!(error.downcast_ref(), Some(EntryError::Invalid { .. }));
    let is_line = matches!(error.downcast_ref(), Some(SimulateError::Line { .. }));
    is_entry
        || is_line
        || error.is::<PlanError>()
        || error.is::<CompareError>()
        || error.is::<SizeArgsError>()
        || error.is::<ArgsError>()
        || error.is::<ConfigFileError>()
}

/// Returns what to print.
async fn carry_out(command: Command) -> anyhow::Result<String> {
    match command {
        Command::Run(args) => {
            args.check()?;
            args.telemetry.install()?;
            args.crash_points.install();
            orchestrator::run::run(*args, Shutdown::install()?).await?;
            Ok(String::new())
        }
        Command::Status(args) => Ok(status::status(&args).await?),
        Command::Send(args) => {
            args.request.topics().telemetry.install()?;
            Ok(send::send(&args).await?)
        }
        Command::Service(args) => {
            args.command.topics().telemetry.install()?;
            Ok(service::service(&args).await?)
        }
        Command::Pause(args) => {
            args.topics.telemetry.install()?;
            Ok(operate::pause(&args).await?)
        }
        Command::Resume(args) => {
            args.topics.telemetry.install()?;
            Ok(operate::resume(&args).await?)
        }
        Command::Drain(args) => {
            args.topics.telemetry.install()?;
            Ok(operate::drain(&args).await?)
        }
        Command::Pin(args) => {
            args.topics.telemetry.install()?;
            Ok(operate::pin(&args).await?)
        }
        Command::Unpin(args) => {
            args.topics.telemetry.install()?;
            Ok(operate::unpin(&args).await?)
        }
        Command::Approve(args) => {
            args.topics.telemetry.install()?;
            Ok(operate::approve(&args).await?)
        }
        Command::Plan(args) => match args.asks() {
            Some(topics) => {
                topics.telemetry.install()?;
                Ok(operate::dry_run(&topics).await?)
            }
            None => Ok(plan::run(&args)?),
        },
        Command::Compare(args) => Ok(compare::compare(&args)?),
        Command::Size(args) => Ok(size::run(&args)?),
        Command::Simulate(args) => {
            simulate::simulate(&args, io::stdin().lock(), io::stdout().lock())?;
            Ok(String::new())
        }
    }
}
