//! IO. A run of faults from start to end.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use common::clock::Clock;
use common::moment::Moment;
use common::rate::BytesPerSecond;
use common::shutdown::Shutdown;

use super::crew::Crew;
use super::fault::SinkKind;
use super::inflict::inflict;
use super::leftovers;
use super::letters::Letters;
use super::memory::{self, Peaks};
use super::report::{ChaosReport, Observed};
use super::schedule::{At, Planned, each_crash_point, each_sink_fault, schedule};
use super::stage::{Ground, Stage};
use crate::harness::bigquery::LocalBigQuery;
use crate::harness::patience::wait_until;
use crate::harness::system::SystemPlan;
use crate::lake::store::Lake;
use crate::load::produce::{Load, LoadPlan};
use crate::load::shape::{RatePlan, Shape};
use crate::verify::check::{self, Request};
use crate::verify::kafka::KafkaTopics;
use crate::verify::report::Report;
use crate::verify::sink::Sink;
use crate::verify::wait::until_stored;
use crate::watch::follow::{Followed, Follower};

const PREFIX: &str = "data-engineering";
pub(super) const TOPIC: &str = "orders";
/// How many consumers' capacities the load is at its peak.
const PEAK_CONSUMERS: u64 = 4;
const CYCLE: Duration = Duration::from_secs(90);
const LOOK_EVERY: Duration = Duration::from_millis(200);
const MEASURE_EVERY: Duration = Duration::from_secs(1);
const START_WITHIN: Duration = Duration::from_secs(120);
/// Whoever has not recovered by then is not waited for any longer.
const RECOVER_WITHIN: Duration = Duration::from_secs(90);
const STORE_WITHIN: Duration = Duration::from_secs(120);

/// What to do.
#[derive(Clone, Debug)]
pub struct ChaosPlan {
    /// For Kafka, the lake, logs and state.
    pub folder: PathBuf,
    pub sink: SinkKind,
    pub mix: Mix,
    pub seed: u64,
    /// Faults are spread over this time; `None`: each waits until the one before is recovered from.
    pub span: Option<Duration>,
    pub partitions: u32,
    /// At the peak.
    pub rate: BytesPerSecond,
}

/// Which faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mix {
    /// So many, of all kinds.
    Everything(usize),
    /// One process dies at each of the places where it can be told to.
    CrashPoints,
    /// Each fault of the sink, and a consumer dies at each of those places.
    SinkFaults,
}

/// Runs it; the report says whether all went well.
pub fn run(plan: &ChaosPlan) -> anyhow::Result<ChaosReport> {
    let shutdown = Shutdown::install()?;
    say("starting Kafka");
    let ground = Ground::prepare(&plan.folder, plan.sink)?;
    if let Some(refused) = &ground.refused {
        say(&format!("no folder will be full or read-only: {refused}"));
    }
    let faults = match plan.mix {
        Mix::Everything(count) => schedule(plan.seed, count, &ground.kinds(), plan.span),
        Mix::CrashPoints => each_crash_point(plan.seed, plan.sink, plan.span),
        Mix::SinkFaults => each_sink_fault(plan.seed, (plan.sink, &ground.kinds()), plan.span),
    };
    ground.create_topic(TOPIC, plan.partitions)?;
    let load = Load::new(&ground.config, load_plan(plan))?;
    let stage = set(plan, ground, &shutdown)?;
    let until = Shutdown::manual();
    let ends = until.clone();
    let load = thread::spawn(move || load.run(Clock, &ends));
    say("waiting until every partition is read and stored");
    let began = Clock.timestamp().0;
    wait_until_flowing(&stage, plan.partitions, &shutdown)?;
    let memory = perform(&stage, plan, &faults, &shutdown)?;
    let ended = Clock.timestamp().0;
    let (readings, pauses, blows) = {
        let seen = stage.follower.seen();
        (seen.owners.readings(ended), seen.owners.pauses().to_vec(), seen.blows.clone())
    };
    until.request();
    let sent = load.join().map_err(|_| anyhow!("the load panicked"))??;
    if !sent.is_complete() {
        say(&format!("{} records were not acknowledged: {:?}", sent.failed, sent.first_failure));
    }
    finish(stage, |stage, verification| {
        let seen = stage.follower.seen();
        let left_out = stage.left_out();
        let crew = stage.crew();
        ChaosReport::of(&Observed {
            seed: plan.seed,
            began,
            ended,
            readings: &readings,
            pauses: &pauses,
            blows: &blows,
            moves: seen.fleet.moves(),
            memory: &memory,
            verification,
            services_ended: crew.ended(),
            left_out: &left_out,
        })
    })
}

