//! Pure. What of a batch the stream holds, what is under way, and what an answer means for the rest.
//!
//! ```text
//!  begin ──> next_to_send … ──> judge (answers come in the order of the requests) ──> is_empty
//!                 ^                │ the connection ended, or the answer did not come
//!                 └─ reconnected <─┘ the same rows at the same offsets
//! ```

use std::collections::{BTreeMap, VecDeque};

use super::client::Verdict;
use super::encode::rows::{EncodedRows, RequestLimits, requests};

/// Requests that may be under way at once, while the service does not throttle.
const WINDOW_MAX: usize = 4;
/// After so many requests without throttling one more may be under way.
const WINDOW_STEPS: u32 = 16;

/// So often in a row a stream may end before where we know it to end: after a reconnection the service
/// may see its end late.
const BEHIND_MAX: u32 = 8;

/// The appends of one write stream, one batch after the other.
#[derive(Debug)]
pub struct Appends {
    /// Rows that the stream holds, as far as answers said so.
    stored: u64,
    /// Of the present batch, in order; the first begins at `stored`.
    pieces: VecDeque<Piece>,
    /// How many of them were sent on this connection and are not answered.
    under_way: usize,
    /// How many may be: halved when the service throttles, one more when it has not for a while.
    window: usize,
    window_max: usize,
    /// Requests that were stored since the window changed.
    calm: u32,
    /// Answers in a row that said that the stream ends earlier than we know.
    behind: u32,
}

/// The rows of one request.
#[derive(Clone, Debug)]
pub struct Piece {
    pub rows: Vec<EncodedRows>,
    /// Where the first of them stands in the stream.
    pub at: u64,
    /// Whether it may be stored already: it was sent before, and nobody knows what became of it.
    is_again: bool,
    was_sent: bool,
}

/// What an answer means.
#[derive(Debug, PartialEq, Eq)]
pub enum Judged {
    Stored {
        rows: u64,
        bytes: u64,
    },
    /// Another owner ended the stream.
    Fenced,
    /// The service does not know the stream, or not any more.
    Gone,
    /// Nobody can go on with this stream; why.
    Unusable(String),
    /// These records cannot be stored, by offset in Kafka.
    RowsRefused(BTreeMap<u64, String>),
    /// The service does not know a column yet, or any more.
    ColumnMissing(String),
    /// The same again on a new connection.
    Again(String),
    Throttled(String),
}

impl Piece {
    fn count(&self) -> u64 {
        self.rows.iter().map(|rows| rows.rows()).sum()
    }

    fn bytes(&self) -> u64 {
        let row_bytes = |(_, row): (u64, &[u8])| row.len() as u64;
        self.rows.iter().flat_map(EncodedRows::iter).map(row_bytes).sum()
    }

    /// The offset in Kafka of the row with that index in the request.
    fn kafka_offset(&self, index: usize) -> Option<u64> {
        self.rows.iter().flat_map(EncodedRows::iter).nth(index).map(|(offset, _)| offset)
    }
}

impl Appends {
    /// Where no row has a place of its own, one request goes after the other: else rows would stand before
    /// earlier ones that were refused, and be there twice without an answer having been lost.
    pub fn new(has_offsets: bool) -> Self {
        let window_max = if has_offsets { WINDOW_MAX } else { 1 };
        Self {
            stored: 0,
            pieces: VecDeque::new(),
            under_way: 0,
            window: window_max,
            window_max,
            calm: 0,
            behind: 0,
        }
    }

    /// Takes the rows of a batch, for requests within `limits`.
    pub fn begin(&mut self, rows: &[EncodedRows], limits: RequestLimits) {
        debug_assert!(self.is_empty(), "one batch after the other");
        self.split(rows, limits);
    }

    /// Whether everything that was begun is stored.
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// The next request of this connection, unless enough are under way.
    pub fn next_to_send(&mut self) -> Option<&Piece> {
        if self.under_way >= self.window {
            return None;
        }
        let piece = self.pieces.get_mut(self.under_way)?;
        self.under_way += 1;
        piece.is_again = std::mem::replace(&mut piece.was_sent, true);
        Some(piece)
    }

    /// The last request could not be handed over: it was not sent.
    pub fn take_back(&mut self) {
        if let Some(at) = self.under_way.checked_sub(1) {
            let piece = &mut self.pieces[at];
            piece.was_sent = piece.is_again;
            self.under_way = at;
        }
    }

    /// What was under way may be stored or not.
    pub fn reconnected(&mut self) {
        self.under_way = 0;
    }

    /// The service has more than it takes for now: less is to be under way at once.
    pub fn throttled(&mut self) {
        (self.window, self.calm) = ((self.window / 2).max(1), 0);
    }

