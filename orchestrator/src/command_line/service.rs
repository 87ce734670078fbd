//! IO. `orchestrator service`: what is read into what, and what consumers run with.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::{Args, Subcommand};
use common::kafka::clients::{ClientError, KafkaClients};
use common::kafka::reader::{ReaderError, Start, TopicReader};
use common::kafka::writer::{NewRecord, TopicWriter, WriteError};
use common::messages::format::FORMATS;
use common::messages::service::{DeploymentEntry, SINKS, ServiceError, ServiceKey, TopicEntry};
use common::partition::TopicPartition;
use thiserror::Error;

use super::send::{SendError, TopicArgs, connect};

const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Args, Clone, Debug)]
pub struct ServiceArgs {
    #[command(subcommand)]
    pub command: ServiceCommand,
}

#[derive(Subcommand, Clone, Debug)]
pub enum ServiceCommand {
    /// Read a topic, and say into what
    Set(SetArgs),
    /// Say what consumers are started with from now on
    SetDeployment(SetDeploymentArgs),
    /// Show the entry of one topic
    Get(OneArgs),
    /// Show all entries, as JSON
    List(ListArgs),
    /// Stop reading a topic; what was stored stays
    Remove(OneArgs),
}

#[derive(Args, Clone, Debug)]
pub struct SetArgs {
    #[command(flatten)]
    pub topics: TopicArgs,

    /// Topic to read
    pub topic: String,

    /// Table or folder that the rows go to; named as the topic unless given
    #[arg(long, value_name = "NAME")]
    pub table: Option<String>,

    /// What records are
    #[arg(long, value_name = "NAME", default_value = FORMATS[0], value_parser = FORMATS)]
    pub format: String,

    /// Where rows go
    #[arg(long, value_name = "NAME", default_value = SINKS[0], value_parser = SINKS)]
    pub sink: String,

    /// Option of the format or the sink; may be repeated
    #[arg(long, value_name = "OPTION=VALUE", value_parser = parse_pair)]
    pub option: Vec<(String, String)>,
}

#[derive(Args, Clone, Debug)]
pub struct SetDeploymentArgs {
    #[command(flatten)]
    pub topics: TopicArgs,

    /// Program of the consumers
    #[arg(long, value_name = "FILE")]
    pub program: Option<String>,

    /// Container image of the consumers, on Kubernetes
    #[arg(long, value_name = "IMAGE")]
    pub image: Option<String>,

    /// Option of the consumers, as on their command line without the dashes; may be repeated
    #[arg(long, value_name = "OPTION=VALUE", value_parser = parse_pair)]
    pub option: Vec<(String, String)>,
}

#[derive(Args, Clone, Debug)]
pub struct OneArgs {
    #[command(flatten)]
    pub topics: TopicArgs,

    /// Topic that is meant
    pub topic: String,
}

#[derive(Args, Clone, Debug)]
pub struct ListArgs {
    #[command(flatten)]
    pub topics: TopicArgs,
}

#[derive(Debug, Error)]
pub enum EntryError {
    #[error("the service entries cannot be reached")]
    Connect {
        #[source]
        source: SendError,
    },
    #[error("the entry is not one that can be followed")]
    Invalid {
        #[source]
        source: ServiceError,
    },
    #[error("failed to prepare a Kafka client")]
    Client {
        #[source]
        source: ClientError,
    },
    #[error("the service entry was not written")]
    Write {
        #[source]
        source: WriteError,
    },
    #[error("the service entries could not be read")]
    Read {
        #[source]
        source: ReaderError,
    },
    #[error("there is no service entry for the topic {topic}")]
    NoEntry { topic: String },
}

impl ServiceCommand {
    pub fn topics(&self) -> &TopicArgs {
        match self {
            Self::Set(args) => &args.topics,
            Self::SetDeployment(args) => &args.topics,
            Self::Get(args) | Self::Remove(args) => &args.topics,
            Self::List(args) => &args.topics,
        }
    }
}

