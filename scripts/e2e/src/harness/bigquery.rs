//! IO. A BigQuery of one's own: the double of `scripts/bigquery` as a process, or an emulator that runs elsewhere.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use super::http::{Http, HttpError, Page};
use super::patience::{TimedOut, wait_until};
use super::process::{Process, ProcessError, ending};
use super::programs::{ProgramError, program};
use crate::bigquery::history::{Call, History};
use crate::bigquery::listing::{BigQuery, ListingError};

/// An emulator may know no other one.
const PROJECT: &str = "proj";
const START: Duration = Duration::from_secs(30);
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// A dataset of its own in it. Dropping the double ends it with all that it stored.
#[derive(Debug)]
pub struct LocalBigQuery {
    rest: String,
    grpc: String,
    dataset: String,
    http: Http,
    _process: Option<Process>,
}

#[derive(Debug, thiserror::Error)]
pub enum BigQueryError {
    #[error("the double of BigQuery is missing")]
    Program {
        #[source]
        source: ProgramError,
    },
    #[error("the double of BigQuery cannot be run")]
    Process {
        #[source]
        source: ProcessError,
    },
    #[error("the double of BigQuery does not say where it listens")]
    Silent {
        #[source]
        source: TimedOut,
    },
    #[error("BigQuery cannot be asked")]
    Http {
        #[source]
        source: HttpError,
    },
    #[error("{url} was answered with status {status}: {text}")]
    Refused { url: String, status: u16, text: String },
    #[error("a line of the log is none: {line}")]
    Log {
        line: String,
        #[source]
        source: serde_json::Error,
    },
    #[error("the tables cannot be listed")]
    Listing {
        #[source]
        source: ListingError,
    },
}

impl LocalBigQuery {
    /// Starts a double, which prints into `folder`, and makes the dataset.
    pub fn start(folder: &Path, dataset: &str) -> Result<Self, BigQueryError> {
        let program =
            program("bigquery-double").map_err(|source| BigQueryError::Program { source })?;
        let failed = |source| BigQueryError::Process { source };
        let log = folder.join("bigquery.log");
        let mut process =
            Process::start("bigquery", Command::new(program), &log).map_err(failed)?;
        let said = |process: &mut Process| {
            if let Some(status) = process.status() {
                return Err(ending(status));
            }
            let output = process.output();
            let address = |kind: &str| {
                let name = format!("STOWAGE_TEST_BIGQUERY_{kind}=");
                output.lines().find_map(|line| line.strip_prefix(&name).map(str::to_owned))
            };
            address("REST").zip(address("GRPC")).ok_or_else(|| "nothing".to_owned())
        };
        let (rest, grpc) = wait_until("both addresses are said", START, || said(&mut process))
            .map_err(|source| BigQueryError::Silent { source })?;
        let mut local = Self::at((&rest, &grpc), dataset)?;
        local._process = Some(process);
        Ok(local)
    }

    /// One that runs already: the addresses of REST, without a path, and of the Storage Write API.
    pub fn at((rest, grpc): (&str, &str), dataset: &str) -> Result<Self, BigQueryError> {
        let http = Http::new(ANSWER_WITHIN).map_err(|source| BigQueryError::Http { source })?;
        let local = Self {
            rest: rest.into(),
            grpc: grpc.into(),
            dataset: dataset.into(),
            http,
            _process: None,
        };
        let reference = json!({"projectId": PROJECT, "datasetId": dataset});
        let url = format!("{}/projects/{PROJECT}/datasets", local.rest_url());
        local.post(&url, &json!({"datasetReference": reference}))?;
        Ok(local)
    }

