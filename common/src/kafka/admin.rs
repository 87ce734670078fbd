//! IO. Makes sure that our own topics exist, are large enough and are set up as we need them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::admin::{
    AdminClient, AdminOptions, ConfigResource, NewPartitions, NewTopic, ResourceSpecifier,
    TopicReplication,
};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use thiserror::Error;
use tokio::task;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use crate::kafka::cause::KafkaCause;
use crate::kafka::client_events::ClientEvents;
use crate::kafka::clients::{ClientError, KafkaClients};
use crate::kafka::topic_spec::{TopicSpec, WrongSetting};

/// How long a broker may take to answer before it counts as away.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
const KNOWN_TIMEOUT: Duration = Duration::from_secs(30);
const KNOWN_POLL: Duration = Duration::from_millis(100);

#[derive(Debug, Error)]
pub enum AdminError {
    #[error("failed to prepare the administration of topics")]
    Client {
        #[source]
        source: ClientError,
    },
    #[error("no broker at {servers} answered within {} s{}", ANSWER_TIMEOUT.as_secs(), hint(last_error))]
    NoBroker {
        servers: String,
        last_error: Option<String>,
        #[source]
        source: KafkaCause,
    },
    #[error("failed to create the topic {topic}")]
    Create {
        topic: String,
        #[source]
        source: KafkaCause,
    },
    #[error("failed to grow the topic {topic} to {partitions} partitions")]
    Grow {
        topic: String,
        partitions: u32,
        #[source]
        source: KafkaCause,
    },
    #[error("failed to read the settings of the topic {topic}")]
    Describe {
        topic: String,
        #[source]
        source: KafkaCause,
    },
    #[error("failed to delete the topic {topic}")]
    Delete {
        topic: String,
        #[source]
        source: KafkaCause,
    },
    #[error("the topic {topic} is not known with {partitions} partitions after {} s", KNOWN_TIMEOUT.as_secs())]
    Unknown { topic: String, partitions: u32 },
}

fn hint(last_error: &Option<String>) -> String {
    last_error.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default()
}

/// What was found or done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnsuredTopic {
    pub is_created: bool,
    /// Partitions that it has now.
    pub partitions: u32,
    /// Empty also where we may not ask for settings; that is logged.
    pub wrong_settings: Vec<WrongSetting>,
}

/// Creates and checks topics. Meant to be made, used and dropped at start.
pub struct TopicAdmin {
    admin: AdminClient<ClientEvents>,
    metadata: Arc<BaseConsumer<ClientEvents>>,
    servers: String,
}

impl TopicAdmin {
    /// Waits until a broker answers.
    ///
    /// # Errors
    /// If none does within 10 s.
    pub async fn connect(clients: &KafkaClients) -> Result<Self, AdminError> {
        let error = |source| AdminError::Client { source };
        let admin = Self {
            admin: clients.admin().map_err(error)?,
            metadata: clients.offsets_consumer().map_err(error)?,
            servers: clients.config().bootstrap_servers().to_owned(),
        };
        admin.partitions("").await?;
        Ok(admin)
    }

    /// Creates the topic if it is missing, grows it if it has too few partitions, and compares the
    /// settings of one that existed.
    ///
    /// # Errors
    /// If a broker does not answer or refuses. Wrong settings are no error here: what follows from
    /// them is the caller's to say.
    pub async fn ensure_topic(&self, spec: &TopicSpec) -> Result<EnsuredTopic, AdminError> {
        let existing = match self.partitions(&spec.name).await? {
            Some(existing) => Some(existing),
            None if self.create(spec).await? => None,
            None => Some(self.wait_until_known(&spec.name, 1).await?),
        };
        if existing.is_some_and(|existing| existing < spec.partitions) {
            self.grow(spec).await?;
        }
        let partitions = self.wait_until_known(&spec.name, spec.partitions).await?;
        let wrong_settings = match existing {
            Some(_) => self.wrong_settings(spec).await?,
            None => Vec::new(),
        };
        Ok(EnsuredTopic { is_created: existing.is_none(), partitions, wrong_settings })
    }

    /// Waits until the cluster knows the topic with at least so many partitions, each with a
    /// leader, and returns how many there are.
    pub async fn wait_until_known(&self, topic: &str, partitions: u32) -> Result<u32, AdminError> {
        let poll = async {
            loop {
                match self.partitions(topic).await? {
                    Some(known) if known >= partitions => return Ok(known),
                    Some(_) | None => sleep(KNOWN_POLL).await,
                }
            }
        };
        match timeout(KNOWN_TIMEOUT, poll).await {
            Ok(known) => known,
            Err(_) => Err(AdminError::Unknown { topic: topic.into(), partitions }),
        }
    }

    /// Deletes a topic; one that is not there is as wanted.
    ///
    /// # Errors
    /// If a broker does not answer or refuses.
    pub async fn delete_topic(&self, topic: &str) -> Result<(), AdminError> {
        let deleted = self.admin.delete_topics(&[topic], &options()).await;
        outcome(deleted, RDKafkaErrorCode::UnknownTopicOrPartition)
            .map(drop)
            .map_err(|source| AdminError::Delete { topic: topic.into(), source })
    }

