//! IO. `consumer dead-letters replay`: sends records back through, each with a receipt in one transaction.
//!
//! ```text
//!  fence earlier ones ──> read all: choose ──> read what was chosen ──> [ copy, receipt ] … commit
//! ```
//!
//! The receipt is a record on the letter's own partition, so it is removed no sooner than the letter.
//! Copy and receipt become visible together or not at all: whoever dies half-way has sent each letter
//! once, or not yet.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Duration;

use common::crash_point;
use common::kafka::cause::KafkaCause;
use common::kafka::clients::{ClientError, Producer};
use common::kafka::producer::{Acknowledgements, Outgoing};
use common::kafka::reader::LogRange;
use futures::future::try_join_all;
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, Producer as _};
use thiserror::Error;
use tokio::task;

use super::ReplayArgs;
use super::choice::Choice;
use super::topic::{DeadLetterTopic, TopicError};
use crate::dead_letter::RECORD_BYTES_MAX;
use crate::letter::{Entry, Headers, LetterId, read, receipt};
use crate::record::RawRecord;
use crate::topics::KnownTopics;
use common::moment::Timestamp;

/// Letters and bytes that are sent in one transaction, more or less.
const LETTERS_MAX: usize = 500;
const BYTES_MAX: usize = 8 << 20;
const TIMEOUT: Duration = Duration::from_secs(30);
/// How often the end of a transaction is asked for whose outcome is not known.
const COMMITS_MAX: u32 = 5;

#[derive(Debug, Error)]
pub enum ReplayError {
    #[error("say which dead letters to send: by their places, by a condition, or --all")]
    NothingSelected,
    #[error(transparent)]
    Topic(TopicError),
    #[error("the topic {topic} does not exist: --to sends to another one")]
    NoTarget { topic: String },
    #[error("failed to prepare a Kafka client")]
    Client(#[source] ClientError),
    #[error(
        "Kafka lets nobody begin transactions as `{id}`: that takes the right to write and describe \
         this transactional id"
    )]
    Begin {
        id: String,
        #[source]
        source: KafkaCause,
    },
    #[error(
        "{sent} were sent, the next {next} were not, or not all: say the same again, and only what is \
         missing is sent"
    )]
    Send {
        sent: usize,
        next: usize,
        #[source]
        source: KafkaCause,
    },
}

impl From<TopicError> for ReplayError {
    fn from(error: TopicError) -> Self {
        Self::Topic(error)
    }
}

/// One record on its way: where to, and what.
struct Waiting {
    topic: String,
    /// `None`: by the record's key.
    partition: Option<i32>,
    record: RawRecord,
}

/// Returns what to print.
///
/// # Errors
/// If nothing was selected, or not everything could be sent.
pub(super) async fn replay(args: &ReplayArgs, now: Timestamp) -> Result<String, ReplayError> {
    args.crash_points.install();
    let selection = args.selection.selection(now);
    if selection.is_everything() && !args.all {
        return Err(ReplayError::NothingSelected);
    }
    let topic = DeadLetterTopic::connect(&args.topic)?;
    let sender = if args.dry_run { None } else { Some(Sender::begin(&topic).await?) };
    let mut choice = Choice::new(selection, args.to.clone(), args.max_attempts, args.again);
    let ranges = topic.ranges().await?;
    for (&partition, &range) in &ranges {
        let take = async |record: RawRecord| {
            choice.take(partition, &record);
            Ok::<_, ReplayError>(ControlFlow::Continue(()))
        };
        topic.each(partition, range, take).await?;
    }
    let targets: Vec<&str> = choice.topics().into_iter().collect();
    let known = topic.look_up(&targets).await?;
    if let Some(missing) = targets.iter().find(|target| known.get(target).is_none()) {
        return Err(ReplayError::NoTarget { topic: (*missing).to_owned() });
    }
    let Some(mut sender) = sender else { return Ok(choice.report("would send")) };
    send_chosen(&topic, &ranges, &choice, &known, &mut sender).await?;
    Ok(choice.report("sent"))
}

