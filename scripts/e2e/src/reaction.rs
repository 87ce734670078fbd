//! IO. Measures how soon the fleet grows after the load has jumped, with the services' own defaults.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::Context as _;
use common::clock::Clock;
use common::kafka::config::KafkaConfig;
use common::moment::Timestamp;
use common::rate::BytesPerSecond;
use common::shutdown::Shutdown;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use crate::clients::create_topic;
use crate::harness::system::{System, SystemPlan};
use crate::load::produce::{Load, LoadPlan, Summary};
use crate::load::sender::LoadError;
use crate::load::shape::{RatePlan, Shape};

/// Bytes per second that one consumer sustains here: little, so that the load costs little.
const CAPACITY: u64 = 400_000;
const PARTITIONS: u32 = 16;
/// Until the monitor's window is full, and the fleet as large as it has to be.
const CALM_WITHIN: Duration = Duration::from_secs(120);
const DECIDED_WITHIN: Duration = Duration::from_secs(60);
/// By how much each step raises the load.
const STEP: u64 = CAPACITY;

/// Where to measure.
#[derive(Clone, Debug)]
pub struct ReactionPlan {
    pub kafka_bootstrap_servers: String,
    pub kafka_config: Option<PathBuf>,
    /// For logs, state and the lake.
    pub directory: PathBuf,
    pub steps: u32,
}

/// What followed one step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reaction {
    /// Bytes per second before and after.
    pub from: u64,
    pub to: u64,
    /// From the first record of the step to the plan that creates a consumer.
    pub decided_ms: u64,
    /// From the first record of the step until every partition is where that plan wants it.
    pub settled_ms: u64,
    pub consumers: usize,
    pub reason: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reactions(Vec<Reaction>);

impl fmt::Display for Reactions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.0 {
            writeln!(
                f,
                "{} to {} bytes/s: decided after {} ms, settled after {} ms with {} consumers: {}",
                step.from, step.to, step.decided_ms, step.settled_ms, step.consumers, step.reason
            )?;
        }
        Ok(())
    }
}

/// What is looked at of the orchestrator's page `/status`.
#[derive(Deserialize)]
struct Status {
    at: Timestamp,
    trust: String,
    is_settled: bool,
    partitions: BTreeMap<String, Rates>,
    consumers: Vec<IgnoredAny>,
    decisions: Vec<Decision>,
}

#[derive(Deserialize)]
struct Rates {
    rate: BytesPerSecond,
    burst: BytesPerSecond,
}

#[derive(Clone, Deserialize)]
struct Decision {
    at: Timestamp,
    reason: String,
    create: Vec<IgnoredAny>,
}

/// Raises the load step by step. Each step begins when the fleet has been calm since the last one.
pub fn measure(plan: &ReactionPlan, kafka: &KafkaConfig) -> anyhow::Result<Reactions> {
    let name = format!("reaction-{}", Clock.timestamp().0);
    let topic = format!("orders-{name}");
    create_topic(kafka, &topic, PARTITIONS)?;
    let system_plan = system_plan(plan, &name, &topic);
    fs::create_dir_all(&system_plan.folder)
        .with_context(|| format!("failed to create {}", system_plan.folder.display()))?;
    let mut system = System::start(system_plan)?;
    system.read_topic(&topic, &[])?;
    let mut loads = Loads { kafka: kafka.clone(), topic, end: Shutdown::manual(), running: vec![] };
    loads.raise(CAPACITY / 2)?;
    let mut reactions = Vec::new();
    for number in 1..=u64::from(plan.steps) {
        wait_until_calm(&system)?;
        let from = CAPACITY / 2 + (number - 1) * STEP;
        let began = Clock.timestamp();
        loads.raise(STEP)?;
        reactions.push(follow(&system, began, from)?);
    }
    loads.stop()?;
    system.stop()?;
    Ok(Reactions(reactions))
}