    /// The options by which a consumer finds it, without dashes.
    pub fn consumer_options(&self) -> [(&'static str, String); 5] {
        [
            ("bigquery-project", PROJECT.into()),
            ("bigquery-dataset", self.dataset.clone()),
            ("bigquery-credentials", "none".into()),
            ("bigquery-rest-url", self.rest_url()),
            ("bigquery-grpc-url", self.grpc.clone()),
        ]
    }

    /// For reading what is stored.
    pub fn tables(&self) -> Result<BigQuery, BigQueryError> {
        BigQuery::open(&self.rest_url(), (PROJECT, &self.dataset), None)
            .map_err(|source| BigQueryError::Listing { source })
    }

    /// Makes a table with these columns, as a person would.
    pub fn make_table(&self, table: &str, columns: &Value) -> Result<(), BigQueryError> {
        let dataset = &self.dataset;
        let reference = json!({"projectId": PROJECT, "datasetId": dataset, "tableId": table});
        let url = format!("{}/projects/{PROJECT}/datasets/{dataset}/tables", self.rest_url());
        self.post(&url, &json!({"tableReference": reference, "schema": {"fields": columns}}))
    }

    /// The table as REST describes it, or `None` if it is not there.
    pub fn table(&self, table: &str) -> Result<Option<Value>, BigQueryError> {
        let dataset = format!("{}/projects/{PROJECT}/datasets/{}", self.rest_url(), self.dataset);
        let url = format!("{dataset}/tables/{table}");
        let page = self.http.get(&url).map_err(|source| BigQueryError::Http { source })?;
        if page.status == 404 {
            return Ok(None);
        }
        Ok(serde_json::from_str(&checked(&url, page)?.text).ok())
    }

    /// Faults to come, behind those that are left: a list as `scripts/bigquery` describes it.
    pub fn inflict(&self, faults: &Value) -> Result<(), BigQueryError> {
        self.post(&self.admin("faults"), faults)
    }

    /// How many faults no call has met yet, or not as often as they are to be met.
    pub fn faults_left(&self) -> Result<usize, BigQueryError> {
        let url = self.admin("state");
        let page = self.http.get(&url).map_err(|source| BigQueryError::Http { source })?;
        let text = checked(&url, page)?.text;
        let state: Value = serde_json::from_str(&text)
            .map_err(|source| BigQueryError::Log { line: text, source })?;
        Ok(state["faults"].as_array().map_or(0, Vec::len))
    }

    /// Lifts those that are left.
    pub fn lift(&self) -> Result<(), BigQueryError> {
        let url = self.admin("faults");
        let page = self.http.delete(&url).map_err(|source| BigQueryError::Http { source })?;
        checked(&url, page).map(drop)
    }

    /// How it behaves, as `scripts/bigquery` describes it.
    pub fn set(&self, settings: &Value) -> Result<(), BigQueryError> {
        self.post(&self.admin("settings"), settings)
    }

    /// Reads what happened since `history` was read the last time. The double keeps 10,000 calls.
    pub fn follow(&self, history: &mut History) -> Result<(), BigQueryError> {
        let url = self.admin(&format!("log?after={}", history.last()));
        let page = self.http.get(&url).map_err(|source| BigQueryError::Http { source })?;
        for line in checked(&url, page)?.text.lines() {
            let call: Call = serde_json::from_str(line)
                .map_err(|source| BigQueryError::Log { line: line.into(), source })?;
            history.take(&call);
        }
        Ok(())
    }

    fn rest_url(&self) -> String {
        format!("{}/bigquery/v2", self.rest)
    }

    fn admin(&self, page: &str) -> String {
        format!("{}/admin/{page}", self.rest)
    }

    fn post(&self, url: &str, body: &Value) -> Result<(), BigQueryError> {
        let page = self.http.post(url, body).map_err(|source| BigQueryError::Http { source })?;
        checked(url, page).map(drop)
    }
}

fn checked(url: &str, page: Page) -> Result<Page, BigQueryError> {
    match page.status {
        200..=299 => Ok(page),
        status => Err(BigQueryError::Refused { url: url.into(), status, text: page.text }),
    }
}
