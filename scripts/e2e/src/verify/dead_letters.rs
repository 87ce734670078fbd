//! Pure. Records that a consumer set aside, by where they came from.

use std::collections::BTreeMap;

use super::digest::of_headers;
use super::record::Record;

const OURS: &str = "stowage-";
const TOPIC: &str = "stowage-topic";
const TOPIC_ID: &str = "stowage-topic-id";
const PARTITION: &str = "stowage-partition";
const OFFSET: &str = "stowage-offset";
/// Of the note that a letter was sent back through.
const REPLAYED: &str = "stowage-replayed";

/// Digests of what was set aside, by offset. The topic is at least once: copies are no fault.
pub type OfPartition = BTreeMap<u64, Vec<u128>>;

/// All dead letters of the topics that are looked at.
#[derive(Debug, Default)]
pub struct DeadLetters {
    by_partition: BTreeMap<(String, u32), BTreeMap<u64, Vec<Letter>>>,
    /// Records of the dead-letter topic that do not say where they come from.
    pub unnamed: u64,
}

#[derive(Debug)]
struct Letter {
    topic_id: Option<String>,
    digest: u128,
}

impl DeadLetters {
    /// Takes one record of the dead-letter topic.
    pub fn push(&mut self, record: &Record<'_>) {
        if header(record, REPLAYED).is_some() && header(record, TOPIC).is_none() {
            return;
        }
        let Some((topic, partition, offset)) = origin(record) else {
            self.unnamed += 1;
            return;
        };
        let letter = Letter {
            topic_id: header(record, TOPIC_ID).map(str::to_owned),
            digest: of_original(record),
        };
        let partition = self.by_partition.entry((topic, partition)).or_default();
        partition.entry(offset).or_default().push(letter);
    }

    /// The dead letters of one partition of the topic with `topic_id`, and of those that name none.
    pub fn of(&self, topic: &str, topic_id: &str, partition: u32) -> OfPartition {
        let letters = self.by_partition.get(&(topic.to_owned(), partition)).into_iter().flatten();
        let ours = letters.map(|(offset, letters)| {
            let ours = letters.iter().filter(|letter| match &letter.topic_id {
                Some(id) => id == topic_id,
                None => true,
            });
            (*offset, ours.map(|letter| letter.digest).collect())
        });
        ours.filter(|(_, digests): &(u64, Vec<u128>)| !digests.is_empty()).collect()
    }
}

/// The digest of what a dead letter must keep: key, value and headers, without those added to it.
pub fn of_original(record: &Record<'_>) -> u128 {
    let parts = [("key", record.key), ("value", record.value)].into_iter();
    let headers = record.headers.iter().copied().filter(|(name, _)| !name.starts_with(OURS));
    of_headers(parts.chain(headers))
}

fn origin(record: &Record<'_>) -> Option<(String, u32, u64)> {
    let partition = header(record, PARTITION)?.parse().ok()?;
    let offset = header(record, OFFSET)?.parse().ok()?;
    Some((header(record, TOPIC)?.to_owned(), partition, offset))
}

fn header<'a>(record: &Record<'a>, name: &str) -> Option<&'a str> {
    let (_, value) = record.headers.iter().rev().find(|(header, _)| *header == name)?;
    std::str::from_utf8((*value)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter<'a>(value: &'a [u8], headers: &[(&'a str, &'a str)]) -> Record<'a> {
        let headers = headers.iter().map(|(name, text)| (*name, Some(text.as_bytes())));
        Record {
            offset: 0,
            timestamp_ms: None,
            key: None,
            value: Some(value),
            headers: headers.collect(),
        }
    }

    #[test]
    fn a_letter_is_found_by_its_origin_and_compared_by_what_it_kept() {
        let from = [("trace", "x"), (TOPIC, "orders"), (PARTITION, "3"), (OFFSET, "17")];
        let mut all = DeadLetters::default();
        all.push(&letter(b"{", &from));
        all.push(&letter(b"{", &from));
        let original = of_original(&letter(b"{", &[("trace", "x")]));
        assert_eq!(all.of("orders", "id", 3)[&17], [original, original]);
        assert_ne!(original, of_original(&letter(b"{", &[])));
        assert_ne!(original, of_original(&letter(b"}", &[("trace", "x")])));
        assert!(all.of("orders", "id", 4).is_empty() && all.of("order", "id", 3).is_empty());
    }

    #[test]
    fn a_note_that_a_letter_was_sent_again_is_no_letter() {
        let mut all = DeadLetters::default();
        all.push(&letter(b"", &[("stowage-replayed", "7"), ("stowage-replayed-to", "orders")]));
        assert_eq!(all.unnamed, 0);
    }

    #[test]
    fn letters_of_an_earlier_topic_do_not_count_and_unnamed_ones_are_counted() {
        let from = [(TOPIC, "orders"), (TOPIC_ID, "old"), (PARTITION, "3"), (OFFSET, "17")];
        let mut all = DeadLetters::default();
        all.push(&letter(b"{", &from));
        all.push(&letter(b"{", &from[..3]));
        assert!(all.of("orders", "new", 3).is_empty());
        assert_eq!(all.of("orders", "old", 3).len(), 1);
        assert_eq!(all.unnamed, 1);
    }
}
