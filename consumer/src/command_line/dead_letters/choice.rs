//! Pure. Which dead letters are sent back through, and which not, and why.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::select::Selection;
use crate::letter::{Entry, LetterId, read};
use crate::record::RawRecord;

/// Places that are named one by one.
const NAMED_MAX: usize = 10;

/// What was found among the dead letters so far.
#[derive(Clone, Debug)]
pub(super) struct Choice {
    selection: Selection,
    /// Another topic than the one that each came from.
    to: Option<String>,
    /// A record that was read so often is not sent.
    max_attempts: u32,
    /// What was sent before is sent again.
    again: bool,
    chosen: BTreeMap<LetterId, String>,
    worn_out: BTreeSet<LetterId>,
    replayed: u64,
}

impl Choice {
    pub(super) fn new(
        selection: Selection,
        to: Option<String>,
        max_attempts: u32,
        again: bool,
    ) -> Self {
        let (chosen, worn_out, replayed) = (BTreeMap::new(), BTreeSet::new(), 0);
        Self { selection, to, max_attempts, again, chosen, worn_out, replayed }
    }

    /// Takes the next record of a partition of the dead-letter topic.
    pub(super) fn take(&mut self, partition: u32, record: &RawRecord) {
        let id = LetterId { partition, offset: record.offset };
        match read(&record.headers) {
            Entry::Letter(letter, _) if self.selection.holds(id, &letter, record.timestamp_ms) => {
                if letter.attempt >= self.max_attempts {
                    self.worn_out.insert(id);
                } else {
                    let topic = letter.partition.topic();
                    let to = self.to.clone().unwrap_or_else(|| topic.to_owned());
                    self.chosen.insert(id, to);
                }
            }
            Entry::Receipt(offset) if !self.again => {
                let id = LetterId { partition, offset };
                let was_meant = self.chosen.remove(&id).is_some() | self.worn_out.remove(&id);
                self.replayed += u64::from(was_meant);
            }
            Entry::Letter(..) | Entry::Receipt(_) | Entry::Foreign => {}
        }
    }

    /// What is to be sent, and to which topic.
    pub(super) fn chosen(&self) -> &BTreeMap<LetterId, String> {
        &self.chosen
    }

    pub(super) fn topics(&self) -> BTreeSet<&str> {
        self.chosen.values().map(String::as_str).collect()
    }

    /// What was done, or would be.
    pub(super) fn report(&self, done: &str) -> String {
        let mut text = String::new();
        let mut counts = BTreeMap::<&str, u64>::new();
        self.chosen.values().for_each(|topic| *counts.entry(topic).or_default() += 1);
        for (topic, count) in &counts {
            let _ = writeln!(text, "{done} {count} to {topic}");
        }
        if counts.is_empty() {
            let _ = writeln!(text, "{done} nothing");
        }
        if self.replayed > 0 {
            let _ =
                writeln!(text, "left {} that were sent before (--again sends them)", self.replayed);
        }
        if !self.worn_out.is_empty() {
            let (count, attempts) = (self.worn_out.len(), self.max_attempts);
            let named = self.worn_out.iter().take(NAMED_MAX).map(ToString::to_string);
            let named = named.collect::<Vec<_>>().join(", ");
            let more = if count > NAMED_MAX { ", …" } else { "" };
            let _ = writeln!(
                text,
                "left {count} that were read {attempts} times or more: {named}{more} \
                 (--max-attempts allows more)"
            );
        }
        text.trim_end().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::letter::{Letter, receipt};
    use bytes::Bytes;
    use common::partition::TopicPartition;
    use proptest::prelude::*;

    fn letter(offset: u64, attempt: u32) -> RawRecord {
        let letter = Letter {
            reason: "too_deep".into(),
            error: String::new(),
            partition: TopicPartition::new("orders", 0),
            topic_id: String::new(),
            offset,
            timestamp_ms: None,
            is_append_time: false,
            refused_at_ms: None,
            consumer: 1,
            table: "orders".into(),
            attempt,
        };
        let headers = letter.headers().into_iter();
        let headers =
            headers.map(|(name, value)| (name.to_owned(), Some(Bytes::from(value)))).collect();
        RawRecord { offset, headers, ..RawRecord::default() }
    }

    fn note(offset: u64, of: u64) -> RawRecord {
        RawRecord { offset, headers: receipt(of, "orders"), ..RawRecord::default() }
    }

    proptest! {
        /// Replay after replay, whatever of it comes to nothing and however often the records stay
        /// bad: each letter is sent at most once, and each record is read at most `max` times.
        #[test]
        fn nothing_goes_round_for_ever(
            first in 1_u64..8, max in 1_u32..5, stays_bad in proptest::collection::vec(any::<bool>(), 40),
        ) {
            let mut log: Vec<RawRecord> = (0..first).map(|offset| letter(offset, 1)).collect();
            let mut sent = BTreeSet::new();
            for round in 0..40_usize {
                let mut choice = Choice::new(Selection::default(), None, max, false);
                log.iter().for_each(|record| choice.take(0, record));
                if choice.chosen().is_empty() {
                    return Ok(());
                }
                for id in choice.chosen().keys() {
                    prop_assert!(sent.insert(*id), "{id} was sent twice");
                    let record = &log[usize::try_from(id.offset).unwrap()];
                    let Entry::Letter(letter_sent, _) = read(&record.headers) else { panic!() };
                    prop_assert!(letter_sent.attempt < max);
                    let next = letter_sent.attempt + 1;
                    let (at, of) = (log.len() as u64, id.offset);
                    log.push(note(at, of));
                    if stays_bad[(round + sent.len()) % stays_bad.len()] {
                        log.push(letter(at + 1, next));
                    }
                }
            }
            prop_assert!(false, "it goes on for ever");
        }
    }

    #[test]
    fn a_receipt_is_for_a_letter_of_its_own_partition() {
        let mut choice = Choice::new(Selection::default(), None, 3, false);
        for (partition, record) in [(0, letter(0, 1)), (1, letter(0, 1)), (1, note(1, 0))] {
            choice.take(partition, &record);
        }
        let left: Vec<_> = choice.chosen().keys().map(ToString::to_string).collect();
        assert_eq!(left, ["0:0"]);
    }

    #[test]
    fn what_is_left_is_said_with_its_reason() {
        let mut choice = Choice::new(Selection::default(), None, 3, false);
        for record in [letter(0, 1), letter(1, 3), letter(2, 1), note(3, 2), note(4, 2)] {
            choice.take(0, &record);
        }
        assert_eq!(choice.topics(), ["orders"].into());
        let expected = "sent 1 to orders\nleft 1 that were sent before (--again sends them)\n\
            left 1 that were read 3 times or more: 0:1 (--max-attempts allows more)";
        assert_eq!(choice.report("sent"), expected);
        let mut again = Choice::new(Selection::default(), Some("repaired".into()), 9, true);
        for record in [letter(0, 1), note(1, 0)] {
            again.take(0, &record);
        }
        assert_eq!(again.report("would send"), "would send 1 to repaired");
    }
}
