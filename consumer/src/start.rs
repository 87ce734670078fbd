//! IO. Makes ready all that a consumer needs before its first heartbeat, or says in one sentence what is missing.

use std::process;
use std::sync::{Arc, Mutex};
use std::thread::available_parallelism;
use std::time::Duration;

use anyhow::{Context as _, bail};
use common::chain::Chain;
use common::clock::Clock;
use common::identity::{Incarnation, TopicId};
use common::kafka::admin::TopicAdmin;
use common::kafka::clients::{ClientNames, FetchBounds, KafkaClients};
use common::kafka::config::KafkaConfig;
use common::kafka::topic_spec::{Setting, TopicSpec};
use common::kafka::wire::client::WireClient;
use common::kafka::wire::cluster::{Cluster, Topics};
use common::kafka::writer::TopicWriter;
use common::partition::TopicPartition;
use common::term::{Generation, Sequence};
use common::topics::TopicNames;
use rand::rngs::ChaCha8Rng;
use rand::{Rng as _, SeedableRng as _};
use tokio::sync::Semaphore;
use tracing::{info, warn};

use crate::args::Args;
use crate::budget_watch::SharedBudget;
use crate::by_hand::ByHand;
use crate::commit::Committer;
use crate::control::Control;
use crate::dead_letter::DeadLetters;
use crate::events::Events;
use crate::gather::Fetcher;
use crate::heart::{Beating, Body};
use crate::keep::Keeper;
use crate::lane::LaneContext;
use crate::metrics::ConsumerMetrics;
use crate::schema_registry::SchemaRegistry;
use crate::sink::bigquery::client::Client;
use crate::sink::tables::{SinkOptions, Tables};
use crate::state::Belonging;
use crate::table::claim::Owner;
use crate::volume::{Found, Volume, log_found};

/// How long our own topics are waited for.
const TOPICS_PATIENCE: Duration = Duration::from_secs(30);
const TOPICS_POLL: Duration = Duration::from_millis(500);
/// What the client may hold of each partition, besides what is counted against the budget.
pub(crate) const FETCH_BOUNDS: FetchBounds = FetchBounds {
    partition_queue_bytes: 128 << 10,
    partition_fetch_bytes: 128 << 10,
    fetch_bytes: 512 << 10,
};
const SEVEN_DAYS_MS: i64 = 7 * 24 * 3600 * 1000;

/// Everything that was made ready.
pub struct Started {
    pub context: Arc<LaneContext>,
    pub control: Control,
    pub beating: Beating,
    pub incarnation: Incarnation,
    pub controller: TopicPartition,
    pub keeper: Keeper,
    /// Set if people lead this consumer.
    pub by_hand: Option<ByHand>,
}

/// What the process was started with, besides its flags.
pub struct Process<'a> {
    pub args: &'a Args,
    pub kafka: KafkaConfig,
    pub clock: Clock,
    pub metrics: ConsumerMetrics,
    pub rng: ChaCha8Rng,
    pub address: std::net::SocketAddr,
}