    /// How many partitions with a leader a topic has, nothing if it does not exist. Asking as a
    /// consumer never creates a topic.
    pub async fn partitions(&self, topic: &str) -> Result<Option<u32>, AdminError> {
        let consumer = Arc::clone(&self.metadata);
        let name = topic.to_owned();
        let fetched = task::spawn_blocking(move || fetch_partitions(&consumer, &name)).await;
        fetched.expect("asking for metadata does not panic").map_err(|error| AdminError::NoBroker {
            servers: self.servers.clone(),
            last_error: self.metadata.context().last_error(),
            source: KafkaCause::new(error),
        })
    }

    /// Whether it was this call that created it.
    async fn create(&self, spec: &TopicSpec) -> Result<bool, AdminError> {
        let initial: Vec<_> =
            spec.settings.iter().map(|setting| (setting.key(), setting.initial())).collect();
        let partitions = i32::try_from(spec.partitions).unwrap_or(i32::MAX);
        let broker_default = TopicReplication::Fixed(-1);
        let topic = NewTopic::new(&spec.name, partitions, broker_default);
        let topic = initial.iter().fold(topic, |topic, (key, value)| topic.set(key, value));
        let error = |source| AdminError::Create { topic: spec.name.clone(), source };
        let results = self.admin.create_topics([&topic], &options()).await;
        match outcome(results, RDKafkaErrorCode::TopicAlreadyExists).map_err(error)? {
            Outcome::Done => {
                info!(topic = spec.name, partitions, "created the topic");
                Ok(true)
            }
            Outcome::BySomebodyElse => Ok(false),
        }
    }

    async fn grow(&self, spec: &TopicSpec) -> Result<(), AdminError> {
        let partitions = spec.partitions;
        let count = usize::try_from(partitions).unwrap_or(usize::MAX);
        let growth = NewPartitions::new(&spec.name, count);
        let results = self.admin.create_partitions([&growth], &options()).await;
        // Somebody else who was faster leaves an invalid number behind.
        outcome(results, RDKafkaErrorCode::InvalidPartitions)
            .map_err(|source| AdminError::Grow { topic: spec.name.clone(), partitions, source })?;
        info!(topic = spec.name, partitions, "grew the topic");
        Ok(())
    }

    async fn wrong_settings(&self, spec: &TopicSpec) -> Result<Vec<WrongSetting>, AdminError> {
        match self.settings(&spec.name).await {
            Ok(found) => Ok(spec.wrong_settings(&found)),
            Err(AdminError::Describe { source, .. })
                if source.code() == Some(RDKafkaErrorCode::TopicAuthorizationFailed) =>
            {
                let topic = &spec.name;
                warn!(topic, "settings of a topic were not checked: no right to DescribeConfigs");
                Ok(Vec::new())
            }
            Err(error) => Err(error),
        }
    }

    async fn settings(&self, topic: &str) -> Result<BTreeMap<String, String>, AdminError> {
        let failed = |source| AdminError::Describe { topic: topic.into(), source };
        let resource = ResourceSpecifier::Topic(topic);
        let results = self.admin.describe_configs([&resource], &options()).await;
        let results = results.map_err(|error| failed(KafkaCause::new(error)))?;
        let mut settings = BTreeMap::new();
        for result in results {
            let ConfigResource { entries, .. } =
                result.map_err(|code| failed(KafkaCause::new(KafkaError::AdminOp(code))))?;
            let entries = entries.into_iter();
            settings.extend(entries.filter_map(|entry| Some((entry.name, entry.value?))));
        }
        Ok(settings)
    }
}

enum Outcome {
    Done,
    BySomebodyElse,
}

type Results = Result<Vec<Result<String, (String, RDKafkaErrorCode)>>, KafkaError>;

fn outcome(results: Results, by_somebody_else: RDKafkaErrorCode) -> Result<Outcome, KafkaCause> {
    for result in results.map_err(KafkaCause::new)? {
        match result {
            Ok(_) => {}
            Err((_, code)) if code == by_somebody_else => return Ok(Outcome::BySomebodyElse),
            Err((_, code)) => return Err(KafkaCause::new(KafkaError::AdminOp(code))),
        }
    }
    Ok(Outcome::Done)
}

fn options() -> AdminOptions {
    AdminOptions::new()
        .request_timeout(Some(ANSWER_TIMEOUT))
        .operation_timeout(Some(ANSWER_TIMEOUT))
}

fn fetch_partitions(
    consumer: &BaseConsumer<ClientEvents>,
    topic: &str,
) -> Result<Option<u32>, KafkaError> {
    let topic = (!topic.is_empty()).then_some(topic);
    let metadata =
        consumer.fetch_metadata(topic, ANSWER_TIMEOUT).inspect_err(|_| drain(consumer))?;
    let Some(found) = metadata.topics().iter().find(|found| Some(found.name()) == topic) else {
        return Ok(None);
    };
    let led = found.partitions().iter().filter(|partition| partition.leader() >= 0);
    let count = u32::try_from(led.count()).unwrap_or(u32::MAX);
    Ok((count > 0).then_some(count))
}

/// What a consumer complains of reaches its context only when somebody polls.
fn drain(consumer: &BaseConsumer<ClientEvents>) {
    let complaints = std::iter::from_fn(|| consumer.poll(Duration::from_millis(50)));
    complaints.take(COMPLAINTS_MAX).for_each(drop);
}

const COMPLAINTS_MAX: usize = 100;
