//! IO. Carries out a measurement, and removes what it needed. Kafka forgets the group's offsets by itself.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use common::args::{GroupArgs, NameArgs};
use common::clock::Clock;
use common::kafka::admin::TopicAdmin;
use common::kafka::client_events::ClientMetrics;
use common::kafka::clients::{ClientNames, KafkaClients};
use common::kafka::config::KafkaConfig;
use common::kafka::writer::{NewRecord, TopicWriter};
use common::metrics::Metrics;
use common::partition::TopicPartition;
use common::shutdown::Shutdown;
use common::topics::TopicNames;
use serde_json::json;
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use url::Url;

use super::BenchArgs;
use super::cost::{memory_peak, processor_time};
use super::poll_loop::poll_all;
use super::report::Report;
use crate::args::{Args, StoreArgs};
use crate::command_line::Failure;
use crate::gather::Fetcher;
use crate::metrics::ConsumerMetrics;
use crate::run::run_counted;
use crate::start::{FETCH_BOUNDS, ensure_own_topics};

/// How often the consumer is looked at.
const LOOK: Duration = Duration::from_millis(20);
/// The number of the consumer that is measured.
const CONSUMER: u32 = 1;

/// The partitions that hold records, with the offset at which reading ends.
type Ends = BTreeMap<TopicPartition, u64>;

/// Measures as asked, and says what was found.
///
/// # Errors
/// If flags are wrong, or Kafka or the sink cannot be used.
pub async fn carry_out(args: &BenchArgs) -> Result<String, Failure> {
    args.flow.check().map_err(Failure::input)?;
    args.reading.check().map_err(Failure::input)?;
    let kafka = args.kafka.load().map_err(Failure::input)?;
    let name = format!("stowage-bench-{:08x}", rand::random::<u32>());
    let names = ClientNames { client_id: name.clone(), group: name.clone() };
    let clients = KafkaClients::new(kafka.clone(), names, ClientMetrics::default());
    let ends = ends(&clients, &args.topics).await?;
    let report = if args.poll_loop {
        poll_loop(args, clients, ends).await?
    } else {
        let stage = Stage::new(args, name);
        let report = stage.measure(args, kafka, (&clients, ends)).await;
        let cleared = stage.clear(&clients).await;
        let report = report?;
        cleared?;
        report
    };
    if args.json {
        return serde_json::to_string(&report).map_err(Failure::run);
    }
    Ok(report.to_string())
}

async fn ends(clients: &KafkaClients, topics: &[String]) -> Result<Ends, Failure> {
    let admin = TopicAdmin::connect(clients).await.map_err(Failure::run)?;
    let fetcher = Fetcher::start(clients, FETCH_BOUNDS).map_err(Failure::run)?;
    let mut ends = Ends::new();
    for topic in topics {
        let partitions = admin.partitions(topic).await.map_err(Failure::run)?;
        let partitions = partitions.ok_or_else(|| anyhow!("there is no topic `{topic}`"));
        for number in 0..partitions.map_err(Failure::Input)? {
            let partition = TopicPartition::new(topic, number);
            let range = fetcher.log_range(&partition).await.map_err(Failure::run)?;
            if range.start < range.end {
                ends.insert(partition, range.end);
            }
        }
    }
    if ends.is_empty() {
        return Err(Failure::Input(anyhow!("the topics hold no records")));
    }
    Ok(ends)
}

async fn poll_loop(args: &BenchArgs, clients: KafkaClients, ends: Ends) -> Result<Report, Failure> {
    let partitions = ends.len();
    let (began_at, began) = (Clock.now(), processor_time());
    let counted = spawn_blocking(move || poll_all(&clients, FETCH_BOUNDS, ends)).await;
    let counted = counted.map_err(Failure::run)?.map_err(Failure::Run)?;
    Ok(Report {
        what: "poll loop".into(),
        topics: args.topics.len(),
        partitions,
        records: counted.records,
        bytes: counted.bytes,
        seconds: Clock.now().saturating_since(began_at).as_secs_f64(),
        cpu_seconds: processor_time().saturating_sub(began).as_secs_f64(),
        memory_peak_bytes: memory_peak(),
        stored_bytes: 0,
        unparsed: 0,
    })
}

/// What a consumer needs that nobody else is to notice.
struct Stage {
    name: String,
    topics: TopicNames,
    /// Where tables go if nothing else was said.
    lake: Option<PathBuf>,
}

impl Stage {
    fn new(args: &BenchArgs, name: String) -> Self {
        let topics = TopicNames::new(&name);
        let needs_lake = args.reading.sink() == "parquet" && args.store.sink_url.is_none();
        let lake = needs_lake.then(|| env::temp_dir().join(&name));
        Self { name, topics, lake }
    }

