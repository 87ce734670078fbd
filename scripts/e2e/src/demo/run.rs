//! IO. The demonstration from start to end.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use common::clock::Clock;
use common::kafka::config::KafkaConfig;
use common::moment::Moment;
use common::rate::BytesPerSecond;
use common::shutdown::Shutdown;
use rand::SeedableRng as _;
use rand::rngs::ChaCha8Rng;
use rand::seq::IteratorRandom as _;
use rustix::process::Signal;

use super::page::{self, Scene};
use super::summary::{Extent, Observed, Summary};
use crate::clients::create_topic;
use crate::harness::patience::wait_until;
use crate::harness::process::signal_process;
use crate::harness::system::{System, SystemPlan};
use crate::lake::store::Lake;
use crate::latency;
use crate::load::produce::{Load, LoadPlan};
use crate::load::sender::Progress;
use crate::load::shape::{RatePlan, Shape};
use crate::verify::check::{self, Request};
use crate::verify::kafka::KafkaTopics;
use crate::verify::record::TopicRecords as _;
use crate::verify::report::Report;
use crate::verify::wait::until_stored;
use crate::watch::follow::{Followed, Follower, Seen};

const PREFIX: &str = "data-engineering";
const TOPIC: &str = "orders";
/// How many consumers' capacities the peak is.
const PEAK_CONSUMERS: u64 = 4;
const CYCLE: Duration = Duration::from_secs(120);
const REFRESH: Duration = Duration::from_millis(500);
/// Where no page can be shown, a line is printed so often.
const LINE_EVERY: Duration = Duration::from_secs(5);
const ASSIGN_WITHIN: Duration = Duration::from_secs(60);
const STORE_WITHIN: Duration = Duration::from_secs(120);
const SEED: u64 = 1;

/// What to show.
#[derive(Clone, Debug)]
pub struct DemoPlan {
    pub kafka_bootstrap_servers: String,
    pub kafka_config: Option<PathBuf>,
    /// For the lake, logs and state.
    pub folder: PathBuf,
    /// `None`: until it is asked to end.
    pub seconds: Option<u64>,
    pub partitions: u32,
    /// At the peak.
    pub rate: BytesPerSecond,
    pub input: Option<PathBuf>,
    pub kill_every: Option<Duration>,
}

/// The names that this demonstration uses.
struct Names {
    prefix: String,
    topic: String,
}

/// What happened while the load ran.
struct Show {
    extent: Extent,
    kills: u64,
    elapsed: Duration,
}

/// Runs the demonstration; the summary says whether all went well.
pub fn run(plan: &DemoPlan, kafka: &KafkaConfig) -> anyhow::Result<Summary> {
    let shutdown = Shutdown::install()?;
    let mut topics = KafkaTopics::connect(kafka)?;
    let names = names(&mut topics)?;
    let load = Load::new(kafka, load_plan(plan, &names.topic))?;
    say(&format!("creating the topic {} with {} partitions", names.topic, plan.partitions));
    create_topic(kafka, &names.topic, plan.partitions)?;
    let mut system = start(plan, &names)?;
    let followed =
        Followed { monitor: system.plan().topic("monitor"), events: system.plan().topic("events") };
    let follower = Follower::<Seen>::start(kafka, followed)?;
    say("waiting until every partition has an owner");
    wait_for_owners(&follower, plan.partitions, &shutdown)
        .with_context(|| format!("the fleet did not start\n{}", system.tails()))?;
    let show = perform(plan, load, &mut system, &follower, &shutdown)?;
    say("storing what is left");
    let lake = Lake::open(&system.plan().lake().display().to_string(), &Default::default())?;
    let dead_letter_topic = Some(format!("{}-dead-letter", names.prefix));
    let request = Request { topics: vec![names.topic.clone()], dead_letter_topic };
    if !until_stored(&mut topics, &lake, &request, STORE_WITHIN)? {
        say(&format!("not everything was stored within {} s", STORE_WITHIN.as_secs()));
    }
    say("ending the fleet");
    system.stop()?;
    say("comparing every record with the lake");
    let report = verify(&mut topics, &lake, &request)?;
    let seen = follower.seen();
    Ok(Summary::of(&Observed {
        seconds: show.elapsed.as_secs(),
        extent: show.extent,
        moves: seen.fleet.moves(),
        kills: show.kills,
        report: &report,
        end_to_end: latency::measure(&lake, &[names.topic])?,
        lake: &system.plan().lake().display().to_string(),
    }))
}

/// Plain names on a Kafka where nobody has them, else names of this demonstration alone.
fn names(topics: &mut KafkaTopics) -> anyhow::Result<Names> {
    let plain = [TOPIC.to_owned(), format!("{PREFIX}-controller"), format!("{PREFIX}-monitor")];
    for topic in &plain {
        if topics.facts(topic)?.is_some() {
            let suffix = Clock.timestamp().0 / 1_000;
            let prefix = format!("{PREFIX}-{suffix}");
            return Ok(Names { prefix, topic: format!("{TOPIC}-{suffix}") });
        }
    }
    Ok(Names { prefix: PREFIX.into(), topic: TOPIC.into() })
}

fn load_plan(plan: &DemoPlan, topic: &str) -> LoadPlan {
    let duration = plan.seconds.map(Duration::from_secs);
    LoadPlan {
        topic: topic.into(),
        partitions: plan.partitions,
        duration,
        rates: RatePlan {
            shape: Shape::RiseAndFall,
            peak: plan.rate,
            cycle: duration.unwrap_or(CYCLE),
            delta: 10,
            step: Duration::from_secs(5),
            skew: 15,
            seed: SEED,
        },
        record_bytes: 300,
        input: plan.input.clone(),
    }
}

