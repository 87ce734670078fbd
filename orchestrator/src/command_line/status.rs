//! IO. `orchestrator status`: asks a running orchestrator over HTTP.

use clap::Args;
use thiserror::Error;

use super::table;
use crate::status::Status;

#[derive(Args, Clone, Debug)]
pub struct StatusArgs {
    /// Address of the orchestrator, as it was given with --listen
    #[arg(
        long,
        env = "LISTEN",
        hide_env_values = true,
        value_name = "ADDRESS:PORT",
        default_value = "127.0.0.1:8082"
    )]
    pub address: String,

    /// Print everything, as JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Error)]
pub enum StatusError {
    #[error("no orchestrator answered at {address}")]
    NoAnswer {
        address: String,
        #[source]
        source: reqwest::Error,
    },
    #[error("what answered at {address} is no orchestrator of this version")]
    NotOurs {
        address: String,
        #[source]
        source: reqwest::Error,
    },
}

/// Asks once, and returns what to print.
///
/// # Errors
/// If nobody answers at that address, or somebody else.
pub async fn status(args: &StatusArgs) -> Result<String, StatusError> {
    let address = &args.address;
    let no_answer = |source| StatusError::NoAnswer { address: address.clone(), source };
    let client = reqwest::Client::builder().no_proxy().build().map_err(no_answer)?;
    let answer = client.get(format!("http://{address}/status")).send().await.map_err(no_answer)?;
    let not_ours = |source| StatusError::NotOurs { address: address.clone(), source };
    let status: Status =
        answer.error_for_status().map_err(not_ours)?.json().await.map_err(not_ours)?;
    let json = || serde_json::to_string_pretty(&status).expect("a status is always JSON");
    Ok(if args.json { json() } else { table::page(&status) })
}
