//! IO. The way that a writer's requests take, whichever it is: they go out in order, and answers come in theirs.
//!
//! ```text
//!  a stream of its own ──> Append         a connection of its own
//!  the default stream  ──> SharedAppend   one that others are on as well; Append after trouble, until it is over
//!  insertAll           ──> Inserts        one call each
//! ```

use std::sync::Arc;

use gcp_bigquery_client::google::cloud::bigquery::storage::v1 as storage;
use prost::Message as _;
use prost_types::DescriptorProto;
use storage::append_rows_request::{ProtoData, Rows};
use storage::{AppendRowsRequest, ProtoRows, ProtoSchema};

use super::appends::Piece;
use super::client::{Answer, Append, CallError, SharedAppend};
use super::encode::rows::{EncodedRows, RequestLimits, request_rows_bytes_max};
use super::inserts::Inserts;
use super::table::BigQueryTable;
use super::token::Stream;
use crate::table::schema::TableSchema;

/// More rows in a request of insertAll gain little, by Google's documentation.
const INSERT_ROWS_MAX: u64 = 500;
/// As messages. As JSON they are rarely more than three times as large; where they are, a request is halved.
const INSERT_MESSAGE_BYTES_MAX: usize = 3_000_000;

/// Appends to one stream, or inserts into one table, by one schema. Dropping it gives up all that has no answer.
#[derive(Debug)]
pub(super) struct Link {
    way: Way,
    /// Of the schema that its rows are read by.
    version: u32,
}

#[derive(Debug)]
enum Way {
    Own {
        append: Append,
        has_offsets: bool,
        /// To be told with the first request.
        schema: Option<Box<ProtoSchema>>,
    },
    Shared {
        append: SharedAppend,
        schema: Arc<ProtoSchema>,
    },
    Inserts(Inserts),
}

/// What one request to that stream may hold whose rows are read so.
pub(super) fn limits(stream: &Stream, descriptor: &DescriptorProto) -> RequestLimits {
    match stream {
        Stream::Own(_) | Stream::Default(_) => {
            let bytes = request_rows_bytes_max(descriptor.encoded_len());
            RequestLimits { bytes, rows: u64::MAX }
        }
        Stream::Inserts { .. } => {
            RequestLimits { bytes: INSERT_MESSAGE_BYTES_MAX, rows: INSERT_ROWS_MAX }
        }
    }
}

impl Link {
    /// `is_alone`: on no connection that others are on.
    pub(super) fn new(
        table: &BigQueryTable,
        stream: &Stream,
        schema: &Arc<TableSchema>,
        is_alone: bool,
    ) -> Self {
        let client = table.client();
        let told = || ProtoSchema { proto_descriptor: Some(table.descriptor(schema)) };
        let way = match stream {
            Stream::Inserts { table, ids } => {
                Way::Inserts(Inserts::new(client.clone(), table, ids, Arc::clone(schema)))
            }
            Stream::Default(name) if !is_alone => {
                let append = client.shared_append(name);
                Way::Shared { append, schema: Arc::new(told()) }
            }
            Stream::Own(_) | Stream::Default(_) => {
                let append = client.append(stream.name());
                Way::Own {
                    append,
                    has_offsets: stream.has_offsets(),
                    schema: Some(Box::new(told())),
                }
            }
        };
        Self { way, version: schema.version }
    }

    /// Whether rows of that schema may go on it.
    pub(super) fn is_of(&self, schema: &TableSchema) -> bool {
        self.version == schema.version
    }

    /// # Errors
    /// If the connection has ended. The rows were not sent then.
    pub(super) fn send(&mut self, piece: &Piece) -> Result<(), CallError> {
        match &mut self.way {
            Way::Own { append, has_offsets, schema } => {
                let writer_schema = schema.take().map(|schema| *schema);
                let rows = Some(ProtoRows { serialized_rows: messages(piece) });
                append.send(AppendRowsRequest {
                    offset: has_offsets.then_some(piece.at.cast_signed()),
                    rows: Some(Rows::ProtoRows(ProtoData { writer_schema, rows })),
                    ..AppendRowsRequest::default()
                })
            }
            Way::Shared { append, schema } => append.send(schema, messages(piece)),
            Way::Inserts(inserts) => {
                inserts.send(piece.rows.clone());
                Ok(())
            }
        }
    }

    /// The answer to the oldest request that had none.
    ///
    /// # Errors
    /// Of all requests without an answer the outcome is unknown.
    pub(super) async fn receive(&mut self) -> Result<Answer, CallError> {
        match &mut self.way {
            Way::Own { append, .. } => append.receive().await,
            Way::Shared { append, .. } => append.receive().await,
            Way::Inserts(inserts) => inserts.receive().await,
        }
    }

    /// Whether it carried requests, and all of them were answered: the service ends a connection on which nothing
    /// came for ten minutes, and nothing is lost with it.
    pub(super) fn was_idle(&self) -> bool {
        match &self.way {
            Way::Own { append, schema, .. } => append.unanswered() == 0 && schema.is_none(),
            Way::Shared { .. } | Way::Inserts(_) => false,
        }
    }

    /// Whether its request may be what ended a connection that others were on.
    pub(super) fn is_suspect(&self) -> bool {
        matches!(&self.way, Way::Shared { append, .. } if append.is_suspect())
    }
}

fn messages(piece: &Piece) -> Vec<Vec<u8>> {
    piece.rows.iter().flat_map(EncodedRows::iter).map(|(_, row)| row.to_vec()).collect()
}
