//! IO. Closes the partitions of all consumers to earlier leaders, and reads what those wrote.

use std::collections::BTreeMap;

use common::backoff::{Backoff, BackoffPolicy};
use common::chain::Chain;
use common::identity::{ConsumerId, TopicId};
use common::kafka::clients::KafkaClients;
use common::kafka::partitions_reader::PartitionsReader;
use common::kafka::reader::{ReaderError, Start};
use common::kafka::writer::WriteError;
use common::messages::Extra;
use common::messages::command::LeaderStarted;
use futures::future::try_join_all;
use rand::rngs::ChaCha8Rng;
use thiserror::Error;
use tokio::time::sleep;
use tracing::warn;

use crate::conductor::action::{Destination, Reading};
use crate::conductor::input::{CommandsRead, Input, Log};
use crate::inbox::Inbox;
use crate::outbox::Outbox;
use tokio::sync::mpsc;

#[derive(Debug, Error)]
enum TakeOverError {
    #[error("failed to announce the new leader to consumers")]
    Announce {
        #[source]
        source: WriteError,
    },
    #[error("failed to read the commands of earlier leaders")]
    Read {
        #[source]
        source: ReaderError,
    },
}

/// What taking over needs.
pub struct TakeOver {
    pub clients: KafkaClients,
    pub outbox: Outbox,
    pub controller_topic: String,
    pub controller_topic_id: TopicId,
    pub author: String,
    pub inputs: mpsc::Sender<Input>,
}

impl TakeOver {
    /// Tries until it succeeds, and passes on what it read.
    pub async fn run(self, mut reading: Reading, rng: ChaCha8Rng) {
        let mut backoff = Backoff::new(BackoffPolicy::default(), rng);
        loop {
            match self.attempt(&reading).await {
                Ok(read) => {
                    // Nobody listens if the process ends.
                    let _ = self.inputs.send(Input::Commands(read)).await;
                    return;
                }
                Err(error) => {
                    warn!(error = %Chain(&error), "taking over was tried in vain");
                    if matches!(
                        error,
                        TakeOverError::Read { source: ReaderError::PositionGone { .. } }
                    ) {
                        reading.starts.values_mut().for_each(|start| *start = None);
                    }
                    sleep(backoff.next_delay()).await;
                }
            }
        }
    }

    async fn attempt(&self, reading: &Reading) -> Result<CommandsRead, TakeOverError> {
        let announce = reading.starts.keys().map(|consumer| self.announce(*consumer, reading));
        let announced = try_join_all(announce).await;
        let ends: BTreeMap<ConsumerId, u64> =
            announced.map_err(|source| TakeOverError::Announce { source })?.into_iter().collect();
        self.read_up_to(reading, ends).await.map_err(|source| TakeOverError::Read { source })
    }

    async fn announce(
        &self,
        consumer: ConsumerId,
        reading: &Reading,
    ) -> Result<(ConsumerId, u64), WriteError> {
        let started = LeaderStarted {
            nonce: reading.nonce,
            author: self.author.clone(),
            generation: Some(reading.generation),
            controller_topic_id: self.controller_topic_id,
            extra: Extra::new(),
        };
        let to = Destination::Consumer(consumer);
        let next = self.outbox.write(to, &started.into(), reading.nonce).await?;
        Ok((consumer, next))
    }

    /// Reads each partition up to the own `LeaderStarted`.
    async fn read_up_to(
        &self,
        reading: &Reading,
        ends: BTreeMap<ConsumerId, u64>,
    ) -> Result<CommandsRead, ReaderError> {
        let start = |start: &Option<u64>| start.map_or(Start::Beginning, Start::Offset);
        let starts =
            reading.starts.iter().map(|(consumer, from)| (consumer.0, start(from))).collect();
        let reader = PartitionsReader::open(&self.clients, &self.controller_topic, &starts)?;
        let mut inboxes = BTreeMap::<ConsumerId, Inbox>::new();
        let mut unread = ends.clone();
        let generation = reading.generation;
        let mut read =
            CommandsRead { generation, next: ends.into_iter().collect(), messages: vec![] };
        while !unread.is_empty() {
            let (partition, record) = reader.next().await?;
            let consumer = ConsumerId(partition);
            let is_last = unread.get(&consumer).is_none_or(|end| record.offset + 1 >= *end);
            if unread.contains_key(&consumer) {
                match inboxes.entry(consumer).or_default().take(record) {
                    Ok(Some(received)) => read.messages.push((consumer, received.message)),
                    Ok(None) => {}
                    Err(error) => {
                        let error = Chain(&error).to_string();
                        self.tell_malformed(error).await;
                    }
                }
            }
            if is_last {
                unread.remove(&consumer);
            }
        }
        Ok(read)
    }

    async fn tell_malformed(&self, error: String) {
        let _ = self.inputs.send(Input::Malformed { log: Log::Commands, error }).await;
    }
}
