//! IO. Asks the services' pages: status, readiness, metrics.

use std::fmt;
use std::io;
use std::time::Duration;

use tokio::runtime::{self, Runtime};

/// A client for local pages.
pub struct Http {
    client: reqwest::Client,
    /// An access token, sent along with every request.
    bearer: Option<String>,
    runtime: Runtime,
}

/// Without the token.
impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http").field("client", &self.client).finish_non_exhaustive()
    }
}

/// What a page answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    pub status: u16,
    pub text: String,
}

#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    #[error("failed to start the runtime of the HTTP client")]
    Runtime {
        #[source]
        source: io::Error,
    },
    #[error("failed to prepare the HTTP client")]
    Client {
        #[source]
        source: reqwest::Error,
    },
    #[error("no answer from {url}")]
    Answer {
        url: String,
        #[source]
        source: reqwest::Error,
    },
}

impl Http {
    /// A page that does not come within `patience` is not there.
    pub fn new(patience: Duration) -> Result<Self, HttpError> {
        let runtime = runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let client = reqwest::Client::builder().timeout(patience).no_proxy().build();
        Ok(Self {
            bearer: None,
            client: client.map_err(|source| HttpError::Client { source })?,
            runtime: runtime.map_err(|source| HttpError::Runtime { source })?,
        })
    }

    pub fn with_bearer(self, bearer: Option<String>) -> Self {
        Self { bearer, ..self }
    }

    pub fn get(&self, url: &str) -> Result<Page, HttpError> {
        self.ask(url, self.client.get(url))
    }

    /// Sends JSON.
    pub fn post(&self, url: &str, body: &serde_json::Value) -> Result<Page, HttpError> {
        self.ask(url, self.client.post(url).json(body))
    }

    pub fn delete(&self, url: &str) -> Result<Page, HttpError> {
        self.ask(url, self.client.delete(url))
    }

    fn ask(&self, url: &str, request: reqwest::RequestBuilder) -> Result<Page, HttpError> {
        let request = match &self.bearer {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        let ask = async {
            let response = request.send().await?;
            Ok(Page { status: response.status().as_u16(), text: response.text().await? })
        };
        self.runtime.block_on(ask).map_err(|source| HttpError::Answer { url: url.into(), source })
    }
}
