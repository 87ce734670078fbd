//! IO. Closes the partitions of all consumers to earlier leaders, and reads what those wrote.
//!
//! A partition that can be neither written nor read for a while is left out, so that it holds back
//! only what its consumer may hold; from then on it is tried until it can.

use std::collections::BTreeMap;
use std::time::Duration;

use common::backoff::{Backoff, BackoffPolicy};
use common::chain::Chain;
use common::clock::Clock;
use common::identity::{ConsumerId, TopicId};
use common::kafka::clients::KafkaClients;
use common::kafka::partitions_reader::PartitionsReader;
use common::kafka::reader::{ReaderError, Start};
use common::kafka::writer::WriteError;
use common::messages::command::LeaderStarted;
use common::messages::{Extra, Message};
use common::term::Generation;
use futures::future::join_all;
use rand::rngs::ChaCha8Rng;
use thiserror::Error;
use tokio::time::{sleep, timeout};
use tracing::warn;

use crate::conductor::action::{Destination, Reading};
use crate::conductor::input::{CommandsRead, Input, Log};
use crate::inbox::Inbox;
use crate::outbox::Outbox;
use tokio::sync::mpsc;

/// For so long every partition is tried. Then the reign begins without those that it cannot reach.
const PATIENCE: Duration = Duration::from_secs(10);
/// For so long an attempt waits for an acknowledgement, or for the next record.
const ANSWER_PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug, Error)]
enum TakeOverError {
    #[error("failed to announce the new leader to consumer {consumer}")]
    Announce {
        consumer: ConsumerId,
        #[source]
        source: WriteError,
    },
    #[error("consumer {consumer} was not told of the new leader in time")]
    NotAnnounced { consumer: ConsumerId },
    #[error("failed to read the commands of earlier leaders")]
    Read {
        #[source]
        source: ReaderError,
    },
    #[error("the commands of earlier leaders did not come, of {consumers} consumers")]
    NotRead { consumers: usize },
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

/// How far it got.
#[derive(Default)]
struct Progress {
    /// Behind the own `LeaderStarted`, where that was acknowledged.
    ends: BTreeMap<ConsumerId, u64>,
    /// What stood before it, where it was read.
    read: BTreeMap<ConsumerId, Vec<Message>>,
}

impl TakeOver {
    /// Passes on what it read, and tells when what it could not reach can be.
    pub async fn run(self, mut reading: Reading, rng: ChaCha8Rng) {
        let mut backoff = Backoff::new(BackoffPolicy::default(), rng);
        let generation = reading.generation;
        let give_up_at = Clock.now() + PATIENCE;
        let mut progress = Progress::default();
        loop {
            self.attempt(&mut reading, &mut progress).await;
            reading.starts.retain(|consumer, _| !progress.read.contains_key(consumer));
            let is_late = Clock.now() >= give_up_at && !progress.read.is_empty();
            if reading.starts.is_empty() || is_late {
                break;
            }
            sleep(backoff.next_delay()).await;
        }
        // Nobody listens if the process ends.
        let _ = self.inputs.send(Input::Commands(progress.read_so_far(generation))).await;
        let mut progress = Progress::default();
        while !reading.starts.is_empty() {
            sleep(backoff.next_delay()).await;
            self.attempt(&mut reading, &mut progress).await;
            if !progress.read.is_empty() {
                let _ = self.inputs.send(Input::Reachable { generation }).await;
                return;
            }
        }
    }

    /// Announces the reign where that was not done yet, and reads what is missing.
    async fn attempt(&self, reading: &mut Reading, progress: &mut Progress) {
        let untold = reading.starts.keys().filter(|n| !progress.ends.contains_key(n));
        let announced = join_all(untold.map(|consumer| self.announce(*consumer, reading))).await;
        for told in announced {
            match told {
                Ok((consumer, end)) => {
                    progress.ends.insert(consumer, end);
                }
                Err(error) => warn!(error = %Chain(&error), "taking over was tried in vain"),
            }
        }
        if let Err(error) = self.read(reading, progress).await {
            warn!(error = %Chain(&error), "taking over was tried in vain");
            if matches!(error, TakeOverError::Read { source: ReaderError::PositionGone { .. } }) {
                reading.starts.values_mut().for_each(|start| *start = None);
            }
        }
    }

