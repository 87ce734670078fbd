//! IO. The empty loop of Kafka's client: each record is polled, counted and dropped.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use common::kafka::client_events::ClientEvents;
use common::kafka::clients::{FetchBounds, KafkaClients};
use common::partition::TopicPartition;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};

/// Records and their bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counted {
    pub(super) records: u64,
    pub(super) bytes: u64,
}

/// Reads the partitions up to the ends given, on one thread.
pub(super) fn poll_all(
    clients: &KafkaClients,
    bounds: FetchBounds,
    mut open: BTreeMap<TopicPartition, u64>,
) -> anyhow::Result<Counted> {
    let consumer: Arc<BaseConsumer<ClientEvents>> = clients.data_consumer(bounds)?;
    let mut assignment = TopicPartitionList::new();
    for partition in open.keys() {
        let number = i32::try_from(partition.partition()).unwrap_or(i32::MAX);
        assignment.add_partition_offset(partition.topic(), number, Offset::Beginning)?;
    }
    consumer.assign(&assignment)?;
    let mut counted = Counted::default();
    while !open.is_empty() {
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => {
                let bytes = message.key_len() + message.payload_len();
                counted.records += 1;
                counted.bytes += bytes as u64;
            }
            // Everything that this partition has was read.
            Some(Err(KafkaError::PartitionEOF(_))) | None => forget_ended(&consumer, &mut open)?,
            Some(Err(error)) => return Err(error).context("reading failed"),
        }
    }
    Ok(counted)
}

fn forget_ended(
    consumer: &BaseConsumer<ClientEvents>,
    open: &mut BTreeMap<TopicPartition, u64>,
) -> anyhow::Result<()> {
    for element in consumer.position()?.elements() {
        let number = u32::try_from(element.partition()).unwrap_or_default();
        let partition = TopicPartition::new(element.topic(), number);
        let Offset::Offset(position) = element.offset() else { continue };
        let position = u64::try_from(position).unwrap_or_default();
        if open.get(&partition).is_some_and(|end| *end <= position) {
            open.remove(&partition);
        }
    }
    Ok(())
}
