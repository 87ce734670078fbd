//! IO. Wires the orchestrator together and goes round.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use axum::routing::get;
use axum::{Json, Router};
use common::clock::Clock;
use common::http::{HttpServer, Readiness};
use common::identity::TopicId;
use common::kafka::admin::TopicAdmin;
use common::kafka::clients::{ClientNames, KafkaClients};
use common::kafka::config::KafkaConfig;
use common::kafka::wire::client::WireClient;
use common::kafka::wire::cluster::Topics;
use common::kafka::writer::TopicWriter;
use common::machine::host_name;
use common::messages::Message;
use common::metrics::Metrics;
use common::shutdown::Shutdown;
use common::topics::TopicNames;
use kube::Client;
use rand::SeedableRng as _;
use rand::rngs::ChaCha8Rng;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use crate::args::{FleetKind, RunArgs};
use crate::conductor::action::Destination;
use crate::conductor::input::{Input, Now};
use crate::conductor::{Conductor, Settings};
use crate::execute::{Executor, ReignTasks, follow_deliveries};
use crate::fleet::FleetCommand;
use crate::fleet::drive::drive;
use crate::fleet::kubernetes::announce::Announcement;
use crate::fleet::kubernetes::driver::KubernetesFleet;
use crate::fleet::kubernetes::election::Election;
use crate::fleet::kubernetes::lease::LeaseView;
use crate::fleet::kubernetes::publish::publish;
use crate::fleet::launch::LaunchSettings;
use crate::fleet::process::ProcessFleet;
use crate::journal::Journal;
use crate::leadership::Lease;
use crate::metrics::OrchestratorMetrics;
use crate::outbox::{Outbox, pump};
use crate::sense::Sense;
use crate::state_dir::StateDir;
use crate::status::Status;
use crate::takeover::TakeOver;
use crate::topics::specs;

const CLIENT: &str = "stowage-orchestrator";
const TICK: Duration = Duration::from_millis(200);
/// Inputs and messages that wait.
const QUEUE: usize = 4_096;

/// What can be had without Kafka.
struct Seed {
    args: RunArgs,
    config: KafkaConfig,
    fleet: FleetSeed,
    state_dir: StateDir,
    metrics: OrchestratorMetrics,
    rng: ChaCha8Rng,
}

/// What the fleet is made from.
enum FleetSeed {
    Process(LaunchSettings),
    Kubernetes(Client),
}

/// What is made first and lives until the end.
struct Base {
    args: RunArgs,
    fleet: FleetSeed,
    topics: Arc<TopicNames>,
    state_dir: StateDir,
    clients: KafkaClients,
    wire: WireClient,
    metrics: OrchestratorMetrics,
    author: String,
    controller_topic_id: TopicId,
    consumer_partitions: u32,
    rng: ChaCha8Rng,
}

/// Runs until `shutdown` is requested, then ends the consumers that it leads.
///
/// # Errors
/// If it cannot start, or cannot go on without doing harm.
pub async fn run(args: RunArgs, shutdown: Shutdown) -> anyhow::Result<()> {
    let mut rng: ChaCha8Rng = rand::make_rng();
    let config = args.kafka.load()?;
    let state_dir = StateDir::open(&args.state_dir, &mut rng)?;
    let fleet = FleetSeed::new(&args, &state_dir).await?;
    let mut metrics = Metrics::new("orchestrator");
    let counters = OrchestratorMetrics::declare(&mut metrics);
    let (readiness, is_ready) = watch::channel(Readiness::not_ready("no broker has answered"));
    let (status, shown) = watch::channel(Status::default());
    let pages = Router::new().route("/status", get(move || page(shown.clone())));
    let server = HttpServer::start(args.listen, Arc::new(metrics), is_ready, pages).await?;
    let seed = Seed { args, config, fleet, state_dir, metrics: counters, rng };
    let ended = go_round(seed.prepare().await?, status, readiness, shutdown).await;
    drop(server);
    ended
}

async fn page(status: watch::Receiver<Status>) -> Json<Status> {
    Json(status.borrow().clone())
}

impl Seed {
    /// Reaches Kafka and sees to it that our topics are as they must be.
    async fn prepare(mut self) -> anyhow::Result<Base> {
        let topics = Arc::new(self.args.names.topics());
        let names =
            ClientNames { client_id: CLIENT.into(), group: self.args.group.group_id.clone() };
        let wire = WireClient::new(&self.config, CLIENT, ChaCha8Rng::from_rng(&mut self.rng))?;
        let clients = KafkaClients::new(self.config, names, self.metrics.clients.clone());
        let consumer_partitions = ensure_topics(&clients, &topics, self.args.max_consumers).await?;
        let controller_topic_id = topic_id(&wire, &topics.controller).await?;
        Ok(Base {
            author: format!("{}:{}", host_name(), process::id()),
            args: self.args,
            fleet: self.fleet,
            state_dir: self.state_dir,
            metrics: self.metrics,
            rng: self.rng,
            topics,
            clients,
            wire,
            controller_topic_id,
            consumer_partitions,
        })
    }
}