async fn send_chosen(
    topic: &DeadLetterTopic,
    ranges: &BTreeMap<u32, LogRange>,
    choice: &Choice,
    known: &KnownTopics,
    sender: &mut Sender,
) -> Result<(), ReplayError> {
    for (&partition, range) in ranges {
        let own = LetterId { partition, offset: 0 }..=LetterId { partition, offset: u64::MAX };
        let mut own = choice.chosen().range(own).map(|(id, _)| id.offset);
        let Some(start) = own.next() else { continue };
        let last = own.next_back().unwrap_or(start);
        let take = async |record: RawRecord| {
            let id = LetterId { partition, offset: record.offset };
            if let Some(to) = choice.chosen().get(&id) {
                sender.push(id, to, record, known);
                sender.send_if_full().await?;
            }
            let is_last = id.offset >= last;
            Ok(if is_last { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        };
        topic.each::<ReplayError>(partition, LogRange { start, ..*range }, take).await?;
    }
    sender.send().await
}

/// A producer of which no other one of the same group lives.
struct Sender {
    producer: Producer,
    letters: String,
    waiting: Vec<Waiting>,
    bytes: usize,
    sent: usize,
}

impl Sender {
    /// Ends whatever an earlier one left half-way, and that one too if it still runs.
    async fn begin(topic: &DeadLetterTopic) -> Result<Self, ReplayError> {
        let id = format!("{}-dead-letter-replay", topic.clients.names().group);
        let producer = topic.clients.transactional_producer(&id, RECORD_BYTES_MAX);
        let producer = producer.map_err(ReplayError::Client)?;
        let begun = blocking(&producer, |producer| producer.init_transactions(TIMEOUT)).await;
        begun.map_err(|source| ReplayError::Begin { id, source })?;
        let letters = topic.name.clone();
        Ok(Self { producer, letters, waiting: Vec::new(), bytes: 0, sent: 0 })
    }

    /// Takes the letter `id` for sending, and the receipt for it.
    fn push(&mut self, id: LetterId, to: &str, record: RawRecord, known: &KnownTopics) {
        let Entry::Letter(letter, own) = read(&record.headers) else { return };
        let place = format!("{}/{}/{}", self.letters, id.partition, id.offset);
        let headers = letter.replay_headers(own, &place);
        let number = letter.partition.partition();
        let is_back = letter.partition.topic() == to;
        let is_there = known.get(to).is_some_and(|topic| topic.partitions.contains_key(&number));
        let partition = (is_back && is_there).then(|| number.cast_signed());
        let note = receipt(id.offset, to);
        self.bytes += record.size();
        let copy = RawRecord { headers, ..record };
        self.waiting.push(Waiting { topic: to.to_owned(), partition, record: copy });
        self.waiting.push(Waiting {
            topic: self.letters.clone(),
            partition: Some(id.partition.cast_signed()),
            record: RawRecord { headers: note, ..RawRecord::default() },
        });
    }

    async fn send_if_full(&mut self) -> Result<(), ReplayError> {
        let is_full = self.waiting.len() >= 2 * LETTERS_MAX || self.bytes >= BYTES_MAX;
        if is_full { self.send().await } else { Ok(()) }
    }

    /// Sends all that waits, as one transaction.
    async fn send(&mut self) -> Result<(), ReplayError> {
        let waiting = std::mem::take(&mut self.waiting);
        self.bytes = 0;
        if waiting.is_empty() {
            return Ok(());
        }
        let (sent, next) = (self.sent, waiting.len() / 2);
        if let Err(source) = self.try_send(&waiting).await {
            // What cannot be given up now is given up by the next one, or by time.
            let _ = blocking(&self.producer, |producer| producer.abort_transaction(TIMEOUT)).await;
            return Err(ReplayError::Send { sent, next, source });
        }
        self.sent += next;
        Ok(())
    }

    async fn try_send(&self, waiting: &[Waiting]) -> Result<(), KafkaCause> {
        self.producer.client().begin_transaction().map_err(KafkaCause::new)?;
        try_join_all(waiting.iter().map(|waiting| self.send_one(waiting))).await?;
        crash_point::before("replay");
        let mut attempts = 1;
        loop {
            let committed =
                blocking(&self.producer, |producer| producer.commit_transaction(TIMEOUT));
            match committed.await {
                Err(error) if error.is_transient() && attempts < COMMITS_MAX => attempts += 1,
                committed => {
                    crash_point::after("replay");
                    return committed;
                }
            }
        }
    }

    async fn send_one(&self, waiting: &Waiting) -> Result<(), KafkaCause> {
        let Waiting { topic, partition, record } = waiting;
        let outgoing = Outgoing {
            topic,
            partition: *partition,
            key: record.key.as_deref(),
            value: record.value.as_deref(),
            headers: kafka(&record.headers),
        };
        let sent = self.producer.send(outgoing, TIMEOUT).await;
        sent.map(drop).map_err(KafkaCause::new)
    }
}

/// The client's calls about transactions wait for Kafka on the thread that makes them.
async fn blocking(
    producer: &Producer,
    call: impl FnOnce(&BaseProducer<Acknowledgements>) -> Result<(), KafkaError> + Send + 'static,
) -> Result<(), KafkaCause> {
    let producer = Producer::clone(producer);
    let called = task::spawn_blocking(move || call(producer.client()));
    called.await.expect("a call of the client does not panic").map_err(KafkaCause::new)
}

fn kafka(headers: &Headers) -> OwnedHeaders {
    let empty = OwnedHeaders::new_with_capacity(headers.len());
    headers
        .iter()
        .fold(empty, |all, (key, value)| all.insert(Header { key, value: value.as_deref() }))
}
