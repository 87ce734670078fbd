//! IO. The flags of `e2e`, each validated once.

mod tables;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use common::args::{KafkaArgs, TelemetryArgs};
use common::rate::BytesPerSecond;

use crate::chaos::fault::SinkKind;
use crate::chaos::run::{ChaosPlan, Mix};
use crate::demo::run::DemoPlan;
use crate::load::order::OrderFormat;
use crate::load::preload::PreloadPlan;
use crate::load::produce::LoadPlan;
use crate::load::shape::{RatePlan, Shape};
use crate::reaction::ReactionPlan;
use crate::verify::check::Request;

pub use tables::{BigQueryArgs, LakeArgs};

/// Writes load to Kafka, and judges what became of it in the lake
#[derive(Debug, Parser)]
#[command(name = "e2e", version)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,

    #[command(flatten)]
    pub telemetry: TelemetryArgs,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Produce records at set rates; ends with a JSON summary, and status 1 if any was not acknowledged
    Load(LoadArgs),
    /// Produce a set number of records as fast as they go: what benchmarks read
    Preload(PreloadArgs),
    /// Compare topics with what is stored of them; ends with status 1 if anything was lost, doubled or changed
    Verify(VerifyArgs),
    /// Print how long records took from their production to the lake
    Latency(LatencyArgs),
    /// Run the whole system with a load that rises and falls, and show it on one live page
    Demo(DemoArgs),
    /// Run the whole system with a Kafka of its own, and do faults to all of it
    Chaos(ChaosArgs),
    /// Measure how soon the fleet grows after the load has jumped
    Reaction(ReactionArgs),
}

#[derive(Args, Clone, Debug)]
pub struct LoadArgs {
    #[command(flatten)]
    pub kafka: KafkaArgs,

    /// Topic to write to
    #[arg(long)]
    pub topic: String,

    /// Partitions to write to; the topic is created, or grown to so many
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub partitions: u32,

    /// Bytes per second of all partitions together at the peak
    #[arg(long, value_name = "BYTES_PER_SECOND", default_value_t = 4_000_000)]
    pub rate: u64,

    /// How the total develops over time
    #[arg(long, value_enum, default_value_t = Shape::Constant)]
    pub shape: Shape,

    /// Largest change of a partition's level per step, in per cent of its highest
    #[arg(long, value_name = "PERCENT", default_value_t = 10, value_parser = clap::value_parser!(u32).range(0..=100))]
    pub delta: u32,

    /// Seconds between two steps of the partitions' levels
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..))]
    pub step: u64,

    /// How unlike the partitions are (0: all alike): the spread of their weights in per cent
    #[arg(long, value_name = "PERCENT", default_value_t = 15, value_parser = clap::value_parser!(u32).range(0..=100))]
    pub skew: u32,

    /// How long to write
    #[arg(long, default_value_t = 60)]
    pub seconds: u64,

    /// Time after which the shape begins anew (default: it takes the whole time)
    #[arg(long, value_name = "SECONDS")]
    pub cycle: Option<u64>,

    /// Equal seeds give equal rates and records
    #[arg(long, default_value_t = 1)]
    pub seed: u64,

    /// About the size of a made-up record
    #[arg(long, value_name = "BYTES", default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=900_000))]
    pub record_bytes: u32,

    /// Send the lines of this file as they are, from the start again when it ends
    #[arg(long, value_name = "FILE")]
    pub input: Option<PathBuf>,
}

#[derive(Args, Clone, Debug)]
pub struct PreloadArgs {
    #[command(flatten)]
    pub kafka: KafkaArgs,

    /// Topic to write to; it is created if it is not there
    #[arg(long)]
    pub topic: String,

    /// Partitions to write to in turn
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub partitions: u32,

    /// Records to write
    #[arg(long, default_value_t = 2_000_000)]
    pub records: u64,

    /// How they are written
    #[arg(long, value_enum, default_value_t)]
    pub format: OrderFormat,

    /// Equal seeds give equal records
    #[arg(long, default_value_t = 7)]
    pub seed: u64,

    /// Length of the text in each record at least; 0 gives records of about 300 bytes
    #[arg(long, value_name = "BYTES", default_value_t = 0)]
    pub note_bytes: usize,
}

#[derive(Args, Clone, Debug)]
#[command(mut_arg("lake", |arg| arg.required(false).required_unless_present("bigquery_dataset")
    .conflicts_with("bigquery_dataset")))]
