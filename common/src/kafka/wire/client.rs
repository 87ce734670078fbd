//! IO. Asks brokers, over a connection to each that is kept and made anew when it broke.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::Duration;

use kafka_protocol::messages::DescribeLogDirsRequest;
use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;
use thiserror::Error;
use tokio::sync::Mutex;
use tokio::time::sleep;

use crate::backoff::{Backoff, BackoffPolicy};
use crate::kafka::config::KafkaConfig;
use crate::kafka::security::{Security, SecurityError};
use crate::kafka::wire::call::Call;
use crate::kafka::wire::cluster::{self, Cluster, Topics};
use crate::kafka::wire::connection::{Address, Connection, ConnectionError, Dialer};
use crate::kafka::wire::epochs::{self, EpochEnd, EpochRefusal};
use crate::kafka::wire::log_dirs::{LogDirs, LogDirsRefusal};
use crate::kafka::wire::tls::{self, TlsError};
use crate::partition::TopicPartition;

const RETRY: BackoffPolicy =
    BackoffPolicy { initial: Duration::from_millis(100), max: Duration::from_secs(2), factor: 2 };

#[derive(Debug, Error)]
pub enum WireError {
    #[error("the settings of encryption and login contradict each other")]
    Security {
        #[source]
        source: SecurityError,
    },
    #[error("failed to prepare encrypted connections")]
    Tls {
        #[source]
        source: TlsError,
    },
    #[error("none of the brokers {servers} could be asked")]
    NoBroker {
        servers: String,
        #[source]
        source: ConnectionError,
    },
    #[error("broker {broker} is not known")]
    UnknownBroker { broker: i32 },
    #[error("failed to ask broker {broker} for its log dirs")]
    LogDirs {
        broker: i32,
        #[source]
        source: ConnectionError,
    },
    #[error("failed to ask broker {broker} where epoch {epoch} of {partition} ends")]
    Epoch {
        broker: i32,
        partition: TopicPartition,
        epoch: i32,
        #[source]
        source: ConnectionError,
    },
    #[error("broker {broker} does not tell where epoch {epoch} of {partition} ends")]
    EpochRefused {
        broker: i32,
        partition: TopicPartition,
        epoch: i32,
        #[source]
        source: EpochRefusal,
    },
    #[error("broker {broker} does not tell its log dirs")]
    LogDirsRefused {
        broker: i32,
        #[source]
        source: LogDirsRefusal,
    },
}

impl WireError {
    /// Whether the same may succeed later, with nobody changing settings.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::NoBroker { source, .. }
            | Self::LogDirs { source, .. }
            | Self::Epoch { source, .. } => source.is_transient(),
            Self::EpochRefused { source, .. } => *source == EpochRefusal::NotLeader,
            Self::UnknownBroker { .. } => true,
            Self::Security { .. } | Self::Tls { .. } | Self::LogDirsRefused { .. } => false,
        }
    }
}

/// Asks brokers for what librdkafka does not tell. Requests to different brokers go on side by side,
/// those to one broker one after the other.
pub struct WireClient {
    dialer: Dialer,
    servers: Vec<Address>,
    shown_servers: String,
    links: StdMutex<BTreeMap<Address, Arc<Mutex<Link>>>>,
    brokers: StdMutex<BTreeMap<i32, Address>>,
    /// Those whose last request, as far as it is known, was not answered.
    away: StdMutex<BTreeSet<Address>>,
    rng: StdMutex<ChaCha8Rng>,
}

/// The connection to one address, and how it fared so far.
struct Link {
    connection: Option<Connection>,
    backoff: Backoff,
    delay: Duration,
}

impl WireClient {
    /// Nothing is connected before it is needed. `rng` spreads attempts after failures.
    ///
    /// # Errors
    /// If the settings contradict each other or certificates cannot be read.
    pub fn new(config: &KafkaConfig, client_id: &str, rng: ChaCha8Rng) -> Result<Self, WireError> {
        let security = Security::from_properties(config.properties())
            .map_err(|source| WireError::Security { source })?;
        let tls = security.tls.as_ref().map(tls::client_config).transpose();
        let dialer = Dialer {
            client_id: client_id.to_owned(),
            tls: tls.map_err(|source| WireError::Tls { source })?,
            sasl: security.sasl,
        };
        let servers = config.servers();
        Ok(Self {
            dialer,
            servers: servers.map(|(host, port)| Address { host: host.to_owned(), port }).collect(),
            shown_servers: config.bootstrap_servers().to_owned(),
            links: StdMutex::default(),
            brokers: StdMutex::default(),
            away: StdMutex::default(),
            rng: StdMutex::new(rng),
        })
    }

    /// Asks any broker what the cluster consists of.
    ///
    /// # Errors
    /// If no broker, neither of those known by now nor of those to begin with, gives an answer; the
    /// cause is that of the last one.
    pub async fn cluster(&self, topics: Topics<'_>) -> Result<Cluster, WireError> {
        let request = cluster::request(topics);
        let mut last_error = None;
        for address in self.candidates() {
            match self.call(&address, &request).await {
                Ok((answer, _)) => {
                    let cluster = Cluster::from_answer(answer);
                    self.remember(&cluster);
                    return Ok(cluster);
                }
                Err(error) => last_error = Some(error),
            }
        }
        let source = last_error.expect("the settings name one broker at least");
        Err(WireError::NoBroker { servers: self.shown_servers.clone(), source })
    }

