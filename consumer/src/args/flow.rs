//! IO. The flags that say how much is held in memory, and when it is stored.

use clap::Args;
use clap::builder::RangedU64ValueParser;

use super::{ArgsError, parse_seconds, seconds};
use crate::batch::BatchLimits;
use crate::lane::flow::FlowLimits;
use crate::object::Rotation;
use crate::sink::parquet::Compression;

#[derive(Args, Clone, Debug)]
pub struct FlowArgs {
    /// Bytes of records that are decoded together at most
    #[arg(long, env, hide_env_values = true, value_name = "BYTES", default_value_t = 5_000_000,
          value_parser = RangedU64ValueParser::<usize>::new().range(1_000..=500_000_000))]
    pub batch_bytes: usize,

    /// Seconds that a record waits for others before it is decoded
    #[arg(long, env, hide_env_values = true, value_name = "SECONDS", default_value_t = 1.0,
          value_parser = parse_seconds)]
    pub wait_time_secs: f64,

    /// Bytes of encoded rows at which an object is stored: about its size
    #[arg(long, env, hide_env_values = true, value_name = "BYTES", default_value_t = 64 << 20,
          value_parser = RangedU64ValueParser::<usize>::new().range(1_000..))]
    pub rotation_bytes: usize,

    /// Seconds after which an object is stored, counted from the reading of its first record
    #[arg(long, env, hide_env_values = true, value_name = "SECONDS", default_value_t = 5.0,
          value_parser = parse_seconds)]
    pub rotation_secs: f64,

    /// Bytes of records and rows that all partitions hold together; beyond it reading waits, records are
    /// decoded at once, and the largest object is stored early
    #[arg(long, env, hide_env_values = true, value_name = "BYTES", default_value_t = 32 << 20,
          value_parser = RangedU64ValueParser::<usize>::new().range(1_000_000..))]
    pub buffer_bytes: usize,

    /// Compression of the objects, `zstd` or `snappy`
    #[arg(long, env, hide_env_values = true, value_name = "NAME", default_value = "zstd")]
    pub compression: Compression,
}

impl FlowArgs {
    /// # Errors
    /// If flags contradict each other.
    pub fn check(&self) -> Result<(), ArgsError> {
        let (batch, buffer) = (self.batch_bytes, self.buffer_bytes);
        if batch > buffer / 2 {
            return Err(ArgsError::BufferTooSmall { batch, buffer });
        }
        Ok(())
    }

    pub fn limits(&self) -> FlowLimits {
        let batch = BatchLimits { bytes: self.batch_bytes, wait: seconds(self.wait_time_secs) };
        let rotation = Rotation { bytes: self.rotation_bytes, age: seconds(self.rotation_secs) };
        FlowLimits { batch, rotation }
    }
}
