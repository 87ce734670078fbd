//! A stage of its own for each test on real Kafka: topics that no other test has, folders that go
//! away when all went well, and the logs of all programs when it did not.

#![expect(clippy::disallowed_methods, reason = "tests read where Kafka is from the environment")]
#![allow(dead_code, reason = "each test program uses a part of this")]

use std::collections::BTreeMap;
use std::env;
use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use common::clock::Clock;
use common::kafka::config::KafkaConfig;
use common::kafka::config_file;
use common::kafka::topic_spec::Setting;
use common::messages::Message;
use common::messages::codec::EVENT_TYPE;
use common::rate::BytesPerSecond;
use common::shutdown::Shutdown;
use e2e::clients::clients;
use e2e::clients::{create_topic, create_topic_with};
use e2e::harness::process::{Process, tail};
use e2e::harness::programs::program;
use e2e::harness::system::{System, SystemPlan};
use e2e::lake::store::Lake;
use e2e::load::produce::{Load, LoadPlan, Summary};
use e2e::load::shape::{RatePlan, Shape};
use e2e::verify::check::{Request, verify};
use e2e::verify::kafka::KafkaTopics;
use e2e::verify::report::TopicReport;
use e2e::verify::sink::Sink;
use e2e::verify::wait::until_stored;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer as _};
use serde_json::Value;

/// How long anything may take on a busy machine before it counts as not happening.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// What a batch of one record has besides.
const ROOM_BYTES: i64 = 64 << 10;

pub(crate) struct Stage {
    servers: String,
    kafka: KafkaConfig,
    /// What all names of this test begin with.
    name: String,
    folder: PathBuf,
}

impl Stage {
    /// `None` without Kafka: the test skips itself and says so; in CI that is a failure.
    pub(crate) fn set(test: &str) -> Option<Self> {
        let Ok(servers) = env::var("KAFKA_BOOTSTRAP_SERVERS") else {
            let is_ci = env::var("CI").is_ok_and(|value| value == "true");
            assert!(!is_ci, "KAFKA_BOOTSTRAP_SERVERS is not set: {test} cannot be skipped");
            eprintln!("SKIPPED: {test}: KAFKA_BOOTSTRAP_SERVERS names no brokers");
            return None;
        };
        Some(Self::on(servers, test))
    }

    /// On a Kafka that the test started itself.
    pub(crate) fn on(servers: String, test: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let (at, number) = (Clock.timestamp().0, COUNT.fetch_add(1, Ordering::Relaxed));
        let name = format!("{test}-{at}-{}-{number}", process::id());
        let folder = env::temp_dir().join("stowage-e2e").join(&name);
        std::fs::create_dir_all(folder.join("lake")).unwrap();
        let kafka = config_file::load(&servers, None).unwrap();
        Self { servers, kafka, name, folder }
    }

    pub(crate) fn kafka(&self) -> &KafkaConfig {
        &self.kafka
    }

