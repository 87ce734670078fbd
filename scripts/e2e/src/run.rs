//! IO. Carries out a command, and says how it ended.

use std::fmt::Display;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use common::clock::Clock;
use common::shutdown::Shutdown;
use serde::Serialize;
use tracing::info;

use crate::args::{
    BigQueryArgs, ChaosArgs, Cli, Command, DemoArgs, LakeArgs, LatencyArgs, LoadArgs, PreloadArgs,
    ReactionArgs, VerifyArgs,
};
use crate::bigquery::listing::BigQuery;
use crate::chaos;
use crate::clients::create_topic;
use crate::demo;
use crate::lake::store::Lake;
use crate::latency;
use crate::load::preload;
use crate::load::produce::Load;
use crate::load::replay::Replay;
use crate::reaction;
use crate::verify::check::{self, VerifyError};
use crate::verify::kafka::KafkaTopics;
use crate::verify::sink::Sink;
use crate::verify::wait::until_stored;

/// How a command failed, and with it the status of the process.
#[derive(Debug)]
pub enum Failure {
    /// What was asked for cannot be: status 2.
    Input(anyhow::Error),
    /// It could not be done: status 1.
    Run(anyhow::Error),
}

type Outcome = Result<ExitCode, Failure>;

trait OrFailure<T> {
    fn or_bad_input(self) -> Result<T, Failure>;
    fn or_failed(self) -> Result<T, Failure>;
}

impl<T, E: Into<anyhow::Error>> OrFailure<T> for Result<T, E> {
    fn or_bad_input(self) -> Result<T, Failure> {
        self.map_err(|error| Failure::Input(error.into()))
    }

    fn or_failed(self) -> Result<T, Failure> {
        self.map_err(|error| Failure::Run(error.into()))
    }
}

/// Carries out `cli`. Status 0: all is well; 1: something was found or failed; 2: bad input.
pub fn run(cli: &Cli) -> Outcome {
    cli.telemetry.install().or_failed()?;
    match &cli.command {
        Command::Load(args) => load(args),
        Command::Preload(args) => preload(args),
        Command::Verify(args) => verify(args),
        Command::Latency(args) => print_latency(args),
        Command::Demo(args) => demo(args),
        Command::Chaos(args) => do_faults(args),
        Command::Reaction(args) => react(args),
    }
}

fn load(args: &LoadArgs) -> Outcome {
    let kafka = args.kafka.load().or_bad_input()?;
    let load = Load::new(&kafka, args.plan()).or_bad_input()?;
    create_topic(&kafka, &args.topic, args.partitions).or_failed()?;
    let shutdown = Shutdown::install().or_failed()?;
    let summary = load.run(Clock, &shutdown).or_failed()?;
    print(&serde_json::to_string(&summary).or_failed()?)?;
    Ok(status(summary.is_complete()))
}

fn preload(args: &PreloadArgs) -> Outcome {
    let kafka = args.kafka.load().or_bad_input()?;
    create_topic(&kafka, &args.topic, args.partitions).or_failed()?;
    let preloaded = preload::preload(&kafka, &args.plan()).or_failed()?;
    print(&serde_json::to_string(&preloaded).or_failed()?)?;
    Ok(status(preloaded.failed == 0))
}

fn verify(args: &VerifyArgs) -> Outcome {
    let kafka = args.kafka.load().or_bad_input()?;
    let sink = open_sink(args)?;
    let request = args.request();
    let mut topics = KafkaTopics::connect(&kafka).or_failed()?;
    if let Some(seconds) = args.until_stored {
        let patience = Duration::from_secs(seconds);
        let stored = until_stored(&mut topics, &*sink, &request, patience);
        if !stored.map_err(failure)? {
            info!(seconds, "not everything was stored in time");
        }
    }
    let report = check::verify(&mut topics, &*sink, &request).map_err(failure)?;
    print(&report)?;
    if let Some(path) = &args.report {
        write_report(path, &report)?;
    }
    Ok(status(report.is_sound()))
}

fn demo(args: &DemoArgs) -> Outcome {
    let kafka = args.kafka.load().or_bad_input()?;
    let plan = args
        .plan()
        .with_context(|| format!("failed to create {}", args.directory.display()))
        .or_bad_input()?;
    if let Some(input) = &plan.input {
        Replay::open(input).or_bad_input()?;
    }
    let summary = demo::run::run(&plan, &kafka).or_failed()?;
    print(&summary)?;
    if let Some(path) = &args.report {
        write_report(path, &summary)?;
    }
    Ok(status(summary.is_sound))
}

fn do_faults(args: &ChaosArgs) -> Outcome {
    let plan = args
        .plan()
        .with_context(|| format!("failed to create {}", args.directory.display()))
        .or_bad_input()?;
    let report = chaos::run::run(&plan).or_failed()?;
    print(&report)?;
    if let Some(path) = &args.report {
        write_report(path, &report)?;
    }
    Ok(status(report.is_sound))
}

fn react(args: &ReactionArgs) -> Outcome {
    let kafka = args.kafka.load().or_bad_input()?;
    let reactions = reaction::measure(&args.plan(), &kafka).or_failed()?;
    if args.json {
        print(&serde_json::to_string(&reactions).or_failed()?)?;
    } else {
        print(&reactions)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn write_report(path: &Path, report: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(report).or_failed()?;
    std::fs::write(path, text + "\n")
        .with_context(|| format!("failed to write the report {}", path.display()))
        .or_failed()
}

fn print_latency(args: &LatencyArgs) -> Outcome {
    let lake = open_lake(&args.lake)?;
    let latency = latency::measure(&lake, &args.topics).or_failed()?;
    if args.json {
        print(&serde_json::to_string(&latency).or_failed()?)?;
    } else {
        print(&latency)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Unlike `println!`, no panic when nobody reads on.
fn print(text: &dyn Display) -> Result<(), Failure> {
    writeln!(io::stdout(), "{text}").context("failed to print").or_failed()
}

fn open_lake(args: &LakeArgs) -> Result<Lake, Failure> {
    Lake::open(&args.lake, &args.options()).or_bad_input()
}

/// Where the rows are that are to be verified.
fn open_sink(args: &VerifyArgs) -> Result<Box<dyn Sink>, Failure> {
    let table = args.table.clone();
    if let Some(lake) = &args.lake {
        return Ok(Box::new(open_lake(lake)?.only(table)));
    }
    let BigQueryArgs { bigquery_project, bigquery_dataset, bigquery_rest_url, bigquery_token } =
        &args.bigquery;
    let named = bigquery_project.as_deref().zip(bigquery_dataset.as_deref());
    let named = named.context("say where the rows are: --lake, or --bigquery-project and -dataset");
    let token = bigquery_token.as_ref().map(|path| {
        let text = std::fs::read_to_string(path);
        text.with_context(|| format!("failed to read the access token {}", path.display()))
    });
    let token = token.transpose().or_bad_input()?.map(|token| token.trim().to_owned());
    let bigquery = BigQuery::open(bigquery_rest_url, named.or_bad_input()?, token);
    Ok(Box::new(bigquery.or_bad_input()?.only(table)))
}

fn failure<E: std::error::Error + Send + Sync + 'static>(error: VerifyError<E>) -> Failure {
    match error {
        VerifyError::NoTopic(_) => Failure::Input(error.into()),
        VerifyError::Records { .. } | VerifyError::Stored { .. } => Failure::Run(error.into()),
    }
}

fn status(is_well: bool) -> ExitCode {
    if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
