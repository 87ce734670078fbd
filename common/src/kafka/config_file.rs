//! IO. Reads the file of Kafka client settings, and the files that it names for secrets.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use thiserror::Error;

use crate::kafka::config::{ConfigError, KafkaConfig, Properties, parse_properties};
use crate::kafka::security::{Security, SecurityError};

#[derive(Debug, Error)]
pub enum ConfigFileError {
    #[error("failed to read the Kafka settings {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("failed to understand the Kafka settings {}", path.display())]
    Parse {
        path: PathBuf,
        #[source]
        source: ConfigError,
    },
    #[error("failed to read the value of `{key}` from {}", path.display())]
    Secret {
        key: String,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("`{key}` and `{key}.file` are both set: choose one")]
    Both { key: String },
    #[error("the Kafka clients refuse the setting `{key}`: {reason}")]
    Refused { key: String, reason: String },
    #[error("the Kafka settings contradict each other")]
    Security {
        #[source]
        source: SecurityError,
    },
    #[error("the Kafka brokers are not understood")]
    Brokers {
        #[source]
        source: ConfigError,
    },
}

/// The settings for all clients of this process; without a file, those of an open cluster. A key
/// that ends in `.file` names a file that holds the value of the key before.
///
/// # Errors
/// If a file cannot be read, or a setting is malformed, unknown, contradictory or not the user's.
pub fn load(servers: &str, path: Option<&Path>) -> Result<KafkaConfig, ConfigFileError> {
    let properties = match path {
        Some(path) => with_secrets(read(path)?)?,
        None => Properties::new(),
    };
    check_known(&properties)?;
    Security::from_properties(&properties)
        .map_err(|source| ConfigFileError::Security { source })?;
    KafkaConfig::new(servers, properties).map_err(|source| ConfigFileError::Brokers { source })
}

fn read(path: &Path) -> Result<Properties, ConfigFileError> {
    let text = fs::read_to_string(path)
        .map_err(|source| ConfigFileError::Read { path: path.into(), source })?;
    parse_properties(&text).map_err(|source| ConfigFileError::Parse { path: path.into(), source })
}

fn with_secrets(properties: Properties) -> Result<Properties, ConfigFileError> {
    let mut resolved = Properties::new();
    for (key, value) in properties {
        let (key, value) = match key.strip_suffix(".file") {
            Some(secret) => (secret.to_owned(), read_secret(secret, Path::new(&value))?),
            None => (key, value),
        };
        if resolved.insert(key.clone(), value).is_some() {
            return Err(ConfigFileError::Both { key });
        }
    }
    Ok(resolved)
}

fn read_secret(key: &str, path: &Path) -> Result<String, ConfigFileError> {
    let text = fs::read_to_string(path).map_err(|source| {
        let key = key.to_owned();
        ConfigFileError::Secret { key, path: path.into(), source }
    })?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

/// Asks librdkafka itself, key by key, so that the one that it refuses is named and no value shown.
fn check_known(properties: &Properties) -> Result<(), ConfigFileError> {
    for (key, value) in properties {
        let checked = ClientConfig::new().set(key, value).create_native_config();
        if let Err(error) = checked {
            return Err(ConfigFileError::Refused {
                key: key.clone(),
                reason: reason(error, value),
            });
        }
    }
    Ok(())
}

fn reason(error: KafkaError, value: &str) -> String {
    let text = match error {
        KafkaError::ClientConfig(_, description, _, _) => description,
        other => other.to_string(),
    };
    if value.is_empty() { text } else { text.replace(value, "…") }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use tempfile::NamedTempFile;

    use super::*;
    use crate::chain::Chain;

    fn file(text: &str) -> NamedTempFile {
        let mut file = NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    }

    fn load_text(text: &str) -> Result<KafkaConfig, String> {
        let file = file(text);
        load("k:9092", Some(file.path())).map_err(|error| Chain(&error).to_string())
    }

    #[test]
    fn a_secret_comes_from_its_file_without_the_final_newline() {
        let secret = file("two words \n");
        let text = format!(
            "security.protocol=SASL_PLAINTEXT\nsasl.mechanism=PLAIN\nsasl.username=me\n\
             sasl.password.file={}\n",
            secret.path().display()
        );
        let config = load_text(&text).unwrap();
        assert_eq!(config.properties()["sasl.password"], "two words ");
        assert!(!config.properties().contains_key("sasl.password.file"));
    }

    #[test]
    fn a_secret_is_given_once() {
        let secret = file("x");
        let path = secret.path().display();
        let error = load_text(&format!("sasl.password=y\nsasl.password.file={path}")).unwrap_err();
        assert_eq!(error, "`sasl.password` and `sasl.password.file` are both set: choose one");
    }

    #[test]
    fn a_missing_secret_is_named() {
        let error = load_text("sasl.password.file=/nonexistent").unwrap_err();
        assert!(
            error.starts_with("failed to read the value of `sasl.password` from /nonexistent: "),
            "{error}"
        );
    }

    #[test]
    fn what_librdkafka_does_not_know_is_refused_by_name() {
        let error = load_text("ssl.ca.locaton=/x").unwrap_err();
        assert!(error.contains("the setting `ssl.ca.locaton`: "), "{error}");
        let error = load_text("security.protocol=hunter2").unwrap_err();
        assert!(error.contains("`security.protocol`") && !error.contains("hunter2"), "{error}");
    }

    #[test]
    fn without_a_file_there_are_no_settings() {
        assert!(load("k:9092", None).unwrap().properties().is_empty());
        assert!(load("", None).is_err());
    }
}
