//! IO. The flags of `compact` and `files`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::builder::RangedU64ValueParser;
use common::args::TelemetryArgs;
use common::crash_point::CrashPointArgs;
use common::settings::{Settings, SettingsFileError};
use url::Url;

use super::compactor::Options;
use super::plan::Limits;
use crate::args::store_options;
use crate::sink::parquet::Compression;

/// Objects of one step: some 64 KiB of footers are looked at for each.
const OBJECTS_MAX: usize = 4_000;

/// Where the lake is.
#[derive(Args, Clone, Debug)]
pub struct LakeArgs {
    /// Where tables are: `file:///FOLDER` (or s3://, gs://, az://)
    #[arg(long, env, hide_env_values = true, value_name = "URL")]
    pub sink_url: Url,

    /// File with settings of the store, as of the consumer
    #[arg(long, env, hide_env_values = true, value_name = "FILE")]
    pub sink_config: Option<PathBuf>,
}

impl LakeArgs {
    /// # Errors
    /// If the file cannot be read or understood.
    pub fn store_options(&self) -> Result<Settings, SettingsFileError> {
        store_options(Some(&self.sink_url), self.sink_config.as_deref())
    }
}

#[derive(Args, Clone, Debug)]
pub struct CompactArgs {
    /// Tables to compact
    #[arg(required = true, value_name = "TABLE")]
    pub tables: Vec<String>,

    #[command(flatten)]
    pub lake: LakeArgs,

    #[command(flatten)]
    pub telemetry: TelemetryArgs,

    #[command(flatten)]
    pub crash_points: CrashPointArgs,

    /// Size that merged files are to reach
    #[arg(long, env = "COMPACT_TARGET_BYTES", hide_env_values = true, value_name = "BYTES", default_value_t = 256 << 20,
          value_parser = RangedU64ValueParser::<u64>::new().range(1_000..=4 << 30))]
    pub target_bytes: u64,

    /// New objects of a table that are worth a merge; with fewer it waits
    #[arg(long, env = "COMPACT_MIN_OBJECTS", hide_env_values = true, value_name = "NUMBER", default_value_t = 16,
          value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
    pub min_objects: usize,

    /// Merged files in a folder per day of `kafka_timestamp` (UTC); earlier ones are written anew
    #[arg(long)]
    pub by_date: bool,

    /// Merged objects give up their rows after the grace period. From then on whoever reads the table
    /// by its folders instead of `consumer files` or the manifest sees only what is not merged yet
    #[arg(long)]
    pub reclaim: bool,

    /// Seconds that a reader may take: so long nothing goes that it may still need
    #[arg(
        long,
        env = "COMPACT_GRACE_SECS",
        hide_env_values = true,
        value_name = "SECONDS",
        default_value_t = 3_600
    )]
    pub grace_secs: u64,

    /// Compression of the merged files, `zstd` or `snappy`
    #[arg(long, env, hide_env_values = true, value_name = "NAME", default_value = "zstd")]
    pub compression: Compression,

    /// Print what was done as JSON
    #[arg(long)]
    pub json: bool,
}

impl CompactArgs {
    pub fn options(&self) -> Options {
        Options {
            limits: Limits {
                target_bytes: self.target_bytes,
                objects_min: self.min_objects,
                objects_max: OBJECTS_MAX,
                by_date: self.by_date,
            },
            compression: self.compression,
            grace: Duration::from_secs(self.grace_secs),
            reclaim: self.reclaim,
        }
    }
}

#[derive(Args, Clone, Debug)]
pub struct FilesArgs {
    /// The table
    #[arg(value_name = "TABLE")]
    pub table: String,

    #[command(flatten)]
    pub lake: LakeArgs,

    /// Print JSON: the version of the manifest, and each file with its size
    #[arg(long)]
    pub json: bool,
}
