//! IO. Why a request to Kafka failed, said once.

use std::error::Error;
use std::fmt;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// A failure of librdkafka. Its own `Display` repeats its source, which would show up twice where
/// an error is printed with all its causes; this one has no source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KafkaCause(KafkaError);

impl KafkaCause {
    pub fn new(error: KafkaError) -> Self {
        Self(error)
    }

    /// What a record's place in a partition says instead of a record.
    pub fn of(code: RDKafkaErrorCode) -> Self {
        Self(KafkaError::MessageConsumption(code))
    }

    pub fn code(&self) -> Option<RDKafkaErrorCode> {
        match &self.0 {
            KafkaError::AdminOp(code) => Some(*code),
            error => error.rdkafka_error_code(),
        }
    }

    /// Whether the same request may succeed later: brokers or the network are away or busy.
    pub fn is_transient(&self) -> bool {
        self.code().is_some_and(is_transient)
    }
}

impl fmt::Display for KafkaCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code() {
            Some(code) => write!(f, "{code}"),
            None => write!(f, "{}", self.0),
        }
    }
}

impl Error for KafkaCause {}

fn is_transient(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        code,
        Code::BrokerTransportFailure
            | Code::AllBrokersDown
            | Code::Resolve
            | Code::MessageTimedOut
            | Code::OperationTimedOut
            | Code::QueueFull
            | Code::TimedOutQueue
            | Code::WaitingForCoordinator
            | Code::WaitCache
            | Code::Retry
            | Code::RequestTimedOut
            | Code::BrokerNotAvailable
            | Code::ReplicaNotAvailable
            | Code::LeaderNotAvailable
            | Code::NotLeaderForPartition
            | Code::NetworkException
            | Code::CoordinatorLoadInProgress
            | Code::CoordinatorNotAvailable
            | Code::NotCoordinator
            | Code::NotEnoughReplicas
            | Code::NotEnoughReplicasAfterAppend
            | Code::NotController
            | Code::KafkaStorageError
            | Code::FencedLeaderEpoch
            | Code::UnknownLeaderEpoch
            | Code::ThrottlingQuotaExceeded
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::Chain;

    #[test]
    fn a_cause_is_said_once() {
        let error = KafkaError::MetadataFetch(RDKafkaErrorCode::BrokerTransportFailure);
        let cause = KafkaCause::new(error);
        assert_eq!(
            Chain(&cause).to_string(),
            "BrokerTransportFailure (Local: Broker transport failure)"
        );
        assert!(cause.is_transient());
    }

    #[test]
    fn a_missing_right_is_not_transient() {
        let error = KafkaError::AdminOp(RDKafkaErrorCode::TopicAuthorizationFailed);
        assert!(!KafkaCause::new(error).is_transient());
    }
}
