//! IO. Reads the file of Kafka client settings and checks them.

use std::path::Path;

use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use thiserror::Error;

use crate::kafka::config::{ConfigError, KafkaConfig, Properties, forbidden};
use crate::kafka::security::{Security, SecurityError};
use crate::settings::{SettingsFileError, read_settings};

#[derive(Debug, Error)]
pub enum ConfigFileError {
    #[error(transparent)]
    File(#[from] SettingsFileError),
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
        Some(path) => read_settings("Kafka", path, forbidden)?,
        None => Properties::new(),
    };
    check_known(&properties)?;
    Security::from_properties(&properties)
        .map_err(|source| ConfigFileError::Security { source })?;
    KafkaConfig::new(servers, properties).map_err(|source| ConfigFileError::Brokers { source })
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
    fn what_librdkafka_does_not_know_is_refused_by_name() {
        let error = load_text("acks=1").unwrap_err();
        assert!(error.contains("line 1: `acks` may not be set"), "{error}");
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
