//! IO. Reads the dead-letter topic, each partition to the end that it had when that was asked.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Duration;

use common::kafka::client_events::ClientMetrics;
use common::kafka::clients::{ClientError, ClientNames, FetchBounds, KafkaClients};
use common::kafka::config_file::ConfigFileError;
use common::kafka::reader::LogRange;
use common::kafka::wire::client::{WireClient, WireError};
use common::partition::TopicPartition;
use futures::StreamExt as _;
use rand::SeedableRng as _;
use rand::rngs::ChaCha8Rng;
use thiserror::Error;
use tokio::time::timeout;

use super::TopicArgs;
use crate::gather::{Fetcher, GatherError, Gathered};
use crate::record::RawRecord;
use crate::topics::{KnownTopics, look_up};

const CLIENT: &str = "stowage-dead-letters";
/// How long Kafka may say nothing while there is more to read.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, Error)]
pub enum TopicError {
    #[error("the settings of the Kafka clients cannot be used")]
    Config(#[source] ConfigFileError),
    #[error("failed to prepare a Kafka client")]
    Client(#[source] ClientError),
    #[error("Kafka could not be asked for its topics")]
    LookUp(#[source] WireError),
    #[error(
        "the topic {topic} does not exist: no consumer has run yet, or --topic-prefix is another one"
    )]
    NoTopic { topic: String },
    #[error("the dead letters cannot be read")]
    Read(#[source] GatherError),
    #[error("records of {partition} were removed while they were read; ask again")]
    Gone { partition: TopicPartition },
    #[error("Kafka said nothing of {partition} for {} s", PATIENCE.as_secs())]
    Silent { partition: TopicPartition },
}

/// A way to the dead letters.
pub(super) struct DeadLetterTopic {
    pub clients: KafkaClients,
    pub name: String,
    wire: WireClient,
    fetcher: Fetcher,
}

impl DeadLetterTopic {
    pub(super) fn connect(args: &TopicArgs) -> Result<Self, TopicError> {
        let kafka = args.kafka.load().map_err(TopicError::Config)?;
        let group = args.group.group_id.clone();
        let names = ClientNames { client_id: CLIENT.into(), group };
        let clients = KafkaClients::new(kafka.clone(), names, ClientMetrics::default());
        let rng = ChaCha8Rng::from_rng(&mut rand::rng());
        let wire = WireClient::new(&kafka, CLIENT, rng).map_err(TopicError::LookUp)?;
        let fetcher =
            Fetcher::start(&clients, FetchBounds::default()).map_err(TopicError::Client)?;
        Ok(Self { clients, name: args.names.topics().dead_letter, wire, fetcher })
    }

    /// What Kafka knows of these topics.
    pub(super) async fn look_up(&self, topics: &[&str]) -> Result<KnownTopics, TopicError> {
        look_up(&self.wire, topics).await.map_err(TopicError::LookUp)
    }

    /// The offsets that each partition has now.
    pub(super) async fn ranges(&self) -> Result<BTreeMap<u32, LogRange>, TopicError> {
        let known = self.look_up(&[&self.name]).await?;
        let topic = known.get(&self.name);
        let topic = topic.ok_or_else(|| TopicError::NoTopic { topic: self.name.clone() })?;
        let mut ranges = BTreeMap::new();
        for partition in topic.partitions.keys() {
            let asked = self.partition(*partition);
            let range = self.fetcher.log_range(&asked).await.map_err(TopicError::Read)?;
            ranges.insert(*partition, range);
        }
        Ok(ranges)
    }

    /// Gives every record of a partition's range to `take`, in order, until that has enough.
    pub(super) async fn each<E: From<TopicError>>(
        &self,
        partition: u32,
        range: LogRange,
        mut take: impl AsyncFnMut(RawRecord) -> Result<ControlFlow<()>, E>,
    ) -> Result<(), E> {
        if range.start >= range.end {
            return Ok(());
        }
        let partition = self.partition(partition);
        let queue = self.fetcher.open(&partition, range.start).map_err(TopicError::Read)?;
        let mut answers = queue.answers();
        loop {
            let gathered = timeout(PATIENCE, answers.next()).await;
            let gathered =
                gathered.map_err(|_| TopicError::Silent { partition: partition.clone() })?;
            for answer in gathered.unwrap_or_default() {
                match answer {
                    Gathered::Records(records) => {
                        for record in records {
                            let is_last = record.offset + 1 >= range.end;
                            let is_new = record.offset < range.end;
                            if is_new && take(record).await?.is_break() || is_last {
                                return Ok(());
                            }
                        }
                    }
                    Gathered::End => return Ok(()),
                    Gathered::Gone => return Err(TopicError::Gone { partition }.into()),
                    Gathered::Failed(error) => return Err(TopicError::Read(error).into()),
                }
            }
        }
    }

    fn partition(&self, number: u32) -> TopicPartition {
        TopicPartition::new(&self.name, number)
    }
}