    async fn announce(
        &self,
        consumer: ConsumerId,
        reading: &Reading,
    ) -> Result<(ConsumerId, u64), TakeOverError> {
        let started = LeaderStarted {
            nonce: reading.nonce,
            author: self.author.clone(),
            generation: Some(reading.generation),
            controller_topic_id: self.controller_topic_id,
            extra: Extra::new(),
        };
        let (to, started) = (Destination::Consumer(consumer), started.into());
        let written = self.outbox.write(to, &started, reading.nonce);
        match timeout(ANSWER_PATIENCE, written).await {
            Ok(Ok(next)) => Ok((consumer, next)),
            Ok(Err(source)) => Err(TakeOverError::Announce { consumer, source }),
            Err(_) => Err(TakeOverError::NotAnnounced { consumer }),
        }
    }

    /// Reads each partition that knows of the reign up to the own `LeaderStarted`.
    async fn read(&self, reading: &Reading, progress: &mut Progress) -> Result<(), TakeOverError> {
        let is_due = |consumer: &ConsumerId| progress.ends.contains_key(consumer);
        let starts = reading.starts.iter().filter(|(consumer, _)| is_due(consumer));
        let start = |start: &Option<u64>| start.map_or(Start::Beginning, Start::Offset);
        let starts: BTreeMap<_, _> =
            starts.map(|(consumer, from)| (consumer.0, start(from))).collect();
        if starts.is_empty() {
            return Ok(());
        }
        self.read_up_to(&starts, progress).await
    }

    async fn read_up_to(
        &self,
        starts: &BTreeMap<u32, Start>,
        progress: &mut Progress,
    ) -> Result<(), TakeOverError> {
        let failed = |source| TakeOverError::Read { source };
        let reader = PartitionsReader::open(&self.clients, &self.controller_topic, starts);
        let reader = reader.map_err(failed)?;
        let mut unread: BTreeMap<ConsumerId, (Inbox, Vec<Message>)> =
            starts.keys().map(|partition| (ConsumerId(*partition), Default::default())).collect();
        while !unread.is_empty() {
            let next = timeout(ANSWER_PATIENCE, reader.next()).await;
            let missing = |_| TakeOverError::NotRead { consumers: unread.len() };
            let (partition, record) = next.map_err(missing)?.map_err(failed)?;
            let consumer = ConsumerId(partition);
            let Some((inbox, messages)) = unread.get_mut(&consumer) else { continue };
            let is_last = record.offset + 1 >= progress.ends[&consumer];
            match inbox.take(record).map_err(|error| Chain(&error).to_string()) {
                Ok(Some(received)) => messages.push(received.message),
                Ok(None) => {}
                Err(error) => self.tell_malformed(error).await,
            }
            if is_last && let Some((_, messages)) = unread.remove(&consumer) {
                progress.read.insert(consumer, messages);
            }
        }
        Ok(())
    }

    async fn tell_malformed(&self, error: String) {
        let _ = self.inputs.send(Input::Malformed { log: Log::Commands, error }).await;
    }
}

impl Progress {
    fn read_so_far(self, generation: Generation) -> CommandsRead {
        let Self { ends, read } = self;
        let next = read.keys().map(|consumer| (*consumer, ends[consumer])).collect();
        let messages = read.into_iter().flat_map(|(consumer, messages)| {
            messages.into_iter().map(move |message| (consumer, message))
        });
        CommandsRead { generation, messages: messages.collect(), next }
    }
}