/// Carries a command out and returns what to print.
///
/// # Errors
/// If the entry is none that can be followed, or Kafka does not answer.
pub async fn service(args: &ServiceArgs) -> Result<String, EntryError> {
    let topics = args.command.topics();
    let change = change(&args.command)?;
    let clients = connect(topics).await.map_err(|source| EntryError::Connect { source })?;
    let partition = TopicPartition::new(&topics.names.topics().service, 0);
    if let Some(Change { key, value, said }) = change {
        write(&clients, &partition, &key.to_text(), value.as_deref()).await?;
        return Ok(said);
    }
    let entries = read(&clients, partition).await?;
    match &args.command {
        ServiceCommand::Get(one) => {
            let key = ServiceKey::Topic(one.topic.clone()).to_text();
            let entry = entries.get(&key).cloned();
            entry.ok_or_else(|| EntryError::NoEntry { topic: one.topic.clone() })
        }
        ServiceCommand::Set(_)
        | ServiceCommand::SetDeployment(_)
        | ServiceCommand::Remove(_)
        | ServiceCommand::List(_) => {
            let lines = entries.iter().map(|(key, entry)| format!("{key} {entry}"));
            Ok(lines.collect::<Vec<_>>().join("\n"))
        }
    }
}

struct Change {
    key: ServiceKey,
    value: Option<Vec<u8>>,
    said: String,
}

/// What a command writes, if it does; checked as the orchestrator will.
fn change(command: &ServiceCommand) -> Result<Option<Change>, EntryError> {
    let invalid = |source| EntryError::Invalid { source };
    let bytes = |entry: serde_json::Result<Vec<u8>>| entry.expect("an entry is always JSON");
    let change = match command {
        ServiceCommand::Set(set) => {
            let (topic, options) = (set.topic.clone(), set.option.iter().cloned().collect());
            let (table, format, sink) = (set.table.clone(), set.format.clone(), set.sink.clone());
            let value = bytes(serde_json::to_vec(&TopicEntry { table, format, sink, options }));
            TopicEntry::parse(&topic, &value).map_err(invalid)?;
            let said = format!("{topic} is to be read");
            Change { key: ServiceKey::Topic(topic), value: Some(value), said }
        }
        ServiceCommand::SetDeployment(set) => {
            let options = set.option.iter().cloned().collect();
            let (image, program) = (set.image.clone(), set.program.clone());
            let value = bytes(serde_json::to_vec(&DeploymentEntry { image, program, options }));
            let said = "consumers are started with this from now on".to_owned();
            Change { key: ServiceKey::Deployment, value: Some(value), said }
        }
        ServiceCommand::Remove(one) => {
            let said = format!("{} is not to be read any more", one.topic);
            Change { key: ServiceKey::Topic(one.topic.clone()), value: None, said }
        }
        ServiceCommand::Get(_) | ServiceCommand::List(_) => return Ok(None),
    };
    Ok(Some(change))
}

async fn write(
    clients: &KafkaClients,
    partition: &TopicPartition,
    key: &str,
    value: Option<&[u8]>,
) -> Result<(), EntryError> {
    let producer = clients.producer().map_err(|source| EntryError::Client { source })?;
    let record = NewRecord { key: Some(key.as_bytes()), value, headers: &[] };
    let written = TopicWriter::new(producer).write(partition, record).await;
    written.map(|_| ()).map_err(|source| EntryError::Write { source })
}

/// The latest entry of each key.
async fn read(
    clients: &KafkaClients,
    partition: TopicPartition,
) -> Result<BTreeMap<String, String>, EntryError> {
    let read_error = |source| EntryError::Read { source };
    let reader = TopicReader::open(clients, partition, Start::Beginning).map_err(read_error)?;
    let range = reader.log_range(PATIENCE).await.map_err(read_error)?;
    let mut entries = BTreeMap::new();
    let mut next = range.start;
    while next < range.end {
        let record = reader.next().await.map_err(read_error)?;
        next = record.offset + 1;
        let key = String::from_utf8_lossy(&record.key.unwrap_or_default()).into_owned();
        match record.value {
            Some(value) => {
                entries.insert(key, String::from_utf8_lossy(&value).into_owned());
            }
            None => {
                entries.remove(&key);
            }
        }
    }
    Ok(entries)
}

fn parse_pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected `option=value`")?;
    Ok((name.into(), value.into()))
}
