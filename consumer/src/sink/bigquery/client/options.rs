//! Pure. Where BigQuery is, who asks, and how long an answer is waited for.

use std::path::PathBuf;
use std::time::Duration;

use common::backoff::BackoffPolicy;
use url::Url;

use super::call_error::{Call, CallError};

const REST_URL: &str = "https://bigquery.googleapis.com/bigquery/v2";
const GRPC_URL: &str = "https://bigquerystorage.googleapis.com";

#[derive(Clone, Debug)]
pub struct BigQueryOptions {
    pub project: String,
    pub dataset: String,
    /// Up to and with `/bigquery/v2`; the service's own if it is not given.
    pub rest_url: Option<Url>,
    pub grpc_url: Option<Url>,
    pub credentials: Credentials,
    /// Where queries run. BigQuery finds it out by itself where a query names a table.
    pub location: Option<String>,
    pub patience: Patience,
}

/// Who asks. Holds no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// A service account's key, what `gcloud auth application-default login` leaves, or the
    /// configuration of a workload identity pool.
    File(PathBuf),
    /// The account of the machine or pod, from the metadata server: Google's own, or at `host`.
    Metadata { host: Option<String> },
    /// Nobody: for emulators.
    None,
}

/// How long is waited, and how often is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// For a connection to be there.
    pub connect: Duration,
    /// For one answer, its token included.
    pub answer: Duration,
    /// For the next answer of a connection that appends, while requests have none.
    pub append: Duration,
    /// No attempt of a call begins after this time.
    pub retries: Duration,
    /// For a query to be done, over all its answers.
    pub query: Duration,
    pub backoff: BackoffPolicy,
}

impl Default for Patience {
    fn default() -> Self {
        let (initial, max) = (Duration::from_millis(200), Duration::from_secs(3));
        Self {
            connect: Duration::from_secs(5),
            answer: Duration::from_secs(10),
            append: Duration::from_secs(30),
            retries: Duration::from_secs(10),
            query: Duration::from_secs(60),
            backoff: BackoffPolicy { initial, max, factor: 2 },
        }
    }
}

impl BigQueryOptions {
    /// With the service's own addresses.
    pub fn new(project: &str, dataset: &str, credentials: Credentials) -> Self {
        Self {
            project: project.into(),
            dataset: dataset.into(),
            rest_url: None,
            grpc_url: None,
            credentials,
            location: None,
            patience: Patience::default(),
        }
    }

    /// # Errors
    /// If a name can be none of BigQuery's: it would end up in addresses and queries.
    pub fn check(&self) -> Result<(), CallError> {
        let Self { project, dataset, .. } = self;
        let is_plain = |name: &str, also: &str| {
            let is_legal = |c: char| c.is_ascii_alphanumeric() || also.contains(c);
            (1..=1024).contains(&name.len()) && name.chars().all(is_legal)
        };
        if !is_plain(project, "-.:") {
            let text = format!("`{project}` is no name of a project; look at --bigquery-project");
            return Err(CallError::settings(text));
        }
        if !is_plain(dataset, "_") {
            let text = format!(
                "`{dataset}` is no name of a dataset (letters, digits and underscores, without the \
                 project); look at --bigquery-dataset"
            );
            return Err(CallError::settings(text));
        }
        Ok(())
    }

    /// Without a slash at its end.
    pub fn rest_url(&self) -> String {
        let url = self.rest_url.as_ref().map_or(REST_URL, Url::as_str);
        url.trim_end_matches('/').into()
    }

    pub fn grpc_url(&self) -> String {
        self.grpc_url.as_ref().map_or(GRPC_URL, Url::as_str).into()
    }

    /// As the Storage Write API names a table.
    pub fn table_path(&self, table: &str) -> String {
        let Self { project, dataset, .. } = self;
        format!("projects/{project}/datasets/{dataset}/tables/{table}")
    }

    /// As people name a table.
    pub fn table_name(&self, table: &str) -> String {
        let Self { project, dataset, .. } = self;
        format!("{project}.{dataset}.{table}")
    }

    /// As a query names a table.
    ///
    /// # Errors
    /// If it can be no table of BigQuery's.
    pub fn quoted_table(&self, table: &str) -> Result<String, CallError> {
        let name = self.table_name(table);
        if table.is_empty() || table.contains(['`', '\\', '.']) {
            let text = "a table cannot be called so";
            return Err(CallError::refused(Call::Query, &name, text));
        }
        Ok(format!("`{name}`"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(project: &str, dataset: &str) -> BigQueryOptions {
        BigQueryOptions::new(project, dataset, Credentials::None)
    }

    #[test]
    fn names_that_break_out_of_a_query_are_refused() {
        options("example.com:p-1", "d_2").check().unwrap();
        for (project, dataset, flag) in [
            ("", "d", "--bigquery-project"),
            ("p`; DROP", "d", "--bigquery-project"),
            ("p/q", "d", "--bigquery-project"),
            ("p", "", "--bigquery-dataset"),
            ("p", "q.d", "--bigquery-dataset"),
            ("p", "d/e", "--bigquery-dataset"),
        ] {
            let refused = options(project, dataset).check().unwrap_err().to_string();
            assert!(refused.contains(flag), "{refused}");
        }
        assert_eq!(options("p", "d").quoted_table("t-1 ä").unwrap(), "`p.d.t-1 ä`");
        for table in ["", "t`", "t\\", "e.t"] {
            options("p", "d").quoted_table(table).unwrap_err();
        }
    }

    #[test]
    fn an_address_may_end_with_a_slash() {
        let mut options = options("p", "d");
        assert_eq!(options.rest_url(), "https://bigquery.googleapis.com/bigquery/v2");
        options.rest_url = Some("http://localhost:1/bigquery/v2/".parse().unwrap());
        assert_eq!(options.rest_url(), "http://localhost:1/bigquery/v2");
    }
}
