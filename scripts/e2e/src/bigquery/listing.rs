//! IO. Asks the REST interface for the columns and the rows of tables, page by page.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::cells::Column;
use crate::harness::http::{Http, HttpError, Page};

/// Where the service is.
pub const SERVICE: &str = "https://bigquery.googleapis.com/bigquery/v2";

const ANSWER_WITHIN: Duration = Duration::from_secs(60);
const PAGE_ROWS: u32 = 5_000;
/// How often a page may come with other columns than the table was said to have.
const WIDENED_MAX: u32 = 10;

/// A dataset, whose tables can be read.
#[derive(Debug)]
pub struct BigQuery {
    dataset: Url,
    http: Http,
    /// The only table that is looked at, if one was named.
    table: Option<String>,
    page_rows: u32,
}

/// Some rows of a table.
#[derive(Debug)]
pub struct Rows {
    pub columns: Vec<Column>,
    pub rows: Vec<Value>,
    /// Leads to the next ones.
    token: Option<String>,
}

/// Where a page begins.
#[derive(Clone, Debug)]
pub enum Start {
    Row(u64),
    Token(String),
}

#[derive(Debug, thiserror::Error)]
pub enum ListingError {
    #[error("`{url}` is no address of BigQuery's REST interface, such as {SERVICE}")]
    Url { url: String },
    #[error("BigQuery cannot be asked")]
    Http {
        #[source]
        source: HttpError,
    },
    #[error("{url} was answered with status {status}: {text}")]
    Refused { url: String, status: u16, text: String },
    #[error("{url} was answered with what is no listing")]
    Json {
        url: String,
        #[source]
        source: serde_json::Error,
    },
    #[error("{url}: its columns change with every look")]
    Columns { url: String },
}

#[derive(Debug, Deserialize)]
struct TableResource {
    schema: Schema,
}

#[derive(Debug, Default, Deserialize)]
struct Schema {
    #[serde(default)]
    fields: Vec<Column>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    #[serde(default)]
    rows: Vec<Value>,
    #[serde(default)]
    page_token: Option<String>,
}

impl BigQuery {
    /// `rest` is the address of the REST interface up to its version; `token` an access token.
    pub fn open(
        rest: &str,
        (project, dataset): (&str, &str),
        token: Option<String>,
    ) -> Result<Self, ListingError> {
        let wrong = || ListingError::Url { url: rest.into() };
        let mut url = Url::parse(rest).map_err(|_| wrong())?;
        let mut path = url.path_segments_mut().map_err(|()| wrong())?;
        path.pop_if_empty().extend(["projects", project, "datasets", dataset, "tables"]);
        drop(path);
        let http = Http::new(ANSWER_WITHIN).map_err(|source| ListingError::Http { source })?;
        Ok(Self { dataset: url, http: http.with_bearer(token), table: None, page_rows: PAGE_ROWS })
    }

    /// Looks at one table only: a topic may have been read into several.
    pub fn only(self, table: Option<String>) -> Self {
        Self { table, ..self }
    }

    pub fn in_pages_of(self, page_rows: u32) -> Self {
        Self { page_rows, ..self }
    }

    /// The table of a topic: of its name, in which a table has underscores for dots.
    pub fn table_of(&self, topic: &str) -> String {
        self.table.clone().unwrap_or_else(|| topic.replace('.', "_"))
    }

    /// Hands all rows of a table from the one of that number on to `visit`, in the order in which they are listed;
    /// returns how many there were, or `None` if there is no such table.
    pub fn read(
        &self,
        table: &str,
        from: u64,
        mut visit: impl FnMut(&[Column], &Value),
    ) -> Result<Option<u64>, ListingError> {
        let Some(mut columns) = self.columns(table)? else { return Ok(None) };
        let (mut count, mut next) = (0, Some(Start::Row(from)));
        while let Some(from) = next {
            let page = self.page(table, &from, columns)?;
            page.rows.iter().for_each(|row| visit(&page.columns, row));
            count += page.rows.len() as u64;
            columns = page.columns;
            next = page.token.map(Start::Token);
        }
        Ok(Some(count))
    }

    fn columns(&self, table: &str) -> Result<Option<Vec<Column>>, ListingError> {
        let url = self.url(&[table]);
        let answer = self.get(&url)?;
        if answer.status == 404 {
            return Ok(None);
        }
        Ok(Some(read::<TableResource>(&url, &answer)?.schema.fields))
    }

    /// With the columns that its rows have, which may be more than `columns` by now.
    fn page(
        &self,
        table: &str,
        from: &Start,
        mut columns: Vec<Column>,
    ) -> Result<Rows, ListingError> {
        let mut url = self.url(&[table, "data"]);
        url.query_pairs_mut()
            .append_pair("maxResults", &self.page_rows.to_string())
            .append_pair("formatOptions.useInt64Timestamp", "true");
        let (name, value) = match from {
            Start::Row(row) => ("startIndex", row.to_string()),
            Start::Token(token) => ("pageToken", token.clone()),
        };
        url.query_pairs_mut().append_pair(name, &value);
        for _ in 0..WIDENED_MAX {
            let Listed { rows, page_token } = read(&url, &self.get(&url)?)?;
            let width = rows.first().and_then(|row| row["f"].as_array()).map(Vec::len);
            if width.is_none_or(|width| width == columns.len()) {
                let token = page_token.filter(|token| !token.is_empty());
                return Ok(Rows { columns, rows, token });
            }
            columns = self.columns(table)?.unwrap_or_default();
        }
        Err(ListingError::Columns { url: url.into() })
    }

    fn url(&self, below: &[&str]) -> Url {
        let mut url = self.dataset.clone();
        url.path_segments_mut().expect("it was one before").extend(below);
        url
    }

    fn get(&self, url: &Url) -> Result<Page, ListingError> {
        self.http.get(url.as_str()).map_err(|source| ListingError::Http { source })
    }
}

fn read<T: serde::de::DeserializeOwned>(url: &Url, page: &Page) -> Result<T, ListingError> {
    let url = url.to_string();
    if page.status != 200 {
        let text = page.text.chars().take(300).collect();
        return Err(ListingError::Refused { url, status: page.status, text });
    }
    serde_json::from_str(&page.text).map_err(|source| ListingError::Json { url, source })
}
