//! Pure. One write stream that a client created: where its next row goes, and which rows are seen already.
//!
//! ```text
//!  COMMITTED   append ─> seen                      finalize: no more appends
//!  BUFFERED    append ─> hidden ─ flush ─> seen
//!  PENDING     append ─> hidden ─ finalize ─ commit ─> seen, all at once
//! ```

use gcp_bigquery_client::google::cloud::bigquery::storage::v1::write_stream::Type;
use jiff::Timestamp;
use serde::Serialize;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum StreamKind {
    Committed,
    Pending,
    Buffered,
}

/// `T` is a stored row.
#[derive(Clone, Debug)]
pub struct Stream<T> {
    pub kind: StreamKind,
    pub created: Timestamp,
    /// The offset of the next row.
    end: i64,
    /// The end before the last append.
    previous_end: i64,
    pub is_finalized: bool,
    pub is_committed: bool,
    /// Rows that are stored and not seen yet: the last ones before `end`.
    hidden: Vec<T>,
    /// The first trace id of the first connection.
    pub trace_id: Option<String>,
}

/// Why a batch cannot go to an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misplaced {
    Exists { expected: i64, received: i64 },
    Beyond { expected: i64, received: i64 },
}

/// Why rows cannot be flushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unflushable {
    NotBuffered,
    Beyond { end: i64 },
}

/// Why a stream cannot be committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Uncommittable {
    NotPending,
    NotFinalized,
    Committed,
}

impl StreamKind {
    pub fn of_proto(kind: Type) -> Option<Self> {
        match kind {
            Type::Committed => Some(Self::Committed),
            Type::Pending => Some(Self::Pending),
            Type::Buffered => Some(Self::Buffered),
            Type::Unspecified => None,
        }
    }

    pub fn to_proto(self) -> Type {
        match self {
            Self::Committed => Type::Committed,
            Self::Pending => Type::Pending,
            Self::Buffered => Type::Buffered,
        }
    }
}

impl<T> Stream<T> {
    pub fn new(kind: StreamKind, created: Timestamp) -> Self {
        Self {
            kind,
            created,
            end: 0,
            previous_end: 0,
            is_finalized: false,
            is_committed: false,
            hidden: Vec::new(),
            trace_id: None,
        }
    }

    pub fn end(&self) -> i64 {
        self.end
    }

    /// The offset at which a batch is stored. One that `sees_late` takes the end for the one before
    /// the last append: what is stored stays stored, and the true end is beyond what it knows.
    pub fn place(&self, offset: Option<i64>, sees_late: bool) -> Result<i64, Misplaced> {
        let seen = if sees_late { self.previous_end } else { self.end };
        match offset {
            Some(received) if received > seen => {
                Err(Misplaced::Beyond { expected: seen, received })
            }
            Some(received) if received < self.end => {
                Err(Misplaced::Exists { expected: seen, received })
            }
            _ => Ok(self.end),
        }
    }

    /// Stores rows at the end; returns those that are seen at once.
    pub fn store(&mut self, rows: Vec<T>) -> Vec<T> {
        self.previous_end = self.end;
        self.end += count(&rows);
        match self.kind {
            StreamKind::Committed => rows,
            StreamKind::Pending | StreamKind::Buffered => {
                self.hidden.extend(rows);
                Vec::new()
            }
        }
    }

    /// How many rows it holds; no more come.
    pub fn finalize(&mut self) -> i64 {
        self.is_finalized = true;
        self.end
    }

    /// The rows up to and with `offset` that were not seen before.
    pub fn flush(&mut self, offset: i64) -> Result<Vec<T>, Unflushable> {
        if self.kind != StreamKind::Buffered {
            return Err(Unflushable::NotBuffered);
        }
        if offset >= self.end {
            return Err(Unflushable::Beyond { end: self.end });
        }
        let seen = self.end - count(&self.hidden);
        let fresh = usize::try_from(offset + 1 - seen).unwrap_or(0);
        Ok(self.hidden.drain(..fresh).collect())
    }

    pub fn check_commit(&self) -> Result<(), Uncommittable> {
        match () {
            () if self.kind != StreamKind::Pending => Err(Uncommittable::NotPending),
            () if self.is_committed => Err(Uncommittable::Committed),
            () if !self.is_finalized => Err(Uncommittable::NotFinalized),
            () => Ok(()),
        }
    }

