//! IO. Appends the rows of one partition to its stream, several requests at a time, and the same again until answered.

use common::crash_point;
use common::partition::TopicPartition;
use common::position::Position;
use gcp_bigquery_client::google::cloud::bigquery::storage::v1::append_rows_request::{
    ProtoData, Rows,
};
use gcp_bigquery_client::google::cloud::bigquery::storage::v1::{
    AppendRowsRequest, ProtoRows, ProtoSchema,
};
use prost::Message as _;

use super::appends::{Appends, Judged, Piece};
use super::client::{Append, Call, CallError, Kind, Verdict};
use super::encode::rows::{EncodedRows, request_rows_bytes_max};
use super::table::BigQueryTable;
use super::token::Stream;
use crate::sink::{BlockedReason, Packed, SealedBatch, SinkError, Stored};

/// The writer of one partition within one ownership.
#[derive(Debug)]
pub struct BigQueryWriter {
    table: BigQueryTable,
    partition: TopicPartition,
    stream: Stream,
    /// What is to be announced.
    token: Option<String>,
    end: Position,
    /// On which every request was answered.
    connection: Option<Connection>,
    /// Which rows the stream holds, and which are on their way.
    appends: Appends,
}

#[derive(Debug)]
struct Connection {
    append: Append,
    /// Of the schema that rows on it are read by.
    version: u32,
    /// To be told with the first request.
    schema: Option<ProtoSchema>,
}

impl BigQueryWriter {
    pub(super) fn new(
        table: BigQueryTable,
        partition: TopicPartition,
        stream: Stream,
        position: Position,
    ) -> Self {
        let (token, appends) = (stream.token(), Appends::default());
        Self { table, partition, stream, token, end: position, connection: None, appends }
    }

    /// What is to be announced before the first write.
    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// Stores what of `batch` is not stored. Dropped half-way it can be called again.
    pub async fn write(&mut self, batch: &SealedBatch) -> Result<Stored, SinkError> {
        if batch.from > self.end.offset {
            let (from, end) = (batch.from, self.end.offset);
            return Err(self.blocked(BlockedReason::Hole { from, end }));
        }
        if self.appends.is_empty() {
            let rows = batch.rows.iter().filter_map(Packed::encoded);
            let rows: Vec<_> = rows.map(|rows| rows.skip_to(self.end.offset)).collect();
            let schema_bytes = self.table.descriptor(&batch.schema).encoded_len();
            self.appends.begin(&rows, request_rows_bytes_max(schema_bytes));
        }
        let (rows, bytes) = self.append_all(batch).await?;
        self.end.offset = self.end.offset.max(batch.to);
        self.end.leader_epoch = batch.leader_epoch.or(self.end.leader_epoch);
        Ok(Stored { position: self.end, newest_object: None, rows, bytes })
    }

    /// True if every append was answered.
    pub fn close(self) -> bool {
        self.appends.is_empty()
    }

    /// Rows and bytes that this call saw stored.
    async fn append_all(&mut self, batch: &SealedBatch) -> Result<(u64, u64), SinkError> {
        let mut added = (0, 0);
        if self.appends.is_empty() {
            return Ok(added);
        }
        // A connection that was left half-way owes answers, and an old one lacks the newest columns.
        let known = self.connection.take().filter(|known| known.version == batch.schema.version);
        let mut connection = match known {
            Some(connection) => connection,
            None => self.connect(batch),
        };
        while !self.appends.is_empty() {
            if let Err(source) = self.send(&mut connection) {
                let was_idle = connection.append.unanswered() == 0 && connection.schema.is_none();
                if !was_idle {
                    return Err(self.failed(batch, source));
                }
                // The service ends those on which nothing came for ten minutes.
                connection = self.connect(batch);
                continue;
            }
            let answer = connection.append.receive().await;
            let answer = match answer {
                Ok(answer) => answer,
                Err(source) => {
                    if source.is_throttled() {
                        self.appends.throttled();
                    }
                    return Err(self.failed(batch, source));
                }
            };
            crash_point::after("append");
            let verdict = match answer.verdict {
                // Where others append as well, no place is ours.
                Verdict::Stored { .. } if !self.stream.has_offsets() => {
                    Verdict::Stored { offset: None }
                }
                verdict => verdict,
            };
            match self.appends.judge(verdict) {
                Judged::Stored { rows, bytes } => added = (added.0 + rows, added.1 + bytes),
                judged => return Err(self.refused(judged, batch).await),
            }
        }
        self.connection = Some(connection);
        Ok(added)
    }

    fn connect(&mut self, batch: &SealedBatch) -> Connection {
        self.appends.reconnected();
        let append = self.table.client().append(self.stream.name());
        let proto_descriptor = Some(self.table.descriptor(&batch.schema));
        let (version, schema) = (batch.schema.version, Some(ProtoSchema { proto_descriptor }));
        Connection { append, version, schema }
    }

    fn send(&mut self, connection: &mut Connection) -> Result<(), CallError> {
        while let Some(piece) = self.appends.next_to_send() {
            let request = request(piece, &self.stream, connection.schema.take());
            crash_point::before("append");
            let sent = connection.append.send(request);
            sent.inspect_err(|_| self.appends.take_back())?;
        }
        Ok(())
    }

    async fn refused(&self, judged: Judged, batch: &SealedBatch) -> SinkError {
        let partition = self.partition.clone();
        match judged {
            Judged::Fenced => SinkError::StreamFinalized { partition },
            Judged::Unusable(problem) => self.blocked(BlockedReason::Stream { problem }),
            Judged::RowsRefused(rows) => SinkError::RowsRefused { partition, rows },
            Judged::ColumnMissing(text) => match self.table.restore().await {
                Ok(()) => self.failed(batch, self.append_error(Kind::Unknown, text)),
                Err(error) => error,
            },
            Judged::Throttled(text) => self.failed(batch, self.append_error(Kind::Throttled, text)),
            Judged::Again(text) => self.failed(batch, self.append_error(Kind::Unknown, text)),
            Judged::Stored { .. } => unreachable!("what is stored is no refusal"),
        }
    }

    fn append_error(&self, kind: Kind, text: String) -> CallError {
        CallError::new(Call::Append, self.stream.name(), kind, text)
    }

    fn failed(&self, batch: &SealedBatch, source: CallError) -> SinkError {
        let (from, to) = (batch.from, batch.to);
        let what = format!("failed to store offsets {from} to {to} of {}", self.partition);
        SinkError::Service { what, source }
    }

    fn blocked(&self, reason: BlockedReason) -> SinkError {
        SinkError::Blocked { partition: self.partition.clone(), reason }
    }
}

/// The first request of a connection says how rows are to be read.
fn request(
    piece: &Piece,
    stream: &Stream,
    writer_schema: Option<ProtoSchema>,
) -> AppendRowsRequest {
    let rows = piece.rows.iter().flat_map(EncodedRows::iter);
    let serialized_rows = rows.map(|(_, row)| row.to_vec()).collect();
    let rows = Some(ProtoRows { serialized_rows });
    AppendRowsRequest {
        offset: stream.has_offsets().then_some(piece.at.cast_signed()),
        rows: Some(Rows::ProtoRows(ProtoData { writer_schema, rows })),
        ..AppendRowsRequest::default()
    }
}
