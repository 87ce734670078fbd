//! Pure. What a new owner does after one that did not stop cleanly, before it makes its stream.
//!
//! ```text
//!  finalize each stream that may still be written to ──> ask where the rows end ──> the end
//! ```
//!
//! In this order: a row that is appended after the table was asked would be stored again.

use std::collections::VecDeque;
use std::time::Duration;

use common::identity::{TableId, TopicId};

use super::client::StoredRows;
use super::token::Token;

/// A stream that is not found may be one that the service does not know yet: it counts as gone once so
/// long was waited for it and the others.
const NOT_FOUND_PATIENCE: Duration = Duration::from_secs(10);
/// How long rows that a finalized stream counts may be missing in the answer to a query.
const MISSING_PATIENCE: Duration = Duration::from_secs(10);

/// How far it has come.
#[derive(Clone, Debug)]
pub struct Fencing {
    /// To be finalized.
    tokens: VecDeque<Token>,
    known_to: u64,
    /// Where the newest stream of this topic and table begins. All before was stored when it was made, and all
    /// others were ended: so the rows from there on are its own.
    newest: Option<u64>,
    /// The rows that it counts.
    counted: u64,
    of: (TopicId, TableId),
}

/// What is to be done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// End this stream for good.
    Finalize(&'a str),
    /// Ask for the rows from this offset on.
    Ask { from: u64 },
}

/// Where the rows of a partition end, as far as the table tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// Everything below is stored.
    pub offset: u64,
    /// Rows that finalized streams count, and that the table did not show in all that time.
    pub missing: u64,
}

impl Fencing {
    /// What is below `known_to` is known to be stored; the streams of `tokens` may be written to.
    pub fn new(of: (TopicId, TableId), known_to: u64, tokens: Vec<Token>) -> Self {
        let ours = tokens.iter().filter(|token| token.of == Some(of));
        let newest = ours.map(|token| token.from).max();
        Self { tokens: tokens.into(), known_to, newest, counted: 0, of }
    }

    pub fn next_step(&self) -> Step<'_> {
        match self.tokens.front() {
            Some(token) => Step::Finalize(&token.stream),
            None => Step::Ask { from: self.newest.unwrap_or(self.known_to) },
        }
    }

    /// The stream that was to be finalized has so many rows, or was not found (`None`); `waited` has passed since
    /// the first was asked for. False: to be tried again.
    pub fn finalized(&mut self, rows: Option<u64>, waited: Duration) -> bool {
        let is_over = rows.is_some() || waited >= NOT_FOUND_PATIENCE;
        if is_over && let Some(ended) = self.tokens.pop_front() {
            let is_newest = ended.of == Some(self.of) && self.newest == Some(ended.from);
            self.counted += rows.filter(|_| is_newest).unwrap_or(0);
        }
        is_over
    }

    /// The table shows these rows; `waited` has passed since it was asked first. `None`: to be asked again.
    pub fn found(&self, stored: StoredRows, waited: Duration) -> Option<End> {
        let missing = self.counted.saturating_sub(stored.rows);
        (missing == 0 || waited >= MISSING_PATIENCE).then(|| {
            let behind = stored.highest.map(|highest| highest + 1);
            let offset = self.known_to.max(self.newest.unwrap_or(0)).max(behind.unwrap_or(0));
            End { offset, missing }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn of(table: u128) -> (TopicId, TableId) {
        (TopicId(Uuid::from_u128(1)), TableId(Uuid::from_u128(table)))
    }

    fn token(from: u64, table: u128, stream: &str) -> Token {
        Token { from, of: Some(of(table)), stream: stream.into() }
    }

    #[test]
    fn the_table_is_asked_once_every_stream_is_ended() {
        let mut fencing = Fencing::new(of(1), 20, vec![token(10, 1, "a"), token(30, 1, "b")]);
        assert_eq!(fencing.next_step(), Step::Finalize("a"));
        assert!(!fencing.finalized(None, Duration::from_secs(9)), "it may be known soon");
        assert_eq!(fencing.next_step(), Step::Finalize("a"));
        assert!(fencing.finalized(None, Duration::from_secs(10)));
        assert_eq!(fencing.next_step(), Step::Finalize("b"));
        assert!(fencing.finalized(Some(7), Duration::ZERO));
        assert_eq!(fencing.next_step(), Step::Ask { from: 30 }, "all before was stored by then");
        let none = StoredRows { highest: None, rows: 0 };
        let late = fencing.found(none, Duration::from_secs(10));
        assert_eq!(late, Some(End { offset: 30, missing: 7 }));
    }

    /// As in a history in which rows of older streams stood for those that the table did not show yet.
    #[test]
    fn rows_of_older_streams_do_not_stand_for_missing_ones() {
        let mut fencing = Fencing::new(of(1), 74, vec![token(74, 1, "a"), token(83, 1, "b")]);
        assert!(fencing.finalized(Some(9), Duration::ZERO));
        assert!(fencing.finalized(Some(11), Duration::ZERO));
        assert_eq!(fencing.next_step(), Step::Ask { from: 83 });
        let some = StoredRows { highest: Some(89), rows: 7 };
        assert_eq!(fencing.found(some, Duration::from_secs(9)), None);
        let all = StoredRows { highest: Some(93), rows: 11 };
        assert_eq!(fencing.found(all, Duration::ZERO), Some(End { offset: 94, missing: 0 }));
    }

    #[test]
    fn streams_of_another_table_are_ended_and_say_nothing() {
        let mut fencing = Fencing::new(of(1), 20, vec![token(500, 2, "a")]);
        assert!(fencing.finalized(Some(3), Duration::ZERO));
        assert_eq!(fencing.next_step(), Step::Ask { from: 20 });
        let none = StoredRows { highest: None, rows: 0 };
        let found = fencing.found(none, Duration::ZERO);
        assert_eq!(found, Some(End { offset: 20, missing: 0 }), "what is known holds");
    }
}
