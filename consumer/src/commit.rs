//! IO. Tells Kafka how far each partition is stored, and reads back what it was told.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use common::backoff::{Backoff, BackoffPolicy};
use common::clock::Clock;
use common::crash_point;
use common::kafka::cause::KafkaCause;
use common::kafka::client_events::ClientEvents;
use common::kafka::clients::{ClientError, KafkaClients};
use common::partition::TopicPartition;
use common::position::CommitMetadata;
use rand::rngs::ChaCha8Rng;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::KafkaResult;
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::watch;
use tokio::task::{self, JoinError, JoinHandle};
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use crate::metrics::ConsumerMetrics;
use crate::offsets::{Commit, Offsets};
use crate::sink::Committed;

/// How often what Kafka has is compared with what was committed.
const READ_BACK_INTERVAL: Duration = Duration::from_secs(10);
const RETRY: BackoffPolicy =
    BackoffPolicy { initial: Duration::from_millis(250), max: Duration::from_secs(2), factor: 2 };
/// What a client may say between two turns without falling behind.
const CLIENT_EVENTS_MAX: u32 = 1_000;
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    #[error("failed to commit the offsets of {partitions} partitions")]
    Commit {
        partitions: usize,
        #[source]
        source: KafkaCause,
    },
    #[error("failed to ask for committed offsets")]
    Read {
        #[source]
        source: KafkaCause,
    },
    /// Kafka's client gives up where another program left bytes beside an offset.
    #[error("what stands beside a committed offset of the group is no text")]
    Foreign {
        #[source]
        source: JoinError,
    },
}

impl CommitError {
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Foreign { .. } => false,
            Self::Commit { source, .. } | Self::Read { source } => source.is_transient(),
        }
    }
}

type Due = Vec<(TopicPartition, Commit)>;
type Found = BTreeMap<TopicPartition, Option<Committed>>;

/// Commits for all lanes, whatever has come together in one request. Clones are the same.
#[derive(Clone)]
pub struct Committer {
    consumer: Arc<BaseConsumer<ClientEvents>>,
    offsets: Arc<Mutex<Offsets>>,
    changes: watch::Sender<()>,
    clock: Clock,
    metrics: ConsumerMetrics,
    _turns: Option<Arc<Turns>>,
}

struct Turns(JoinHandle<()>);

impl Drop for Turns {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Committer {
    pub fn start(
        clients: &KafkaClients,
        clock: Clock,
        metrics: ConsumerMetrics,
        rng: ChaCha8Rng,
    ) -> Result<Self, ClientError> {
        let committer = Self {
            consumer: clients.offsets_consumer()?,
            offsets: Arc::default(),
            changes: watch::Sender::new(()),
            clock,
            metrics,
            _turns: None,
        };
        let turns = tokio::spawn(committer.clone().run(Backoff::new(RETRY, rng)));
        Ok(Self { _turns: Some(Arc::new(Turns(turns))), ..committer })
    }

    /// Asks for a commit, which follows soon and is repeated until Kafka has it.
    pub fn want(&self, partition: &TopicPartition, commit: Commit) {
        self.with(|offsets| offsets.want(partition, commit));
        self.changes.send_replace(());
    }

    /// Waits until the last commit that was asked for is acknowledged.
    pub async fn settled(&self, partition: &TopicPartition) {
        let mut changes = self.changes.subscribe();
        while !self.with(|offsets| offsets.is_committed(partition)) {
            // The sender is part of self.
            let _ = changes.changed().await;
        }
    }

    /// From now on nothing is committed for the partition.
    pub fn forget(&self, partition: &TopicPartition) {
        self.with(|offsets| offsets.forget(partition));
    }

    /// What is committed for the partition, by whomever.
    pub async fn committed(
        &self,
        partition: &TopicPartition,
    ) -> Result<Option<Committed>, CommitError> {
        let mut found = self.read(vec![partition.clone()]).await?;
        Ok(found.remove(partition).flatten())
    }