/// Starts the services, and has them read the topic.
fn set(plan: &ChaosPlan, ground: Ground, shutdown: &Shutdown) -> anyhow::Result<Stage> {
    say("starting a monitor and two orchestrators");
    let mut crew = Crew::new(system_plan(plan, &ground))?;
    let leads = || {
        if shutdown.is_requested() {
            return Ok(Err(anyhow!("was asked to end")));
        }
        match crew.supervise() {
            Ok(()) => crew.leader().map(|_| Ok(())).ok_or("nobody says so"),
            Err(error) => Ok(Err(error)),
        }
    };
    wait_until("an orchestrator leads", START_WITHIN, leads)??;
    crew.plan().tell(&["service", "set", TOPIC, "--sink", sink_name(plan.sink)])?;
    let (monitor, events) = (crew.plan().topic("monitor"), crew.plan().topic("events"));
    let known = |topic: &str| ground.create_topic(topic, 1);
    known(&monitor)?;
    let follower = Follower::start(&ground.config, Followed { monitor, events })?;
    let dead_letters = crew.plan().topic("dead-letter");
    let letters = Letters::start(&ground.config, (TOPIC, plan.partitions), dead_letters)?;
    Ok(Stage {
        plan: crew.plan().clone(),
        crew: Mutex::new(crew),
        follower,
        letters,
        busy: Mutex::default(),
        left_out: Mutex::new(ground.left_out()),
        ground,
    })
}

/// As service entries name it.
fn sink_name(sink: SinkKind) -> &'static str {
    match sink {
        SinkKind::Parquet => "parquet",
        SinkKind::BigQuery => "bigquery",
    }
}

fn system_plan(plan: &ChaosPlan, ground: &Ground) -> SystemPlan {
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let of_sink = ground.bigquery().map(LocalBigQuery::consumer_options);
    let of_sink = of_sink.into_iter().flatten();
    let of_sink = of_sink.map(|(name, value)| format!("--consumer-option={name}={value}"));
    let capacity = (plan.rate.0 / PEAK_CONSUMERS).max(1);
    SystemPlan {
        kafka_bootstrap_servers: ground.services_servers(),
        kafka_config: None,
        folder: plan.folder.clone(),
        prefix: PREFIX.into(),
        monitor_options: words(&format!("--topics {TOPIC} --window-secs 10 --filter-secs 5")),
        orchestrator_options: words(&format!(
            "--capacity {capacity} --stabilisation-secs 10 --max-consumers 12 --catch-up-secs 30 \
             --consumer-option rotation-secs=1 --consumer-option wait-time-secs=0.2"
        ))
        .into_iter()
        .chain(of_sink)
        .collect(),
    }
}

fn load_plan(plan: &ChaosPlan) -> LoadPlan {
    LoadPlan {
        topic: TOPIC.into(),
        partitions: plan.partitions,
        duration: None,
        rates: RatePlan {
            shape: Shape::RiseAndFall,
            peak: plan.rate,
            cycle: CYCLE,
            delta: 10,
            step: Duration::from_secs(5),
            skew: 15,
            seed: plan.seed,
        },
        record_bytes: 300,
        input: None,
    }
}

fn wait_until_flowing(stage: &Stage, partitions: u32, shutdown: &Shutdown) -> anyhow::Result<()> {
    let flows = || {
        if shutdown.is_requested() {
            return Ok(Err(anyhow!("was asked to end")));
        }
        if let Err(error) = stage.crew().supervise() {
            return Ok(Err(error));
        }
        if is_calm(stage, partitions, 0) { Ok(Ok(())) } else { Err("not all of it flows") }
    };
    wait_until("every partition is read and stored", START_WITHIN, flows)?
}

/// Every partition has its owner, as the leader and the consumers say, and of each something was
/// read and stored since `since`.
fn is_calm(stage: &Stage, partitions: u32, since: i64) -> bool {
    let wanted = usize::try_from(partitions).unwrap_or(usize::MAX);
    if stage.follower.seen().owners.flowing(since) != wanted {
        return false;
    }
    let Some((_, status)) = stage.crew().leader() else { return false };
    let owners = status["partitions"].as_object().into_iter().flatten();
    let owned = owners.filter(|(_, one)| one["state"] == "Owned").count();
    owned == wanted && status["trust"] == "measuring"
}

/// Does all faults, each on a thread of its own, until all are over and recovered from.
fn perform(
    stage: &Stage,
    plan: &ChaosPlan,
    faults: &[Planned],
    shutdown: &Shutdown,
) -> anyhow::Result<Peaks> {
    let running = AtomicUsize::new(0);
    let began = Clock.now();
    let mut show = Show { began, calm: None, number: 0, memory: Peaks::new(), measured_at: began };
    thread::scope(|scope| {
        loop {
            stage.crew().supervise()?;
            show.measure(stage);
            let is_idle = running.load(Ordering::SeqCst) == 0;
            if is_idle {
                show.look(stage, plan.partitions);
            }
            let next = faults.get(show.number).filter(|_| !shutdown.is_requested());
            match next {
                Some(fault) if show.is_due(fault, is_idle) => {
                    show.announce(fault, faults.len());
                    running.fetch_add(1, Ordering::SeqCst);
                    let running = &running;
                    scope.spawn(move || {
                        carry_out(stage, fault);
                        running.fetch_sub(1, Ordering::SeqCst);
                    });
                }
                None if is_idle && show.calm.is_some() => return Ok(show.memory),
                Some(_) | None => {}
            }
            thread::sleep(LOOK_EVERY);
        }
    })
}

