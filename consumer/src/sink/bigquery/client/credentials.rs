//! IO. Who asks: a file or the metadata server, made into something that gives tokens.

use std::path::Path;
use std::time::Duration;
use std::{fs, io};

use async_trait::async_trait;
use gcp_bigquery_client::error::BQError;
use gcp_bigquery_client::yup_oauth2;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;
use yup_oauth2::authenticator::{
    ApplicationDefaultCredentialsTypes, Authenticator, ExternalAccountAuthenticator,
};
use yup_oauth2::{
    ApplicationDefaultCredentialsAuthenticator, ApplicationDefaultCredentialsFlowOpts,
    AuthorizedUserAuthenticator, DefaultHyperClientBuilder, HyperClientBuilder,
    ServiceAccountAuthenticator,
};

use super::call_error::CallError;
use super::options::Credentials;
use super::tokens::TokenSource;

const SCOPES: [&str; 1] = ["https://www.googleapis.com/auth/bigquery"];

/// For one request of a token.
const TOKEN_LIMIT: Duration = Duration::from_secs(5);

type OverHttp = Authenticator<<DefaultHyperClientBuilder as HyperClientBuilder>::Connector>;

/// What gives tokens for these credentials; `None` where none are wanted. A file is read and checked
/// here, once.
///
/// # Errors
/// With a sentence that says what is wrong with the file, and never what is in it.
pub async fn token_source(
    credentials: &Credentials,
) -> Result<Option<Box<dyn TokenSource>>, CallError> {
    let authenticator = match credentials {
        Credentials::None => return Ok(None),
        Credentials::Metadata { host } => of_metadata(host.as_deref()).await?,
        Credentials::File(path) => of_file(path).await?,
    };
    Ok(Some(Box::new(authenticator)))
}

/// Keeps a token until a minute before its end.
#[async_trait]
impl TokenSource for OverHttp {
    async fn token(&self, is_forced: bool) -> Result<String, BQError> {
        let token = match is_forced {
            true => self.force_refreshed_token(&SCOPES).await?,
            false => Authenticator::token(self, &SCOPES).await?,
        };
        token.token().map(str::to_owned).ok_or(BQError::NoToken)
    }
}

async fn of_metadata(host: Option<&str>) -> Result<OverHttp, CallError> {
    let path = "computeMetadata/v1/instance/service-accounts/default/token";
    let metadata_url = host.map(|host| format!("http://{host}/{path}"));
    let options = ApplicationDefaultCredentialsFlowOpts { metadata_url };
    let built = match ApplicationDefaultCredentialsAuthenticator::builder(options).await {
        ApplicationDefaultCredentialsTypes::InstanceMetadata(builder) => {
            builder.with_timeout(TOKEN_LIMIT).build().await
        }
        ApplicationDefaultCredentialsTypes::ServiceAccount(builder) => {
            builder.with_timeout(TOKEN_LIMIT).build().await
        }
    };
    built.map_err(|error| unusable("the metadata server", &error))
}

async fn of_file(path: &Path) -> Result<OverHttp, CallError> {
    let name = path.display().to_string();
    let wrong = |text: &str| CallError::settings(format!("the credentials file {name} {text}"));
    let text = fs::read(path).map_err(|error| wrong(&format!("cannot be read: {error}")))?;
    let Ok(json) = serde_json::from_slice::<Json>(&text) else {
        return Err(wrong(
            "is not JSON; it is to be a key of a service account, as it was downloaded",
        ));
    };
    let built = match json["type"].as_str() {
        Some("service_account") => {
            let needed = ["private_key", "client_email", "token_uri"];
            let key = read(&json, &needed).map_err(|text| wrong(&text))?;
            ServiceAccountAuthenticator::builder(key).with_timeout(TOKEN_LIMIT).build().await
        }
        Some("authorized_user") => {
            let needed = ["client_id", "client_secret", "refresh_token"];
            let secret = read(&json, &needed).map_err(|text| wrong(&text))?;
            AuthorizedUserAuthenticator::builder(secret).with_timeout(TOKEN_LIMIT).build().await
        }
        Some("external_account") => {
            if json.get("service_account_impersonation_url").is_some() {
                return Err(wrong(
                    "impersonates a service account, which is not supported: give the pool's \
                     principal the roles itself, and make the file without a service account",
                ));
            }
            let needed = ["audience", "subject_token_type", "token_url"];
            let secret = read(&json, &needed).map_err(|text| wrong(&text))?;
            ExternalAccountAuthenticator::builder(secret).with_timeout(TOKEN_LIMIT).build().await
        }
        Some(other) => {
            let known = "service_account, authorized_user or external_account";
            return Err(wrong(&format!("is of type {other:?}; it is to be {known}")));
        }
        None => return Err(wrong("has no `type`; it is to be a key of a service account")),
    };
    built.map_err(|error| unusable(&name, &error))
}

/// What a file holds. What cannot be read is said by the field's name: the reader's own words could
/// quote a secret.
fn read<T: DeserializeOwned>(json: &Json, needed: &[&str]) -> Result<T, String> {
    for field in needed {
        if json[field].as_str().is_none_or(str::is_empty) {
            return Err(format!("has no `{field}`"));
        }
    }
    serde_json::from_value(json.clone())
        .map_err(|_| "has a field that is not what it is to be; download it again".into())
}

fn unusable(of: &str, error: &io::Error) -> CallError {
    CallError::settings(format!("the credentials of {of} cannot be used: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn refused(text: &str) -> String {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        let refused = token_source(&Credentials::File(file.path().into())).await;
        let told = refused.err().expect("a refusal").to_string();
        assert!(told.contains(file.path().to_str().unwrap()), "{told}");
        assert!(!told.contains("secret"), "{told}");
        told
    }

    /// What is wrong with a file is said in a sentence, without what it holds.
    #[tokio::test]
    async fn a_file_that_is_no_key_is_refused_at_the_start() {
        let missing = token_source(&Credentials::File("/no/such/file.json".into())).await;
        let told = missing.err().unwrap().to_string();
        assert!(told.contains("/no/such/file.json cannot be read: No such file"), "{told}");
        let of = |text| refused(text);
        assert!(of("secret").await.contains("is not JSON"));
        assert!(of("[\"secret\"]").await.contains("no `type`"));
        assert!(of(r#"{"type": "oddity"}"#).await.contains("oddity"));
        let key = r#"{"type": "service_account", "client_email": "a@b", "token_uri": "http://x"}"#;
        assert!(of(key).await.contains("has no `private_key`"));
        let key = r#"{"type": "service_account", "client_email": "a@b", "token_uri": "http://x",
            "private_key": "secret"}"#;
        assert!(of(key).await.contains("cannot be used"));
        let key = r#"{"type": "service_account", "client_email": "a@b", "token_uri": "http://x",
            "private_key": "secret", "project_id": ["secret"]}"#;
        assert!(of(key).await.contains("download it again"));
        assert!(of(r#"{"type": "authorized_user"}"#).await.contains("`client_id`"));
        let impersonated =
            r#"{"type": "external_account", "service_account_impersonation_url": "http://x"}"#;
        assert!(of(impersonated).await.contains("principal"));
    }

    #[tokio::test]
    async fn nobody_needs_no_token() {
        assert!(token_source(&Credentials::None).await.unwrap().is_none());
    }
}
