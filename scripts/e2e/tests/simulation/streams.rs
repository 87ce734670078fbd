//! Pure. The sink with fence tokens: write streams as BigQuery has them, checked at every append.
//!
//! What it may do to whoever relies on it: not know a stream at first, or any more; show rows late; refuse what it takes
//! a moment later. All of it only while faults happen.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::Duration;

use common::identity::TopicId;
use common::moment::Moment;
use common::partition::TopicPartition;
use common::term::Term;
use consumer::sink::bigquery::client::{StoredRows, Verdict};
use rand::RngExt as _;
use rand::rngs::ChaCha8Rng;

use super::history::{Invariant, broken, note};
use super::kafka::Kafka;
use super::seen::Seen;

/// For so long a stream may be unknown to a part of the service, and a row to queries: less than is waited for either.
const KNOWN_AFTER_MAX_MS: u64 = 6_000;
const SHOWN_AFTER_MAX_MS: u64 = 6_000;
/// More rows than this are more than the service takes, where the first one's offset says so.
const LARGE: usize = 2;

/// The rows of one partition, as long as its topic is the same.
pub(crate) type Of = (TopicPartition, TopicId);

/// What is asked beside appends.
#[derive(Clone, Debug)]
pub(crate) enum Call {
    Create { since: Term },
    Finalize(String),
    Ask { from: u64 },
}

#[derive(Clone, Debug)]
pub(crate) enum Reply {
    Created(String),
    /// How many rows are in it; `None`: it is not known.
    Finalized(Option<u64>),
    Found(StoredRows),
}

/// One request on a connection.
#[derive(Clone, Debug)]
pub(crate) struct Append {
    pub(crate) connection: u64,
    /// Counts the requests on it.
    pub(crate) index: usize,
    pub(crate) stream: String,
    /// Where the first row is to stand in the stream.
    pub(crate) at: u64,
    /// In Kafka, of each row.
    pub(crate) offsets: Vec<u64>,
}

/// What the service is at this moment.
#[derive(Debug)]
pub(crate) struct Around<'a> {
    pub(crate) kafka: &'a Kafka,
    pub(crate) seen: &'a mut Seen,
    pub(crate) rng: &'a mut ChaCha8Rng,
    pub(crate) now: Moment,
    /// It does what a service may do at its worst.
    pub(crate) is_bad: bool,
}

#[derive(Debug)]
struct WriteStream {
    of: Of,
    /// Since when its maker has the partition.
    since: Term,
    rows: u64,
    is_finalized: bool,
    /// Not all parts of the service know it before.
    known_at: Moment,
    /// Its last row is not shown before.
    shown_at: Moment,
}

#[derive(Debug)]
struct Row {
    offset: u64,
    shown_at: Moment,
}

#[derive(Debug, Default)]
struct Rows {
    /// In the order in which they were stored, which is that of their offsets.
    rows: Vec<Row>,
    /// The newest owner of which a row was accepted.
    newest: Option<Term>,
    /// Records that are dead letters instead.
    letters: BTreeSet<u64>,
}

#[derive(Debug, Default)]
pub(crate) struct Streams {
    tables: BTreeMap<Of, Rows>,
    streams: BTreeMap<String, WriteStream>,
    made: u64,
}

impl Rows {
    fn end(&self) -> u64 {
        self.rows.last().map_or(0, |last| last.offset + 1)
    }

    /// Whether none of these records is to become a row any more: they are gone, or dead letters.
    fn needs_no(&self, mut range: Range<u64>, log_start: u64) -> bool {
        range.all(|offset| offset < log_start || self.letters.contains(&offset))
    }
}

impl Streams {
    /// Everything below is stored, or needs not be.
    pub(crate) fn stored_to(&self, of: &Of, kafka: &Kafka) -> u64 {
        let log_start = log_start(of, kafka);
        let Some(table) = self.tables.get(of) else { return log_start };
        let end = table.end().max(log_start);
        end + table.letters.range(end..).zip(end..).take_while(|(it, next)| **it == *next).count()
            as u64
    }

