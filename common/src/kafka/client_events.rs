//! IO. What librdkafka's clients have to say: log lines and errors, into our log and metrics.

use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tracing::{debug, error, warn};

use crate::kafka::lookout::Lookout;
use crate::metrics::Metrics;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ClientLabel {
    client: &'static str,
}

/// Errors of all Kafka clients of a process, by client.
#[derive(Clone, Debug, Default)]
pub struct ClientMetrics {
    errors: Family<ClientLabel, Counter>,
}

impl ClientMetrics {
    pub fn declare(metrics: &mut Metrics) -> Self {
        let help = "Errors that a Kafka client reported, most of which it recovers from by itself";
        Self { errors: metrics.declare("kafka_client_errors", help, Family::default()) }
    }
}

/// The context of one client. Clones belong to the same client.
#[derive(Clone, Debug)]
pub struct ClientEvents {
    client: &'static str,
    metrics: ClientMetrics,
    last_error: Arc<Mutex<Option<String>>>,
    lookout: Arc<Lookout>,
}

impl ClientEvents {
    /// `client` says what it is for, in the log and as a label.
    pub(crate) fn new(client: &'static str, metrics: ClientMetrics, lookout: Arc<Lookout>) -> Self {
        Self { client, metrics, last_error: Arc::default(), lookout }
    }

    /// What the client complained of last; it often explains why a request got no answer.
    pub fn last_error(&self) -> Option<String> {
        self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// That all brokers are down follows from what was said of each, and says less.
    fn remember(&self, code: Option<RDKafkaErrorCode>, reason: &str) {
        let mut last = self.last_error.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_none() || code != Some(RDKafkaErrorCode::AllBrokersDown) {
            *last = Some(reason.to_owned());
        }
    }
}

impl ClientContext for ClientEvents {
    /// librdkafka calls a lost connection an error and then recovers from it: for us a warning.
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        let client = self.client;
        let is_about_settings = facility == "CONFWARN";
        match level {
            _ if is_about_settings => debug!(client, facility, message),
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
                error!(client, facility, message);
            }
            RDKafkaLogLevel::Error | RDKafkaLogLevel::Warning => {
                warn!(client, facility, message);
            }
            RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => {
                debug!(client, facility, message);
            }
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::PartitionEOF) {
            return; // That everything was read is no error.
        }
        let client = self.client;
        self.metrics.errors.get_or_create(&ClientLabel { client }).inc();
        let code = error.rdkafka_error_code();
        self.remember(code, reason);
        if code == Some(RDKafkaErrorCode::AllBrokersDown) {
            self.lookout.alarm();
        }
        match code {
            Some(RDKafkaErrorCode::Fatal) => error!(client, reason, "a Kafka client gave up"),
            // Each is logged by the client itself, with the broker's name and not at every attempt.
            Some(
                RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::Resolve
                | RDKafkaErrorCode::AllBrokersDown,
            ) => debug!(client, reason, "a Kafka client lost a broker"),
            _ => warn!(client, reason, "a Kafka client reported an error"),
        }
    }
}

impl ConsumerContext for ClientEvents {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_counted_by_client_and_remembered() {
        let mut metrics = Metrics::new("monitor");
        let events =
            ClientEvents::new("admin", ClientMetrics::declare(&mut metrics), Arc::default());
        assert_eq!(events.last_error(), None);
        let error = KafkaError::Global(RDKafkaErrorCode::AllBrokersDown);
        events.clone().error(error, "1/1 brokers are down");
        let end = KafkaError::Global(RDKafkaErrorCode::PartitionEOF);
        events.error(end, "everything was read");
        assert_eq!(events.last_error().as_deref(), Some("1/1 brokers are down"));
        events.error(KafkaError::Global(RDKafkaErrorCode::Authentication), "wrong password");
        events.error(KafkaError::Global(RDKafkaErrorCode::AllBrokersDown), "1/1 brokers are down");
        assert_eq!(events.last_error().as_deref(), Some("wrong password"));
        let text = metrics.encode();
        let line = "stowage_monitor_kafka_client_errors_total{client=\"admin\"} 3\n";
        assert!(text.contains(line), "{text}");
    }
}
