//! IO. Sends a set number of orders as fast as they go.

use std::time::Duration;

use common::kafka::config::KafkaConfig;
use serde::Serialize;

use super::order::{OrderFormat, Orders};
use super::sender::Sender;

/// Records between two looks at what was acknowledged.
const RECORDS_PER_POLL: u64 = 1_000;

/// What to send.
#[derive(Clone, Debug)]
pub struct PreloadPlan {
    pub topic: String,
    pub partitions: u32,
    pub records: u64,
    pub format: OrderFormat,
    pub seed: u64,
    /// The least that the note of an order takes.
    pub note_bytes: usize,
}

/// What was sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Preloaded {
    pub records: u64,
    pub failed: u64,
    /// Of values.
    pub value_bytes: u64,
    pub first_failure: Option<String>,
}

/// Sends the orders to the partitions in turn, and waits until all are acknowledged.
///
/// # Errors
/// If the producer cannot be used.
pub fn preload(kafka: &KafkaConfig, plan: &PreloadPlan) -> anyhow::Result<Preloaded> {
    let sender = Sender::new(kafka, &plan.topic)?;
    let mut orders = Orders::new(plan.seed, plan.format, plan.note_bytes)?;
    let mut value_bytes = 0;
    for record in 0..plan.records {
        let event = orders.next_event()?;
        value_bytes += event.value.len() as u64;
        let partition = record % u64::from(plan.partitions);
        sender.send(usize::try_from(partition).expect("a 32-bit number"), &event)?;
        if record % RECORDS_PER_POLL == 0 {
            sender.poll(Duration::ZERO);
        }
    }
    sender.flush()?;
    let progress = sender.progress();
    let (failed, first_failure) = (progress.failed(), progress.first_failure());
    Ok(Preloaded { records: progress.acknowledged(), failed, value_bytes, first_failure })
}