fn system_plan(plan: &ReactionPlan, name: &str, topic: &str) -> SystemPlan {
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect();
    SystemPlan {
        kafka_bootstrap_servers: plan.kafka_bootstrap_servers.clone(),
        kafka_config: plan.kafka_config.clone(),
        folder: plan.directory.join(name),
        prefix: name.to_owned(),
        monitor_options: words(&format!("--topics {topic}")),
        orchestrator_options: words(&format!("--capacity {CAPACITY} --capacity-factor 1")),
    }
}

/// Every partition has a steady rate and is where it is planned to be.
fn wait_until_calm(system: &System) -> anyhow::Result<()> {
    let judge = |status: &serde_json::Value| {
        let status = parse(status)?;
        let full = status.partitions.values().filter(|one| one.rate > BytesPerSecond::ZERO).count();
        let is_measured = status.trust == "measuring" && full == PARTITIONS as usize;
        let rate: u64 = status.partitions.values().map(|one| one.rate.0).sum();
        let burst: u64 = status.partitions.values().map(|one| one.burst.0).sum();
        // Within a tenth: the window holds nothing from before the last step.
        let is_steady = rate.abs_diff(burst) * 10 <= rate;
        if is_measured && is_steady && status.is_settled {
            return Ok(());
        }
        let settled = status.is_settled;
        Err(format!(
            "{full} partitions with a rate, {rate} and now {burst} bytes/s, settled: {settled}"
        ))
    };
    Ok(system.wait_for("the fleet is calm", CALM_WITHIN, judge)?)
}

fn follow(system: &System, began: Timestamp, from: u64) -> anyhow::Result<Reaction> {
    let growth = |status: &Status| {
        let mut later = status.decisions.iter().filter(|decision| decision.at >= began);
        later.find(|decision| !decision.create.is_empty()).cloned()
    };
    let decided = |status: &serde_json::Value| {
        growth(&parse(status)?).ok_or_else(|| "no plan that creates a consumer".to_owned())
    };
    let decision = system.wait_for("a consumer is created", DECIDED_WITHIN, decided)?;
    let settled = |status: &serde_json::Value| {
        let status = parse(status)?;
        if status.is_settled { Ok(status) } else { Err("partitions move".to_owned()) }
    };
    let status = system.wait_for("the plan is carried out", DECIDED_WITHIN, settled)?;
    Ok(Reaction {
        from,
        to: from + STEP,
        decided_ms: decision.at.saturating_ms_since(began),
        settled_ms: status.at.saturating_ms_since(began),
        consumers: status.consumers.len(),
        reason: decision.reason,
    })
}

fn parse(status: &serde_json::Value) -> Result<Status, String> {
    serde_json::from_value(status.clone()).map_err(|error| error.to_string())
}

/// The loads that add up to the present one.
struct Loads {
    kafka: KafkaConfig,
    topic: String,
    end: Shutdown,
    running: Vec<JoinHandle<Result<Summary, LoadError>>>,
}

impl Loads {
    fn raise(&mut self, by: u64) -> anyhow::Result<()> {
        let seed = self.running.len() as u64 + 1;
        let load = Load::new(&self.kafka, steady(&self.topic, by, seed))?;
        let end = self.end.clone();
        self.running.push(thread::spawn(move || load.run(Clock, &end)));
        Ok(())
    }

    fn stop(mut self) -> anyhow::Result<()> {
        self.end.request();
        for load in self.running.drain(..) {
            load.join().ok().context("a load panicked")??;
        }
        Ok(())
    }
}

fn steady(topic: &str, rate: u64, seed: u64) -> LoadPlan {
    let step = Duration::from_secs(3600);
    LoadPlan {
        topic: topic.into(),
        partitions: PARTITIONS,
        duration: None,
        rates: RatePlan {
            shape: Shape::Constant,
            peak: BytesPerSecond(rate),
            cycle: step,
            delta: 0,
            step,
            skew: 15,
            seed,
        },
        record_bytes: 300,
        input: None,
    }
}