    /// Asks a broker that [`WireClient::cluster`] told of how large its replicas are.
    ///
    /// # Errors
    /// If it does not answer or refuses to tell.
    pub async fn log_dirs(&self, broker: i32) -> Result<LogDirs, WireError> {
        let address = self.address(broker)?;
        let all = DescribeLogDirsRequest::default().with_topics(None);
        let asked = self.call(&address, &all).await;
        let (answer, version) = asked.map_err(|source| WireError::LogDirs { broker, source })?;
        LogDirs::from_answer(answer, version)
            .map_err(|source| WireError::LogDirsRefused { broker, source })
    }

    /// Asks the leader of a partition where the records end that were written up to an epoch of its
    /// leaders. Nothing where the log has none of that epoch or before.
    ///
    /// # Errors
    /// If it does not answer, does not lead the partition any more, or refuses to tell.
    pub async fn epoch_end(
        &self,
        leader: i32,
        partition: &TopicPartition,
        epoch: i32,
    ) -> Result<Option<EpochEnd>, WireError> {
        let address = self.address(leader)?;
        let (broker, partition) = (leader, partition.clone());
        match self.call(&address, &epochs::request(&partition, epoch)).await {
            Ok((answer, _)) => EpochEnd::from_answer(&answer)
                .map_err(|source| WireError::EpochRefused { broker, partition, epoch, source }),
            Err(source) => Err(WireError::Epoch { broker, partition, epoch, source }),
        }
    }

    fn address(&self, broker: i32) -> Result<Address, WireError> {
        let known = lock(&self.brokers).get(&broker).cloned();
        known.ok_or(WireError::UnknownBroker { broker })
    }

    /// Counts the broker as away until it answers, also where the caller does not wait for that.
    async fn call<C: Call>(
        &self,
        address: &Address,
        request: &C,
    ) -> Result<(C::Answer, i16), ConnectionError> {
        lock(&self.away).insert(address.clone());
        let answer = self.call_on_link(address, request).await?;
        lock(&self.away).remove(address);
        Ok(answer)
    }

    /// A connection that was kept may have been closed by the broker meanwhile, which shows only when
    /// it is used: then the request, which changes nothing, is made once more on a new one.
    async fn call_on_link<C: Call>(
        &self,
        address: &Address,
        request: &C,
    ) -> Result<(C::Answer, i16), ConnectionError> {
        let link = self.link(address);
        let mut link = link.lock().await;
        if let Some(connection) = link.connection.take() {
            match link.call_on(connection, request).await {
                Err(ConnectionError::Send { .. } | ConnectionError::Receive { .. }) => {}
                answered => return answered,
            }
        }
        let connection = link.connect(&self.dialer, address).await?;
        link.call_on(connection, request).await
    }

    /// Every broker that we know of, those that are away last.
    fn candidates(&self) -> Vec<Address> {
        let known = lock(&self.brokers).values().cloned().collect::<Vec<_>>();
        let mut candidates = Vec::new();
        for address in known.iter().chain(&self.servers) {
            if !candidates.contains(address) {
                candidates.push(address.clone());
            }
        }
        let away = lock(&self.away);
        candidates.sort_by_key(|address| away.contains(address));
        candidates
    }

    /// Keeps what is known of brokers, and drops the connections to those that have gone.
    fn remember(&self, cluster: &Cluster) {
        let is_known = |address: &Address| {
            self.servers.contains(address) || cluster.brokers.values().any(|known| known == address)
        };
        lock(&self.links).retain(|address, _| is_known(address));
        lock(&self.away).retain(is_known);
        lock(&self.brokers).clone_from(&cluster.brokers);
    }

    fn link(&self, address: &Address) -> Arc<Mutex<Link>> {
        let mut links = lock(&self.links);
        let link = links.entry(address.clone()).or_insert_with(|| {
            let rng = ChaCha8Rng::from_rng(&mut *lock(&self.rng));
            let backoff = Backoff::new(RETRY, rng);
            Arc::new(Mutex::new(Link { connection: None, backoff, delay: Duration::ZERO }))
        });
        Arc::clone(link)
    }
}

impl Link {
    async fn connect(
        &mut self,
        dialer: &Dialer,
        address: &Address,
    ) -> Result<Connection, ConnectionError> {
        sleep(self.delay).await;
        self.delay = self.backoff.next_delay();
        let connection = dialer.connect(address).await?;
        self.backoff.reset();
        self.delay = Duration::ZERO;
        Ok(connection)
    }

    /// The connection is kept only with its answer received: an error, or a caller that does not wait
    /// for the answer, closes it.
    async fn call_on<C: Call>(
        &mut self,
        mut connection: Connection,
        request: &C,
    ) -> Result<(C::Answer, i16), ConnectionError> {
        let answer = connection.call(request).await?;
        self.connection = Some(connection);
        Ok(answer)
    }
}

fn lock<T>(mutex: &StdMutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
