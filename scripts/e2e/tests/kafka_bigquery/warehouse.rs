//! The system with a double of BigQuery beside it, and what the double's log says about the streams.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::Duration;

use common::identity::ConsumerId;
use common::shutdown::Shutdown;
use e2e::bigquery::history::{History, Totals};
use e2e::harness::bigquery::LocalBigQuery;
use e2e::harness::patience::wait_until;
use e2e::verify::report::TopicReport;
use e2e::watch::announced::Announced;
use e2e::watch::follow::{Followed, Follower};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::crew::{Crew, Victim};
use crate::flow::Flow;
use crate::stage::{PATIENCE, Stage};

const FOLLOW_EVERY: Duration = Duration::from_millis(200);

/// The crew is dropped first, and with it whoever writes.
pub(crate) struct Warehouse {
    pub(crate) crew: Crew,
    pub(crate) partitions: u32,
    follower: Follower<Announced>,
    log: Log,
    bigquery: Arc<LocalBigQuery>,
}

impl Warehouse {
    /// `None` without Kafka.
    pub(crate) fn start(test: &str, partitions: u32) -> Option<Self> {
        Self::start_reading(test, partitions, &[])
    }

    /// The same with more words for the topic's entry.
    pub(crate) fn start_reading(test: &str, partitions: u32, entry: &[&str]) -> Option<Self> {
        let stage = Stage::set(test)?;
        let bigquery = Arc::new(LocalBigQuery::start(stage.folder(), "warehouse").unwrap());
        let options = bigquery.consumer_options();
        let options = options.map(|(name, value)| format!("--consumer-option={name}={value}"));
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        let log = Log::follow(Arc::clone(&bigquery));
        let entry = [&["--sink", "bigquery"], entry].concat();
        let crew = Crew::start_reading(stage, partitions, &options, &entry);
        let plan = crew.system.plan();
        let followed = Followed { monitor: plan.topic("monitor"), events: plan.topic("events") };
        let follower = Follower::start(crew.stage.kafka(), followed).unwrap();
        Some(Self { crew, partitions, follower, log, bigquery })
    }

    pub(crate) fn flow(&self, rate: u64) -> Flow {
        Flow::start(&self.crew.stage, &self.crew.topic, self.partitions, rate)
    }

    pub(crate) fn inflict(&self, faults: &Value) {
        self.bigquery.inflict(faults).unwrap();
    }

    pub(crate) fn lift(&self) {
        self.bigquery.lift().unwrap();
    }

    pub(crate) fn set(&self, settings: &Value) {
        self.bigquery.set(settings).unwrap();
    }

    /// The columns of the topic's table besides those of Kafka.
    pub(crate) fn columns(&self) -> Vec<String> {
        let table = self.bigquery.tables().unwrap().table_of(&self.crew.topic);
        let table = self.bigquery.table(&table).unwrap().unwrap_or_default();
        let fields = table["schema"]["fields"].as_array().into_iter().flatten();
        let names = fields.filter_map(|field| field["name"].as_str());
        names.filter(|name| !name.starts_with("kafka_")).map(str::to_owned).collect()
    }

    /// The rows of the topic's table as a query sees them: each as its columns' texts by their names.
    pub(crate) fn rows(&self) -> Vec<BTreeMap<String, String>> {
        let (tables, mut rows) = (self.bigquery.tables().unwrap(), Vec::new());
        let table = tables.table_of(&self.crew.topic);
        let known = self.bigquery.table(&table).unwrap().unwrap_or_default();
        let fields = known["schema"]["fields"].as_array().into_iter().flatten();
        let names: Vec<_> = fields.filter_map(|field| field["name"].as_str()).collect();
        let cell =
            |(name, cell): (&&str, &Value)| Some(((*name).into(), cell["v"].as_str()?.into()));
        let visit = |_: &[_], row: &Value| {
            let cells = row["f"].as_array().into_iter().flatten();
            rows.push(names.iter().zip(cells).filter_map(cell).collect());
        };
        tables.read(&table, 0, visit).unwrap();
        rows
    }