    /// All its rows, once.
    pub fn commit(&mut self) -> Vec<T> {
        self.is_committed = true;
        std::mem::take(&mut self.hidden)
    }
}

fn count<T>(rows: &[T]) -> i64 {
    i64::try_from(rows.len()).expect("a vector's length fits")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stream(kind: StreamKind) -> Stream<i64> {
        Stream::new(kind, Timestamp::UNIX_EPOCH)
    }

    /// Appends as the service does: only where the batch has its place.
    fn append(stream: &mut Stream<i64>, offset: Option<i64>, rows: i64) -> (bool, Vec<i64>) {
        match stream.place(offset, false) {
            Ok(at) => (true, stream.store((at..at + rows).collect())),
            Err(_) => (false, Vec::new()),
        }
    }

    proptest! {
        /// Whatever is sent, and however often: each offset is stored once, in order, without a gap,
        /// and an answer says on which side of the end a batch was.
        #[test]
        fn every_offset_is_stored_once(batches in prop::collection::vec((prop::option::of(0..40i64), 1..5i64), 1..60)) {
            let mut stream = stream(StreamKind::Committed);
            let mut stored = Vec::new();
            for (offset, rows) in batches {
                let end = stream.end();
                match (stream.place(offset, false), offset) {
                    (Ok(at), offset) => prop_assert!(at == end && offset.is_none_or(|offset| offset == end)),
                    (Err(Misplaced::Exists { expected, received }), Some(offset)) =>
                        prop_assert!(expected == end && received == offset && offset < end),
                    (Err(Misplaced::Beyond { expected, received }), Some(offset)) =>
                        prop_assert!(expected == end && received == offset && offset > end),
                    (Err(misplaced), None) => prop_assert!(false, "{misplaced:?}"),
                }
                stored.extend(append(&mut stream, offset, rows).1);
                prop_assert_eq!(&stored, &(0..stream.end()).collect::<Vec<_>>());
            }
            prop_assert_eq!(stream.finalize(), stream.end());
            prop_assert_eq!(stream.finalize(), stream.end());
        }

        /// A buffered stream shows exactly the rows up to the highest flushed offset, each once.
        #[test]
        fn flushes_show_rows_once_and_in_order(steps in prop::collection::vec((1..4i64, 0..30i64), 1..30)) {
            let mut stream = stream(StreamKind::Buffered);
            let (mut seen, mut highest) = (Vec::new(), -1);
            for (rows, flush) in steps {
                prop_assert_eq!(append(&mut stream, None, rows), (true, Vec::new()));
                match stream.flush(flush) {
                    Ok(rows) => {
                        highest = highest.max(flush);
                        seen.extend(rows);
                    }
                    Err(refused) => prop_assert_eq!(refused, Unflushable::Beyond { end: stream.end() }),
                }
                prop_assert!((flush < stream.end()) == (flush <= highest));
                prop_assert_eq!(&seen, &(0..=highest).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn a_pending_stream_shows_its_rows_once_when_it_is_committed() {
        let mut stream = stream(StreamKind::Pending);
        assert_eq!(append(&mut stream, Some(0), 3), (true, vec![]));
        assert_eq!(stream.check_commit(), Err(Uncommittable::NotFinalized));
        assert_eq!(stream.flush(0), Err(Unflushable::NotBuffered));
        stream.finalize();
        assert_eq!(stream.check_commit(), Ok(()));
        assert_eq!(stream.commit(), [0, 1, 2]);
        assert_eq!(stream.check_commit(), Err(Uncommittable::Committed));
        let committed = self::stream(StreamKind::Committed);
        assert_eq!(committed.check_commit(), Err(Uncommittable::NotPending));
    }

    #[test]
    fn who_sees_the_end_late_stores_nothing_twice() {
        let mut stream = stream(StreamKind::Committed);
        append(&mut stream, Some(0), 3);
        append(&mut stream, Some(3), 2);
        assert_eq!(
            stream.place(Some(5), true),
            Err(Misplaced::Beyond { expected: 3, received: 5 })
        );
        assert_eq!(
            stream.place(Some(4), true),
            Err(Misplaced::Beyond { expected: 3, received: 4 })
        );
        assert_eq!(
            stream.place(Some(3), true),
            Err(Misplaced::Exists { expected: 3, received: 3 })
        );
        assert_eq!(stream.place(Some(5), false), Ok(5));
    }
}
