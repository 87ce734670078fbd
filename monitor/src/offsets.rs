//! IO. Asks for committed offsets, high watermarks and log starts.
//!
//! The committed offset of a partition is asked for before its high watermark, so that lag is never
//! negative. The high watermark is that of committed transactions: the first offset that nobody can
//! read yet. Partitions are asked about in slices: librdkafka looks each answer up one by one in the
//! list that it was asked with, and a slice of one leader fails without the others.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use common::kafka::cause::KafkaCause;
use common::kafka::client_events::ClientEvents;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};
use thiserror::Error;
use tokio::task;

use crate::catalog::{BrokerId, Catalog};
use crate::measure::Offsets;

const SLICE: usize = 500;

/// Log starts move seldom: where there are many, each is asked for once in this many turns.
const TURNS_PER_LOG_START: usize = 10;
const MANY: usize = 2_000;

#[derive(Debug, Error)]
pub enum OffsetsError {
    #[error("failed to ask for the group's committed offsets")]
    Committed {
        #[source]
        source: KafkaCause,
    },
    #[error("failed to ask {broker} for offsets")]
    Log {
        broker: BrokerId,
        #[source]
        source: KafkaCause,
    },
}

/// What one turn learned, by the catalog's indices, and what it could not learn.
#[derive(Debug, Default)]
pub struct Answer {
    pub offsets: Vec<Option<Offsets>>,
    pub errors: Vec<OffsetsError>,
}

/// Asks through librdkafka, which blocks.
pub struct OffsetsClient {
    consumer: Arc<BaseConsumer<ClientEvents>>,
    patience: Duration,
    catalog: Arc<Catalog>,
    log_starts: Vec<Option<u64>>,
    turn: usize,
}

impl OffsetsClient {
    pub fn new(consumer: Arc<BaseConsumer<ClientEvents>>, patience: Duration) -> Self {
        Self { consumer, patience, catalog: Arc::default(), log_starts: Vec::new(), turn: 0 }
    }

    /// Asks about every partition of the catalog that is led by none of the `resting` brokers.
    pub async fn read(&mut self, catalog: &Arc<Catalog>, resting: BTreeSet<BrokerId>) -> Answer {
        if !Arc::ptr_eq(catalog, &self.catalog) {
            self.catalog = Arc::clone(catalog);
            self.log_starts = vec![None; catalog.len()];
        }
        self.turn += 1;
        let ask = Ask {
            consumer: Arc::clone(&self.consumer),
            patience: self.patience,
            catalog: Arc::clone(catalog),
            log_starts: std::mem::take(&mut self.log_starts),
            turn: self.turn,
        };
        let asked = task::spawn_blocking(move || ask.run(&resting)).await;
        let (answer, log_starts) = asked.expect("asking for offsets does not panic");
        self.log_starts = log_starts;
        answer
    }
}

/// One turn's questions.
struct Ask {
    consumer: Arc<BaseConsumer<ClientEvents>>,
    patience: Duration,
    catalog: Arc<Catalog>,
    log_starts: Vec<Option<u64>>,
    turn: usize,
}

/// What a question found: by index, and absent where it could not be answered.
type Found = BTreeMap<usize, Offset>;

impl Ask {
    fn run(mut self, resting: &BTreeSet<BrokerId>) -> (Answer, Vec<Option<u64>>) {
        let mut answer = Answer::default();
        let mut committed = vec![None; self.catalog.len()];
        self.ask_committed(&mut committed, &mut answer.errors);
        let mut high_watermarks = vec![None; self.catalog.len()];
        for (broker, led) in self.catalog.by_leader() {
            if resting.contains(&broker) {
                continue;
            }
            let asked = self.ask_leader(&led, &mut high_watermarks);
            answer.errors.extend(asked.err().map(|source| OffsetsError::Log { broker, source }));
        }
        answer.offsets = (0..self.catalog.len())
            .map(|index| {
                Some(Offsets {
                    log_start: self.log_starts[index]?,
                    high_watermark: high_watermarks[index]?,
                    committed: committed[index]?,
                })
            })
            .collect();
        // What librdkafka wants to say to the log waits until somebody polls.
        let _ = self.consumer.poll(Duration::ZERO);
        (answer, self.log_starts)
    }

    fn ask_committed(&self, committed: &mut [Option<Option<u64>>], errors: &mut Vec<OffsetsError>) {
        let all: Vec<usize> = (0..self.catalog.len()).collect();
        for slice in all.chunks(SLICE) {
            let asked =
                self.ask(slice, |list| self.consumer.committed_offsets(list, self.patience));
            match asked {
                Ok(found) => {
                    for (index, offset) in found {
                        committed[index] = Some(known(offset));
                    }
                }
                Err(source) => {
                    errors.push(OffsetsError::Committed { source });
                    return;
                }
            }
        }
    }

    /// High watermarks of all that one broker leads, and some of the log starts.
    fn ask_leader(
        &mut self,
        led: &[usize],
        high_watermarks: &mut [Option<u64>],
    ) -> Result<(), KafkaCause> {
        for slice in led.chunks(SLICE) {
            for (index, offset) in self.ask_log(slice, Offset::End)? {
                high_watermarks[index] = known(offset);
            }
        }
        let turns = if self.catalog.len() > MANY { TURNS_PER_LOG_START } else { 1 };
        let is_due =
            |index: &usize| index % turns == self.turn % turns || self.log_starts[*index].is_none();
        let due: Vec<usize> = led.iter().copied().filter(is_due).collect();
        for slice in due.chunks(SLICE) {
            for (index, offset) in self.ask_log(slice, Offset::Beginning)? {
                self.log_starts[index] = known(offset);
            }
        }
        Ok(())
    }

    fn ask_log(&self, slice: &[usize], which: Offset) -> Result<Found, KafkaCause> {
        self.ask(slice, |mut list| {
            list.set_all_offsets(which)?;
            self.consumer.offsets_for_times(list, self.patience)
        })
    }

    fn ask(
        &self,
        slice: &[usize],
        question: impl FnOnce(TopicPartitionList) -> Result<TopicPartitionList, KafkaError>,
    ) -> Result<Found, KafkaCause> {
        let mut list = TopicPartitionList::with_capacity(slice.len());
        for index in slice {
            let entry = self.catalog.entry(*index);
            let number = i32::try_from(entry.partition).unwrap_or(i32::MAX);
            list.add_partition(entry.topic, number);
        }
        let answered = question(list).map_err(KafkaCause::new)?;
        let mut found = Found::new();
        for element in answered.elements() {
            let number = u32::try_from(element.partition()).ok();
            let index = number.and_then(|number| self.catalog.index(element.topic(), number));
            if let (Some(index), Ok(())) = (index, element.error()) {
                found.insert(index, element.offset());
            }
        }
        Ok(found)
    }
}

/// An offset; nothing where there is none, as before a first commit.
fn known(offset: Offset) -> Option<u64> {
    match offset {
        Offset::Offset(offset) => u64::try_from(offset).ok(),
        Offset::Beginning
        | Offset::End
        | Offset::Stored
        | Offset::Invalid
        | Offset::OffsetTail(_) => None,
    }
}
