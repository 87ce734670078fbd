//! IO. `orchestrator send`: requests of a person, written to partition 0 of the controller topic.

use std::time::Duration;

use clap::{Args, Subcommand};
use common::args::{KafkaArgs, NameArgs, TelemetryArgs};
use common::identity::{ConsumerId, Nonce};
use common::kafka::admin::{AdminError, TopicAdmin};
use common::kafka::client_events::ClientMetrics;
use common::kafka::clients::{ClientError, ClientNames, KafkaClients};
use common::kafka::config_file::ConfigFileError;
use common::kafka::reader::{ReaderError, Start, TopicReader};
use common::kafka::writer::{TopicWriter, WriteError};
use common::messages::request::{StartConsuming, StateQuery, StopConsuming};
use common::messages::snapshot::Snapshot;
use common::messages::{Extra, Message};
use common::partition::TopicPartition;
use thiserror::Error;
use tokio::time::timeout;

use crate::conductor::action::Destination;
use crate::inbox::Inbox;
use crate::outbox::Outbox;

const CLIENT: &str = "stowage-orchestrator-command";

#[derive(Args, Clone, Debug)]
pub struct SendArgs {
    #[command(subcommand)]
    pub request: Request,
}

#[derive(Subcommand, Clone, Debug)]
pub enum Request {
    /// Read partitions again, and preferably at a certain consumer
    Start(StartArgs),
    /// Stop reading partitions, until they are started again
    Stop(StopArgs),
    /// Ask the leader for its whole state, and print that as JSON
    Query(QueryArgs),
}

/// Where our topics are.
#[derive(Args, Clone, Debug)]
pub struct TopicArgs {
    #[command(flatten)]
    pub kafka: KafkaArgs,

    #[command(flatten)]
    pub telemetry: TelemetryArgs,

    #[command(flatten)]
    pub names: NameArgs,
}

#[derive(Args, Clone, Debug)]
pub struct StartArgs {
    #[command(flatten)]
    pub topics: TopicArgs,

    /// Topic whose partitions are meant
    pub topic: String,

    /// Partitions, separated by commas; all of them unless given
    #[arg(long, value_name = "NUMBER,…", value_delimiter = ',')]
    pub partitions: Vec<u32>,

    /// Consumer that is preferred from now on
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    pub consumer: Option<u32>,
}

#[derive(Args, Clone, Debug)]
pub struct StopArgs {
    #[command(flatten)]
    pub topics: TopicArgs,

    /// Topic whose partitions are meant
    pub topic: String,

    /// Partitions, separated by commas; all of them unless given
    #[arg(long, value_name = "NUMBER,…", value_delimiter = ',')]
    pub partitions: Vec<u32>,
}

#[derive(Args, Clone, Debug)]
pub struct QueryArgs {
    #[command(flatten)]
    pub topics: TopicArgs,

    /// Seconds to wait for the answer
    #[arg(long, value_name = "SECONDS", default_value_t = 15)]
    pub timeout_secs: u64,
}

#[derive(Debug, Error)]
pub enum SendError {
    #[error("the settings of the Kafka clients cannot be used")]
    Config {
        #[source]
        source: ConfigFileError,
    },
    #[error("failed to prepare a Kafka client")]
    Client {
        #[source]
        source: ClientError,
    },
    #[error("Kafka could not be asked")]
    Admin {
        #[source]
        source: AdminError,
    },
    #[error("the topic {topic} does not exist: no orchestrator has run yet")]
    NoTopic { topic: String },
    #[error("the request was not written")]
    Write {
        #[source]
        source: WriteError,
    },
    #[error("the answer could not be read")]
    Read {
        #[source]
        source: ReaderError,
    },
    #[error("no leader answered within {seconds} s")]
    NoAnswer { seconds: u64 },
}

impl Request {
    pub fn topics(&self) -> &TopicArgs {
        match self {
            Self::Start(start) => &start.topics,
            Self::Stop(stop) => &stop.topics,
            Self::Query(query) => &query.topics,
        }
    }
}

/// Writes the request and returns what to print.
///
/// # Errors
/// If Kafka does not answer, or nobody does whom the request is for.
pub async fn send(args: &SendArgs) -> Result<String, SendError> {
    let (topics, nonce) = (args.request.topics(), Nonce::from_rng(&mut rand::rng()));
    let clients = connect(topics).await?;
    match &args.request {
        Request::Start(start) => {
            let request = StartConsuming {
                topic: start.topic.clone(),
                partitions: start.partitions.clone(),
                consumer: start.consumer.map(ConsumerId),
                extra: Extra::new(),
            };
            write(&clients, topics, request.into(), nonce).await?;
            Ok(format!("asked to read {}", start.topic))
        }
        Request::Stop(stop) => {
            let (topic, partitions) = (stop.topic.clone(), stop.partitions.clone());
            let request = StopConsuming { topic, partitions, extra: Extra::new() };
            write(&clients, topics, request.into(), nonce).await?;
            Ok(format!("asked not to read {}", stop.topic))
        }
        Request::Query(query) => {
            let request = StateQuery { nonce: Some(nonce), extra: Extra::new() };
            let next = write(&clients, topics, request.into(), nonce).await?;
            let seconds = query.timeout_secs;
            let answer = answer(&clients, topics, next, nonce);
            let answered = timeout(Duration::from_secs(seconds), answer).await;
            let snapshot = answered.map_err(|_| SendError::NoAnswer { seconds })??;
            Ok(serde_json::to_string_pretty(&snapshot).expect("a snapshot is always JSON"))
        }
    }
}

/// Clients that reach Kafka, where our topics are.
pub(super) async fn connect(args: &TopicArgs) -> Result<KafkaClients, SendError> {
    let config = args.kafka.load().map_err(|source| SendError::Config { source })?;
    let names = ClientNames { client_id: CLIENT.into(), group: CLIENT.into() };
    let clients = KafkaClients::new(config, names, ClientMetrics::default());
    let admin_error = |source| SendError::Admin { source };
    let admin = TopicAdmin::connect(&clients).await.map_err(admin_error)?;
    let topics = args.names.topics();
    for topic in [topics.controller, topics.service] {
        if admin.partitions(&topic).await.map_err(admin_error)?.is_none() {
            return Err(SendError::NoTopic { topic });
        }
    }
    Ok(clients)
}

/// Returns the offset after the request.
pub(super) async fn write(
    clients: &KafkaClients,
    args: &TopicArgs,
    request: Message,
    nonce: Nonce,
) -> Result<u64, SendError> {
    let producer = clients.producer().map_err(|source| SendError::Client { source })?;
    let outbox = Outbox::new(TopicWriter::new(producer), args.names.topics().into());
    let written = outbox.write(Destination::Requests, &request, nonce).await;
    written.map_err(|source| SendError::Write { source })
}

/// The snapshot that quotes the nonce. Records that are no messages are somebody else's concern.
pub(super) async fn answer(
    clients: &KafkaClients,
    args: &TopicArgs,
    from: u64,
    nonce: Nonce,
) -> Result<Snapshot, SendError> {
    let read_error = |source| SendError::Read { source };
    let partition = TopicPartition::new(&args.names.topics().controller, 0);
    let reader = TopicReader::open(clients, partition, Start::Offset(from)).map_err(read_error)?;
    let mut inbox = Inbox::default();
    loop {
        let record = reader.next().await.map_err(read_error)?;
        if let Ok(Some(received)) = inbox.take(record)
            && let Message::Snapshot(snapshot) = received.message
            && snapshot.query == Some(nonce)
        {
            return Ok(snapshot);
        }
    }
}
