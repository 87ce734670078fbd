//! IO. The dataset and its tables, by REST.

use std::collections::BTreeMap;

use gcp_bigquery_client::model::dataset::Dataset;
use gcp_bigquery_client::model::table::Table;
use reqwest::RequestBuilder;
use reqwest::header::IF_MATCH;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use url::Url;

use super::call_error::{Call, CallError, Kind};
use super::connect::Client;
use crate::sink::bigquery::key::FoundKey;
use crate::sink::bigquery::service_field::ServiceField;

/// Of an error that is none in BigQuery's form.
const TEXT_CHARS_MAX: usize = 200;

/// A table as the service has it, as far as a writer cares.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FoundTable {
    /// Changes with the table; an emulator may have none.
    #[serde(default)]
    pub etag: String,
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    #[serde(default)]
    pub description: Option<String>,
    #[serde(default)]
    pub schema: Columns,
    #[serde(default)]
    table_constraints: Constraints,
    #[serde(default)]
    clustering: Option<Json>,
    #[serde(default)]
    pub max_staleness: Option<String>,
    /// Without those that were stored a short while ago.
    #[serde(default)]
    num_rows: Option<Json>,
    /// Where those are.
    #[serde(default)]
    streaming_buffer: Option<Json>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Constraints {
    #[serde(default)]
    primary_key: PrimaryKey,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
struct PrimaryKey {
    #[serde(default)]
    columns: Vec<String>,
}

impl FoundTable {
    /// What it has of what rows need that change others.
    pub fn key(&self) -> FoundKey {
        let is_zero = |count: &Json| count == "0" || count == 0;
        FoundKey {
            columns: self.table_constraints.primary_key.columns.clone(),
            has_rows: self.num_rows.as_ref().is_some_and(|count| !is_zero(count))
                || self.streaming_buffer.is_some(),
            is_clustered: self.clustering.is_some(),
        }
    }
}

/// The columns of a table, with all that the service says of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Columns {
    #[serde(default)]
    pub fields: Vec<ServiceField>,
}

/// What became of a change to a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patched {
    Done,
    /// The table was changed since it was read, perhaps by an attempt of this very change whose
    /// answer was lost: read it again.
    Conflict,
}

impl Client {
    /// The dataset, and with it where it is.
    ///
    /// # Errors
    /// [`Kind::NotFound`] if there is none, and as every call.
    pub async fn dataset(&self) -> Result<Dataset, CallError> {
        let (project, dataset) = (&self.options().project, &self.options().dataset);
        let subject = format!("{project}.{dataset}");
        let get = || async {
            let found = self.rest().dataset().get(project, dataset).await;
            found.map_err(|error| CallError::of_client(Call::Dataset, &subject, &error))
        };
        self.again(Call::Dataset, &subject, get).await
    }

    /// The table, if there is one.
    ///
    /// # Errors
    /// As every call.
    pub async fn table(&self, name: &str) -> Result<Option<FoundTable>, CallError> {
        let subject = self.options().table_name(name);
        let url = self.table_url(name)?;
        let get = || self.send(Call::Table, &subject, self.http().get(url.clone()));
        match self.again(Call::Table, &subject, get).await {
            Err(error) if error.kind == Kind::NotFound => Ok(None),
            found => found.map(Some),
        }
    }

    /// # Errors
    /// [`Kind::Duplicate`] if it is there: made by another, or by an attempt whose answer was lost.
    pub async fn create_table(&self, table: &Table) -> Result<Table, CallError> {
        let subject = self.options().table_name(&table.table_reference.table_id);
        let create = || async {
            let created = self.rest().table().create(table.clone()).await;
            created.map_err(|error| CallError::of_client(Call::CreateTable, &subject, &error))
        };
        self.again(Call::CreateTable, &subject, create).await
    }

    /// Changes what `change` names of a table that still is as it was when it had this ETag.
    ///
    /// # Errors
    /// As every call.
    pub async fn patch_table(
        &self,
        name: &str,
        etag: &str,
        change: &Json,
    ) -> Result<Patched, CallError> {
        let subject = self.options().table_name(name);
        let url = self.table_url(name)?;
        let patch = || {
            let request = self.http().patch(url.clone()).json(change);
            let request = if etag.is_empty() { request } else { request.header(IF_MATCH, etag) };
            self.send::<IgnoredAny>(Call::PatchTable, &subject, request)
        };
        match self.again(Call::PatchTable, &subject, patch).await {
            Ok(_) => Ok(Patched::Done),
            Err(error) if error.kind == Kind::Conflict => Ok(Patched::Conflict),
            Err(error) => Err(error),
        }
    }

    /// One attempt of what the library for REST cannot do: it sends no `If-Match`, and of a table's columns
    /// it keeps only what it knows.
    async fn send<T: DeserializeOwned>(
        &self,
        call: Call,
        subject: &str,
        mut request: RequestBuilder,
    ) -> Result<T, CallError> {
        let unknown = |error: &dyn std::error::Error| {
            let causes = common::chain::Chain(error).to_string();
            CallError::unknown(call, subject, causes)
        };
        let token = self.tokens().token().await;
        let token = token.map_err(|error| CallError::of_client(call, subject, &error))?;
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let answer = request.send().await.map_err(|error| unknown(&error))?;
        let status = answer.status();
        let body = answer.bytes().await.map_err(|error| unknown(&error))?;
        if status.is_success() {
            return serde_json::from_slice(&body).map_err(|error| unknown(&error));
        }
        let (reason, message) = told(&body);
        Err(CallError::of_rest(call, subject, status.as_u16(), &reason, &message))
    }

    fn table_url(&self, name: &str) -> Result<Url, CallError> {
        let (options, base) = (self.options(), self.options().rest_url());
        let wrong =
            || CallError::settings(format!("{base} is no address; look at --bigquery-rest-url"));
        let mut url = Url::parse(&base).map_err(|_| wrong())?;
        url.path_segments_mut().map_err(|()| wrong())?.extend([
            "projects",
            &options.project,
            "datasets",
            &options.dataset,
            "tables",
            name,
        ]);
        Ok(url)
    }
}

/// The reason and the message of an error; without a reason if it is none in BigQuery's form.
fn told(body: &[u8]) -> (String, String) {
    let json: Json = serde_json::from_slice(body).unwrap_or_default();
    let text = |path| json.pointer(path).and_then(Json::as_str).map(str::to_owned);
    let beginning = || String::from_utf8_lossy(body).chars().take(TEXT_CHARS_MAX).collect();
    let reason = text("/error/errors/0/reason").unwrap_or_default();
    (reason, text("/error/message").unwrap_or_else(beginning))
}
