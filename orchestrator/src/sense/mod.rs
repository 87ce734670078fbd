//! Everything that comes in from Kafka, each topic read by a task of its own, all into one channel.

pub mod logs;
pub mod measurements;
pub mod metadata;

use common::kafka::clients::KafkaClients;
use std::sync::Arc;
use tokio::sync::mpsc;

use crate::conductor::input::Input;
use common::topics::TopicNames;

/// What a task that reads needs.
#[derive(Clone)]
pub struct Sense {
    pub clients: KafkaClients,
    pub topics: Arc<TopicNames>,
    pub inputs: mpsc::Sender<Input>,
}

impl Sense {
    /// Whether the main loop still takes inputs.
    pub(crate) async fn tell(&self, input: Input) -> bool {
        self.inputs.send(input).await.is_ok()
    }
}