    /// Where the rows end.
    pub(crate) fn end(&self, of: &Of) -> u64 {
        self.tables.get(of).map_or(0, Rows::end)
    }

    /// These records became dead letters.
    pub(crate) fn letters(&mut self, of: &Of, offsets: impl IntoIterator<Item = u64>) {
        self.tables.entry(of.clone()).or_default().letters.extend(offsets);
    }

    /// I1: below what is committed every record is stored, or needs not be.
    pub(crate) fn check_committed(&self, of: &Of, offset: u64, kafka: &Kafka) {
        let stored = self.stored_to(of, kafka);
        if kafka.log(&of.0).is_some_and(|(id, _)| id == of.1) && offset > stored {
            let text =
                format!("offset {offset} of {} is committed, the rows end at {stored}", of.0);
            broken(Invariant::I1, Some(&of.0), text);
        }
    }

    pub(crate) fn call(&mut self, of: &Of, call: Call, around: &mut Around<'_>) -> Reply {
        match call {
            Call::Create { since } => Reply::Created(self.create(of.clone(), since, around)),
            Call::Finalize(stream) => Reply::Finalized(self.finalize(&stream, around)),
            Call::Ask { from } => Reply::Found(self.found(of, from, around.now)),
        }
    }

    fn create(&mut self, of: Of, since: Term, around: &mut Around<'_>) -> String {
        self.made += 1;
        around.seen.streams += 1;
        let stream = format!("streams/{}", self.made);
        let is_known_late = around.is_bad && around.rng.random_ratio(1, 4);
        let known_at = around.now + around.soon(is_known_late, KNOWN_AFTER_MAX_MS);
        let (rows, is_finalized, shown_at) = (0, false, Moment::default());
        note(Some(&of.0), || format!("{stream} is made under {since}"));
        let made = WriteStream { of, since, rows, is_finalized, known_at, shown_at };
        self.streams.insert(stream.clone(), made);
        stream
    }

    fn finalize(&mut self, name: &str, around: &mut Around<'_>) -> Option<u64> {
        let stream = self.streams.get_mut(name)?;
        if around.is_bad && around.now < stream.known_at {
            return None;
        }
        if std::mem::replace(&mut stream.is_finalized, true) {
            // It was of no use any more, and is forgotten at some time.
            let is_forgotten = around.is_bad && around.rng.random_ratio(1, 8);
            if is_forgotten {
                self.streams.remove(name);
                return None;
            }
            return Some(stream.rows);
        }
        around.seen.finalized += 1;
        let rows = stream.rows;
        note(Some(&stream.of.0), || format!("{name} is ended with {rows} rows"));
        Some(rows)
    }

    fn found(&self, of: &Of, from: u64, now: Moment) -> StoredRows {
        let rows = self.tables.get(of).map_or(&[][..], |table| &table.rows);
        let first = rows.partition_point(|row| row.offset < from);
        let shown = || rows[first..].iter().filter(|row| row.shown_at <= now);
        let highest = shown().map(|row| row.offset).max();
        StoredRows { highest, rows: shown().count() as u64 }
    }

