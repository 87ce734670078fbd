//! IO. Reads several partitions of one of our own topics through one client.

use std::collections::BTreeMap;
use std::sync::Arc;

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::message::Message;

use crate::kafka::cause::KafkaCause;
use crate::kafka::client_events::ClientEvents;
use crate::kafka::clients::KafkaClients;
use crate::kafka::reader::{ReaderError, Start, TopicRecord, judge};
use crate::partition::TopicPartition;

/// Reads each partition in its order; between partitions there is none. It commits nothing.
pub struct PartitionsReader {
    /// For errors, which do not say which partition they are about.
    first: TopicPartition,
    consumer: Arc<StreamConsumer<ClientEvents>>,
}

impl PartitionsReader {
    /// Begins to read each of the partitions where `starts` says. One that does not exist yet is
    /// waited for.
    pub fn open(
        clients: &KafkaClients,
        topic: &str,
        starts: &BTreeMap<u32, Start>,
    ) -> Result<Self, ReaderError> {
        let first = TopicPartition::new(topic, starts.keys().next().copied().unwrap_or(0));
        let consumer = clients
            .topic_consumer()
            .map_err(|source| ReaderError::Client { partition: first.clone(), source })?;
        let mut assignment = TopicPartitionList::new();
        for (&partition, &start) in starts {
            let number = i32::try_from(partition).unwrap_or(i32::MAX);
            let failed = |error| ReaderError::Assign {
                partition: TopicPartition::new(topic, partition),
                start,
                source: KafkaCause::new(error),
            };
            assignment.add_partition_offset(topic, number, start.to_offset()).map_err(failed)?;
        }
        consumer.assign(&assignment).map_err(|error| ReaderError::Read {
            partition: first.clone(),
            source: KafkaCause::new(error),
        })?;
        Ok(Self { first, consumer })
    }

    /// The next record of any partition, with the number of that. A broker that is away is waited
    /// for. Dropping the future loses no record.
    ///
    /// # Errors
    /// If a position is gone, or waiting will not help (no right to read, a fatal client).
    pub async fn next(&self) -> Result<(u32, TopicRecord), ReaderError> {
        loop {
            match self.consumer.recv().await {
                Ok(record) => {
                    let partition = u32::try_from(record.partition()).unwrap_or_default();
                    return Ok((partition, TopicRecord::copy(&record)));
                }
                Err(error) => judge(&self.first, error)?,
            }
        }
    }
}
