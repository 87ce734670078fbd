//! IO. What can be asked of dead letters: the flags, each checked once.

use std::path::PathBuf;

use clap::Args;
use clap::builder::RangedU64ValueParser;
use common::args::{GroupArgs, KafkaArgs, NameArgs, TelemetryArgs};
use common::crash_point::CrashPointArgs;
use common::moment::Timestamp;

use super::select::{Selection, When, parse_when};
use crate::letter::LetterId;

/// Where the dead letters are.
#[derive(Args, Clone, Debug)]
pub struct TopicArgs {
    #[command(flatten)]
    pub kafka: KafkaArgs,

    #[command(flatten)]
    pub telemetry: TelemetryArgs,

    #[command(flatten)]
    pub names: NameArgs,

    #[command(flatten)]
    pub group: GroupArgs,
}

/// Which dead letters are meant.
#[derive(Args, Clone, Debug, Default)]
pub struct SelectionArgs {
    /// Only these dead letters; all unless given
    #[arg(value_name = "PARTITION:OFFSET")]
    pub letters: Vec<LetterId>,

    /// Only records of these topics, separated by commas
    #[arg(long, value_name = "TOPIC,…", value_delimiter = ',')]
    pub topic: Vec<String>,

    /// Only records of these partitions, separated by commas
    #[arg(long, value_name = "NUMBER,…", value_delimiter = ',')]
    pub partition: Vec<u32>,

    /// Only records from this offset of their partition on
    #[arg(long, value_name = "OFFSET")]
    pub from_offset: Option<u64>,

    /// Only records that were set aside for these reasons, separated by commas
    #[arg(long, value_name = "REASON,…", value_delimiter = ',')]
    pub reason: Vec<String>,

    /// Only records that were to go to these tables, separated by commas
    #[arg(long, value_name = "TABLE,…", value_delimiter = ',')]
    pub table: Vec<String>,

    /// Only what was set aside since then: `2026-03-01T12:00:00Z`, or `90s`, `30m`, `12h`, `7d` ago
    #[arg(long, value_name = "TIME", value_parser = parse_when)]
    pub since: Option<When>,

    /// Only what was set aside before then, in the same forms
    #[arg(long, value_name = "TIME", value_parser = parse_when)]
    pub until: Option<When>,
}

#[derive(Args, Clone, Debug)]
pub struct ListArgs {
    #[command(flatten)]
    pub topic: TopicArgs,

    #[command(flatten)]
    pub selection: SelectionArgs,

    /// Count by topic and reason instead
    #[arg(long)]
    pub summary: bool,

    /// Print a line of JSON for each
    #[arg(long)]
    pub json: bool,

    /// Only so many, the last ones of each partition; 0 means all
    #[arg(long, value_name = "NUMBER", default_value_t = 1_000)]
    pub limit: usize,
}

#[derive(Args, Clone, Debug)]
pub struct ShowArgs {
    #[command(flatten)]
    pub topic: TopicArgs,

    /// The dead letter's place on the dead-letter topic, as `list` prints it
    #[arg(value_name = "PARTITION:OFFSET")]
    pub letter: LetterId,

    /// Also write the value to this file, byte by byte
    #[arg(long, value_name = "FILE")]
    pub value_out: Option<PathBuf>,
}

#[derive(Args, Clone, Debug)]
pub struct ReplayArgs {
    #[command(flatten)]
    pub topic: TopicArgs,

    #[command(flatten)]
    pub crash_points: CrashPointArgs,

    #[command(flatten)]
    pub selection: SelectionArgs,

    /// Send all that were not sent yet; needed where nothing selects
    #[arg(long)]
    pub all: bool,

    /// Send to this topic instead of the one that the record came from
    #[arg(long, value_name = "TOPIC")]
    pub to: Option<String>,

    /// A record that was read so often is not sent any more
    #[arg(long, value_name = "NUMBER", default_value_t = 3,
          value_parser = RangedU64ValueParser::<u32>::new().range(1..))]
    pub max_attempts: u32,

    /// Send also what was sent before
    #[arg(long)]
    pub again: bool,

    /// Say what would be sent, and send nothing
    #[arg(long)]
    pub dry_run: bool,
}

impl SelectionArgs {
    /// What is selected at the time `now`.
    pub(super) fn selection(&self, now: Timestamp) -> Selection {
        let set = |words: &[String]| words.iter().cloned().collect();
        Selection {
            letters: self.letters.iter().copied().collect(),
            topics: set(&self.topic),
            partitions: self.partition.iter().copied().collect(),
            from_offset: self.from_offset,
            reasons: set(&self.reason),
            tables: set(&self.table),
            since: self.since.map(|when| when.at(now)),
            until: self.until.map(|when| when.at(now)),
        }
    }
}
