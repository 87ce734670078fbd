//! Pure. The headers by which a dead letter says why it is one, and those of what is sent back through.
//!
//! A dead letter keeps its record's own headers, in their order, and behind them has ours, which begin
//! with the *last* `stowage-reason`: so it makes no difference what the record's own are called.

use std::fmt;
use std::str::{self, FromStr};

use bytes::Bytes;
use common::partition::TopicPartition;

/// Headers in their order; one of no value is not the same as an empty one.
pub type Headers = Vec<(String, Option<Bytes>)>;

const REASON: &str = "stowage-reason";
const ERROR: &str = "stowage-error";
const TOPIC: &str = "stowage-topic";
const TOPIC_ID: &str = "stowage-topic-id";
const PARTITION: &str = "stowage-partition";
const OFFSET: &str = "stowage-offset";
const TIMESTAMP: &str = "stowage-timestamp";
const TIMESTAMP_TYPE: &str = "stowage-timestamp-type";
const REFUSED_AT: &str = "stowage-refused-at";
const CONSUMER: &str = "stowage-consumer";
const TABLE: &str = "stowage-table";
const ATTEMPT: &str = "stowage-attempt";
/// Of a record that was sent back through: the dead letter that it was.
const REPLAY_OF: &str = "stowage-replay-of";
/// Of a record that was sent back through: where it stood at first, and its timestamp there.
const ORIGIN: &str = "stowage-origin";
const ORIGIN_TIMESTAMP: &str = "stowage-origin-timestamp";
/// Of a receipt: the offset of the dead letter that was sent back through.
const REPLAYED: &str = "stowage-replayed";
const REPLAYED_TO: &str = "stowage-replayed-to";

/// Bytes of an error's text that are kept: a record may have made it as long as itself.
const ERROR_BYTES_MAX: usize = 4 << 10;

/// Which dead letter: its place on the dead-letter topic, written `partition:offset`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LetterId {
    pub partition: u32,
    pub offset: u64,
}

/// Why and where a record was set aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// A word for the class of reasons.
    pub reason: String,
    /// What is wrong, for people.
    pub error: String,
    pub partition: TopicPartition,
    pub topic_id: String,
    pub offset: u64,
    /// Of the record, milliseconds since 1970.
    pub timestamp_ms: Option<i64>,
    /// The broker stamped it when it was appended, rather than its producer when it was made.
    pub is_append_time: bool,
    /// When it was set aside, milliseconds since 1970; `None` in letters of old.
    pub refused_at_ms: Option<i64>,
    pub consumer: u32,
    pub table: String,
    /// How often the record was read until now, counted from 1.
    pub attempt: u32,
}

/// What a record of the dead-letter topic is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry<'a> {
    /// With the record's own headers.
    Letter(Box<Letter>, &'a [(String, Option<Bytes>)]),
    /// The letter at this offset of the same partition was sent back through.
    Receipt(u64),
    /// Not of ours.
    Foreign,
}

impl fmt::Display for LetterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.partition, self.offset)
    }
}

impl FromStr for LetterId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parsed = text.split_once(':').and_then(|(partition, offset)| {
            Some(Self { partition: partition.parse().ok()?, offset: offset.parse().ok()? })
        });
        parsed
            .ok_or_else(|| "expected PARTITION:OFFSET of the dead-letter topic, as in 0:42".into())
    }
}

impl Letter {
    /// Ours, to follow the record's own headers.
    pub fn headers(&self) -> Vec<(&'static str, String)> {
        let mut headers = vec![
            (REASON, self.reason.clone()),
            (ERROR, cut(&self.error).to_owned()),
            (TOPIC, self.partition.topic().to_owned()),
            (TOPIC_ID, self.topic_id.clone()),
            (PARTITION, self.partition.partition().to_string()),
            (OFFSET, self.offset.to_string()),
        ];
        if let Some(timestamp) = self.timestamp_ms {
            headers.push((TIMESTAMP, timestamp.to_string()));
            headers.push((TIMESTAMP_TYPE, timestamp_type(self.is_append_time).to_owned()));
        }
        headers.extend(self.refused_at_ms.map(|at| (REFUSED_AT, at.to_string())));
        headers.extend([
            (CONSUMER, self.consumer.to_string()),
            (TABLE, self.table.clone()),
            (ATTEMPT, self.attempt.to_string()),
        ]);
        headers
    }