    pub(crate) fn servers(&self) -> &str {
        &self.servers
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// A topic of this test.
    pub(crate) fn topic(&self, kind: &str) -> String {
        format!("{}-{kind}", self.name)
    }

    /// The prefix of the system's own topics, and the group.
    pub(crate) fn prefix(&self) -> &str {
        &self.name
    }

    pub(crate) fn create(&self, topic: &str, partitions: u32) {
        create_topic(&self.kafka, topic, partitions).unwrap();
    }

    /// A topic with room for records of so many bytes.
    pub(crate) fn create_for_records_of(&self, bytes: u32, topic: &str, partitions: u32) {
        let room = Setting::at_least("max.message.bytes", i64::from(bytes) + ROOM_BYTES);
        create_topic_with(&self.kafka, topic, partitions, vec![room]).unwrap();
    }

    /// A program of the system, reaching this stage's Kafka.
    pub(crate) fn command(&self, name: &'static str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program(name).unwrap());
        command.args(arguments);
        command.args(["--kafka-bootstrap-servers", &self.servers]);
        command.args(["--topic-prefix", &self.name, "--group-id", &self.name]);
        command.env("RUST_BACKTRACE", "1");
        command
    }

    /// Starts a program; what it prints is kept under `label`.
    pub(crate) fn start(&self, label: &str, command: Command) -> Process {
        Process::start(label, command, &self.folder.join(format!("{label}.log"))).unwrap()
    }

    /// How the whole system runs here: quick to see, to grow and to shrink, so that tests are short.
    /// A consumer sustains `capacity`, of which three quarters are planned with.
    pub(crate) fn plan(&self, capacity: u64) -> SystemPlan {
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        SystemPlan {
            kafka_bootstrap_servers: self.servers.clone(),
            kafka_config: None,
            folder: self.folder.clone(),
            prefix: self.name.clone(),
            monitor_options: words("--window-secs 5 --filter-secs 2 --burst-secs 2"),
            orchestrator_options: words(&format!(
                "--capacity {capacity} --capacity-factor 1 --max-consumers 8 \
                 --stabilisation-secs 3 --catch-up-secs 20 --leaderless-secs 30 \
                 --consumer-option rotation-secs=1 --consumer-option wait-time-secs=0.2"
            )),
        }
    }

    /// Starts the system, and waits until it owns every partition of `topic`.
    pub(crate) fn system(&self, capacity: u64, topic: &str, partitions: usize) -> System {
        let plan = self.plan(capacity);
        let measured = ["--topic-pattern".to_owned(), format!("{}.*", self.topic("orders"))];
        let plan = SystemPlan {
            monitor_options: [plan.monitor_options.clone(), measured.to_vec()].concat(),
            ..plan
        };
        let system = System::start(plan).unwrap();
        system.read_topic(topic, &[]).unwrap();
        wait_for_owners(&system, partitions);
        system
    }

    pub(crate) fn lake_url(&self) -> String {
        format!("file://{}", self.folder.join("lake").display())
    }

    /// Tells a consumer, or the leader on partition 0, something.
    pub(crate) fn tell(&self, partition: i32, message: &Message) {
        let header = Header { key: EVENT_TYPE, value: Some(message.kind().name()) };
        let headers = OwnedHeaders::new().insert(header);
        let topic = format!("{}-controller", self.name);
        let payload = message.encode();
        let record =
            BaseRecord::<(), _>::to(&topic).partition(partition).payload(&payload).headers(headers);
        let producer = self.producer();
        producer.send(record).map_err(|(error, _)| error).unwrap();
        producer.flush(PATIENCE).unwrap();
    }

    /// Sends values as they are.
    pub(crate) fn send(&self, topic: &str, partition: i32, values: &[&[u8]]) {
        let producer = self.producer();
        for value in values {
            let record = BaseRecord::<(), _>::to(topic).partition(partition).payload(*value);
            producer.send(record).map_err(|(error, _)| error).unwrap();
        }
        producer.flush(PATIENCE).unwrap();
    }

    /// Sends one value with its key and a header.
    pub(crate) fn send_with(
        &self,
        (topic, partition): (&str, i32),
        key: Option<&str>,
        header: Option<(&str, &str)>,
        value: &[u8],
    ) {
        let mut record = BaseRecord::<str, [u8]>::to(topic).partition(partition).payload(value);
        if let Some(key) = key {
            record = record.key(key);
        }
        if let Some((key, value)) = header {
            let header = Header { key, value: Some(value) };
            record = record.headers(OwnedHeaders::new().insert(header));
        }
        let producer = self.producer();
        producer.send(record).map_err(|(error, _)| error).unwrap();
        producer.flush(PATIENCE).unwrap();
    }

    /// Sends records with their keys, each to the partition that stands before it; all are acknowledged.
    pub(crate) fn send_keyed(&self, topic: &str, records: &[(i32, String, Option<String>)]) {
        let producer = self.producer();
        for (partition, key, value) in records {
            let mut record = BaseRecord::<str, str>::to(topic).partition(*partition).key(key);
            if let Some(value) = value {
                record = record.payload(value);
            }
            producer.send(record).map_err(|(error, _)| error).unwrap();
        }
        producer.flush(PATIENCE).unwrap();
    }

    /// Writes load on a thread; the handle gives the summary.
    pub(crate) fn load(&self, plan: LoadPlan) -> std::thread::JoinHandle<Summary> {
        let load = Load::new(&self.kafka, plan).unwrap();
        std::thread::spawn(move || {
            let summary = load.run(Clock, &Shutdown::manual()).unwrap();
            assert!(summary.is_complete(), "{summary:?}");
            summary
        })
    }

    pub(crate) fn lake(&self) -> Lake {
        Lake::open(&self.lake_url(), &BTreeMap::new()).unwrap()
    }

    /// The paths of all objects in the lake.
    pub(crate) fn objects(&self) -> Vec<String> {
        let listing = self.lake().list().unwrap();
        listing.objects.into_iter().map(|object| object.path).collect()
    }

    /// Waits until all is stored, and compares.
    pub(crate) fn verify(&self, topic: &str) -> TopicReport {
        self.verify_in(&self.lake(), topic)
    }

    /// The same with one table only.
    pub(crate) fn verify_table(&self, topic: &str, table: &str) -> TopicReport {
        self.verify_in(&self.lake().only(Some(table.to_owned())), topic)
    }

    /// The same wherever the rows are.
    pub(crate) fn verify_in(&self, sink: &dyn Sink, topic: &str) -> TopicReport {
        let mut topics = KafkaTopics::connect(&self.kafka).unwrap();
        let dead_letter_topic = Some(format!("{}-dead-letter", self.name));
        let request = Request { topics: vec![topic.to_owned()], dead_letter_topic };
        let stored = until_stored(&mut topics, sink, &request, PATIENCE).unwrap();
        let report = verify(&mut topics, sink, &request).unwrap();
        eprintln!("{report}");
        assert!(stored, "not everything was stored within {} s: {report}", PATIENCE.as_secs());
        report.topics.into_iter().next().unwrap()
    }

    /// Verifies, and wants nothing lost, doubled, disordered or changed.
    pub(crate) fn assert_sound(&self, topic: &str) -> TopicReport {
        let report = self.verify(topic);
        assert!(report.is_sound(), "{report:#?}");
        report
    }

    fn producer(&self) -> Arc<BaseProducer> {
        let own = [("message.max.bytes", "20000000")];
        clients(&self.kafka).base_producer(&own, DefaultProducerContext).unwrap()
    }
}

/// A failed test shows the logs of its programs and keeps its folder.
impl Drop for Stage {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.folder);
            return;
        }
        eprintln!("the folder of the failed test: {}", self.folder.display());
        for log in logs(&self.folder) {
            eprintln!("{}", tail("log", &log));
        }
    }
}

