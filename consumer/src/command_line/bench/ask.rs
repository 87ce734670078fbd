//! IO. What can be measured: the flags, each checked once.

use clap::Args;
use common::args::{KafkaArgs, TelemetryArgs};

use crate::args::{FlowArgs, ReadingArgs, RegistryArgs, StoreArgs};

#[derive(Args, Clone, Debug)]
pub struct BenchArgs {
    /// Topics to read, from their beginning to what is their end now
    #[arg(required = true, value_name = "TOPIC")]
    pub topics: Vec<String>,

    #[command(flatten)]
    pub kafka: KafkaArgs,

    #[command(flatten)]
    pub telemetry: TelemetryArgs,

    #[command(flatten)]
    pub reading: ReadingArgs,

    #[command(flatten)]
    pub store: StoreArgs,

    #[command(flatten)]
    pub registry: RegistryArgs,

    #[command(flatten)]
    pub flow: FlowArgs,

    /// Only read and count, with the empty loop of Kafka's client: what the rest is compared with
    #[arg(long)]
    pub poll_loop: bool,

    /// Print a line of JSON
    #[arg(long)]
    pub json: bool,
}
