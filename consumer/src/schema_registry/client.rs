//! IO. Asks the schema registry over HTTP.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use reqwest::{Certificate, Identity, StatusCode};
use serde::de::DeserializeOwned;
use url::Url;

use super::answer::{Reference, SchemaAnswer, registered};
use super::settings::{Login, RegistrySettings};
use crate::decode::schemas::{Registered, SchemaId};

const CONNECT_LIMIT: Duration = Duration::from_secs(5);
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
const ANSWER_BYTES_MAX: usize = 8 << 20;
/// Schemas that one may refer to, directly or not.
const REFERENCES_MAX: usize = 256;
const ACCEPT: &str = "application/vnd.schemaregistry.v1+json, application/json";

/// Why the registry cannot be used, or not now.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    #[error("records name their schemas by id, and no --schema-registry-url was given")]
    NotConfigured,
    #[error("failed to read {}", path.display())]
    File {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the certificates or keys of the schema registry's settings cannot be used")]
    Tls(#[source] reqwest::Error),
    #[error("the schema registry did not answer")]
    Unreachable(#[source] reqwest::Error),
    #[error("the schema registry answered {status} to {path}: {text}")]
    Refused { status: StatusCode, path: String, text: String },
    #[error("what answered {path} is no schema registry")]
    Strange {
        path: String,
        #[source]
        source: serde_json::Error,
    },
    #[error("the schema registry's answer to {path} is longer than {ANSWER_BYTES_MAX} bytes")]
    TooLong { path: String },
    #[error("the schema registry does not have the schema {id} yet")]
    Missing { id: SchemaId },
}

impl RegistryError {
    /// True if records have to wait: whatever is wrong with the registry, they are not to be given up.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::NotConfigured | Self::File { .. } | Self::Tls(_) => false,
            Self::Unreachable(_)
            | Self::Refused { .. }
            | Self::Strange { .. }
            | Self::TooLong { .. }
            | Self::Missing { .. } => true,
        }
    }
}

#[derive(Debug)]
pub(super) struct Client {
    http: reqwest::Client,
    url: Url,
    login: Login,
}

impl Client {
    pub(super) fn new(settings: RegistrySettings) -> Result<Self, RegistryError> {
        let RegistrySettings { url, login, ca, certificate } = settings;
        let mut builder =
            reqwest::Client::builder().connect_timeout(CONNECT_LIMIT).timeout(ANSWER_LIMIT);
        if let Some(path) = ca {
            let found = Certificate::from_pem_bundle(&read(&path)?).map_err(RegistryError::Tls)?;
            builder = builder.tls_certs_only(found);
        }
        if let Some((certificate, key)) = certificate {
            let mut both = read(&certificate)?;
            both.push(b'\n');
            both.extend(read(&key)?);
            builder = builder.identity(Identity::from_pem(&both).map_err(RegistryError::Tls)?);
        }
        let http = builder.build().map_err(RegistryError::Tls)?;
        Ok(Self { http, url, login })
    }

    /// The schema of `id`, with all that it refers to.
    pub(super) async fn schema(&self, id: SchemaId) -> Result<Registered, RegistryError> {
        let id = id.to_string();
        let Some(answer) = self.get::<SchemaAnswer>(&["schemas", "ids", &id]).await? else {
            return Ok(Registered::Missing);
        };
        let mut texts = Vec::new();
        let mut seen = BTreeSet::new();
        let mut open = answer.references.clone();
        while let Some(reference) = open.pop() {
            if !seen.insert(reference.clone()) {
                continue;
            }
            if seen.len() > REFERENCES_MAX {
                let problem = format!("it refers to more than {REFERENCES_MAX} schemas");
                return Ok(Registered::Unusable(problem));
            }
            let Reference { subject, version } = &reference;
            let path = ["subjects", subject, "versions", &version.to_string()];
            let Some(found) = self.get::<SchemaAnswer>(&path).await? else {
                return Ok(Registered::Missing);
            };
            texts.push(found.schema);
            open.extend(found.references);
        }
        Ok(registered(&answer, &texts))
    }

    /// What stands at a path; `None` if the registry says that there is nothing.
    async fn get<T: DeserializeOwned>(&self, path: &[&str]) -> Result<Option<T>, RegistryError> {
        let mut url = self.url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        let request = self.http.get(url).header(reqwest::header::ACCEPT, ACCEPT);
        let request = match &self.login {
            Login::Nobody => request,
            Login::Basic { user, password } => request.basic_auth(user, Some(password)),
            Login::Bearer(token) => request.bearer_auth(token),
        };
        let path = path.join("/");
        let answer = request.send().await.map_err(RegistryError::Unreachable)?;
        let status = answer.status();
        let body = body(answer, &path).await?;
        match status {
            _ if status.is_success() => serde_json::from_slice(&body)
                .map(Some)
                .map_err(|source| RegistryError::Strange { path, source }),
            // A page that only a web server would send tells nothing of schemas.
            StatusCode::NOT_FOUND if is_registrys(&body) => Ok(None),
            _ => {
                let text = String::from_utf8_lossy(&body).chars().take(200).collect();
                Err(RegistryError::Refused { status, path, text })
            }
        }
    }
}

async fn body(mut answer: reqwest::Response, path: &str) -> Result<Vec<u8>, RegistryError> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(RegistryError::Unreachable)? {
        body.extend(chunk);
        if body.len() > ANSWER_BYTES_MAX {
            return Err(RegistryError::TooLong { path: path.into() });
        }
    }
    Ok(body)
}

/// True for an error in the registry's own words.
fn is_registrys(body: &[u8]) -> bool {
    let body: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    body.is_some_and(|body| body.get("error_code").is_some())
}

fn read(path: &Path) -> Result<Vec<u8>, RegistryError> {
    fs::read(path).map_err(|source| RegistryError::File { path: path.into(), source })
}