pub struct VerifyArgs {
    #[command(flatten)]
    pub kafka: KafkaArgs,

    #[command(flatten)]
    pub lake: Option<LakeArgs>,

    #[command(flatten)]
    pub bigquery: BigQueryArgs,

    /// Topics to compare, separated by commas
    #[arg(long, required = true, value_delimiter = ',')]
    pub topics: Vec<String>,

    /// Only this table, where a topic was read into several or has a table of another name
    #[arg(long, value_name = "TABLE")]
    pub table: Option<String>,

    /// Topic of the records that could not be stored; without it they count as lost
    #[arg(long, value_name = "TOPIC")]
    pub dead_letter_topic: Option<String>,

    /// First wait until everything that is produced is stored, at most so long
    #[arg(long, value_name = "SECONDS")]
    pub until_stored: Option<u64>,

    /// Also write the report as JSON to this file
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
}

#[derive(Args, Clone, Debug)]
pub struct LatencyArgs {
    #[command(flatten)]
    pub lake: LakeArgs,

    /// Only these topics, separated by commas
    #[arg(long, value_delimiter = ',')]
    pub topics: Vec<String>,

    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Args, Clone, Debug)]
pub struct ReactionArgs {
    #[command(flatten)]
    pub kafka: KafkaArgs,

    /// Folder for the lake, the logs and the state
    #[arg(long, value_name = "DIR")]
    pub directory: PathBuf,

    /// How often the load jumps by what one consumer sustains
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=12))]
    pub steps: u32,

    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

impl ReactionArgs {
    pub fn plan(&self) -> ReactionPlan {
        ReactionPlan {
            kafka_bootstrap_servers: self.kafka.kafka_bootstrap_servers.clone(),
            kafka_config: self.kafka.kafka_config.clone(),
            directory: self.directory.clone(),
            steps: self.steps,
        }
    }
}

#[derive(Args, Clone, Debug)]
pub struct DemoArgs {
    #[command(flatten)]
    pub kafka: KafkaArgs,

    /// Folder for the lake, the logs and the state
    #[arg(long, value_name = "DIR")]
    pub directory: PathBuf,

    /// End after so many seconds (default: go on until Ctrl-C)
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    pub seconds: Option<u64>,

    /// Partitions of the topic
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub partitions: u32,

    /// Bytes per second at the peak, all partitions together
    #[arg(long, value_name = "BYTES_PER_SECOND", default_value_t = 4_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub rate: u64,

    /// Replay this file of JSON lines, from its start again when it ends
    #[arg(long, value_name = "FILE")]
    pub input: Option<PathBuf>,

    /// Kill a random consumer with SIGKILL every so many seconds
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub kill_every: Option<u64>,

    /// Write the summary as JSON to this file
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
}

#[derive(Args, Clone, Debug)]
pub struct ChaosArgs {
    /// Folder for Kafka, the lake, the logs and the state
    #[arg(long, value_name = "DIR")]
    pub directory: PathBuf,

    /// Where rows go
    #[arg(long, value_enum, default_value_t)]
    pub sink: SinkKind,

    /// How many faults to do; from 22 on (27 with BigQuery) there is one of each kind
    #[arg(long, default_value_t = 22, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub kills: u32,

    /// Instead of a mix: have one process die at each place before and after a message, a write, a commit
    #[arg(long, conflicts_with = "kills")]
    pub crash_points: bool,

    /// Instead of a mix: each fault of the sink, a consumer that is frozen, and one that dies at each of those places
    #[arg(long, conflicts_with_all = ["kills", "crash_points"])]
    pub sink_faults: bool,

    /// Equal seeds give equal faults and records
    #[arg(long, default_value_t = 1)]
    pub seed: u64,

    /// Spread the faults over so many seconds (default: each waits until the one before is recovered from)
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    pub seconds: Option<u64>,

    /// Partitions of the topic
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub partitions: u32,

    /// Bytes per second at the peak, all partitions together
    #[arg(long, value_name = "BYTES_PER_SECOND", default_value_t = 600_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub rate: u64,

    /// Write the report as JSON to this file
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
}

impl ChaosArgs {
    /// Fails if the folder cannot be made.
    pub fn plan(&self) -> std::io::Result<ChaosPlan> {
        std::fs::create_dir_all(&self.directory)?;
        Ok(ChaosPlan {
            folder: self.directory.canonicalize()?,
            sink: self.sink,
            mix: match self.kills {
                _ if self.crash_points => Mix::CrashPoints,
                _ if self.sink_faults => Mix::SinkFaults,
                kills => Mix::Everything(usize::try_from(kills).expect("32 bits fit")),
            },
            seed: self.seed,
            span: self.seconds.map(Duration::from_secs),
            partitions: self.partitions,
            rate: BytesPerSecond(self.rate),
        })
    }
}

