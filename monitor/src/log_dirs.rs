//! IO. Asks the brokers what exists and how large it is.

use std::sync::Arc;
use std::time::Duration;

use common::kafka::wire::client::{WireClient, WireError};
use common::kafka::wire::cluster::{Cluster, Topics};
use common::kafka::wire::log_dirs::{LogDirs, LogDirsRefusal};
use common::moment::Moment;
use futures::future::join_all;
use thiserror::Error;
use tokio::time::timeout;

use crate::catalog::{BrokerId, Catalog, TopicFacts};
use crate::selection::Selection;

#[derive(Debug, Error)]
pub enum LogDirsError {
    #[error("{broker} may not be asked for sizes")]
    Refused {
        broker: BrokerId,
        #[source]
        source: WireError,
    },
    #[error("failed to ask {broker} for sizes")]
    Failed {
        broker: BrokerId,
        #[source]
        source: WireError,
    },
    #[error("{broker} told no sizes within {} ms", patience.as_millis())]
    Late { broker: BrokerId, patience: Duration },
}

/// What one broker said, and when.
#[derive(Debug)]
pub struct Answer {
    pub broker: BrokerId,
    pub at: Moment,
    pub sizes: Result<LogDirs, LogDirsError>,
}

/// Asks brokers over our own client.
pub struct BrokerClient {
    wire: WireClient,
    /// How long a broker may take.
    patience: Duration,
}

impl BrokerClient {
    pub fn new(wire: WireClient, patience: Duration) -> Self {
        Self { wire, patience }
    }

    /// The selected topics, and how many brokers there are.
    ///
    /// # Errors
    /// If no broker answers.
    pub async fn catalog(&self, selection: &Selection) -> Result<Catalog, WireError> {
        Ok(select(self.wire.cluster(Topics::All).await?, selection))
    }

    /// Asks all these brokers at once; `now` is read as each of them answers.
    pub async fn sizes(&self, brokers: &[BrokerId], now: impl Fn() -> Moment) -> Vec<Answer> {
        let asked = brokers.iter().map(|broker| async {
            let sizes = self.sizes_of(*broker).await;
            Answer { broker: *broker, at: now(), sizes }
        });
        join_all(asked).await
    }

    async fn sizes_of(&self, broker: BrokerId) -> Result<LogDirs, LogDirsError> {
        let patience = self.patience;
        match timeout(patience, self.wire.log_dirs(broker.0)).await {
            Ok(Ok(sizes)) => Ok(sizes),
            Ok(Err(source)) if is_refusal(&source) => Err(LogDirsError::Refused { broker, source }),
            Ok(Err(source)) => Err(LogDirsError::Failed { broker, source }),
            Err(_) => Err(LogDirsError::Late { broker, patience }),
        }
    }
}

fn is_refusal(error: &WireError) -> bool {
    matches!(error, WireError::LogDirsRefused { source: LogDirsRefusal::NotAllowed, .. })
}

fn select(cluster: Cluster, selection: &Selection) -> Catalog {
    let selected = cluster.topics.into_iter().filter(|(name, _)| selection.includes(name));
    let topics = selected.map(|(name, topic)| TopicFacts {
        name: Arc::from(name),
        id: topic.id,
        // A partition that is not told of has no leader.
        leaders: (0u32..)
            .zip(0..topic.partitions.len())
            .map(|(number, _)| topic.partitions.get(&number)?.leader.map(BrokerId))
            .collect(),
    });
    Catalog::new(topics.collect())
}