    /// Takes the answer to the oldest request that is under way.
    pub fn judge(&mut self, verdict: Verdict) -> Judged {
        let Some(piece) = self.pieces.front().filter(|_| self.under_way > 0) else {
            return Judged::Again("an answer came to nothing that was asked".into());
        };
        let behind = std::mem::take(&mut self.behind);
        match verdict {
            Verdict::Stored { offset: None } => self.advance(),
            Verdict::Stored { offset: Some(at) } if at == piece.at => self.advance(),
            Verdict::Stored { offset: Some(at) } => {
                let expected = piece.at;
                Judged::Unusable(format!(
                    "rows were to stand at {expected} in it and stand at {at}"
                ))
            }
            Verdict::AlreadyExists { .. } if piece.is_again => self.advance(),
            Verdict::AlreadyExists { .. } => {
                let at = piece.at;
                Judged::Unusable(format!("somebody else wrote to it at {at}"))
            }
            Verdict::OutOfRange { .. } if behind < BEHIND_MAX => {
                self.behind = behind + 1;
                Judged::Again(format!("the stream does not reach {} yet", piece.at))
            }
            Verdict::OutOfRange { .. } => {
                let at = piece.at;
                Judged::Unusable(format!("it has less than the {at} rows that were acknowledged"))
            }
            Verdict::Finalized => Judged::Fenced,
            Verdict::StreamGone => Judged::Gone,
            Verdict::RowsRefused(rows) => self.rows_refused(rows),
            Verdict::TooLarge(_) => self.halve(),
            Verdict::SchemaMismatch(text) => Judged::ColumnMissing(text),
            Verdict::Throttled(text) => {
                self.throttled();
                Judged::Throttled(text)
            }
            Verdict::Unknown(text) => Judged::Again(text),
            Verdict::Refused(text) => Judged::Unusable(text),
        }
    }

    fn advance(&mut self) -> Judged {
        let piece = self.pieces.pop_front().expect("there is one that was answered");
        self.under_way -= 1;
        self.stored += piece.count();
        self.calm += 1;
        if self.calm >= WINDOW_STEPS {
            (self.window, self.calm) = ((self.window + 1).min(self.window_max), 0);
        }
        Judged::Stored { rows: piece.count(), bytes: piece.bytes() }
    }

    /// None of the request is stored, nor of those behind it, whose offsets are beyond the end by now.
    fn rows_refused(&self, refused: Vec<(usize, String)>) -> Judged {
        let piece = &self.pieces[0];
        let by_offset = |(index, text)| Some((piece.kafka_offset(index)?, text));
        let rows: BTreeMap<_, _> = refused.into_iter().filter_map(by_offset).collect();
        if rows.is_empty() {
            return Judged::Unusable("rows were refused, and it was not said which".into());
        }
        Judged::RowsRefused(rows)
    }

    /// Nothing of the request is stored, nor behind it.
    fn halve(&mut self) -> Judged {
        let piece = &self.pieces[0];
        if piece.count() == 1 {
            let problem = "the row is larger than the service takes".to_owned();
            return self.rows_refused(vec![(0, problem)]);
        }
        let bytes = usize::try_from(piece.bytes() / 2).unwrap_or(usize::MAX);
        let limits = RequestLimits { bytes, rows: piece.count().div_ceil(2) };
        let rows: Vec<_> = self.pieces.drain(..).flat_map(|piece| piece.rows).collect();
        self.under_way = 0;
        self.split(&rows, limits);
        Judged::Again("the request was too large".into())
    }

