//! IO. Asks brokers, over a connection to each that is kept and made anew when it broke.

use std::collections::BTreeMap;
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
use crate::kafka::wire::log_dirs::{LogDirs, LogDirsRefusal};
use crate::kafka::wire::tls::{self, TlsError};

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
            Self::NoBroker { source, .. } | Self::LogDirs { source, .. } => source.is_transient(),
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
        let address = lock(&self.brokers).get(&broker).cloned();
        let address = address.ok_or(WireError::UnknownBroker { broker })?;
        let all = DescribeLogDirsRequest::default().with_topics(None);
        let asked = self.call(&address, &all).await;
        let (answer, version) = asked.map_err(|source| WireError::LogDirs { broker, source })?;
        LogDirs::from_answer(answer, version)
            .map_err(|source| WireError::LogDirsRefused { broker, source })
    }

    /// A connection that was kept may have been closed by the broker meanwhile, which shows only when
    /// it is used: then the request, which changes nothing, is made once more on a new one.
    async fn call<C: Call>(
        &self,
        address: &Address,
        request: &C,
    ) -> Result<(C::Answer, i16), ConnectionError> {
        let link = self.link(address);
        let mut link = link.lock().await;
        if let Some(connection) = link.connection.take_if(|connection| !connection.is_broken()) {
            match link.call_on(connection, request).await {
                Err(ConnectionError::Send { .. } | ConnectionError::Receive { .. }) => {}
                answered => return answered,
            }
        }
        let connection = link.connect(&self.dialer, address).await?;
        link.call_on(connection, request).await
    }

    /// Brokers with a connection first, so that one that is away is not tried before them.
    fn candidates(&self) -> Vec<Address> {
        let linked = lock(&self.links).keys().cloned().collect::<Vec<_>>();
        let known = lock(&self.brokers).values().cloned().collect::<Vec<_>>();
        let mut candidates = Vec::new();
        let preferred = known.iter().filter(|address| linked.contains(address));
        for address in preferred.chain(&known).chain(&self.servers) {
            if !candidates.contains(address) {
                candidates.push(address.clone());
            }
        }
        candidates
    }

    /// Keeps what is known of brokers, and drops the connections to those that have gone.
    fn remember(&self, cluster: &Cluster) {
        let is_known = |address: &Address| {
            self.servers.contains(address) || cluster.brokers.values().any(|known| known == address)
        };
        lock(&self.links).retain(|address, _| is_known(address));
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
