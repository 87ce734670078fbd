//! IO. `consumer dead-letters list` and `show`: what is on the dead-letter topic, for people and as JSON.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::path::PathBuf;

use common::kafka::reader::LogRange;
use thiserror::Error;

use super::rows::{Listing, Row, Summary, readable, time};
use super::topic::{DeadLetterTopic, TopicError};
use super::{ListArgs, ShowArgs};
use crate::letter::{Entry, Letter, LetterId, read, timestamp_type};
use crate::record::RawRecord;
use common::moment::Timestamp;

#[derive(Debug, Error)]
pub enum PageError {
    #[error(transparent)]
    Topic(TopicError),
    #[error("there is no dead letter {id} on {topic}: {what}")]
    NoLetter { id: LetterId, topic: String, what: String },
    #[error("failed to write the value to {}", file.display())]
    Write {
        file: PathBuf,
        #[source]
        source: io::Error,
    },
}

impl From<TopicError> for PageError {
    fn from(error: TopicError) -> Self {
        Self::Topic(error)
    }
}

/// What a list becomes: rows, or numbers.
enum Found {
    Rows(Listing),
    Summary(Summary),
}

impl Found {
    fn push(&mut self, row: Row) {
        match self {
            Self::Rows(listing) => listing.push(row),
            Self::Summary(summary) => summary.push(row),
        }
    }

    fn replayed(&mut self, id: LetterId) {
        match self {
            Self::Rows(listing) => listing.replayed(id),
            Self::Summary(summary) => summary.replayed(id),
        }
    }
}

/// Reads all there is, and returns what to print.
///
/// # Errors
/// If the topic cannot be read.
pub(super) async fn list(args: &ListArgs, now: Timestamp) -> Result<String, PageError> {
    let topic = DeadLetterTopic::connect(&args.topic)?;
    let selection = args.selection.selection(now);
    let limit = (args.limit > 0 && !args.json).then_some(args.limit);
    let mut found = match args.summary {
        true => Found::Summary(Summary::default()),
        false => Found::Rows(Listing::new(limit)),
    };
    for (partition, range) in topic.ranges().await? {
        let take = async |record: RawRecord| {
            let id = LetterId { partition, offset: record.offset };
            match read(&record.headers) {
                Entry::Letter(letter, _) if selection.holds(id, &letter, record.timestamp_ms) => {
                    found.push(row(id, *letter, &record));
                }
                Entry::Receipt(offset) => found.replayed(LetterId { partition, offset }),
                Entry::Letter(..) | Entry::Foreign => {}
            }
            Ok::<_, PageError>(ControlFlow::Continue(()))
        };
        topic.each(partition, range, take).await?;
    }
    let text = match (found, args.json) {
        (Found::Rows(listing), true) => listing.to_json_lines(),
        (Found::Rows(listing), false) => listing.to_table(),
        (Found::Summary(summary), true) => summary.to_json_lines(),
        (Found::Summary(summary), false) => summary.to_table(),
    };
    Ok(text.trim_end().to_owned())
}

/// Reads one, writes its value to the file that was named, and returns what to print.
///
/// # Errors
/// If there is no such letter, or the file cannot be written.
pub(super) async fn show(args: &ShowArgs) -> Result<String, PageError> {
    let topic = DeadLetterTopic::connect(&args.topic)?;
    let id = args.letter;
    let missing = |what: String| PageError::NoLetter { id, topic: topic.name.clone(), what };
    let ranges = topic.ranges().await?;
    let range = *ranges
        .get(&id.partition)
        .ok_or_else(|| missing(format!("its partitions are 0 to {}", ranges.len().max(1) - 1)))?;
    if id.offset < range.start || id.offset >= range.end {
        let LogRange { start, end } = range;
        return Err(missing(format!("the partition has the offsets from {start} to before {end}")));
    }
    let mut found = None;
    let take = async |record: RawRecord| {
        found = Some(record);
        Ok::<_, PageError>(ControlFlow::Break(()))
    };
    topic.each(id.partition, LogRange { start: id.offset, ..range }, take).await?;
    let record = found.filter(|record| record.offset == id.offset);
    let record = record.ok_or_else(|| missing("no record stands there".into()))?;
    let page = match read(&record.headers) {
        Entry::Letter(letter, own) => page(id, &letter, own.len(), &record),
        Entry::Receipt(offset) => {
            return Err(missing(format!("it is the note that {offset} was sent back through")));
        }
        Entry::Foreign => return Err(missing("the record there does not say what it is".into())),
    };
    if let Some(file) = &args.value_out {
        let value = record.value.unwrap_or_default();
        fs::write(file, value).map_err(|source| PageError::Write { file: file.clone(), source })?;
    }
    Ok(page)
}

fn row(id: LetterId, letter: Letter, record: &RawRecord) -> Row {
    let bytes = |part: &Option<bytes::Bytes>| part.as_ref().map(bytes::Bytes::len);
    let (key_bytes, value_bytes) = (bytes(&record.key), bytes(&record.value));
    Row { id, letter, key_bytes, value_bytes, is_replayed: false }
}

/// `own` is how many of the headers were the record's.
fn page(id: LetterId, letter: &Letter, own: usize, record: &RawRecord) -> String {
    let mut page = String::new();
    let mut line = |name: &str, text: String| {
        let _ = writeln!(page, "{name:<10} {text}");
    };
    line("letter", id.to_string());
    line("reason", letter.reason.clone());
    line("error", readable(letter.error.as_bytes()));
    line(
        "record",
        format!("{}/{} of topic id {}", letter.partition, letter.offset, letter.topic_id),
    );
    line("table", letter.table.clone());
    if let Some(at) = letter.timestamp_ms {
        line("timestamp", format!("{} ({} time)", time(at), timestamp_type(letter.is_append_time)));
    }
    let at = letter.refused_at_ms.or(record.timestamp_ms).map(time).unwrap_or_default();
    line("set aside", format!("{at} by consumer {}, attempt {}", letter.consumer, letter.attempt));
    for (name, value) in &record.headers[..own] {
        let value = value.as_ref().map_or("(null)".to_owned(), |value| readable(value));
        line("header", format!("{}: {value}", readable(name.as_bytes())));
    }
    line("key", record.key.as_ref().map_or("(null)".to_owned(), |key| readable(key)));
    match &record.value {
        Some(value) => line("value", format!("{} bytes\n{}", value.len(), readable(value))),
        None => line("value", "(null)".into()),
    }
    page.trim_end().to_owned()
}