/// Returns how many partitions the controller topic has for consumers.
async fn ensure_topics(
    clients: &KafkaClients,
    topics: &TopicNames,
    consumers_max: u32,
) -> anyhow::Result<u32> {
    let admin = TopicAdmin::connect(clients).await?;
    let mut consumer_partitions = 0;
    for spec in specs(topics, consumers_max) {
        let found = admin.ensure_topic(&spec).await?;
        if let Some(wrong) = found.wrong_settings.first() {
            bail!("the topic {} cannot be used: {wrong}", spec.name);
        }
        if spec.name == topics.controller {
            consumer_partitions = found.partitions.saturating_sub(1);
        }
    }
    Ok(consumer_partitions)
}

async fn topic_id(wire: &WireClient, topic: &str) -> anyhow::Result<TopicId> {
    let cluster = wire.cluster(Topics::Named(&[topic])).await?;
    let found = cluster.topics.get(topic);
    Ok(found.ok_or_else(|| anyhow!("the brokers do not describe the topic {topic}"))?.id)
}

/// The loop: one input, what follows from it, and so on.
async fn go_round(
    base: Base,
    status: watch::Sender<Status>,
    readiness: watch::Sender<Readiness>,
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    let (inputs, mut received) = mpsc::channel(QUEUE);
    let stop_fleet = Shutdown::manual();
    let mut conductor = base.conductor();
    let (mut executor, fleet) = base.start(inputs, status, readiness, stop_fleet.clone())?;
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let ended = loop {
        let input = tokio::select! {
            () = shutdown.requested() => break Ok(()),
            _ = ticks.tick() => Input::Tick,
            Some(input) = received.recv() => input,
        };
        if let Err(error) = obey(&mut conductor, &mut executor, input).await {
            break Err(error);
        }
    };
    // From here on nothing is decided any more: consumers hand over what they hold, and end.
    stop_fleet.request();
    drop(received);
    fleet.await.context("the fleet's task failed")?;
    // Who fails may have led by a topic that is not there any more.
    if ended.is_ok()
        && let Some(farewell) = conductor.farewell()
    {
        executor.leave(farewell).await;
    }
    ended
}

async fn obey(
    conductor: &mut Conductor,
    executor: &mut Executor,
    input: Input,
) -> anyhow::Result<()> {
    let actions = conductor.handle(input, now());
    for action in actions {
        executor.execute(action).await?;
    }
    Ok(())
}

fn now() -> Now {
    Now { moment: Clock.now(), timestamp: Clock.timestamp() }
}

impl Base {
    fn conductor(&self) -> Conductor {
        let settings = Settings {
            author: self.author.clone(),
            state_dir_id: self.state_dir.id().to_string(),
            controller_topic: self.topics.controller.clone(),
            controller_topic_id: self.controller_topic_id,
            consumer_partitions: self.consumer_partitions,
            policy: self.args.policy.policy(),
            limits: self.args.limits(),
            capacity_factor: self.args.capacity_factor,
            catch_up: Duration::from_secs(self.args.catch_up_secs),
            trigger: self.args.trigger_policy(),
            lease: match self.fleet {
                FleetSeed::Process(_) => Lease::NotNeeded,
                FleetSeed::Kubernetes(_) => Lease::NotHeld,
            },
        };
        Conductor::new(settings, now(), rand::make_rng())
    }

    /// Starts every task. The handle is that of the fleet, which ends last.
    fn start(
        mut self,
        inputs: mpsc::Sender<Input>,
        status: watch::Sender<Status>,
        readiness: watch::Sender<Readiness>,
        stop_fleet: Shutdown,
    ) -> anyhow::Result<(Executor, JoinHandle<()>)> {
        let sense = Sense {
            clients: self.clients.clone(),
            topics: Arc::clone(&self.topics),
            inputs: inputs.clone(),
        };
        let outbox =
            Outbox::new(TopicWriter::new(self.clients.producer()?), Arc::clone(&self.topics));
        let messages = self.start_outbox(outbox.clone(), inputs.clone());
        let (election, announcements) = self.start_cluster_tasks(&inputs, &stop_fleet).unzip();
        let (fleet, fleet_task) = self.start_fleet(inputs.clone(), stop_fleet, election);
        let asked = BTreeSet::from([self.topics.controller.clone()]);
        let (asked, to_ask) = watch::channel(asked);
        tokio::spawn(sense.clone().read_requests());
        tokio::spawn(sense.clone().read_service());
        tokio::spawn(sense.clone().read_measurements());
        tokio::spawn(sense.clone().read_metadata(self.wire, to_ask));
        let journal = Journal::new(self.state_dir.path());
        let (clients, topics, author) = (self.clients, self.topics, self.author);
        let to_leave = outbox.clone();
        let controller_topic_id = self.controller_topic_id;
        let takeover = move || TakeOver {
            clients: clients.clone(),
            outbox: outbox.clone(),
            controller_topic: topics.controller.clone(),
            controller_topic_id,
            author: author.clone(),
            inputs: inputs.clone(),
        };
        let executor = Executor {
            outbox: to_leave,
            messages,
            fleet,
            asked,
            status,
            readiness,
            journal,
            announcements,
            metrics: self.metrics,
            sense,
            takeover: Box::new(takeover),
            rng: self.rng,
            tasks: ReignTasks::default(),
            unowned: BTreeMap::new(),
            state_dir: self.state_dir,
        };
        Ok((executor, fleet_task))
    }