impl Process<'_> {
    /// # Errors
    /// If Kafka, a topic of ours, the sink or the volume cannot be used.
    pub async fn start(mut self) -> anyhow::Result<Started> {
        let args = self.args;
        let process_started_ms = self.clock.timestamp().0;
        let clients = self.clients();
        if args.by_hand {
            ensure_own_topics(&clients, &args.names.topics(), args.consumer).await?;
        }
        let rng = ChaCha8Rng::from_rng(&mut self.rng);
        let name = &clients.names().client_id;
        let wire = WireClient::new(&self.kafka, name, rng).context("Kafka cannot be used")?;
        let (cluster_id, controller_topic_id) = self.own_topics(&wire).await?;
        let owner = Owner { group: args.group.group_id.clone(), cluster_id: cluster_id.clone() };
        let tables = self.tables(owner).await?;
        let consumer = args.id();
        let belonging = Belonging { consumer, group: args.group.group_id.clone(), cluster_id };
        let (volume, found) = self.volume(&belonging).await?;
        let controller = TopicPartition::new(&args.names.topics().controller, args.consumer);
        let control =
            Control::open(&clients, controller.clone(), controller_topic_id, args.by_hand);
        let control = control.await?;
        let beating = self.beating(&clients, process_started_ms, volume.is_some())?;
        let incarnation = Incarnation::from_rng(&mut self.rng);
        let context = self.context(&clients, wire, tables, controller_topic_id)?;
        let by_hand = self.by_hand(&context, control.generation()).await?;
        info!(%consumer, %incarnation, "started");
        let context = Arc::new(context);
        Ok(Started {
            context,
            control,
            beating,
            incarnation,
            controller,
            keeper: Keeper::new(volume, found, belonging, controller_topic_id),
            by_hand,
        })
    }

    /// Commands by hand count from the end of the events: each answer moves it on, so that a later
    /// process counts from a higher number.
    async fn by_hand(
        &self,
        context: &LaneContext,
        generation: Option<Generation>,
    ) -> anyhow::Result<Option<ByHand>> {
        if !self.args.by_hand {
            return Ok(None);
        }
        let events = TopicPartition::new(&self.args.names.topics().events, 0);
        let end = context.fetcher.log_range(&events).await?.end;
        let generation = generation.unwrap_or_default();
        Ok(Some(ByHand::new(generation, Sequence(end), self.args.reading.reading())))
    }

    fn clients(&self) -> KafkaClients {
        let client_id = format!("stowage-consumer-{}", self.args.consumer);
        let names = ClientNames { client_id, group: self.args.group.group_id.clone() };
        KafkaClients::new(self.kafka.clone(), names, self.metrics.kafka.clone())
    }

    /// The ids of the cluster and of the controller topic, once Kafka and our topics are there.
    async fn own_topics(&self, wire: &WireClient) -> anyhow::Result<(String, TopicId)> {
        let args = self.args;
        let TopicNames { controller, events, .. } = args.names.topics();
        let began_at = self.clock.now();
        let mut topics_asked_at = None;
        let mut is_away = false;
        loop {
            let now = self.clock.now();
            let Cluster { id, topics, .. } = match wire
                .cluster(Topics::Named(&[&controller, &events]))
                .await
            {
                Ok(cluster) => cluster,
                Err(error) if error.is_transient() && now < began_at + self.kafka_patience() => {
                    if !std::mem::replace(&mut is_away, true) {
                        warn!(error = %Chain(&error), "waits for Kafka");
                    }
                    tokio::time::sleep(TOPICS_POLL).await;
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            let own = topics.get(&controller);
            let own = own.filter(|topic| topic.partitions.contains_key(&args.consumer));
            if let (Some(own), Some(_)) = (own, topics.get(&events)) {
                let id = id.context("the brokers do not tell the id of their cluster")?;
                return Ok((id, own.id));
            }
            if now >= *topics_asked_at.get_or_insert(now) + TOPICS_PATIENCE {
                bail!(
                    "the topics {events} and {controller}, the latter with a partition {}, did not \
                     appear within {} s: an orchestrator creates them",
                    args.consumer,
                    TOPICS_PATIENCE.as_secs()
                );
            }
            tokio::time::sleep(TOPICS_POLL).await;
        }
    }

    /// How long Kafka may be away at the start. Who starts a consumer by hand is told at once; one
    /// that is led would only be started again.
    fn kafka_patience(&self) -> Duration {
        if self.args.by_hand {
            Duration::ZERO
        } else {
            self.args.leaderless().unwrap_or(Duration::MAX)
        }
    }

    async fn tables(&mut self, owner: Owner) -> anyhow::Result<Tables> {
        let (url, compression) = (self.args.store.sink_url.clone(), self.args.flow.compression);
        let store_options = self.args.store.options()?;
        let bigquery = self.bigquery().await?;
        let options = SinkOptions { url, store_options, compression, bigquery, owner };
        Ok(Tables::start(options, ChaCha8Rng::from_rng(&mut self.rng)).await?)
    }

    /// A dataset that is not there, or may not be used, is said at once; a service that does not answer
    /// is waited for by those who need it.
    async fn bigquery(&mut self) -> anyhow::Result<Option<Client>> {
        let Some(options) = self.args.bigquery.options() else { return Ok(None) };
        let client = Client::connect(options, ChaCha8Rng::from_rng(&mut self.rng)).await;
        let client = client.context("BigQuery cannot be used")?;
        match client.dataset().await {
            Err(error) if error.is_transient() => warn!(%error, "BigQuery does not answer yet"),
            found => drop(found.context("BigQuery cannot be used")?),
        }
        Ok(Some(client))
    }

    async fn volume(
        &self,
        belonging: &Belonging,
    ) -> anyhow::Result<(Option<Volume>, Option<Found>)> {
        let Some(folder) = &self.args.state_dir else {
            return Ok((None, None));
        };
        let Some(volume) = Volume::open(folder).await? else {
            warn!(folder = %folder.display(), "another process holds the volume: ran without it");
            return Ok((None, None));
        };
        let found = volume.load(belonging)?;
        log_found(&found);
        Ok((Some(volume), Some(found)))
    }

    fn beating(
        &mut self,
        clients: &KafkaClients,
        process_started_ms: i64,
        lock_held: bool,
    ) -> anyhow::Result<Beating> {
        let args = self.args;
        let body = Body {
            consumer: args.id(),
            process_started_ms,
            pid: process::id(),
            pod_uid: args.pod_uid.clone(),
            ttl: args.ttl(),
            margin: args.margin(),
            interval: args.heartbeat_interval(),
            lock_held,
            address: Some(self.address),
            by_hand: args.by_hand,
        };
        Ok(Beating {
            body,
            writer: TopicWriter::new(clients.heartbeat_producer(args.ttl())?),
            events: TopicPartition::new(&args.names.topics().events, 0),
            clock: self.clock,
            rng: ChaCha8Rng::from_rng(&mut self.rng),
            metrics: self.metrics.clone(),
        })
    }

    fn context(
        &mut self,
        clients: &KafkaClients,
        wire: WireClient,
        tables: Tables,
        controller_topic_id: TopicId,
    ) -> anyhow::Result<LaneContext> {
        let (args, consumer, metrics) = (self.args, self.args.id(), self.metrics.clone());
        let writer = TopicWriter::new(clients.producer()?);
        let rng = ChaCha8Rng::seed_from_u64(self.rng.next_u64());
        let events =
            Events::new(writer, &args.names.topics().events, consumer, rng, metrics.clone());
        let committer = ChaCha8Rng::from_rng(&mut self.rng);
        let committer = Committer::start(clients, self.clock, metrics.clone(), committer)?;
        let cores = available_parallelism().map_or(1, usize::from);
        Ok(LaneContext {
            clock: self.clock,
            limits: args.flow.limits(),
            controller_topic_id,
            fetcher: Fetcher::start(clients, FETCH_BOUNDS)?,
            wire: Arc::new(wire),
            tables,
            registry: SchemaRegistry::new(args.registry.settings()?)?,
            committer,
            dead_letters: DeadLetters::start(clients, args.names.topics().dead_letter, consumer)?,
            events,
            budget: SharedBudget::new(args.flow.buffer_bytes, cores),
            decoders: Semaphore::new(cores),
            metrics,
            rng: Mutex::new(ChaCha8Rng::from_rng(&mut self.rng)),
        })
    }
}

/// Led by hand nobody else may have made the topics.
pub(crate) async fn ensure_own_topics(
    clients: &KafkaClients,
    names: &TopicNames,
    consumer: u32,
) -> anyhow::Result<()> {
    let admin = TopicAdmin::connect(clients).await?;
    let ours = [
        (&names.controller, consumer + 1, true),
        (&names.events, 1, true),
        (&names.dead_letter, 1, false),
    ];
    for (name, partitions, is_log) in ours {
        let settings = if is_log {
            vec![
                Setting::exactly("cleanup.policy", "delete"),
                Setting::at_least("retention.ms", SEVEN_DAYS_MS),
                Setting::at_least("retention.bytes", -1),
            ]
        } else {
            vec![]
        };
        let ensured =
            admin.ensure_topic(&TopicSpec { name: name.clone(), partitions, settings }).await?;
        for wrong in ensured.wrong_settings {
            warn!(%wrong, "a topic of ours is set up wrongly");
        }
    }
    Ok(())
}