    /// Topics of its own, with the wishes that the consumer is to follow, and a place for tables.
    async fn set(&self, args: &BenchArgs, clients: &KafkaClients) -> Result<(), Failure> {
        if let Some(folder) = &self.lake {
            let made = fs::create_dir(folder);
            made.with_context(|| format!("failed to make the folder {}", folder.display()))
                .map_err(Failure::Run)?;
        }
        ensure_own_topics(clients, &self.topics, CONSUMER).await.map_err(Failure::Run)?;
        let writer = TopicWriter::new(clients.producer().map_err(Failure::run)?);
        let desk = TopicPartition::new(&self.topics.controller, CONSUMER);
        for topic in &args.topics {
            let wish = json!({"event_type": "StartConsuming", "topic": topic}).to_string();
            let wish = NewRecord { key: None, value: Some(wish.as_bytes()), headers: &[] };
            writer.write(&desk, wish).await.map_err(Failure::run)?;
        }
        Ok(())
    }

    async fn clear(&self, clients: &KafkaClients) -> Result<(), Failure> {
        if let Some(folder) = self.lake.as_ref().filter(|folder| folder.exists()) {
            fs::remove_dir_all(folder).map_err(Failure::run)?;
        }
        let admin = TopicAdmin::connect(clients).await.map_err(Failure::run)?;
        for topic in [&self.topics.controller, &self.topics.events, &self.topics.dead_letter] {
            admin.delete_topic(topic).await.map_err(Failure::run)?;
        }
        Ok(())
    }

    /// Runs a consumer until everything is stored.
    async fn measure(
        &self,
        args: &BenchArgs,
        kafka: KafkaConfig,
        (clients, ends): (&KafkaClients, Ends),
    ) -> Result<Report, Failure> {
        self.set(args, clients).await?;
        let run_args = self.consumer(args).map_err(Failure::Run)?;
        let shutdown = Shutdown::install().map_err(Failure::run)?;
        let mut metrics = Metrics::new("consumer");
        let counted = ConsumerMetrics::declare(&mut metrics);
        let run = run_counted(&run_args, kafka, &shutdown, (metrics, counted.clone()));
        let watch = async {
            let report = watch(args, &counted, ends).await;
            shutdown.request();
            report
        };
        let stopped = shutdown.requested();
        let (ran, report) = tokio::join!(run, async {
            tokio::select! {
                report = watch => Some(report),
                () = stopped => None,
            }
        });
        ran.map_err(Failure::Run)?;
        report.ok_or_else(|| Failure::Run(anyhow!("it was asked to end")))
    }

    fn consumer(&self, args: &BenchArgs) -> anyhow::Result<Args> {
        let store = match &self.lake {
            None => args.store.clone(),
            Some(folder) => {
                let url = Url::from_directory_path(folder);
                let url = url.map_err(|()| anyhow!("{} is no absolute path", folder.display()))?;
                StoreArgs { sink_url: Some(url), ..args.store.clone() }
            }
        };
        Ok(Args {
            group: GroupArgs { group_id: self.name.clone() },
            names: NameArgs { topic_prefix: self.name.clone() },
            store,
            state_dir: None,
            registry: args.registry.clone(),
            flow: args.flow.clone(),
            reading: args.reading.clone(),
            ..Args::by_hand(&args.kafka, CONSUMER)?
        })
    }
}

/// Waits until all is stored, and adds up what that took.
async fn watch(args: &BenchArgs, metrics: &ConsumerMetrics, ends: Ends) -> Report {
    let (all, mut open) = (ends.keys().cloned().collect::<Vec<_>>(), ends);
    let mut began = None;
    loop {
        sleep(LOOK).await;
        open.retain(|partition, end| {
            let stored = metrics.stored(partition);
            if stored.is_some() {
                began.get_or_insert_with(|| (Clock.now(), processor_time()));
            }
            stored.is_none_or(|stored| stored < *end)
        });
        let (Some((began_at, began)), true) = (began, open.is_empty()) else { continue };
        let counts = all.iter().map(|partition| metrics.counts(partition)).collect::<Vec<_>>();
        return Report {
            what: format!("{} to {}", args.reading.format(), args.reading.sink()),
            topics: args.topics.len(),
            partitions: all.len(),
            records: counts.iter().map(|counts| counts.records).sum(),
            bytes: counts.iter().map(|counts| counts.bytes).sum(),
            seconds: Clock.now().saturating_since(began_at).as_secs_f64(),
            cpu_seconds: processor_time().saturating_sub(began).as_secs_f64(),
            memory_peak_bytes: memory_peak(),
            stored_bytes: counts.iter().map(|counts| counts.stored_bytes).sum(),
            unparsed: counts.iter().map(|counts| counts.unparsed).sum(),
        };
    }
}
