//! Pure. The entries of the service topic: what is read into what, and how consumers run.

use std::collections::BTreeMap;

use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::command::Source;
use super::entry::{EntryError, EntryOptions};
use super::format::FORMATS;

const TOPIC_PREFIX: &str = "topic/";
const DEPLOYMENT: &str = "deployment";
pub const SINKS: [&str; 3] = ["parquet", "bigquery", "discard"];

/// Which entry a key names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ServiceKey {
    /// `topic/<name>`: what to do with that topic.
    Topic(String),
    /// `deployment`: what consumers run with.
    Deployment,
}

/// What to read a topic into: `{"table", "format", "sink", "options"}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TopicEntry {
    /// The folder or table that the rows go to; the topic's name unless said otherwise.
    #[serde(default)]
    pub table: Option<String>,
    #[serde(default = "default_format")]
    pub format: String,
    #[serde(default = "default_sink")]
    pub sink: String,
    /// What is no text in the entry (a schema, a number) is its JSON here.
    #[serde(default, deserialize_with = "texts")]
    pub options: BTreeMap<String, String>,
}

/// What consumers run with; what is absent stays as the orchestrator was started with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeploymentEntry {
    /// Container image (Kubernetes).
    #[serde(default)]
    pub image: Option<String>,
    /// Program (processes).
    #[serde(default)]
    pub program: Option<String>,
    /// Further options of the consumer, as on its command line without the dashes.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
}

/// What is wrong with a service entry, and what it should be.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    #[error("the key of a service entry is `topic/<name>` or `deployment`, got `{0}`")]
    Key(String),
    #[error("the service entry `{key}` is malformed")]
    Json {
        key: String,
        #[source]
        source: serde_json::Error,
    },
    #[error("the service entry `{key}` names {what} `{got}`; known are: {known}")]
    Unknown { key: String, what: &'static str, got: String, known: String },
    #[error("the service entry `{key}` cannot be followed")]
    Options {
        key: String,
        #[source]
        source: EntryError,
    },
    #[error(
        "the service entry `{key}` names the table `{table}`; a table is named with letters, digits, `_`, `-` and `.`, and begins with a letter or digit"
    )]
    Table { key: String, table: String },
}

impl ServiceKey {
    pub fn parse(key: &str) -> Result<Self, ServiceError> {
        if key == DEPLOYMENT {
            return Ok(Self::Deployment);
        }
        match key.strip_prefix(TOPIC_PREFIX) {
            Some(name) if !name.is_empty() => Ok(Self::Topic(name.into())),
            _ => Err(ServiceError::Key(key.into())),
        }
    }

    pub fn to_text(&self) -> String {
        match self {
            Self::Topic(name) => format!("{TOPIC_PREFIX}{name}"),
            Self::Deployment => DEPLOYMENT.into(),
        }
    }
}

impl TopicEntry {
    /// Reads and checks the value of the entry for `topic`.
    pub fn parse(topic: &str, value: &[u8]) -> Result<Self, ServiceError> {
        let key = ServiceKey::Topic(topic.into()).to_text();
        let entry: Self =
            object(value).map_err(|source| ServiceError::Json { key: key.clone(), source })?;
        one_of(&key, "the sink", &entry.sink, &SINKS)?;
        EntryOptions::parse(&entry.format, &entry.sink, &entry.options)
            .map_err(|source| ServiceError::Options { key: key.clone(), source })?;
        let table = entry.table.clone().unwrap_or_else(|| topic.into());
        if !is_table_name(&table) {
            return Err(ServiceError::Table { key, table });
        }
        Ok(entry)
    }

    /// The entry as consumers get it.
    pub fn source(&self, topic: &str) -> Source {
        Source {
            table: self.table.clone().unwrap_or_else(|| topic.into()),
            format: self.format.clone(),
            sink: self.sink.clone(),
            options: self.options.clone(),
        }
    }
}