    /// Waits until a call was struck by a fault so often, in all.
    pub(crate) fn wait_until_struck(&self, call_and_fault: &str, times: u64) {
        self.wait_until(&format!("{call_and_fault} {times} times"), |history| {
            let struck = history.struck().get(call_and_fault).copied().unwrap_or(0);
            if struck >= times { Ok(()) } else { Err(format!("{:?}", history.struck())) }
        });
    }

    /// Waits until every fault that was to come is at work.
    pub(crate) fn wait_until_taken(&self) {
        let taken = || match self.bigquery.faults_left().unwrap() {
            0 => Ok(()),
            left => Err(format!("{left} are to come")),
        };
        wait_until("every fault is at work", PATIENCE, taken).unwrap();
    }

    /// Waits until the log says what is wanted.
    pub(crate) fn wait_until(&self, what: &str, judge: impl Fn(&History) -> Result<(), String>) {
        if let Err(error) = wait_until(what, PATIENCE, || judge(&self.log.history())) {
            panic!("{error}\n{}", self.crew.system.tails());
        }
    }

    /// Kills a consumer that holds something, and waits until all is owned again.
    pub(crate) fn kill_one(&self) {
        self.crew.wait_for_progress();
        let victim = self.crew.victim();
        victim.signal(Signal::KILL);
        self.crew.wait_for_successor(&victim, self.partitions);
    }

    /// A stream that the victim writes to.
    pub(crate) fn stream_of(&self, victim: &Victim) -> String {
        let of = |consumer: ConsumerId| {
            self.follower.seen().stream_of(consumer).map(str::to_owned).ok_or("none")
        };
        wait_until("a stream of it is known", PATIENCE, || of(victim.consumer)).unwrap()
    }

    /// Verifies, and ends the system: every record in the table once.
    pub(crate) fn end_soundly(self) -> (TopicReport, Totals) {
        let (report, totals) = self.end();
        assert!(report.is_sound(), "{report:#?}");
        assert!(totals.rows >= report.counts.stored);
        (report, totals)
    }

    /// Verifies, and ends the system: no append to a stream that was ended or not announced, and nobody ends badly.
    pub(crate) fn end(mut self) -> (TopicReport, Totals) {
        self.lift();
        let tables = self.bigquery.tables().unwrap();
        let report = self.crew.stage.verify_in(&tables, &self.crew.topic);
        self.crew.system.stop().unwrap();
        self.log.stop();
        let history = self.log.history();
        let sound = || {
            let problems = history.problems(self.follower.seen().streams());
            if problems.is_empty() { Ok(()) } else { Err(problems.join("\n")) }
        };
        wait_until("every stream was announced before its first row", PATIENCE, sound).unwrap();
        let totals = history.totals();
        eprintln!("{totals:?} {:?}", history.struck());
        drop(history);
        (report, totals)
    }
}

/// Reads the log on and on, since the double forgets what is old.
struct Log {
    history: Arc<Mutex<History>>,
    bigquery: Arc<LocalBigQuery>,
    end: Shutdown,
    thread: Option<JoinHandle<()>>,
}

impl Log {
    fn follow(bigquery: Arc<LocalBigQuery>) -> Self {
        let (history, end) = (Arc::<Mutex<History>>::default(), Shutdown::manual());
        let (into, from, until) = (Arc::clone(&history), Arc::clone(&bigquery), end.clone());
        let thread = spawn(move || {
            while !until.is_requested() {
                from.follow(&mut into.lock().unwrap_or_else(PoisonError::into_inner)).unwrap();
                sleep(FOLLOW_EVERY);
            }
        });
        Self { history, bigquery, end, thread: Some(thread) }
    }

    fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the rest.
    fn stop(&mut self) {
        self.end.request();
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
        self.bigquery.follow(&mut self.history()).unwrap();
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.end.request();
        if let Some(thread) = self.thread.take() {
            // The test has failed already.
            let _ = thread.join();
        }
    }
}

/// A fault for so many calls.
pub(crate) fn fault(rpc: &str, times: u64, action: Value) -> Value {
    json!({"rpc": rpc, "times": times, "action": action})
}
