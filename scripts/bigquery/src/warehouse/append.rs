//! Pure. One append: the checks in the order of the service, then all of its rows or none.

use std::sync::Arc;

use bytes::Bytes;
use gcp_bigquery_client::google::cloud::bigquery::storage::v1 as storage;
use prost_reflect::MessageDescriptor;
use storage::RowError;
use storage::row_error::RowErrorCode;
use storage::storage_error::StorageErrorCode;
use tonic::Code;

use super::catalog::Warehouse;
use super::streams::Moment;
use crate::names::StreamName;
use crate::refusal::Refusal;
use crate::row::encoded::{Misfit, Missing, check_fit, has_change_fields};
use crate::row::format::Format;
use crate::schema::Column;
use crate::stream::Misplaced;
use crate::table::StoredRow;

/// The service's limit of a request.
pub const REQUEST_BYTES_MAX: usize = 10_485_760;

/// A request with what its connection remembers filled in.
#[derive(Clone, Debug)]
pub struct Append {
    pub stream: StreamName,
    /// `None` without a schema, an error with one that cannot be used.
    pub schema: Option<Result<MessageDescriptor, String>>,
    pub offset: Option<i64>,
    pub rows: Vec<Bytes>,
    pub request_bytes: usize,
    pub missing: Missing,
    /// Whether its connection is one that sees the end late.
    pub sees_late: bool,
}

/// What an append that was stored learns.
#[derive(Clone, Debug, PartialEq)]
pub struct Appended {
    /// Of the first row; absent on the default stream.
    pub offset: Option<i64>,
    /// The version of the columns that the service knows.
    pub schema_version: usize,
    pub columns: Arc<Vec<Column>>,
}

impl Warehouse {
    pub fn append(&mut self, append: Append, moment: Moment) -> Result<Appended, Refusal> {
        if append.request_bytes > REQUEST_BYTES_MAX {
            let bytes = append.request_bytes;
            return Err(Refusal::invalid(format!(
                "AppendRows request too large: {bytes} limit {REQUEST_BYTES_MAX}"
            )));
        }
        self.require_stream(&append.stream)?;
        let table = &self.tables[&append.stream.table];
        let (schema_version, columns) = table.known_columns(moment.now, moment.schema_lag);
        let columns = Arc::clone(columns);
        let message = self.checked_schema(&append, &columns)?;
        let offset = self.checked_offset(&append)?;
        let are_changes = has_change_fields(&message);
        let missing = append.missing;
        let format = Format::Encoded { message, columns: Arc::clone(&columns), missing };
        check_rows(&append.rows, &format)?;
        self.store(&append.stream, append.rows, offset, (format, are_changes));
        Ok(Appended { offset, schema_version, columns })
    }

    fn checked_schema(
        &self,
        append: &Append,
        columns: &[Column],
    ) -> Result<MessageDescriptor, Refusal> {
        let message = match &append.schema {
            Some(Ok(message)) => message.clone(),
            Some(Err(wrong)) => return Err(Refusal::invalid(wrong.clone())),
            None => {
                let message = "the first request to a stream on a connection needs a writer schema";
                return Err(Refusal::invalid(message).ending_the_connection());
            }
        };
        let takes_changes = append.stream.is_default();
        let entity = append.stream.to_string();
        check_fit(&message, columns, takes_changes).map_err(|misfit| match misfit {
            Misfit::Extra(field) => {
                let message = format!("Input schema has more fields than BigQuery schema: {field}");
                Refusal::invalid(message)
                    .with_storage(StorageErrorCode::SchemaMismatchExtraFields, entity)
            }
            Misfit::Incompatible(message) => Refusal::invalid(message),
        })?;
        let has_key = !self.tables[&append.stream.table].primary_key().is_empty();
        if takes_changes && !has_key && has_change_fields(&message) {
            return Err(Refusal::invalid("changes need a table with a primary key"));
        }
        Ok(message)
    }

    /// Where the rows go; nowhere in particular on the default stream.
    fn checked_offset(&self, append: &Append) -> Result<Option<i64>, Refusal> {
        let name = append.stream.to_string();
        let Some(stream) = self.streams.get(&append.stream) else {
            return match append.offset {
                Some(_) => Err(Refusal::invalid("the default stream takes no offset")),
                None => Ok(None),
            };
        };
        if stream.is_finalized {
            return Err(Refusal::invalid(format!("Stream has been finalized. Entity: {name}"))
                .with_storage(StorageErrorCode::StreamFinalized, name));
        }
        let placed = stream.place(append.offset, append.sees_late);
        placed.map(Some).map_err(|misplaced| match misplaced {
            Misplaced::Exists { expected, received } => {
                let message = format!(
                    "The offset is within stream, expected offset {expected}, received {received}"
                );
                Refusal::new(Code::AlreadyExists, message)
                    .with_storage(StorageErrorCode::OffsetAlreadyExists, name)
            }
            Misplaced::Beyond { expected, received } => {
                let message = format!(
                    "The offset is beyond stream, expected offset {expected}, received {received}"
                );
                Refusal::new(Code::OutOfRange, message)
                    .with_storage(StorageErrorCode::OffsetOutOfRange, name)
            }
        })
    }

    fn store(
        &mut self,
        name: &StreamName,
        rows: Vec<Bytes>,
        first: Option<i64>,
        (format, are_changes): (Format, bool),
    ) {
        let format = Arc::new(format);
        let stream: Arc<str> = name.to_string().into();
        let mut stored = Vec::with_capacity(rows.len());
        for (bytes, at) in rows.into_iter().zip(0_i64..) {
            stored.push(StoredRow {
                order: self.next_order(),
                stream: Some(Arc::clone(&stream)),
                offset: first.map(|first| first + at),
                format: Arc::clone(&format),
                bytes,
            });
        }
        let seen = match self.streams.get_mut(name) {
            Some(stream) => stream.store(stored),
            None => stored,
        };
        let table = self.tables.get_mut(&name.table).expect("the stream's table is there");
        table.store(seen, are_changes);
    }
}

/// Names every bad row.
fn check_rows(rows: &[Bytes], format: &Format) -> Result<(), Refusal> {
    if rows.is_empty() {
        return Err(Refusal::invalid("the request has no rows"));
    }
    let bad = rows.iter().zip(0_i64..).filter_map(|(bytes, index)| {
        let wrong = format.read(bytes).err()?;
        let message = match wrong.location.as_str() {
            "" => wrong.message,
            field => format!("Field {field}: {}", wrong.message),
        };
        Some(RowError { index, code: RowErrorCode::FieldsError.into(), message })
    });
    let bad: Vec<_> = bad.collect();
    if bad.is_empty() {
        return Ok(());
    }
    let message = "Rows were refused, and none was stored. Please refer to the row_errors field";
    let mut refusal = Refusal::invalid(message);
    refusal.rows = bad;
    Err(refusal)
}
