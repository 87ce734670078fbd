//! Pure. What is to be read into what: the service topic, folded, the latest entry of each key.
//!
//! Only a tombstone takes a topic away. An entry that cannot be read changes nothing but is said,
//! and an empty service topic stops nobody.

use std::collections::{BTreeMap, BTreeSet};

use common::chain::Chain;
use common::messages::service::{DeploymentEntry, ServiceError, ServiceKey, TopicEntry};

/// Everything that the service topic said so far.
#[derive(Clone, Debug, Default)]
pub struct Services {
    topics: BTreeMap<String, TopicEntry>,
    stopped: BTreeSet<String>,
    deployment: DeploymentEntry,
    /// By key, what is wrong with its latest entry.
    errors: BTreeMap<String, String>,
    is_complete: bool,
}

/// What one record changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    None,
    /// With what changed, for people.
    Topic(String),
    Deployment,
    Malformed {
        key: String,
        error: String,
    },
}

impl Services {
    /// Takes the next record of the topic.
    pub fn take(&mut self, key: Option<&[u8]>, value: Option<&[u8]>) -> Change {
        let key = String::from_utf8_lossy(key.unwrap_or_default()).into_owned();
        match self.try_take(&key, value) {
            Ok(change) => {
                self.errors.remove(&key);
                change
            }
            Err(error) => {
                let error = Chain(&error).to_string();
                if self.errors.insert(key.clone(), error.clone()).as_ref() == Some(&error) {
                    return Change::None;
                }
                Change::Malformed { key, error }
            }
        }
    }

    fn try_take(&mut self, key: &str, value: Option<&[u8]>) -> Result<Change, ServiceError> {
        match (ServiceKey::parse(key)?, value) {
            (ServiceKey::Topic(topic), Some(value)) => {
                let entry = TopicEntry::parse(&topic, value)?;
                self.stopped.remove(&topic);
                let is_same = self.topics.insert(topic.clone(), entry.clone()) == Some(entry);
                let what = || format!("what {topic} is read into");
                Ok(if is_same { Change::None } else { Change::Topic(what()) })
            }
            (ServiceKey::Topic(topic), None) => {
                let was_read = self.topics.remove(&topic).is_some();
                let is_new = self.stopped.insert(topic.clone());
                let what = || format!("{topic} is not to be read any more");
                Ok(if was_read || is_new { Change::Topic(what()) } else { Change::None })
            }
            (ServiceKey::Deployment, value) => {
                let entry = value.map(DeploymentEntry::parse).transpose()?.unwrap_or_default();
                let is_same = self.deployment == entry;
                self.deployment = entry;
                Ok(if is_same { Change::None } else { Change::Deployment })
            }
        }
    }

    /// The topic was read to its end once.
    pub fn complete(&mut self) {
        self.is_complete = true;
    }

    pub fn is_complete(&self) -> bool {
        self.is_complete
    }

    pub fn topics(&self) -> &BTreeMap<String, TopicEntry> {
        &self.topics
    }

    /// Whether a tombstone said so.
    pub fn is_stopped(&self, topic: &str) -> bool {
        self.stopped.contains(topic)
    }

    pub fn deployment(&self) -> &DeploymentEntry {
        &self.deployment
    }

    pub fn errors(&self) -> &BTreeMap<String, String> {
        &self.errors
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(services: &mut Services, key: &str, value: Option<&str>) -> Change {
        services.take(Some(key.as_bytes()), value.map(str::as_bytes))
    }

    #[test]
    fn a_malformed_entry_leaves_the_one_before_and_is_said_once() {
        let mut services = Services::default();
        take(&mut services, "topic/orders", Some(r#"{"table":"sales"}"#));
        let change = take(&mut services, "topic/orders", Some("{"));
        assert!(matches!(change, Change::Malformed { .. }), "{change:?}");
        assert_eq!(take(&mut services, "topic/orders", Some("{")), Change::None);
        assert_eq!(services.topics()["orders"].table.as_deref(), Some("sales"));
        assert!(services.errors()["topic/orders"].contains("malformed"));
        take(&mut services, "topic/orders", Some("{}"));
        assert!(services.errors().is_empty());
    }

    #[test]
    fn only_a_tombstone_takes_a_topic_away() {
        let mut services = Services::default();
        take(&mut services, "topic/orders", Some("{}"));
        assert!(!services.is_stopped("payments"));
        let change = take(&mut services, "topic/orders", None);
        assert_eq!(change, Change::Topic("orders is not to be read any more".into()));
        assert!(services.topics().is_empty() && services.is_stopped("orders"));
        take(&mut services, "topic/orders", Some("{}"));
        assert!(!services.is_stopped("orders"));
    }

    #[test]
    fn an_entry_that_says_the_same_again_changes_nothing() {
        let mut services = Services::default();
        take(&mut services, "deployment", Some(r#"{"options":{"batch-bytes":"1"}}"#));
        let again = take(&mut services, "deployment", Some(r#"{"options":{"batch-bytes":"1"}}"#));
        assert_eq!(again, Change::None);
        assert_eq!(take(&mut services, "deployment", None), Change::Deployment);
        assert!(matches!(take(&mut services, "orders", None), Change::Malformed { .. }));
    }
}
