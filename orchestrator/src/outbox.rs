//! IO. Writes messages to our own topics, those to one partition in their order, in chunks where they are large.

use std::sync::Arc;

use common::crash_point;
use common::identity::Nonce;
use common::kafka::writer::{NewRecord, TopicWriter, WriteError};
use common::messages::Message;
use common::messages::chunk::{CHUNK, split};
use common::messages::codec::EVENT_TYPE;
use common::partition::TopicPartition;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt as _};
use futures::{FutureExt as _, poll};
use rand::rngs::ChaCha8Rng;
use tokio::sync::mpsc;

use crate::conductor::action::Destination;
use common::topics::TopicNames;

/// Messages that wait for their acknowledgement at a time; a producer that is stuck bounds them.
const UNACKNOWLEDGED_MAX: usize = 10_000;

/// Where our messages go.
#[derive(Clone)]
pub struct Outbox {
    writer: TopicWriter,
    topics: Arc<TopicNames>,
}

/// What became of a message.
#[derive(Debug)]
pub struct Delivery {
    pub to: Destination,
    pub kind: &'static str,
    /// The offset after its last record.
    pub result: Result<u64, WriteError>,
}

impl Outbox {
    pub fn new(writer: TopicWriter, topics: Arc<TopicNames>) -> Self {
        Self { writer, topics }
    }

    /// Writes one message and returns the offset after its last record.
    ///
    /// # Errors
    /// If a record was not acknowledged in time; some may have been stored all the same.
    pub async fn write(
        &self,
        to: Destination,
        message: &Message,
        nonce: Nonce,
    ) -> Result<u64, WriteError> {
        let partition = self.partition(to);
        let payload = message.encode();
        crash_point::before(message.kind().name());
        let mut next = 0;
        for (chunk, value) in split(&payload, nonce) {
            let chunk = chunk.map(|chunk| chunk.to_text());
            let kind = (EVENT_TYPE, message.kind().name());
            let headers: Vec<_> =
                [kind].into_iter().chain(chunk.as_deref().map(|chunk| (CHUNK, chunk))).collect();
            let record = NewRecord { key: None, value: Some(value), headers: &headers };
            next = self.writer.write(&partition, record).await? + 1;
        }
        crash_point::after(message.kind().name());
        Ok(next)
    }

    fn partition(&self, to: Destination) -> TopicPartition {
        match to {
            Destination::Requests => TopicPartition::new(&self.topics.controller, 0),
            Destination::Consumer(consumer) => {
                TopicPartition::new(&self.topics.controller, consumer.0)
            }
            Destination::Events => TopicPartition::new(&self.topics.events, 0),
        }
    }
}

/// Writes what comes out of `messages` without waiting for one before the next, and tells what
/// became of each. Ends when `messages` closes or nobody listens any more.
pub async fn pump(
    outbox: Outbox,
    mut messages: mpsc::Receiver<(Destination, Message)>,
    deliveries: mpsc::Sender<Delivery>,
    mut rng: ChaCha8Rng,
) {
    let mut pending = FuturesUnordered::<BoxFuture<'static, Delivery>>::new();
    loop {
        let has_room = pending.len() < UNACKNOWLEDGED_MAX;
        tokio::select! {
            delivery = pending.select_next_some(), if !pending.is_empty() => {
                if deliveries.send(delivery).await.is_err() {
                    return;
                }
            }
            message = messages.recv(), if has_room => {
                let Some((to, message)) = message else { return };
                let (outbox, nonce) = (outbox.clone(), Nonce::from_rng(&mut rng));
                let mut writing = async move {
                    let kind = message.kind().name();
                    let result = outbox.write(to, &message, nonce).await;
                    Delivery { to, kind, result }
                }
                .boxed();
                // The first poll hands it to the producer, which keeps the order.
                match poll!(&mut writing) {
                    std::task::Poll::Ready(delivery) => {
                        pending.push(std::future::ready(delivery).boxed());
                    }
                    std::task::Poll::Pending => pending.push(writing),
                }
            }
        }
    }
}