fn capacity(plan: &DemoPlan) -> u64 {
    (plan.rate.0 / PEAK_CONSUMERS).max(1)
}

fn start(plan: &DemoPlan, names: &Names) -> anyhow::Result<System> {
    let options = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let system_plan = SystemPlan {
        kafka_bootstrap_servers: plan.kafka_bootstrap_servers.clone(),
        kafka_config: plan.kafka_config.clone(),
        folder: plan.folder.clone(),
        prefix: names.prefix.clone(),
        monitor_options: options(&format!(
            "--topics {} --window-secs 10 --filter-secs 5",
            names.topic
        )),
        orchestrator_options: options(&format!(
            "--capacity {} --capacity-factor 1 --max-consumers 16 \
             --stabilisation-secs 10 --catch-up-secs 20 \
             --consumer-option rotation-secs=1 --consumer-option wait-time-secs=0.5",
            capacity(plan)
        )),
    };
    std::fs::create_dir_all(system_plan.lake())
        .with_context(|| format!("failed to create {}", system_plan.lake().display()))?;
    say("starting the monitor and the orchestrator");
    let system = System::start(system_plan)?;
    system.read_topic(&names.topic, &[])?;
    Ok(system)
}

fn wait_for_owners(
    follower: &Follower<Seen>,
    partitions: u32,
    shutdown: &Shutdown,
) -> anyhow::Result<()> {
    let wanted = usize::try_from(partitions)?;
    let owned = || {
        let owned = follower.seen().fleet.owned();
        if shutdown.is_requested() {
            return Ok(Err(anyhow!("was asked to end")));
        }
        if owned == wanted { Ok(Ok(())) } else { Err(format!("{owned} of {wanted} have one")) }
    };
    wait_until("every partition has an owner", ASSIGN_WITHIN, owned)?
}

/// Runs the load and shows what happens until it ends.
fn perform(
    plan: &DemoPlan,
    load: Load,
    system: &mut System,
    follower: &Follower<Seen>,
    shutdown: &Shutdown,
) -> anyhow::Result<Show> {
    let progress = load.progress();
    let until = shutdown.clone();
    let load = thread::spawn(move || load.run(Clock, &until));
    let mut stage = Stage::new(plan, progress);
    while !load.is_finished() {
        system.check().inspect_err(|_| shutdown.request())?;
        stage.turn(follower);
        thread::sleep(REFRESH);
    }
    let summary = load.join().map_err(|_| anyhow!("the load panicked"))??;
    if !summary.is_complete() {
        return Err(anyhow!(
            "{} records were not acknowledged: {:?}",
            summary.failed,
            summary.first_failure
        ));
    }
    Ok(Show { extent: stage.extent, kills: stage.kills, elapsed: stage.elapsed() })
}

/// What is shown and done every half second.
struct Stage<'a> {
    plan: &'a DemoPlan,
    progress: Arc<Progress>,
    extent: Extent,
    kills: u64,
    rng: ChaCha8Rng,
    began: Moment,
    killed: Moment,
    printed: Option<Moment>,
    is_terminal: bool,
}

impl<'a> Stage<'a> {
    fn new(plan: &'a DemoPlan, progress: Arc<Progress>) -> Self {
        let began = Clock.now();
        Self {
            plan,
            progress,
            extent: Extent::default(),
            kills: 0,
            rng: ChaCha8Rng::seed_from_u64(SEED),
            began,
            killed: began,
            printed: None,
            is_terminal: io::stdout().is_terminal(),
        }
    }

    fn elapsed(&self) -> Duration {
        Clock.now().saturating_since(self.began)
    }

    fn turn(&mut self, follower: &Follower<Seen>) {
        let seen = follower.seen();
        let now_ms = Clock.timestamp().0;
        self.extent.note(seen.fleet.working(now_ms));
        let is_kill_due = self
            .plan
            .kill_every
            .is_some_and(|every| Clock.now().saturating_since(self.killed) >= every);
        if is_kill_due {
            let pids = seen.fleet.living(now_ms).map(|(_, life)| life.pid);
            if let Some(pid) = pids.choose(&mut self.rng) {
                // It may have ended by itself a moment ago: then nobody was killed.
                self.kills += u64::from(signal_process(pid, Signal::KILL).is_ok());
            }
            self.killed = Clock.now();
        }
        let scene = Scene {
            elapsed: self.elapsed().as_secs(),
            of: self.plan.seconds,
            now_ms,
            produced: self.progress.sent(),
            capacity: capacity(self.plan),
            kills: self.kills,
            extent: self.extent,
            fleet: &seen.fleet,
            measured: &seen.measured,
        };
        self.print(&scene);
    }

    fn print(&mut self, scene: &Scene<'_>) {
        let now = Clock.now();
        let is_line_due =
            self.printed.is_none_or(|printed| now.saturating_since(printed) >= LINE_EVERY);
        let mut out = io::stdout().lock();
        // A page that nobody sees is no reason to end.
        let _ = if self.is_terminal {
            let clear = if self.printed.is_none() { "\x1b[2J" } else { "" };
            self.printed = Some(now);
            let lines = page::page(scene).join("\x1b[K\r\n");
            write!(out, "{clear}\x1b[H{lines}\x1b[K\r\n\x1b[J")
        } else if is_line_due {
            self.printed = Some(now);
            writeln!(out, "{}", page::line(scene))
        } else {
            Ok(())
        };
        let _ = out.flush();
    }
}

fn verify(topics: &mut KafkaTopics, lake: &Lake, request: &Request) -> anyhow::Result<Report> {
    let report = check::verify(topics, lake, request)?;
    if !report.is_sound() {
        say(&report.to_string());
    }
    Ok(report)
}

fn say(what: &str) {
    // Progress that nobody sees is no reason to end.
    let _ = writeln!(io::stderr(), "demo: {what}");
}