fn logs(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut logs: Vec<PathBuf> = entries
        .flat_map(|entry| match entry.path() {
            path if path.ends_with("lake") => Vec::new(),
            path if path.is_dir() => logs(&path),
            path if path.extension().is_some_and(|extension| extension == "log") => vec![path],
            _ => Vec::new(),
        })
        .collect();
    logs.sort();
    logs
}

/// Waits until so many partitions have an owner, and nothing is on the move.
pub(crate) fn wait_for_owners(system: &System, partitions: usize) {
    let what = format!("{partitions} partitions have an owner");
    system
        .wait_for(&what, PATIENCE, |status| {
            let owned = owned(status);
            let is_done = owned == partitions && status["is_settled"] == true;
            if is_done { Ok(()) } else { Err(format!("{owned} are owned: {status}")) }
        })
        .unwrap();
}

/// How many partitions have an owner.
pub(crate) fn owned(status: &Value) -> usize {
    let partitions = status["partitions"].as_object().into_iter().flatten();
    partitions.filter(|(_, partition)| partition["state"] == "Owned").count()
}

/// The consumers that hold something, with their process ids.
pub(crate) fn working(status: &Value) -> Vec<u32> {
    let consumers = status["consumers"].as_array().into_iter().flatten();
    let working = consumers.filter(|consumer| consumer["partitions"].as_u64() > Some(0));
    working.filter_map(|consumer| u32::try_from(consumer["pid"].as_u64()?).ok()).collect()
}

/// A steady load of small records.
pub(crate) fn steady(topic: &str, partitions: u32, rate: u64, seconds: u64) -> LoadPlan {
    LoadPlan {
        topic: topic.into(),
        partitions,
        duration: Some(Duration::from_secs(seconds)),
        rates: RatePlan {
            shape: Shape::Constant,
            peak: BytesPerSecond(rate),
            cycle: Duration::from_secs(seconds),
            delta: 10,
            step: Duration::from_secs(2),
            skew: 15,
            seed: 1,
        },
        record_bytes: 300,
        input: None,
    }
}
