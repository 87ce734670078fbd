//! Pure. How many bytes each replica on a broker holds.

use std::collections::BTreeMap;

use kafka_protocol::error::{ParseResponseErrorCode, ResponseError};
use kafka_protocol::messages::DescribeLogDirsResponse;
use kafka_protocol::messages::describe_log_dirs_response::{
    DescribeLogDirsResult, DescribeLogDirsTopic,
};
use thiserror::Error;

use crate::partition::TopicPartition;

#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LogDirsRefusal {
    #[error("no right to ask for log dirs: `Describe` on the cluster is needed")]
    NotAllowed,
    #[error("the broker answered with Kafka's error {code}: {text}")]
    Code { code: i16, text: String },
}

/// The replicas on one broker, leading or following.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogDirs {
    /// Bytes on the log, by partition.
    pub sizes: BTreeMap<TopicPartition, u64>,
    /// Folders that the broker could not read, with its reason: what they hold is not in `sizes`.
    pub failed: BTreeMap<String, String>,
}

/// From this version on an answer says whether it was refused; before, it is empty then.
const FIRST_VERSION_WITH_ERROR: i16 = 3;

impl LogDirs {
    pub(crate) fn from_answer(
        answer: DescribeLogDirsResponse,
        version: i16,
    ) -> Result<Self, LogDirsRefusal> {
        match answer.error_code.err() {
            Some(ResponseError::ClusterAuthorizationFailed) => {
                return Err(LogDirsRefusal::NotAllowed);
            }
            Some(error) => {
                let text = error.to_string();
                return Err(LogDirsRefusal::Code { code: error.code(), text });
            }
            None if version < FIRST_VERSION_WITH_ERROR && answer.results.is_empty() => {
                return Err(LogDirsRefusal::NotAllowed);
            }
            None => {}
        }
        let mut log_dirs = Self::default();
        for folder in &answer.results {
            log_dirs.add(folder);
        }
        Ok(log_dirs)
    }

    fn add(&mut self, folder: &DescribeLogDirsResult) {
        if let Some(error) = folder.error_code.err() {
            self.failed.insert(folder.log_dir.as_str().to_owned(), error.to_string());
            return;
        }
        for topic in &folder.topics {
            self.add_topic(topic);
        }
    }

    /// A replica that is being moved between folders is in both: the one that it moves to is still
    /// growing, and does not count. Should one be listed twice all the same, the larger counts.
    fn add_topic(&mut self, topic: &DescribeLogDirsTopic) {
        for replica in topic.partitions.iter().filter(|replica| !replica.is_future_key) {
            let Ok(index) = u32::try_from(replica.partition_index) else { continue };
            let Ok(size) = u64::try_from(replica.partition_size) else { continue };
            let partition = TopicPartition::new(topic.name.0.as_str(), index);
            let known = self.sizes.entry(partition).or_default();
            *known = size.max(*known);
        }
    }
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::TopicName;
    use kafka_protocol::messages::describe_log_dirs_response::DescribeLogDirsPartition;
    use kafka_protocol::protocol::StrBytes;

    use super::*;

    fn replica(index: i32, size: i64) -> DescribeLogDirsPartition {
        DescribeLogDirsPartition::default().with_partition_index(index).with_partition_size(size)
    }

    fn folder(
        path: &'static str,
        replicas: Vec<DescribeLogDirsPartition>,
    ) -> DescribeLogDirsResult {
        let topic = DescribeLogDirsTopic::default()
            .with_name(TopicName(StrBytes::from_static_str("orders")))
            .with_partitions(replicas);
        DescribeLogDirsResult::default()
            .with_log_dir(StrBytes::from_static_str(path))
            .with_topics(vec![topic])
    }

    #[test]
    fn a_replica_that_moves_between_folders_counts_once() {
        let moving = replica(0, 10).with_is_future_key(true);
        let answer = DescribeLogDirsResponse::default().with_results(vec![
            folder("/a", vec![replica(0, 7), replica(1, 5)]),
            folder("/b", vec![moving, replica(1, 4), replica(2, -1)]),
        ]);
        let log_dirs = LogDirs::from_answer(answer, 4).unwrap();
        let orders = |index| TopicPartition::new("orders", index);
        assert_eq!(log_dirs.sizes, [(orders(0), 7), (orders(1), 5)].into());
    }

    #[test]
    fn a_folder_that_failed_is_named_and_counts_nothing() {
        let failed = folder("/a", vec![replica(0, 7)]).with_error_code(56);
        let answer = DescribeLogDirsResponse::default().with_results(vec![failed]);
        let log_dirs = LogDirs::from_answer(answer, 4).unwrap();
        assert!(log_dirs.sizes.is_empty());
        assert_eq!(log_dirs.failed.keys().collect::<Vec<_>>(), ["/a"]);
    }

    #[test]
    fn a_refusal_is_not_an_empty_broker() {
        let refused = DescribeLogDirsResponse::default().with_error_code(31);
        assert_eq!(LogDirs::from_answer(refused, 4), Err(LogDirsRefusal::NotAllowed));
        let silent = DescribeLogDirsResponse::default();
        assert_eq!(LogDirs::from_answer(silent.clone(), 2), Err(LogDirsRefusal::NotAllowed));
        assert_eq!(LogDirs::from_answer(silent, 3), Ok(LogDirs::default()));
        let other = DescribeLogDirsResponse::default().with_error_code(-1);
        let refusal = LogDirs::from_answer(other, 4).unwrap_err();
        assert!(matches!(refusal, LogDirsRefusal::Code { code: -1, .. }));
    }
}
