//! Pure. How Kafka is reached: brokers and the client settings that a user may make.

use std::fmt;

use thiserror::Error;

use crate::settings::Settings;

/// Settings in librdkafka's words, by name.
pub type Properties = Settings;

#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ConfigError {
    #[error("expected brokers as `host:port,…`, got `{0}`")]
    BootstrapServers(String),
}

/// Brokers to begin with, and further settings for every client of this process.
#[derive(Clone, PartialEq, Eq)]
pub struct KafkaConfig {
    bootstrap_servers: String,
    properties: Properties,
}

impl KafkaConfig {
    /// # Errors
    /// If `bootstrap_servers` is no list of `host` or `host:port`.
    pub fn new(bootstrap_servers: &str, properties: Properties) -> Result<Self, ConfigError> {
        let is_valid = bootstrap_servers.split(',').all(|server| split_server(server).is_some());
        if !is_valid {
            return Err(ConfigError::BootstrapServers(bootstrap_servers.into()));
        }
        Ok(Self { bootstrap_servers: bootstrap_servers.into(), properties })
    }

    pub fn bootstrap_servers(&self) -> &str {
        &self.bootstrap_servers
    }

    /// The brokers to begin with as host and port.
    pub fn servers(&self) -> impl Iterator<Item = (&str, u16)> {
        self.bootstrap_servers.split(',').filter_map(split_server)
    }

    pub fn properties(&self) -> &Properties {
        &self.properties
    }
}

/// Names the settings but shows none of their values: some are secrets.
impl fmt::Debug for KafkaConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaConfig")
            .field("bootstrap_servers", &self.bootstrap_servers)
            .field("properties", &self.properties.keys())
            .finish()
    }
}

const DEFAULT_PORT: u16 = 9092;

fn split_server(text: &str) -> Option<(&str, u16)> {
    let text = text.trim();
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
            (host, port.parse().ok()?)
        }
        _ => (text, DEFAULT_PORT),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let is_host = !host.is_empty() && !host.contains([' ', '/']);
    is_host.then_some((host, port))
}

const OWNED: &str = "it is set by this program, which relies on it";

/// Settings on which delivery, bounds or access depend, and which therefore are not the user's.
const FORBIDDEN: &[(&str, &str)] = &[
    ("bootstrap.servers", "the brokers are given by --kafka-bootstrap-servers"),
    ("metadata.broker.list", "the brokers are given by --kafka-bootstrap-servers"),
    ("acks", OWNED),
    ("allow.auto.create.topics", OWNED),
    ("auto.commit.enable", OWNED),
    ("auto.commit.interval.ms", OWNED),
    ("auto.offset.reset", OWNED),
    ("client.id", OWNED),
    ("delivery.timeout.ms", OWNED),
    ("enable.auto.commit", OWNED),
    ("enable.auto.offset.store", OWNED),
    ("enable.gapless.guarantee", OWNED),
    ("enable.idempotence", OWNED),
    ("enable.partition.eof", OWNED),
    ("group.id", OWNED),
    ("group.instance.id", OWNED),
    ("group.protocol", OWNED),
    ("isolation.level", OWNED),
    ("linger.ms", OWNED),
    ("max.in.flight", OWNED),
    ("max.in.flight.requests.per.connection", OWNED),
    ("message.max.bytes", OWNED),
    ("message.send.max.retries", OWNED),
    ("message.timeout.ms", OWNED),
    ("queue.buffering.max.ms", OWNED),
    ("queued.max.messages.kbytes", OWNED),
    ("queued.min.messages", OWNED),
    ("request.required.acks", OWNED),
    ("retries", OWNED),
    ("socket.timeout.ms", OWNED),
    ("topic.metadata.refresh.interval.ms", OWNED),
    ("transactional.id", OWNED),
];

/// Why a setting is not the user's to make.
pub(crate) fn forbidden(key: &str) -> Option<&'static str> {
    FORBIDDEN.iter().find(|(forbidden, _)| *forbidden == key).map(|(_, reason)| *reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_delivery_depends_on_is_not_the_users_to_set() {
        assert_eq!(forbidden("client.rack"), None);
        assert_eq!(forbidden("group.id"), Some(OWNED));
        let error = crate::settings::parse_settings("\ngroup.id=mine", forbidden).unwrap_err();
        assert_eq!(
            error.to_string(),
            "line 2: `group.id` may not be set, it is set by this program, which relies on it"
        );
    }

    #[test]
    fn brokers_are_hosts_with_or_without_a_port() {
        let config = KafkaConfig::new("a, b:1,[::1]:2,::1", Properties::new()).unwrap();
        let servers: Vec<_> = config.servers().collect();
        assert_eq!(servers, [("a", 9092), ("b", 1), ("::1", 2), ("::1", 9092)]);
        for wrong in ["", "a,,b", ":9092", "a:port", "kafka://a:1", "a b:1", "a:70000"] {
            let error = KafkaConfig::new(wrong, Properties::new()).unwrap_err();
            assert_eq!(error, ConfigError::BootstrapServers(wrong.into()));
        }
    }

    #[test]
    fn a_secret_is_not_shown() {
        let properties = Properties::from([("sasl.password".into(), "hunter2".into())]);
        let config = KafkaConfig::new("a:1", properties).unwrap();
        let shown = format!("{config:?}");
        assert!(shown.contains("sasl.password") && !shown.contains("hunter2"), "{shown}");
    }
}
