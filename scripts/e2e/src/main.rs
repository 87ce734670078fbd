//! The program `e2e`: load, verification, latency, demonstration.

use std::process::ExitCode;

use clap::Parser as _;
use common::chain::Chain;
use common::crypto::install_crypto_provider;
use e2e::args::Cli;
use e2e::run::{Failure, run};

const BAD_INPUT: u8 = 2;

fn main() -> ExitCode {
    install_crypto_provider();
    match run(&Cli::parse()) {
        Ok(status) => status,
        Err(Failure::Run(error)) => failed(&error, ExitCode::FAILURE),
        Err(Failure::Input(error)) => failed(&error, ExitCode::from(BAD_INPUT)),
    }
}

fn failed(error: &anyhow::Error, status: ExitCode) -> ExitCode {
    eprintln!("e2e: {}", Chain(error.as_ref()));
    status
}
