//! IO. Wires the monitor together, and reads the clock for it.

use std::sync::Arc;
use std::time::Duration;

use common::clock::Clock;
use common::http::{HttpServer, Readiness};
use common::identity::Nonce;
use common::kafka::admin::TopicAdmin;
use common::kafka::clients::{ClientNames, KafkaClients};
use common::kafka::config::KafkaConfig;
use common::kafka::wire::client::WireClient;
use common::kafka::writer::TopicWriter;
use common::machine::host_name;
use common::metrics::Metrics;
use common::shutdown::Shutdown;
use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{debug, info, warn};

use crate::args::RunArgs;
use crate::brokers::Brokers;
use crate::catalog::Catalog;
use crate::follow::{Catalogs, Follower};
use crate::log_dirs::BrokerClient;
use crate::measure::Meters;
use crate::metrics::{CatalogSeries, MonitorMetrics};
use crate::offsets::OffsetsClient;
use crate::publish::{self, Publisher};
use crate::report::Reporter;
use crate::turn::{Outlook, Sources, Turns};

/// How long a broker may hold up a turn.
const PATIENCE: Duration = Duration::from_secs(2);

/// A monitor whose settings were checked.
pub struct Monitor {
    args: RunArgs,
    clients: KafkaClients,
    client: Arc<BrokerClient>,
    offsets: OffsetsClient,
    publisher: Publisher,
    meters: Meters,
    registry: Arc<Metrics>,
    metrics: MonitorMetrics,
    name: String,
}

impl Monitor {
    /// Checks the settings and makes the clients. Nothing is connected yet.
    ///
    /// # Errors
    /// If settings are malformed or contradict each other.
    pub fn prepare(args: RunArgs) -> anyhow::Result<Self> {
        let meters = Meters::new(args.policy()?);
        let config = compressed(&args.kafka.load()?)?;
        let mut registry = Metrics::new("monitor");
        let metrics = MonitorMetrics::declare(&mut registry);
        let mut rng = ChaCha8Rng::from_rng(&mut rand::rng());
        let host = host_name();
        let name = format!("{host}:{}-{}", std::process::id(), Nonce::from_rng(&mut rng));
        let client_id = format!("stowage-monitor-{host}");
        let wire = WireClient::new(&config, &client_id, rng)?;
        let names = ClientNames { client_id, group: args.group.group_id.clone() };
        let clients = KafkaClients::new(config, names, metrics.clients.clone());
        let writer = TopicWriter::new(clients.producer()?);
        Ok(Self {
            client: Arc::new(BrokerClient::new(wire, PATIENCE)),
            offsets: OffsetsClient::new(clients.offsets_consumer()?, PATIENCE),
            publisher: Publisher::new(writer, &args.names.topics().monitor),
            registry: Arc::new(registry),
            args,
            clients,
            meters,
            metrics,
            name,
        })
    }

    /// Measures until the process is asked to end.
    ///
    /// # Errors
    /// If the listen address is taken, or at start no broker answers or the topic cannot be made.
    pub async fn run(self, shutdown: &Shutdown) -> anyhow::Result<()> {
        let (readiness, is_ready) = watch::channel(Readiness::not_ready("nothing is measured yet"));
        let registry = Arc::clone(&self.registry);
        let pages = axum::Router::new();
        let _server = HttpServer::start(self.args.listen, registry, is_ready, pages).await?;
        tokio::select! {
            outcome = self.measure(readiness) => outcome,
            () = shutdown.requested() => {
                info!("ended");
                Ok(())
            }
        }
    }

    async fn measure(self, readiness: watch::Sender<Readiness>) -> anyhow::Result<()> {
        let (catalog, catalogs) = watch::channel(Arc::new(self.begin().await?));
        let follower = Follower {
            client: Arc::clone(&self.client),
            selection: self.args.selection(),
            metrics: self.metrics.clone(),
            catalog,
        };
        let turn_seconds = self.metrics.turn_seconds.clone();
        let mut ticks = interval(self.args.interval());
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut turns = self.into_turns(catalogs, readiness);
        turns.follow(true);
        let measuring = async {
            loop {
                ticks.tick().await;
                turns.follow(false);
                let began = Clock.now();
                turns.turn(Clock.timestamp()).await;
                let elapsed = Clock.now().saturating_since(began);
                turn_seconds.observe(elapsed.as_secs_f64());
                debug!(elapsed_ms = elapsed.as_millis(), "measured");
            }
        };
        tokio::join!(follower.follow(), measuring);
        Ok(())
    }

    /// Makes sure that there is a topic to publish to, and asks what there is to measure.
    async fn begin(&self) -> anyhow::Result<Catalog> {
        let topic = self.args.names.topics().monitor;
        let admin = TopicAdmin::connect(&self.clients).await?;
        let ensured = publish::ensure_topic(&admin, &topic, self.args.retention_ms).await?;
        for wrong in ensured.wrong_settings {
            warn!(topic, "the monitor's topic is set up differently: {wrong}");
        }
        let catalog = self.client.catalog(&self.args.selection()).await?;
        let (topics, partitions) = (catalog.topics().len(), catalog.len());
        info!(monitor = self.name, topics, partitions, into = topic, "began to measure");
        Ok(catalog)
    }

    fn into_turns(self, catalogs: Catalogs, readiness: watch::Sender<Readiness>) -> Turns {
        let interval = self.args.interval();
        let window = Duration::from_secs(self.args.window_secs);
        let sources = Sources {
            catalogs,
            client: self.client,
            offsets: self.offsets,
            brokers: Brokers::default(),
            record_bytes: self.args.record_bytes,
            now: || Clock.now(),
        };
        let series = CatalogSeries::new(self.metrics.clone(), self.args.partition_metrics);
        Turns {
            sources,
            meters: self.meters,
            reporter: Reporter::new(self.name, interval, window),
            publisher: self.publisher,
            outlook: Outlook {
                metrics: self.metrics,
                series,
                readiness,
                has_offsets: true,
                has_published: None,
            },
            interval,
        }
    }
}

/// Measurements repeat the same words over and over: compressed, unless the user says otherwise.
fn compressed(config: &KafkaConfig) -> anyhow::Result<KafkaConfig> {
    let mut properties = config.properties().clone();
    properties.entry("compression.type".into()).or_insert_with(|| "zstd".into());
    Ok(KafkaConfig::new(config.bootstrap_servers(), properties)?)
}
