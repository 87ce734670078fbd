//! Pure. How a lane writes to its stream: by the sink's real rules, several requests at a time, the same again until answered.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use common::moment::Moment;
use consumer::offsets::Commit;
use consumer::sink::bigquery::appends::{Appends, Judged, Piece};
use consumer::sink::bigquery::client::Verdict;
use consumer::sink::bigquery::encode::encode;
use consumer::sink::bigquery::encode::rows::{EncodedRows, RequestLimits};
use consumer::sink::bigquery::token::Stream;
use consumer::table::schema::TableSchema;
use rand::RngExt as _;

use super::super::network::Parcel;
use super::super::outside::Outside;
use super::super::streams::Append;
use super::{ANSWER_PATIENCE, Hands, Lane, Phase, STOP_PATIENCE};

/// How long until a connection is made anew.
const BACKOFF: Duration = Duration::from_millis(200);
/// More records than a partition has in a history.
const OFFSETS: i64 = 8_192;

#[derive(Debug)]
pub(super) struct Appending {
    stream: Stream,
    pub(super) end: u64,
    /// Up to where the batch goes that is being stored.
    batch: Option<u64>,
    appends: Appends,
    connection: Connection,
}

/// Answers come in the order of the requests.
#[derive(Debug, Default)]
struct Connection {
    number: u64,
    sent: usize,
    judged: usize,
    /// Answers that others are to come before.
    answers: BTreeMap<usize, Verdict>,
    /// When something was sent or answered last.
    moved_at: Moment,
    /// Nothing is sent before.
    not_before: Moment,
}

impl Appending {
    pub(super) fn new(stream: Stream, end: u64, connection: u64) -> Self {
        let connection = Connection { number: connection, ..Connection::default() };
        Self { stream, end, batch: None, appends: Appends::new(true), connection }
    }
}

impl Connection {
    /// The answer to the oldest request that has none.
    fn next_answer(&mut self, now: Moment) -> Option<Verdict> {
        let verdict = self.answers.remove(&self.judged)?;
        (self.judged, self.moved_at) = (self.judged + 1, now);
        Some(verdict)
    }
}

impl Lane {
    pub(super) fn append(
        &mut self,
        hands: &mut Hands<'_>,
        outside: &mut Outside,
    ) -> Option<consumer::ownership::Event> {
        let Phase::Appending(writer) = &self.phase else { return None };
        let end = writer.end;
        if writer.batch.is_some() {
            let since = |then| hands.now.saturating_since(then);
            if self.stop.is_some_and(|at| since(at) >= STOP_PATIENCE) {
                self.release(end, false, None, hands.now);
            } else if self.tokens.iter().all(|token| self.announced.contains(token)) {
                self.go_on_appending(hands, outside);
            }
            return None;
        }
        if self.stop.is_some() {
            self.release(end, true, None, hands.now);
            return None;
        }
        let log = outside.kafka.log(self.partition()).map(|(_, log)| log).unwrap_or_default();
        let to = log.end.min(end + outside.rng.random_range(1..12));
        if log.start > end {
            self.reopen(end, true, outside);
        } else if to > end {
            self.begin_batch(to, outside);
        }
        None
    }

    /// Dead letters come before any row behind them.
    fn begin_batch(&mut self, to: u64, outside: &mut Outside) {
        let of = self.of();
        let limit = [4, 12, 1_000][outside.rng.random_range(0..3)];
        let Phase::Appending(writer) = &mut self.phase else { return };
        let letters: Vec<_> = self.condemned.range(writer.end..to).copied().collect();
        let mut parts = vec![];
        let mut from = writer.end;
        for end in letters.iter().copied().chain([to]) {
            parts.push(rows(from, end));
            from = end + 1;
        }
        outside.streams.letters(&of, letters);
        writer.appends.begin(&parts, RequestLimits { bytes: limit, rows: u64::MAX });
        writer.batch = Some(to);
    }