    pub(crate) fn append(&mut self, append: &Append, around: &mut Around<'_>) -> Verdict {
        let Some(stream) = self.streams.get_mut(&append.stream) else { return Verdict::StreamGone };
        let is_unknown = around.is_bad && around.now < stream.known_at;
        if is_unknown && around.rng.random_ratio(1, 8) {
            return Verdict::StreamGone;
        }
        if stream.is_finalized {
            around.seen.late_appends += 1;
            return Verdict::Finalized;
        }
        let expected = Some(stream.rows);
        match append.at.cmp(&stream.rows) {
            Ordering::Less => {
                around.seen.already_there += 1;
                return Verdict::AlreadyExists { expected };
            }
            Ordering::Greater => return Verdict::OutOfRange { expected },
            Ordering::Equal => {}
        }
        if let Some(refusal) = around.refusal(append) {
            return refusal;
        }
        if around.is_bad && around.rng.random_ratio(1, 1_000) {
            note(Some(&stream.of.0), || format!("{} is forgotten", append.stream));
            around.seen.forgotten += 1;
            self.streams.remove(&append.stream);
            return Verdict::StreamGone;
        }
        let is_shown_late = around.is_bad && around.rng.random_ratio(1, 8);
        let shown_at = around.now + around.soon(is_shown_late, SHOWN_AFTER_MAX_MS);
        stream.shown_at = stream.shown_at.max(shown_at);
        stream.rows += append.offsets.len() as u64;
        let table = self.tables.entry(stream.of.clone()).or_default();
        check_rows(stream, append, table, around.kafka);
        table.newest = Some(stream.since);
        let shown_at = stream.shown_at;
        table.rows.extend(append.offsets.iter().map(|offset| Row { offset: *offset, shown_at }));
        around.seen.appends += 1;
        note(Some(&stream.of.0), || {
            let (name, at, offsets) = (&append.stream, append.at, &append.offsets);
            format!("{name} takes {offsets:?} at {at} under {}", stream.since)
        });
        Verdict::Stored { offset: Some(append.at) }
    }
}

impl Around<'_> {
    fn soon(&mut self, is_late: bool, ms_max: u64) -> Duration {
        Duration::from_millis(if is_late { self.rng.random_range(0..ms_max) } else { 0 })
    }

    /// Nothing of it is stored, for a reason that has nothing to do with who asks. What is too large is so every time.
    fn refusal(&mut self, append: &Append) -> Option<Verdict> {
        let first = *append.offsets.first()?;
        if append.offsets.len() > LARGE && first.is_multiple_of(5) {
            return Some(Verdict::TooLarge("too large".into()));
        }
        if !self.is_bad {
            return None;
        }
        match self.rng.random_range(0..400) {
            0..4 => Some(Verdict::Throttled("slower".into())),
            4..8 => Some(Verdict::Unknown("trouble".into())),
            // It sees late where the stream ends.
            8..12 if append.at > 0 => Some(Verdict::OutOfRange { expected: Some(append.at - 1) }),
            12..16 => Some(Verdict::RowsRefused(vec![(append.offsets.len() - 1, "bad".into())])),
            _ => None,
        }
    }
}

fn log_start(of: &Of, kafka: &Kafka) -> u64 {
    kafka.log(&of.0).filter(|(id, _)| *id == of.1).map_or(0, |(_, log)| log.start)
}

/// I1 to I4, as far as the place of rows behind those before them tells; and that whoever stores them is announced.
fn check_rows(stream: &WriteStream, append: &Append, table: &Rows, kafka: &Kafka) {
    let partition = Some(&stream.of.0);
    let (since, name, offsets) = (stream.since, &append.stream, &append.offsets);
    let mut next = table.end();
    if !kafka.announced.contains(name) {
        let text = format!("rows are appended to {name}, which no answer has named");
        broken(Invariant::I4, partition, text);
    }
    if let Some(newer) = table.newest.filter(|newest| *newest > since) {
        let text = format!("{offsets:?} were accepted under {since} after rows under {newer}");
        broken(Invariant::I4, partition, text);
    }
    if offsets.first().is_some_and(|first| *first < next) {
        let text = format!("{offsets:?} are stored again under {since}, the rows ended at {next}");
        broken(Invariant::I2, partition, text);
    }
    if offsets.is_empty() || offsets.windows(2).any(|pair| pair[0] >= pair[1]) {
        broken(Invariant::I3, partition, format!("{offsets:?} are stored in this order"));
    }
    let Some((_, log)) = kafka.log(&stream.of.0).filter(|(id, _)| *id == stream.of.1) else {
        return; // Of a topic that was deleted since.
    };
    for offset in offsets {
        if !table.needs_no(next..*offset, log.start) {
            let text = format!("a hole: {offsets:?} are stored, the rows ended at {next}");
            broken(Invariant::I1, partition, text);
        }
        next = offset + 1;
    }
    if next > log.end {
        let text = format!("rows up to {next} are stored, the log ends at {}", log.end);
        broken(Invariant::I1, partition, text);
    }
}