/// How far the faults have come.
struct Show {
    began: Moment,
    /// Since when everything has recovered, or is not waited for any longer.
    calm: Option<Moment>,
    number: usize,
    memory: Peaks,
    measured_at: Moment,
}

impl Show {
    fn measure(&mut self, stage: &Stage) {
        if Clock.now().saturating_since(self.measured_at) < MEASURE_EVERY {
            return;
        }
        self.measured_at = Clock.now();
        if let Err(error) = stage.ground.follow_sink() {
            say(&format!("{error:#}"));
        }
        let consumers = leftovers::consumers(&stage.plan).into_iter().map(|pid| ("consumer", pid));
        for (service, pid) in stage.crew().pids().into_iter().chain(consumers) {
            memory::look(&mut self.memory, service, pid);
        }
    }

    fn look(&mut self, stage: &Stage, partitions: u32) {
        let Some(since) = stage.follower.seen().lifted_last() else { return };
        let now = Clock.timestamp().0;
        let is_awaited = !stage.follower.seen().is_recovered();
        let is_recovered = is_awaited && is_calm(stage, partitions, since);
        let mut seen = stage.follower.seen();
        let waited = Duration::from_millis(u64::try_from(now - since).unwrap_or(0));
        if is_recovered {
            seen.note_calm(now);
        } else if is_awaited && waited > RECOVER_WITHIN {
            seen.give_up();
        }
        if seen.is_recovered() {
            self.calm.get_or_insert(Clock.now());
        }
    }

    fn is_due(&self, fault: &Planned, is_idle: bool) -> bool {
        let now = Clock.now();
        match (fault.at, self.calm) {
            (At::Elapsed(at), _) => now.saturating_since(self.began) >= at,
            (At::Calm(pause), Some(calm)) => is_idle && now.saturating_since(calm) >= pause,
            (At::Calm(_), None) => false,
        }
    }

    fn announce(&mut self, fault: &Planned, of: usize) {
        self.number += 1;
        self.calm = None;
        let seconds = Clock.now().saturating_since(self.began).as_secs();
        say(&format!("{seconds:>4} s  fault {} of {of}: {}", self.number, fault.kind));
    }
}

fn carry_out(stage: &Stage, fault: &Planned) {
    if let Err(error) = inflict(stage, fault) {
        let why = format!("{error:#}");
        say(&format!("{} was not done: {why}", fault.kind));
        stage.leave_out(fault.kind, why);
    }
}

/// Has everything stored, ends the system and verifies.
fn finish(
    mut stage: Stage,
    conclude: impl FnOnce(&Stage, &Report) -> ChaosReport,
) -> anyhow::Result<ChaosReport> {
    stage.letters.stop();
    say("storing what is left");
    let sink = sink(&stage)?;
    let mut topics = KafkaTopics::connect(&stage.ground.config)?;
    let dead_letter_topic = Some(stage.plan.topic("dead-letter"));
    let request = Request { topics: vec![TOPIC.into()], dead_letter_topic };
    if !until_stored(&mut topics, &*sink, &request, STORE_WITHIN)? {
        say(&format!("not everything was stored within {} s", STORE_WITHIN.as_secs()));
    }
    say("ending the fleet");
    if let Err(error) = stage.crew().stop() {
        say(&format!("{error:#}"));
    }
    leftovers::end(&stage.plan)?;
    say("comparing every record with what is stored");
    let mut verification = check::verify(&mut topics, &*sink, &request)?;
    if let Some(topic) = verification.topics.first_mut() {
        topic.chain_problems.extend(stream_problems(&stage)?);
    }
    let report = conclude(&stage, &verification);
    if stage.ground.rooms.is_some() {
        leftovers::keep(&stage.plan).context("failed to keep logs and lake")?;
    }
    drop(topics);
    stage.ground.kafka.end()?;
    Ok(report)
}

fn sink(stage: &Stage) -> anyhow::Result<Box<dyn Sink>> {
    if stage.ground.sink == SinkKind::BigQuery {
        return Ok(Box::new(stage.ground.bigquery()?.tables()?));
    }
    Ok(Box::new(Lake::open(&stage.plan.lake().display().to_string(), &Default::default())?))
}

/// What BigQuery's log says that must not be.
fn stream_problems(stage: &Stage) -> anyhow::Result<Vec<String>> {
    if stage.ground.sink == SinkKind::Parquet {
        return Ok(Vec::new());
    }
    stage.ground.follow_sink()?;
    let history = stage.ground.history()?;
    say(&format!("{:?}, faults {:?}", history.totals(), history.struck()));
    Ok(history.problems(stage.follower.seen().announced.streams()))
}

fn say(what: &str) {
    // Progress that nobody sees is no reason to end.
    let _ = writeln!(io::stderr(), "chaos: {what}");
}
