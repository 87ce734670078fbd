//! Pure. The sink: chains of objects that are put if absent, checked at every put.

use std::collections::BTreeMap;

use common::identity::{TableId, TopicId};
use common::partition::TopicPartition;
use consumer::sink::parquet::Footer;
use uuid::Uuid;

use super::history::{Invariant, broken, note};
use super::kafka::Kafka;

#[derive(Clone, Debug)]
pub(crate) struct Object {
    pub(crate) footer: Footer,
    /// Whether it holds the records of its range; else they are gone.
    pub(crate) has_rows: bool,
    /// Whether its writer owned the partition when it was stored.
    pub(crate) is_owners: bool,
}

/// What a put found.
#[derive(Clone, Debug)]
pub(crate) enum Put {
    Stored,
    Taken(Footer),
}

#[derive(Debug, Default)]
pub(crate) struct Lake {
    chains: BTreeMap<TopicPartition, BTreeMap<TopicId, Vec<Object>>>,
}

pub(crate) fn table_id() -> TableId {
    TableId(Uuid::from_u128(9))
}

impl Lake {
    pub(crate) fn chain(&self, partition: &TopicPartition, id: TopicId) -> &[Object] {
        let chains = self.chains.get(partition).and_then(|chains| chains.get(&id));
        chains.map_or(&[], Vec::as_slice)
    }

    pub(crate) fn end(&self, partition: &TopicPartition, id: TopicId) -> u64 {
        self.chain(partition, id).last().map_or(0, |object| object.footer.to)
    }

    /// One conditional put; afterwards the chain must be as promised.
    pub(crate) fn put(&mut self, object: Object, kafka: &Kafka) -> Put {
        let footer = &object.footer;
        let chains = self.chains.entry(footer.partition.clone()).or_default();
        let chain = chains.entry(footer.topic_id).or_default();
        let same_name = chain.iter().rev().find(|known| known.footer.from == footer.from);
        if let Some(taken) = same_name {
            return Put::Taken(taken.footer.clone());
        }
        check_place(chain, footer);
        check_rows(&object, kafka);
        note(Some(&footer.partition), || {
            let what = if object.has_rows { "stored" } else { "stored as gone" };
            format!("{what} {}..{} under {}", footer.from, footer.to, footer.term)
        });
        chain.push(object);
        Put::Stored
    }

    /// I1: what is committed lies within the chain.
    pub(crate) fn check_committed(&self, partition: &TopicPartition, id: TopicId, offset: u64) {
        let end = self.end(partition, id);
        if offset > end {
            let text =
                format!("offset {offset} of {partition} is committed, the chain ends at {end}");
            broken(Invariant::I1, Some(partition), text);
        }
    }
}

/// I1 to I4, as far as an object's place in its chain tells.
fn check_place(chain: &[Object], footer: &Footer) {
    let partition = Some(&footer.partition);
    let end = chain.last().map_or(0, |last| last.footer.to);
    let (from, to, term) = (footer.from, footer.to, footer.term);
    if from > end {
        let text = format!("a hole: {from}..{to} under {term} is stored, the chain ends at {end}");
        broken(Invariant::I1, partition, text);
    }
    if from < end {
        let text = format!("{from}..{to} under {term} is stored again, the chain ends at {end}");
        broken(Invariant::I2, partition, text);
    }
    if to <= from {
        broken(Invariant::I3, partition, format!("{from}..{to} under {term} goes back"));
    }
    let newer = chain.last().filter(|last| last.footer.term > term);
    if let Some(newer) = newer {
        let newer = newer.footer.term;
        broken(Invariant::I4, partition, format!("{term} was accepted after {newer}"));
    }
}

/// I1: no object says of records that they are gone while the log has them, or has records that
/// the log does not.
fn check_rows(object: &Object, kafka: &Kafka) {
    let footer = &object.footer;
    let Some((id, log)) = kafka.log(&footer.partition) else { return };
    if id != footer.topic_id {
        return; // Of a topic that was deleted since.
    }
    if !object.has_rows && footer.to > log.start {
        let (from, to, start) = (footer.from, footer.to, log.start);
        let text = format!("{from}..{to} counts as gone, the log begins at {start}");
        broken(Invariant::I1, Some(&footer.partition), text);
    }
    if object.has_rows && footer.to > log.end {
        let (to, end) = (footer.to, log.end);
        broken(
            Invariant::I1,
            Some(&footer.partition),
            format!("rows up to {to}, the log ends at {end}"),
        );
    }
}
