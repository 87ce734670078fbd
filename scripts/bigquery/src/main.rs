//! The program `bigquery-double`.

use std::io::Write as _;

use bigquery_double::args::Cli;
use bigquery_double::run::Double;
use clap::Parser as _;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let double = Double::start(Cli::parse().options()).await?;
    let mut out = std::io::stdout();
    writeln!(out, "STOWAGE_TEST_BIGQUERY_REST=http://{}", double.rest)?;
    writeln!(out, "STOWAGE_TEST_BIGQUERY_GRPC=http://{}", double.grpc)?;
    out.flush()?;
    double.serve().await?;
    Ok(())
}