    fn parse(headers: &[(String, Option<Bytes>)]) -> Option<Self> {
        let number = |name| text(headers, name).and_then(|text| text.parse().ok());
        let word = |name| text(headers, name).unwrap_or_default().to_owned();
        let partition = u32::try_from(number(PARTITION)?).ok()?;
        Some(Self {
            reason: word(REASON),
            error: word(ERROR),
            partition: TopicPartition::new(text(headers, TOPIC)?, partition),
            topic_id: word(TOPIC_ID),
            offset: u64::try_from(number(OFFSET)?).ok()?,
            timestamp_ms: number(TIMESTAMP),
            is_append_time: text(headers, TIMESTAMP_TYPE) == Some(timestamp_type(true)),
            refused_at_ms: number(REFUSED_AT),
            consumer: number(CONSUMER).and_then(|found| u32::try_from(found).ok()).unwrap_or(0),
            table: word(TABLE),
            attempt: attempt(headers),
        })
    }

    /// The headers of the record that is sent back through: its own, without those of an earlier
    /// time, and then which attempt it is and where it comes from.
    pub fn replay_headers(&self, own: &[(String, Option<Bytes>)], letter: &str) -> Headers {
        let origin = text(own, ORIGIN)
            .map_or_else(|| format!("{}/{}", self.partition, self.offset), str::to_owned);
        let is_first = text(own, ORIGIN).is_none();
        let timestamp = self.timestamp_ms.filter(|_| is_first).map(|at| at.to_string());
        let timestamp = timestamp.or_else(|| text(own, ORIGIN_TIMESTAMP).map(str::to_owned));
        let of_earlier = [ATTEMPT, REPLAY_OF, ORIGIN, ORIGIN_TIMESTAMP];
        let kept = own.iter().filter(|(name, _)| !of_earlier.contains(&name.as_str()));
        let mut headers: Headers = kept.cloned().collect();
        let mut add = |name: &str, value: String| headers.push((name.into(), Some(value.into())));
        add(ATTEMPT, self.attempt.saturating_add(1).to_string());
        add(REPLAY_OF, letter.to_owned());
        add(ORIGIN, origin);
        if let Some(timestamp) = timestamp {
            add(ORIGIN_TIMESTAMP, timestamp);
        }
        headers
    }
}

/// The headers of the record that says that a letter of the same partition was sent back through.
pub fn receipt(offset: u64, topic: &str) -> Headers {
    let header = |name: &str, value: String| (name.to_owned(), Some(value.into()));
    vec![header(REPLAYED, offset.to_string()), header(REPLAYED_TO, topic.to_owned())]
}

/// How often a record with these headers has been read when it is read now, counted from 1.
pub fn attempt(headers: &[(String, Option<Bytes>)]) -> u32 {
    text(headers, ATTEMPT).and_then(|text| text.parse().ok()).unwrap_or(1).max(1)
}

/// What the record of the dead-letter topic with these headers is.
pub fn read(headers: &[(String, Option<Bytes>)]) -> Entry<'_> {
    let Some(begin) = headers.iter().rposition(|(name, _)| name == REASON) else {
        let offset = text(headers, REPLAYED).and_then(|text| text.parse().ok());
        return offset.map_or(Entry::Foreign, Entry::Receipt);
    };
    let (own, ours) = headers.split_at(begin);
    Letter::parse(ours).map_or(Entry::Foreign, |letter| Entry::Letter(Box::new(letter), own))
}

pub fn timestamp_type(is_append_time: bool) -> &'static str {
    if is_append_time { "append" } else { "create" }
}

/// The last header of that name, if it is text.
fn text<'a>(headers: &'a [(String, Option<Bytes>)], name: &str) -> Option<&'a str> {
    let (_, value) = headers.iter().rev().find(|(header, _)| header == name)?;
    str::from_utf8(value.as_ref()?).ok()
}

