//! IO. The flags of `bigquery-double`.

use clap::Parser;

use crate::run::Options;
use crate::world::Settings;

/// Stands in for BigQuery on 127.0.0.1: REST, the Storage Write API, and faults on request
///
/// Prints the two addresses as STOWAGE_TEST_BIGQUERY_REST=... and STOWAGE_TEST_BIGQUERY_GRPC=... when it
/// is ready. Nothing outlives the process.
#[derive(Debug, Parser)]
#[command(name = "bigquery-double", version)]
pub struct Cli {
    /// Port of the REST interface and the /admin pages; 0: a free one
    #[arg(long, default_value_t = 0)]
    pub rest_port: u16,

    /// Port of the Storage Write API; 0: a free one
    #[arg(long, default_value_t = 0)]
    pub grpc_port: u16,

    /// How long after a change of a table's columns the Storage Write API goes by the old ones
    #[arg(long, value_name = "MS", default_value_t = 0)]
    pub schema_lag: u32,

    /// Hold back the headers of an AppendRows call until its first answer
    #[arg(long)]
    pub headers_with_first_answer: bool,
}

impl Cli {
    pub fn options(&self) -> Options {
        Options {
            rest_port: self.rest_port,
            grpc_port: self.grpc_port,
            settings: Settings {
                schema_lag_ms: self.schema_lag,
                headers_with_first_answer: self.headers_with_first_answer,
                ..Settings::default()
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn flags_become_options() {
        Cli::command().debug_assert();
        let cli = Cli::parse_from(["bigquery-double", "--grpc-port", "7", "--schema-lag", "5"]);
        let options = cli.options();
        assert_eq!((options.rest_port, options.grpc_port), (0, 7));
        assert_eq!(options.settings.schema_lag_ms, 5);
    }
}