    fn split(&mut self, rows: &[EncodedRows], limits: RequestLimits) {
        let mut at = self.stored;
        for rows in requests(rows, limits) {
            let piece = Piece { rows, at, is_again: false, was_sent: false };
            at += piece.count();
            self.pieces.push_back(piece);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, RecordBatch};
    use proptest::prelude::*;

    use super::*;
    use crate::sink::bigquery::encode::encode;
    use crate::table::schema::TableSchema;

    fn rows(offsets: impl IntoIterator<Item = i64>) -> EncodedRows {
        let offsets: ArrayRef = Arc::new(Int64Array::from_iter_values(offsets));
        let batch = RecordBatch::try_from_iter([("kafka_offset", offsets)]).unwrap();
        encode(&batch, &TableSchema::default()).unwrap().rows
    }

    fn limits(bytes: usize) -> RequestLimits {
        RequestLimits { bytes, rows: u64::MAX }
    }

    fn offsets(piece: &Piece) -> Vec<u64> {
        piece.rows.iter().flat_map(EncodedRows::iter).map(|(offset, _)| offset).collect()
    }

    /// A stream as the service keeps it.
    #[derive(Default)]
    struct Service(Vec<u64>);

    impl Service {
        fn append(&mut self, at: u64, rows: &[u64]) -> Verdict {
            let end = self.0.len() as u64;
            match at.cmp(&end) {
                std::cmp::Ordering::Less => Verdict::AlreadyExists { expected: Some(end) },
                std::cmp::Ordering::Greater => Verdict::OutOfRange { expected: Some(end) },
                std::cmp::Ordering::Equal => {
                    self.0.extend(rows);
                    Verdict::Stored { offset: Some(at) }
                }
            }
        }
    }

    proptest! {
        /// Whatever is lost, refused for now or too large: each row is stored once and in order, and the
        /// rows that are said to be stored are those. What is too large is so every time.
        #[test]
        fn every_row_is_stored_once(
            counts in prop::collection::vec(0_i64..40, 1..5),
            fates in prop::collection::vec(0_u8..7, 0..60),
            rows_max in 1_usize..12,
        ) {
            let (mut appends, mut service) = (Appends::new(true), Service::default());
            let (mut told, mut next, mut fates) = (0, 0, fates.into_iter());
            for count in counts {
                appends.begin(&[rows(next..next + count / 2), rows(next + count / 2..next + count)], limits(20));
                next += count;
                while !appends.is_empty() {
                    appends.reconnected();
                    let mut answers = VecDeque::new();
                    while !appends.is_empty() {
                        while let Some(piece) = appends.next_to_send() {
                            let (at, rows) = (piece.at, offsets(piece));
                            answers.push_back(match fates.next().unwrap_or(6) {
                                0 => Err(()), // The connection ended before it came.
                                _ if rows.len() > rows_max => Ok(Verdict::TooLarge("10485760".into())),
                                1 => { service.append(at, &rows); Err(()) }
                                2 => Ok(Verdict::Throttled("slower".into())),
                                3 => Ok(Verdict::SchemaMismatch("more".into())),
                                _ => Ok(service.append(at, &rows)),
                            });
                        }
                        let Some(Ok(verdict)) = answers.pop_front() else { break };
                        match appends.judge(verdict) {
                            Judged::Stored { rows, .. } => told += rows,
                            Judged::Again(_) | Judged::Throttled(_) | Judged::ColumnMissing(_) => break,
                            other => prop_assert!(false, "{other:?}"),
                        }
                    }
                }
            }
            let wanted: Vec<u64> = (0..next.cast_unsigned()).collect();
            prop_assert_eq!(service.0, wanted);
            prop_assert_eq!(told, next.cast_unsigned());
        }
    }

    fn judged(verdict: Verdict) -> Judged {
        let mut appends = Appends::new(true);
        appends.begin(&[rows([4, 7, 9])], limits(1_000));
        assert!(appends.next_to_send().is_some() && appends.next_to_send().is_none());
        appends.judge(verdict)
    }

    #[test]
    fn what_ends_a_stream_is_told_apart() {
        assert_eq!(judged(Verdict::Finalized), Judged::Fenced);
        assert_eq!(judged(Verdict::StreamGone), Judged::Gone);
        let refused = Judged::RowsRefused([(7, "bad".into())].into());
        assert_eq!(judged(Verdict::RowsRefused(vec![(1, "bad".into())])), refused);
        for verdict in [
            Verdict::AlreadyExists { expected: Some(3) },
            Verdict::Stored { offset: Some(5) },
            Verdict::Refused("no".into()),
            Verdict::RowsRefused(vec![(9, "which?".into())]),
        ] {
            let outcome = judged(verdict.clone());
            assert!(matches!(outcome, Judged::Unusable(_)), "{verdict:?}: {outcome:?}");
        }
    }

    #[test]
    fn throttling_leaves_less_under_way_for_a_while() {
        let mut appends = Appends::new(true);
        let under_way = |appends: &mut Appends| {
            appends.begin(&[rows(0..60)], limits(1));
            let mut sent = 0;
            while appends.next_to_send().is_some() {
                sent += 1;
            }
            for _ in 0..60 {
                appends.next_to_send();
                let at = appends.stored;
                appends.judge(Verdict::Stored { offset: Some(at) });
            }
            sent
        };
        assert_eq!(under_way(&mut appends), WINDOW_MAX);
        (0..5).for_each(|_| appends.throttled());
        assert_eq!(under_way(&mut appends), 1, "but never none");
        assert_eq!(under_way(&mut appends), WINDOW_MAX, "it was calm for sixty requests");
    }

    #[test]
    fn a_row_that_is_too_large_by_itself_is_refused() {
        let mut appends = Appends::new(true);
        appends.begin(&[rows([4])], limits(1_000));
        appends.next_to_send();
        let judged = appends.judge(Verdict::TooLarge("10485760".into()));
        let Judged::RowsRefused(rows) = judged else { panic!("{judged:?}") };
        assert!(rows.contains_key(&4));
    }

    #[test]
    fn a_stream_that_stays_too_short_is_given_up() {
        let mut appends = Appends::new(true);
        appends.begin(&[rows([4])], limits(1_000));
        let mut answers = 0;
        let last = loop {
            appends.reconnected();
            appends.next_to_send();
            answers += 1;
            match appends.judge(Verdict::OutOfRange { expected: Some(0) }) {
                Judged::Again(_) => {}
                other => break other,
            }
        };
        assert!(matches!(last, Judged::Unusable(_)) && answers > 5, "{last:?} after {answers}");
    }

    #[test]
    fn what_could_not_be_handed_over_was_not_sent() {
        let mut appends = Appends::new(true);
        appends.begin(&[rows([4])], limits(1_000));
        appends.next_to_send();
        appends.take_back();
        appends.next_to_send();
        let judged = appends.judge(Verdict::AlreadyExists { expected: None });
        assert!(matches!(judged, Judged::Unusable(_)), "somebody else wrote there: {judged:?}");
    }
}