    fn start_outbox(
        &mut self,
        outbox: Outbox,
        inputs: mpsc::Sender<Input>,
    ) -> mpsc::Sender<(Destination, Message)> {
        let (messages, to_write) = mpsc::channel(QUEUE);
        let (deliveries, delivered) = mpsc::channel(QUEUE);
        let rng = ChaCha8Rng::from_rng(&mut self.rng);
        tokio::spawn(pump(outbox, to_write, deliveries, rng));
        tokio::spawn(follow_deliveries(delivered, inputs, self.metrics.clone()));
        messages
    }

    /// What only a cluster needs: who may lead, and Events for people.
    fn start_cluster_tasks(
        &self,
        inputs: &mpsc::Sender<Input>,
        stop: &Shutdown,
    ) -> Option<(JoinHandle<()>, mpsc::Sender<Announcement>)> {
        let FleetSeed::Kubernetes(client) = &self.fleet else { return None };
        let flags = &self.args.kubernetes;
        let view = LeaseView::new(&self.author, &self.state_dir.id().to_string());
        let election = Election::new(client, flags.lease.clone(), view, inputs.clone());
        let election = tokio::spawn(election.run(stop.clone()));
        let (announcements, to_publish) = mpsc::channel(QUEUE);
        let group_object = flags.group_object.clone();
        tokio::spawn(publish(client.clone(), group_object, host_name(), to_publish));
        Some((election, announcements))
    }

    fn start_fleet(
        &mut self,
        inputs: mpsc::Sender<Input>,
        stop: Shutdown,
        election: Option<JoinHandle<()>>,
    ) -> (mpsc::Sender<FleetCommand>, JoinHandle<()>) {
        let (commands, to_obey) = mpsc::channel(QUEUE);
        let (events, mut seen) = mpsc::channel(QUEUE);
        let task = match &self.fleet {
            FleetSeed::Process(launch) => {
                let rng = ChaCha8Rng::from_rng(&mut self.rng);
                let driver = ProcessFleet::new(launch.clone(), self.args.grace(), rng);
                tokio::spawn(drive(driver, to_obey, events, stop))
            }
            FleetSeed::Kubernetes(client) => {
                let (watched, settings) = (self.args.watched(), self.args.keeper());
                let rng = ChaCha8Rng::from_rng(&mut self.rng);
                let driver = KubernetesFleet::start(client, &watched, settings, rng);
                tokio::spawn(async move {
                    drive(driver, to_obey, events, stop).await;
                    // It gives the Lease back: nobody has to wait for that to lapse.
                    if let Some(election) = election {
                        let _ = election.await;
                    }
                })
            }
        };
        tokio::spawn(async move {
            while let Some(event) = seen.recv().await {
                if inputs.send(Input::Fleet(event)).await.is_err() {
                    return;
                }
            }
        });
        (commands, task)
    }
}

impl FleetSeed {
    async fn new(args: &RunArgs, state_dir: &StateDir) -> anyhow::Result<Self> {
        match args.fleet {
            FleetKind::Process => Ok(Self::Process(args.launch(&here()?, state_dir.path())?)),
            FleetKind::Kubernetes => {
                let no_cluster = "failed to find out where the cluster's API is";
                let mut config = kube::Config::infer().await.context(no_cluster)?;
                if let Some(namespace) = &args.kubernetes.namespace {
                    config.default_namespace.clone_from(namespace);
                }
                Ok(Self::Kubernetes(Client::try_from(config).context(no_cluster)?))
            }
        }
    }
}

/// The folder of this program.
fn here() -> anyhow::Result<PathBuf> {
    let program = env::current_exe().context("failed to find out where this program lies")?;
    Ok(program.parent().unwrap_or(Path::new("/")).to_owned())
}