impl DemoArgs {
    /// Fails if the folder cannot be made.
    pub fn plan(&self) -> std::io::Result<DemoPlan> {
        std::fs::create_dir_all(&self.directory)?;
        Ok(DemoPlan {
            kafka_bootstrap_servers: self.kafka.kafka_bootstrap_servers.clone(),
            kafka_config: self.kafka.kafka_config.clone(),
            folder: self.directory.canonicalize()?,
            seconds: self.seconds,
            partitions: self.partitions,
            rate: BytesPerSecond(self.rate),
            input: self.input.clone(),
            kill_every: self.kill_every.map(Duration::from_secs),
        })
    }
}

impl LoadArgs {
    pub fn plan(&self) -> LoadPlan {
        LoadPlan {
            topic: self.topic.clone(),
            partitions: self.partitions,
            duration: Some(Duration::from_secs(self.seconds)),
            rates: RatePlan {
                shape: self.shape,
                peak: BytesPerSecond(self.rate),
                cycle: Duration::from_secs(self.cycle.unwrap_or(self.seconds).max(1)),
                delta: self.delta,
                step: Duration::from_secs(self.step),
                skew: self.skew,
                seed: self.seed,
            },
            record_bytes: usize::try_from(self.record_bytes).expect("32 bits fit"),
            input: self.input.clone(),
        }
    }
}

impl PreloadArgs {
    pub fn plan(&self) -> PreloadPlan {
        PreloadPlan {
            topic: self.topic.clone(),
            partitions: self.partitions,
            records: self.records,
            format: self.format,
            seed: self.seed,
            note_bytes: self.note_bytes,
        }
    }
}

impl VerifyArgs {
    pub fn request(&self) -> Request {
        Request { topics: self.topics.clone(), dead_letter_topic: self.dead_letter_topic.clone() }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn parse(flags: &[&str]) -> Result<Cli, clap::Error> {
        Cli::try_parse_from([&["e2e"], flags].concat())
    }

    #[test]
    fn flags_do_not_contradict_each_other() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_load_is_planned_as_asked() {
        let flags = "load --kafka-bootstrap-servers k:1 --topic t --rate 5 --shape rise-and-fall";
        let flags: Vec<&str> = flags.split(' ').collect();
        let Command::Load(args) = parse(&flags).unwrap().command else { panic!("no load") };
        let plan = args.plan();
        assert_eq!(plan.rates.peak, BytesPerSecond(5));
        assert_eq!((plan.rates.shape, plan.partitions), (Shape::RiseAndFall, 16));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let common = ["load", "--kafka-bootstrap-servers", "k:1", "--topic", "t"];
        for wrong in
            [["--partitions", "0"], ["--delta", "101"], ["--shape", "flat"], ["--step", "0"]]
        {
            assert!(parse(&[&common[..], &wrong].concat()).is_err(), "{wrong:?}");
        }
        assert!(parse(&["latency", "--lake", "/x", "--lake-option", "novalue"]).is_err());
        assert!(parse(&["latency"]).is_err());
        assert!(parse(&["verify", "--kafka-bootstrap-servers", "k:1", "--lake", "/x"]).is_err());
    }

    #[test]
    fn rows_are_verified_in_a_lake_or_in_bigquery() {
        let verify = |flags: &str| {
            let common = ["verify", "--kafka-bootstrap-servers", "k:1", "--topics", "t"];
            let flags: Vec<&str> = flags.split_whitespace().collect();
            match parse(&[&common[..], &flags].concat())?.command {
                Command::Verify(args) => Ok::<_, clap::Error>(args),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(verify("--lake /x").unwrap().lake.unwrap().lake, "/x");
        let bigquery = "--bigquery-project p --bigquery-dataset d";
        let args = verify(bigquery).unwrap();
        assert!(args.lake.is_none() && args.bigquery.bigquery_dataset.as_deref() == Some("d"));
        for wrong in ["", "--bigquery-dataset d", "--bigquery-project p"] {
            assert!(verify(wrong).is_err(), "{wrong}");
        }
        assert!(verify(&format!("--lake /x {bigquery}")).is_err());
    }
}