    /// Sends what may be under way, on a new connection where answers do not come.
    fn go_on_appending(&mut self, hands: &mut Hands<'_>, outside: &mut Outside) {
        let lane = self.id();
        let Phase::Appending(writer) = &mut self.phase else { return };
        if writer.appends.is_empty() {
            return self.batch_stored(hands); // It was nothing but dead letters.
        }
        let connection = &mut writer.connection;
        let is_owed = connection.sent > connection.judged;
        if is_owed && hands.now.saturating_since(connection.moved_at) >= ANSWER_PATIENCE {
            self.reconnect(hands.now);
            return;
        }
        if hands.now < connection.not_before {
            return;
        }
        while let Some(piece) = writer.appends.next_to_send() {
            let connection = &mut writer.connection;
            let append = Append {
                connection: connection.number,
                index: connection.sent,
                stream: writer.stream.name().into(),
                at: piece.at,
                offsets: offsets(piece),
            };
            (connection.sent, connection.moved_at) = (connection.sent + 1, hands.now);
            outside.send(hands.pid, Parcel::Append { lane: lane.clone(), append });
        }
    }

    /// What was sent may be stored or not.
    fn reconnect(&mut self, now: Moment) {
        self.calls += 1;
        let Phase::Appending(writer) = &mut self.phase else { return };
        writer.appends.reconnected();
        let not_before = now + BACKOFF;
        writer.connection =
            Connection { number: self.calls, moved_at: now, not_before, ..Connection::default() };
    }

    /// The sink has answered an append.
    pub(crate) fn appended(
        &mut self,
        append: &Append,
        verdict: &Verdict,
        hands: &mut Hands<'_>,
        outside: &mut Outside,
    ) {
        let Phase::Appending(writer) = &mut self.phase else { return };
        let connection = &mut writer.connection;
        if append.connection != connection.number || append.index < connection.judged {
            return;
        }
        connection.answers.insert(append.index, verdict.clone());
        while let Phase::Appending(writer) = &mut self.phase {
            let Some(verdict) = writer.connection.next_answer(hands.now) else { return };
            let judged = writer.appends.judge(verdict);
            self.take(judged, hands, outside);
        }
    }

    fn take(&mut self, judged: Judged, hands: &mut Hands<'_>, outside: &mut Outside) {
        let Phase::Appending(writer) = &self.phase else { return };
        let end = writer.end;
        match judged {
            Judged::Stored { .. } if writer.appends.is_empty() => self.batch_stored(hands),
            Judged::Stored { .. } => {}
            Judged::Fenced => {
                outside.seen.fenced += 1;
                let reason = format!("{} was ended by another owner", writer.stream.name());
                self.release(end, false, Some(reason), hands.now);
            }
            Judged::Unusable(problem) => self.give_up(end, problem, hands, outside),
            Judged::Gone => {
                let problem = format!("{} is not known any more", writer.stream.name());
                self.give_up(end, problem, hands, outside);
            }
            Judged::RowsRefused(rows) => {
                outside.seen.condemned += rows.len() as u64;
                self.condemned.extend(rows.into_keys());
                self.reopen(end, false, outside);
            }
            Judged::Again(_) | Judged::Throttled(_) | Judged::ColumnMissing(_) => {
                self.reconnect(hands.now);
            }
        }
    }

    /// Nobody can go on with the stream.
    fn give_up(&mut self, end: u64, problem: String, hands: &Hands<'_>, outside: &mut Outside) {
        outside.seen.unusable += 1;
        self.release(end, false, Some(problem), hands.now);
    }

    fn batch_stored(&mut self, hands: &mut Hands<'_>) {
        let Phase::Appending(writer) = &mut self.phase else { return };
        let to = writer.batch.take().expect("it is being stored");
        writer.end = to;
        if let Some(at) = &mut self.stop {
            *at = hands.now;
        }
        let commit = Commit { position: self.position(to), object: None };
        hands.offsets.want(self.partition(), commit);
    }
}

fn offsets(piece: &Piece) -> Vec<u64> {
    piece.rows.iter().flat_map(EncodedRows::iter).map(|(offset, _)| offset).collect()
}

/// Rows as the sink gets them, of these offsets.
fn rows(from: u64, to: u64) -> EncodedRows {
    static ALL: OnceLock<EncodedRows> = OnceLock::new();
    let all = ALL.get_or_init(|| {
        let offsets: ArrayRef = Arc::new(Int64Array::from_iter_values(0..OFFSETS));
        let batch = RecordBatch::try_from_iter([("kafka_offset", offsets)]);
        encode(&batch.unwrap(), &TableSchema::default()).unwrap().rows
    });
    let index = |offset| usize::try_from(offset).unwrap();
    all.slice(index(from)..index(to))
}
