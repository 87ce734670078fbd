//! IO. Writes measurements to the monitor's topic, and makes sure that it exists.

use common::kafka::admin::{AdminError, EnsuredTopic, TopicAdmin};
use common::kafka::topic_spec::{Setting, TopicSpec};
use common::kafka::writer::{NewRecord, TopicWriter, WriteError};
use common::messages::measurement::Measurement;
use common::partition::TopicPartition;
use futures::future::try_join_all;
use thiserror::Error;

#[derive(Debug, Error)]
pub enum PublishError {
    #[error("failed to write a measurement as JSON")]
    Encode {
        #[source]
        source: serde_json::Error,
    },
    #[error("failed to publish a measurement")]
    Write {
        #[source]
        source: WriteError,
    },
}

/// Writes to the one partition of the monitor's topic.
pub struct Publisher {
    writer: TopicWriter,
    partition: TopicPartition,
}

impl Publisher {
    pub fn new(writer: TopicWriter, topic: &str) -> Self {
        Self { writer, partition: TopicPartition::new(topic, 0) }
    }

    /// Writes all chunks of a measurement and returns their bytes, once all replicas hold them.
    ///
    /// # Errors
    /// If one of them was not acknowledged. Readers then do without: the next one is newer anyway.
    pub async fn publish(&self, chunks: &[Measurement]) -> Result<usize, PublishError> {
        let encoded: Result<Vec<_>, _> = chunks.iter().map(serde_json::to_vec).collect();
        let encoded = encoded.map_err(|source| PublishError::Encode { source })?;
        let writes = encoded.iter().map(|value| {
            let record = NewRecord { value: Some(value), ..NewRecord::default() };
            self.writer.write(&self.partition, record)
        });
        try_join_all(writes).await.map_err(|source| PublishError::Write { source })?;
        Ok(encoded.iter().map(Vec::len).sum())
    }
}

/// Creates the topic if it is missing.
///
/// # Errors
/// If no broker answers, or the topic can be neither found nor created.
pub async fn ensure_topic(
    admin: &TopicAdmin,
    name: &str,
    retention_ms: i64,
) -> Result<EnsuredTopic, AdminError> {
    let settings = vec![
        Setting::exactly("cleanup.policy", "delete"),
        Setting::exactly("retention.ms", retention_ms.to_string()),
    ];
    admin.ensure_topic(&TopicSpec { name: name.into(), partitions: 1, settings }).await
}