impl DeploymentEntry {
    pub fn parse(value: &[u8]) -> Result<Self, ServiceError> {
        object(value).map_err(|source| ServiceError::Json { key: DEPLOYMENT.into(), source })
    }
}

/// An entry is an object; serde would take a list for one as well, its fields in order.
fn object<T: DeserializeOwned>(value: &[u8]) -> serde_json::Result<T> {
    serde_json::from_slice::<BTreeMap<String, IgnoredAny>>(value)?;
    serde_json::from_slice(value)
}

fn texts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error> {
    let values = BTreeMap::<String, Value>::deserialize(deserializer)?;
    let text = |value: Value| match value {
        Value::String(text) => text,
        other => other.to_string(),
    };
    Ok(values.into_iter().map(|(name, value)| (name, text(value))).collect())
}

fn default_format() -> String {
    FORMATS[0].into()
}

fn default_sink() -> String {
    SINKS[0].into()
}

fn one_of(key: &str, what: &'static str, got: &str, known: &[&str]) -> Result<(), ServiceError> {
    if known.contains(&got) {
        return Ok(());
    }
    Err(ServiceError::Unknown { key: key.into(), what, got: got.into(), known: known.join(", ") })
}

/// A table is one folder below the lake's root: nothing that could lead elsewhere, and none of
/// the names (`_…`) that the lake keeps for itself.
fn is_table_name(table: &str) -> bool {
    let first = table.bytes().next();
    first.is_some_and(|byte| byte.is_ascii_alphanumeric())
        && table.len() <= 249
        && table.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::Chain;

    #[test]
    fn an_empty_entry_means_json_into_a_table_of_the_topics_name() {
        let entry = TopicEntry::parse("orders", b"{}").unwrap();
        let source = entry.source("orders");
        assert_eq!((source.table.as_str(), source.format.as_str()), ("orders", "json"));
        assert_eq!(source.sink, "parquet");
    }

    #[test]
    fn an_option_may_be_json_of_any_kind() {
        let entry = br#"{"options": {"headers": true, "ignore": {"header": "t", "values": [1]}}}"#;
        let options = TopicEntry::parse("orders", entry).unwrap().options;
        assert_eq!(options["headers"], "true");
        assert_eq!(options["ignore"], r#"{"header":"t","values":[1]}"#);
    }

    #[test]
    fn what_is_wrong_is_said_by_name() {
        let refused = |value: &str| {
            Chain(&TopicEntry::parse("orders", value.as_bytes()).unwrap_err()).to_string()
        };
        assert!(refused("{").contains("`topic/orders` is malformed"));
        assert!(refused(r#"{"format":"xml"}"#).contains("known are json, avro"));
        assert!(refused(r#"{"options":{"schma":"x"}}"#).contains("no option `schma`"));
        assert!(refused(r#"{"sink":"tape"}"#).contains("known are: parquet, bigquery, discard"));
        assert!(refused(r#"{"table":"../etc"}"#).contains("`../etc`"));
        assert!(refused(r#"{"tabel":"x"}"#).contains("malformed"));
        assert!(refused("[]").contains("malformed"));
        assert!(DeploymentEntry::parse(b"[]").is_err());
        assert!(DeploymentEntry::parse(b"{}").is_ok());
    }

    #[test]
    fn options_beside_those_of_the_format_are_taken() {
        let entry =
            r#"{"options":{"dead_letter_share_max":"1","from":"beginning","headers":"true"}}"#;
        assert_eq!(TopicEntry::parse("orders", entry.as_bytes()).unwrap().options.len(), 3);
        assert!(TopicEntry::parse("orders", br#"{"options":{"form":"beginning"}}"#).is_err());
    }

    #[test]
    fn keys_are_read_back() {
        for key in ["topic/orders", "deployment"] {
            assert_eq!(ServiceKey::parse(key).unwrap().to_text(), key);
        }
        assert!(ServiceKey::parse("topic/").is_err());
        assert!(ServiceKey::parse("orders").is_err());
    }
}