    fn with<T>(&self, work: impl FnOnce(&mut Offsets) -> T) -> T {
        work(&mut self.offsets.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn run(self, mut backoff: Backoff) {
        let mut changes = self.changes.subscribe();
        let mut read_back_at = self.clock.now() + READ_BACK_INTERVAL;
        loop {
            let now = self.clock.now();
            let is_behind = !self.commit_due().await;
            if now >= read_back_at {
                self.read_back().await;
                read_back_at = self.clock.now() + READ_BACK_INTERVAL;
            }
            if is_behind {
                sleep(backoff.next_delay()).await;
            } else {
                backoff.reset();
                let patience = read_back_at.saturating_since(self.clock.now());
                // Nothing asked for until then is as good a reason to look again.
                let _ = timeout(patience, changes.changed()).await;
            }
        }
    }

    /// One commit of all that is due. Returns whether nothing is left over.
    async fn commit_due(&self) -> bool {
        let due = self.with(|offsets| offsets.due(self.clock.now()));
        if due.is_empty() {
            return true;
        }
        let committed = self.commit(due.clone()).await;
        if let Err(error) = committed {
            self.metrics.commit_failures.inc();
            warn!(error = %common::chain::Chain(&error), "offsets were not committed, tried again");
            return false;
        }
        let now = self.clock.now();
        self.with(|offsets| {
            for (partition, commit) in &due {
                offsets.acknowledge(partition, *commit, now);
            }
        });
        debug!(partitions = due.len(), "committed offsets");
        self.changes.send_replace(());
        true
    }

    async fn commit(&self, due: Due) -> Result<(), CommitError> {
        let consumer = Arc::clone(&self.consumer);
        let partitions = due.len();
        crash_point::before("commit");
        let done = task::spawn_blocking(move || consumer.commit(&to_list(&due)?, CommitMode::Sync));
        let done = done.await.expect("committing does not panic");
        crash_point::after("commit");
        let failed = |source| CommitError::Commit { partitions, source: KafkaCause::new(source) };
        done.map_err(failed)
    }

    async fn read_back(&self) {
        let partitions = self.with(|offsets| offsets.partitions().cloned().collect::<Vec<_>>());
        if partitions.is_empty() {
            return;
        }
        match self.read(partitions).await {
            Ok(found) => self.compare(&found),
            Err(error) => {
                debug!(error = %common::chain::Chain(&error), "committed offsets were not read back");
            }
        }
    }

    fn compare(&self, found: &Found) {
        for (partition, committed) in found {
            let offset = committed.map(|committed| committed.offset);
            if self.with(|offsets| offsets.read_back(partition, offset)) {
                self.metrics.commits_repeated.inc();
                warn!(%partition, found = offset, "another committed over our offset");
                self.changes.send_replace(());
            }
        }
    }

    async fn read(&self, partitions: Vec<TopicPartition>) -> Result<Found, CommitError> {
        let consumer = Arc::clone(&self.consumer);
        let found = task::spawn_blocking(move || {
            let mut list = TopicPartitionList::new();
            for partition in &partitions {
                list.add_partition(partition.topic(), number(partition));
            }
            serve(&consumer);
            to_found(&consumer.committed_offsets(list, ANSWER_TIMEOUT)?)
        });
        let found = found.await.map_err(|source| CommitError::Foreign { source })?;
        found.map_err(|source| CommitError::Read { source: KafkaCause::new(source) })
    }
}

/// Lets the client say what it has to say: its log and its errors, for it reads no records.
fn serve(consumer: &BaseConsumer<ClientEvents>) {
    for _ in 0..CLIENT_EVENTS_MAX {
        if consumer.poll(Duration::ZERO).is_none() {
            return;
        }
    }
}

fn to_list(due: &Due) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::new();
    for (partition, commit) in due {
        let offset = Offset::Offset(i64::try_from(commit.offset()).unwrap_or(i64::MAX));
        let mut entry = list.add_partition(partition.topic(), number(partition));
        entry.set_offset(offset)?;
        entry.set_metadata(commit.metadata().to_text());
    }
    Ok(list)
}

fn to_found(list: &TopicPartitionList) -> KafkaResult<Found> {
    let mut found = Found::new();
    for entry in list.elements() {
        entry.error()?;
        let number = u32::try_from(entry.partition()).unwrap_or(u32::MAX);
        let committed = match entry.offset() {
            Offset::Offset(offset) => u64::try_from(offset).ok().map(|offset| Committed {
                offset,
                metadata: CommitMetadata::parse(entry.metadata()),
            }),
            _ => None,
        };
        found.insert(TopicPartition::new(entry.topic(), number), committed);
    }
    Ok(found)
}

fn number(partition: &TopicPartition) -> i32 {
    i32::try_from(partition.partition()).unwrap_or(i32::MAX)
}
