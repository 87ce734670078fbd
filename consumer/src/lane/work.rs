//! IO. The two pieces of work of a lane that take long: decoding a batch, and storing an object.

use std::future::pending;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use common::chain::Chain;
use common::clock::Clock;
use common::moment::Moment;
use common::partition::TopicPartition;
use tokio::sync::watch;
use tokio::time::sleep;
use tracing::{info, warn};

use super::LaneContext;
use super::tally::Tally;
use crate::dead_letter::{DeadLetterError, Origin};
use crate::decode::{DeadLetterReason, Decoder};
use crate::metrics::Need;
use crate::object::{Addition, Sealed};
use crate::record::RawRecord;
use crate::refusal::{Counts, Guard, Refusal};
use crate::schema_registry::RegistryError;
use crate::sink::{Condemned, DecodedRows, SinkError, Stored, Table, Writer};

/// Why records cannot become rows; nothing of them is stored.
#[derive(Debug, thiserror::Error)]
pub(super) enum DecodeError {
    #[error("the records' schemas are not known")]
    Registry(#[source] RegistryError),
    #[error("the table cannot take the records' columns")]
    Table(#[source] SinkError),
    #[error("the dead-letter topic cannot be written")]
    DeadLetter(#[source] DeadLetterError),
    #[error("{0}")]
    Unfit(Unfit),
}

/// Why a batch does not pass as it was read.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unfit {
    #[error("{0}")]
    Refused(Refusal),
    #[error("dead letters keep headers, and the records were read without")]
    LacksHeaders,
}

/// A batch that was decoded and whose dead letters are acknowledged.
pub(super) struct Decoded {
    pub(super) addition: Addition,
    pub(super) unparsed: usize,
    pub(super) ignored: usize,
    pub(super) dead_letters: Vec<DeadLetterReason>,
    pub(super) busy: Duration,
}

/// An attempt to store an object, with the writer to go on with.
pub(super) struct Written {
    pub(super) writer: Writer,
    pub(super) sealed: Sealed,
    pub(super) outcome: Result<Stored, SinkError>,
    pub(super) busy: Duration,
}

impl DecodeError {
    /// What would help, if waiting may.
    fn need(&self) -> Option<Need> {
        match self {
            Self::Registry(_) => Some(Need::SchemaRegistry),
            Self::Table(_) => Some(Need::Table),
            Self::DeadLetter(_) => Some(Need::DeadLetterTopic),
            Self::Unfit(_) => None,
        }
    }

    fn is_transient(&self) -> bool {
        match self {
            Self::Registry(source) => source.is_transient(),
            Self::Table(source) => source.is_transient(),
            Self::DeadLetter(source) => source.is_transient(),
            Self::Unfit(_) => false,
        }
    }
}

/// What decodes the batches of one lane.
#[derive(Clone)]
pub(super) struct BatchDecoder {
    pub(super) context: Arc<LaneContext>,
    pub(super) table: Arc<Table>,
    pub(super) decoder: Decoder,
    /// Whether records come with their headers.
    pub(super) has_headers: bool,
    pub(super) origin: Origin,
    pub(super) guard: Arc<Mutex<Guard>>,
    pub(super) tally: Arc<Mutex<Tally>>,
    pub(super) condemned: Arc<Condemned>,
}

impl BatchDecoder {
    /// Decodes a batch and writes its dead letters, again and again while that may succeed.
    pub(super) async fn decode(
        self,
        records: Vec<RawRecord>,
        began_at: Moment,
    ) -> Result<Decoded, DecodeError> {
        let records = Arc::new(records);
        let mut backoff = self.context.backoff();
        let note = |retries| {
            let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
            tally.retries(retries, self.context.clock.now());
        };
        loop {
            match self.try_decode(&records, began_at).await {
                Err(error) if error.is_transient() => {
                    note(true);
                    let partition = &self.origin.partition;
                    if let Some(need) = error.need() {
                        self.context.metrics.decode_retry(partition, need);
                    }
                    warn!(%partition, error = %Chain(&error), "decoding is tried again");
                    sleep(backoff.next_delay()).await;
                }
                done => {
                    note(false);
                    return done;
                }
            }
        }
    }

    async fn try_decode(
        &self,
        records: &Arc<Vec<RawRecord>>,
        began_at: Moment,
    ) -> Result<Decoded, DecodeError> {
        let unknown = self.decoder.unknown_schemas(records);
        let clock = self.context.clock;
        let learnt = self.context.registry.learn(&unknown, clock.now()).await;
        learnt.map_err(DecodeError::Registry)?;
        let permit = self.context.decoders.acquire().await.expect("nobody closes it");
        let started_at = clock.now();
        let decoded = self.table.decode(&self.decoder, Arc::clone(records), &self.condemned).await;
        let decoded = decoded.map_err(DecodeError::Table)?;
        let busy = clock.now().saturating_since(started_at);
        drop(permit);
        if !self.has_headers && !decoded.dead_letters.is_empty() {
            return Err(DecodeError::Unfit(Unfit::LacksHeaders));
        }
        let counts =
            self.judge(&decoded).map_err(|refusal| DecodeError::Unfit(Unfit::Refused(refusal)))?;
        let (letters, now) = (&self.context.dead_letters, clock.timestamp());
        let written = letters.write(&self.origin, records, &decoded.dead_letters, now);
        written.await.map_err(DecodeError::DeadLetter)?;
        self.passed(counts);
        let last = records.last().expect("a batch is decoded when it has records");
        let DecodedRows { rows, dead_letters, unparsed, ignored, schema } = decoded;
        let addition = Addition {
            rows,
            schema,
            to: last.offset + 1,
            leader_epoch: last.leader_epoch,
            oldest_ms: records.iter().filter_map(|record| record.timestamp_ms).min(),
            dead_letters: dead_letters.len() as u64,
            began_at,
        };
        let dead_letters = dead_letters.iter().map(|letter| letter.reason).collect();
        Ok(Decoded { addition, unparsed, ignored, dead_letters, busy })
    }

    /// Whether the batch may pass, before any of its dead letters is written.
    fn judge(&self, decoded: &DecodedRows) -> Result<Counts, Refusal> {
        let letters = decoded.dead_letters.len() as u64;
        let others = decoded.rows.rows() + decoded.ignored as u64;
        let counts = Counts { records: others + letters, letters };
        let example = decoded.dead_letters.first().map_or("", |letter| letter.text.as_str());
        let mut guard = self.guard.lock().unwrap_or_else(PoisonError::into_inner);
        let judged = guard.judge(counts, example);
        drop(guard);
        judged.map(|()| counts).inspect_err(|_| self.note(counts, false))
    }

    fn passed(&self, counts: Counts) {
        self.guard.lock().unwrap_or_else(PoisonError::into_inner).passed(counts);
        self.note(counts, true);
    }

    fn note(&self, counts: Counts, has_passed: bool) {
        let now = self.context.clock.now();
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        tally.last_minute.note(counts, now);
        if has_passed && tally.paused.take().is_some() {
            info!(partition = %self.origin.partition, "is read on: its records can become rows again");
        }
    }
}

/// Stores an object, the same again and again while the outcome is unknown. A writer that others may
/// have to fence waits until it is announced.
pub(super) async fn write(
    context: Arc<LaneContext>,
    partition: TopicPartition,
    tally: Arc<Mutex<Tally>>,
    (mut writer, mut announced): (Writer, watch::Receiver<Vec<String>>),
    sealed: Sealed,
) -> Written {
    let clock: Clock = context.clock;
    let note = |again| {
        let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
        tally.stores_again(again, clock.now());
    };
    note(false);
    let retries = context.metrics.retries(&partition);
    let started_at = clock.now();
    let mut backoff = context.backoff();
    if let Some(token) = writer.token() {
        let is_named = |tokens: &Vec<String>| tokens.iter().any(|it| it == token);
        let is_announced = announced.wait_for(is_named).await.is_ok();
        if !is_announced {
            return pending().await; // The lane is let go of, and nothing more is to be written.
        }
    }
    loop {
        match writer.write(&sealed.batch).await {
            Err(error) if error.is_transient() => {
                retries.inc();
                note(true);
                warn!(%partition, error = %Chain(&error), "storing is tried again");
                sleep(backoff.next_delay()).await;
            }
            outcome => {
                note(false);
                let busy = clock.now().saturating_since(started_at);
                return Written { writer, sealed, outcome, busy };
            }
        }
    }
}
