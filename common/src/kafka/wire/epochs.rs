//! Pure. Where in a log the records of a leader's epoch end: whether the log was cut.

use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};
use kafka_protocol::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use kafka_protocol::messages::{
    BrokerId, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use thiserror::Error;

use crate::partition::TopicPartition;

#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum EpochRefusal {
    #[error("the broker does not lead the partition (any more)")]
    NotLeader,
    #[error("no right to describe the topic")]
    NotAllowed,
    #[error("the partition does not exist")]
    Unknown,
    #[error("the broker answered with Kafka's error {code}: {text}")]
    Code { code: i16, text: String },
    #[error("the broker answered nothing about the partition")]
    Missing,
}

/// Where the records of an epoch end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochEnd {
    /// The last epoch not later than the one asked for that the log has records of.
    pub epoch: i32,
    /// The offset after its last record. A position beyond it that was reached in the epoch asked
    /// for lies in a part of the log that was cut off.
    pub end: u64,
}

pub(crate) fn request(partition: &TopicPartition, epoch: i32) -> OffsetForLeaderEpochRequest {
    let number = i32::try_from(partition.partition()).unwrap_or(i32::MAX);
    let asked = OffsetForLeaderPartition::default()
        .with_partition(number)
        .with_current_leader_epoch(UNKNOWN)
        .with_leader_epoch(epoch);
    let name = TopicName(StrBytes::from_string(partition.topic().to_owned()));
    let topic = OffsetForLeaderTopic::default().with_topic(name).with_partitions(vec![asked]);
    OffsetForLeaderEpochRequest::default()
        .with_replica_id(BrokerId(NO_REPLICA))
        .with_topics(vec![topic])
}

const UNKNOWN: i32 = -1;
const NO_REPLICA: i32 = -1;

impl EpochEnd {
    /// Nothing where the log has no records of that epoch or any before it.
    pub(crate) fn from_answer(
        answer: &OffsetForLeaderEpochResponse,
    ) -> Result<Option<Self>, EpochRefusal> {
        let found = answer.topics.first().and_then(|topic| topic.partitions.first());
        let found = found.ok_or(EpochRefusal::Missing)?;
        match found.error_code.err() {
            None => {
                let end = u64::try_from(found.end_offset).ok();
                Ok(end.map(|end| Self { epoch: found.leader_epoch, end }))
            }
            Some(
                ResponseError::NotLeaderOrFollower
                | ResponseError::LeaderNotAvailable
                | ResponseError::ReplicaNotAvailable,
            ) => Err(EpochRefusal::NotLeader),
            Some(ResponseError::TopicAuthorizationFailed) => Err(EpochRefusal::NotAllowed),
            Some(ResponseError::UnknownTopicOrPartition) => Err(EpochRefusal::Unknown),
            Some(error) => Err(EpochRefusal::Code { code: error.code(), text: error.to_string() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::offset_for_leader_epoch_response::{
        EpochEndOffset, OffsetForLeaderTopicResult,
    };

    use super::*;

    fn answer(error: i16, epoch: i32, end: i64) -> Result<Option<EpochEnd>, EpochRefusal> {
        let found = EpochEndOffset::default()
            .with_error_code(error)
            .with_leader_epoch(epoch)
            .with_end_offset(end);
        let topic = OffsetForLeaderTopicResult::default().with_partitions(vec![found]);
        EpochEnd::from_answer(&OffsetForLeaderEpochResponse::default().with_topics(vec![topic]))
    }

    #[test]
    fn an_epoch_without_records_has_no_end_and_a_refusal_is_none() {
        assert_eq!(answer(0, 3, 17), Ok(Some(EpochEnd { epoch: 3, end: 17 })));
        assert_eq!(answer(0, -1, -1), Ok(None));
        assert_eq!(answer(6, -1, -1), Err(EpochRefusal::NotLeader));
        assert_eq!(answer(29, -1, -1), Err(EpochRefusal::NotAllowed));
        assert_eq!(answer(3, -1, -1), Err(EpochRefusal::Unknown));
        assert!(matches!(answer(-1, -1, -1), Err(EpochRefusal::Code { code: -1, .. })));
        let nothing = OffsetForLeaderEpochResponse::default();
        assert_eq!(EpochEnd::from_answer(&nothing), Err(EpochRefusal::Missing));
    }
}
