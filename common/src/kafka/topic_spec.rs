//! Pure. What one of our own topics has to be like, and what is wrong with the one that exists.

use std::collections::BTreeMap;
use std::fmt;

/// A setting of a topic that we depend on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Setting {
    Exactly {
        key: &'static str,
        value: String,
    },
    /// A number that may be larger; −1, without bound, always is.
    AtLeast {
        key: &'static str,
        value: i64,
    },
}

impl Setting {
    pub fn exactly(key: &'static str, value: impl Into<String>) -> Self {
        Self::Exactly { key, value: value.into() }
    }

    pub fn at_least(key: &'static str, value: i64) -> Self {
        Self::AtLeast { key, value }
    }

    pub fn key(&self) -> &'static str {
        match self {
            Self::Exactly { key, .. } | Self::AtLeast { key, .. } => key,
        }
    }

    /// What the topic is created with.
    pub fn initial(&self) -> String {
        match self {
            Self::Exactly { value, .. } => value.clone(),
            Self::AtLeast { value, .. } => value.to_string(),
        }
    }

    fn is_met_by(&self, found: &str) -> bool {
        match self {
            Self::Exactly { value, .. } => value == found,
            Self::AtLeast { value, .. } => {
                found.parse::<i64>().is_ok_and(|found| found == -1 || found >= *value)
            }
        }
    }
}

/// One of our own topics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSpec {
    pub name: String,
    /// At least this many: more do no harm, and Kafka never takes one away.
    pub partitions: u32,
    pub settings: Vec<Setting>,
}

/// A setting of an existing topic that is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrongSetting {
    pub wanted: Setting,
    pub found: Option<String>,
}

impl fmt::Display for WrongSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = self.found.as_deref().unwrap_or("not set");
        match &self.wanted {
            Setting::Exactly { key, value } => {
                write!(f, "{key} is {found} and must be {value}")
            }
            Setting::AtLeast { key, value } => {
                write!(f, "{key} is {found} and must be -1 or at least {value}")
            }
        }
    }
}

impl TopicSpec {
    pub fn wrong_settings(&self, found: &BTreeMap<String, String>) -> Vec<WrongSetting> {
        let wrong = self.settings.iter().filter_map(|wanted| {
            let found = found.get(wanted.key());
            let is_met = found.is_some_and(|found| wanted.is_met_by(found));
            (!is_met).then(|| WrongSetting { wanted: wanted.clone(), found: found.cloned() })
        });
        wrong.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_topic_is_said_and_nothing_else() {
        let spec = TopicSpec {
            name: "c".into(),
            partitions: 1,
            settings: vec![
                Setting::exactly("cleanup.policy", "delete"),
                Setting::at_least("retention.ms", 7),
                Setting::at_least("retention.bytes", 9),
                Setting::exactly("x", "y"),
            ],
        };
        let found =
            [("cleanup.policy", "compact"), ("retention.ms", "6"), ("retention.bytes", "-1")];
        let found = found.map(|(key, value)| (key.into(), value.into())).into();
        let wrong: Vec<_> = spec.wrong_settings(&found).iter().map(ToString::to_string).collect();
        assert_eq!(
            wrong,
            [
                "cleanup.policy is compact and must be delete",
                "retention.ms is 6 and must be -1 or at least 7",
                "x is not set and must be y",
            ]
        );
    }
}
