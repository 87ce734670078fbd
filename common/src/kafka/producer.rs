//! IO. A producer that tells of each record when Kafka has it.
//!
//! The client has one of its own. That looks for answers ten times a second, and turns round without a
//! pause for the last millisecond of each look (its time-outs are whole milliseconds): a hundredth of a
//! core for each producer that has nothing to do.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, ProducerContext};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use crate::kafka::client_events::ClientEvents;

/// Between two looks at whether anybody has the producer still. Answers are heard at once.
const LOOK: Duration = Duration::from_secs(1);
/// Between attempts to get into a queue that is full.
const FULL_POLL: Duration = Duration::from_millis(100);

/// A record that is to be sent.
#[derive(Clone, Debug)]
pub struct Outgoing<'a> {
    pub topic: &'a str,
    /// Nothing leaves the choice to the client.
    pub partition: Option<i32>,
    pub key: Option<&'a [u8]>,
    /// Nothing is a tombstone.
    pub value: Option<&'a [u8]>,
    pub headers: OwnedHeaders,
}

/// Ends, with its thread, at most a second after it was dropped.
pub struct AcknowledgedProducer(Arc<BaseProducer<Acknowledgements>>);

/// Hands each answer to whoever sent the record.
pub struct Acknowledgements(ClientEvents);

type Answer = Result<i64, KafkaError>;

/// A record with whoever waits for its answer.
type Waited<'a> = BaseRecord<'a, [u8], [u8], Box<oneshot::Sender<Answer>>>;

impl AcknowledgedProducer {
    pub(crate) fn new(producer: BaseProducer<Acknowledgements>) -> Self {
        let producer = Arc::new(producer);
        let heard = Arc::downgrade(&producer);
        thread::spawn(move || {
            while let Some(producer) = heard.upgrade() {
                producer.poll(LOOK);
            }
        });
        Self(producer)
    }

    /// Sends a record, for which there must be room in the queue within that time, and returns its
    /// offset once all replicas in sync hold it.
    ///
    /// # Errors
    /// If it was not acknowledged within the producer's time: it may have been stored all the same.
    pub async fn send(&self, outgoing: Outgoing<'_>, queue_timeout: Duration) -> Answer {
        let Outgoing { topic, partition, key, value, headers } = outgoing;
        let (sender, answer) = oneshot::channel();
        let mut record = Waited::with_opaque_to(topic, Box::new(sender));
        (record.partition, record.key, record.payload) = (partition, key, value);
        record.headers = Some(headers);
        let queued = timeout(queue_timeout, self.queue(record)).await;
        queued.unwrap_or(Err(KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull)))?;
        answer.await.unwrap_or(Err(KafkaError::Canceled))
    }

    /// Waits for room.
    async fn queue(&self, mut record: Waited<'_>) -> Result<(), KafkaError> {
        while let Err((error, refused)) = self.0.send(record) {
            if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                return Err(error);
            }
            record = refused;
            sleep(FULL_POLL).await;
        }
        Ok(())
    }

    /// The client itself, for transactions.
    pub fn client(&self) -> &BaseProducer<Acknowledgements> {
        &self.0
    }
}

impl Acknowledgements {
    pub(crate) fn new(events: ClientEvents) -> Self {
        Self(events)
    }
}

impl ClientContext for Acknowledgements {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.0.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.0.error(error, reason);
    }
}

impl ProducerContext for Acknowledgements {
    type DeliveryOpaque = Box<oneshot::Sender<Answer>>;

    fn delivery(&self, result: &DeliveryResult<'_>, sender: Self::DeliveryOpaque) {
        let answer = match result {
            Ok(message) => Ok(message.offset()),
            Err((error, _)) => Err(error.clone()),
        };
        // Whoever sent it may not wait any more.
        drop(sender.send(answer));
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::ClientConfig;
    use rdkafka::mocking::MockCluster;

    use super::*;
    use crate::kafka::client_events::ClientMetrics;

    /// The thread that hears answers ends with the producer, and the client with it.
    #[tokio::test]
    async fn what_nobody_has_any_more_is_closed() {
        let cluster = MockCluster::new(1).unwrap();
        let events = ClientEvents::new("test", ClientMetrics::default(), Arc::default());
        let mut settings = ClientConfig::new();
        settings.set("bootstrap.servers", cluster.bootstrap_servers());
        let client = settings.create_with_context(Acknowledgements::new(events)).unwrap();
        let producer = AcknowledgedProducer::new(client);
        let client = Arc::downgrade(&producer.0);
        drop(producer);
        let closed = async {
            while client.strong_count() > 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(10 * LOOK, closed).await.expect("the client is closed");
    }
}