/// The beginning of a text that is too long for a header.
fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(ERROR_BYTES_MAX)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::option;
    use proptest::prelude::*;

    fn names() -> impl Strategy<Value = String> {
        let ours = [REASON, ERROR, ATTEMPT, OFFSET, REPLAY_OF, ORIGIN, REPLAYED].map(str::to_owned);
        prop_oneof![proptest::sample::select(ours.to_vec()), "[a-z]{0,3}"]
    }

    fn headers() -> impl Strategy<Value = Headers> {
        let value = option::of(prop_oneof![
            "[0-9a-z]{0,3}".prop_map(Bytes::from),
            vec(any::<u8>(), 0..3).prop_map(Bytes::from)
        ]);
        vec((names(), value), 0..6)
    }

    prop_compose! {
        fn letters()(
            words in vec("[ -~]{0,9}", 4), error in ".{0,9}", partition in any::<u32>(),
            offset in 0..i64::MAX.cast_unsigned(), timestamp_ms in option::of(any::<i64>()),
            is_append_time in any::<bool>(), refused_at_ms in option::of(any::<i64>()),
            consumer in any::<u32>(), attempt in 1_u32..,
        ) -> Letter {
            Letter {
                reason: words[0].clone(),
                error,
                partition: TopicPartition::new(&words[1], partition),
                topic_id: words[2].clone(),
                offset,
                timestamp_ms,
                is_append_time: is_append_time && timestamp_ms.is_some(),
                refused_at_ms,
                consumer,
                table: words[3].clone(),
                attempt,
            }
        }
    }

    fn written(own: &Headers, letter: &Letter) -> Headers {
        let ours = letter.headers().into_iter();
        let ours = ours.map(|(name, value)| (name.to_owned(), Some(Bytes::from(value))));
        own.iter().cloned().chain(ours).collect()
    }

    proptest! {
        /// A letter says what was written, and which headers are the record's own, whatever those
        /// are called.
        #[test]
        fn a_letter_is_read_back_and_its_records_headers_are_untouched(
            own in headers(), letter in letters(),
        ) {
            let written = written(&own, &letter);
            prop_assert_eq!(read(&written), Entry::Letter(Box::new(letter), &own[..]));
        }

        /// However often a record goes round, it keeps its own headers and gains none but ours, and
        /// counts on; it names the place where it stood at first.
        #[test]
        fn a_record_that_goes_round_counts_and_gains_nothing(
            own in vec(("[a-z]{1,3}", option::of("[a-z]{0,3}".prop_map(Bytes::from))), 0..4),
            first in letters().prop_map(|letter| Letter { attempt: 1, ..letter }), rounds in 1_u32..5,
        ) {
            let (mut own_now, mut letter) = (own.clone(), first.clone());
            for round in 1..=rounds {
                let sent = letter.replay_headers(&own_now, "dead/0/7");
                prop_assert_eq!(attempt(&sent), round + 1);
                prop_assert_eq!(&sent[..own.len()], &own[..]);
                prop_assert!(sent.len() <= own.len() + 4);
                let origin = format!("{}/{}", first.partition, first.offset);
                prop_assert_eq!(text(&sent, ORIGIN), Some(origin.as_str()));
                let at = first.timestamp_ms.map(|at| at.to_string());
                prop_assert_eq!(text(&sent, ORIGIN_TIMESTAMP), at.as_deref());
                let next = Letter { offset: first.offset / 2, attempt: attempt(&sent), ..first.clone() };
                (own_now, letter) = (sent, next);
            }
        }

        /// No headers of others are too odd to be read.
        #[test]
        fn whatever_stands_on_the_topic_is_something(headers in headers()) {
            read(&headers);
            attempt(&headers);
        }
    }

    #[test]
    fn a_receipt_is_told_from_a_letter() {
        assert_eq!(read(&receipt(42, "orders")), Entry::Receipt(42));
        assert_eq!(read(&[("a".to_owned(), None)]), Entry::Foreign);
    }

    #[test]
    fn a_long_error_is_cut_between_two_characters() {
        let error = format!("{}é", "e".repeat(ERROR_BYTES_MAX - 1));
        assert_eq!(cut(&error).len(), ERROR_BYTES_MAX - 1);
        assert_eq!(cut("short"), "short");
    }

    #[test]
    fn a_letter_is_named_by_its_place() {
        let id = LetterId { partition: 3, offset: 42 };
        assert_eq!("3:42".parse(), Ok(id));
        assert_eq!(id.to_string(), "3:42");
        assert!("3/42".parse::<LetterId>().unwrap_err().contains("PARTITION:OFFSET"));
    }
}
