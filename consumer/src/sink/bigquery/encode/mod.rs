//! Pure. Rows as protobuf messages, and the descriptor that says how to read them.
//!
//! ```text
//!  schema ──> descriptor
//!  batch, schema ──> reader (one per column) ──> wire, text ──> rows ──> requests
//!                                                             └──> json (for insertAll)
//! ```

pub mod descriptor;
pub mod rows;
pub mod json;

mod civil;
mod cells;
mod reader;
mod text;
mod wire;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;

use super::frame_columns::{change_kinds, frame_kinds};
use crate::table::schema::{Column, TableSchema};
use reader::Message;
use rows::{EncodedRows, ROW_BYTES_MAX, RowsBuilder};

/// The number of the first column's field; the `kafka_*` columns stand before it.
pub(super) const FIRST_COLUMN: u32 = 10;
/// The number of the first field that says what a row does; a table never has so many columns, and those from
/// 19,000 to 19,999 are protobuf's own.
const FIRST_CHANGE: u32 = 20_000;

/// What became of a batch: each of its records is one or the other.
#[derive(Clone, Debug)]
pub struct Encoded {
    pub rows: EncodedRows,
    pub misfits: Vec<Misfit>,
}

/// A record of whose rows something would be lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    /// Which row of the batch it is.
    pub row: usize,
    /// That of its record.
    pub offset: u64,
    /// What is wrong and in which column, for people.
    pub text: String,
}

/// Why a batch cannot be encoded: it is not of the schema that it is said to be of.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    #[error("the batch has a column {0}, which its schema has not")]
    UnknownColumn(String),
    #[error("the batch's column {column} is {found}, and its schema says otherwise")]
    OtherType { column: String, found: String },
    #[error("the batch has no column kafka_offset")]
    NoOffsets,
}

/// Encodes rows that were decoded with `schema` or an earlier version of it.
///
/// A list that is NULL becomes an empty one, since the service has no other.
pub fn encode(batch: &RecordBatch, schema: &TableSchema) -> Result<Encoded, EncodeError> {
    let (ours, changes) = (frame_kinds(), change_kinds(schema));
    let fields = numbered(&ours, &schema.columns, &changes);
    let message = Message::of_batch(batch, fields)?;
    let offsets = batch.column_by_name("kafka_offset").ok_or(EncodeError::NoOffsets)?;
    let offsets = offsets.as_primitive_opt::<Int64Type>().ok_or(EncodeError::NoOffsets)?;
    let mut rows = RowsBuilder::new(batch.num_rows(), batch.get_array_memory_size());
    let mut misfits = Vec::new();
    for (row, offset) in offsets.values().iter().enumerate() {
        let offset = u64::try_from(*offset).expect("Kafka counts offsets from 0");
        let out = rows.begin();
        let begin = out.len();
        let text = match message.write(row, out) {
            Err(problem) => Some(problem.to_string()),
            Ok(()) if out.len() - begin > ROW_BYTES_MAX => Some(too_large(out.len() - begin)),
            Ok(()) => None,
        };
        match text {
            // A record may take two rows: it has both or none.
            None if misfits.last().is_some_and(|misfit: &Misfit| misfit.offset == offset) => {
                rows.drop_last();
            }
            None => rows.keep(offset),
            Some(text) => {
                rows.drop_all_of(offset);
                if misfits.last().is_none_or(|misfit| misfit.offset != offset) {
                    misfits.push(Misfit { row, offset, text });
                }
            }
        }
    }
    Ok(Encoded { rows: rows.finish(), misfits })
}

fn too_large(bytes: usize) -> String {
    format!("the row has {bytes} bytes as a message, at most {ROW_BYTES_MAX} fit into a request")
}

/// The fields of a row's message, with their numbers, which hold for later versions of a schema, too.
fn numbered<'a>(
    ours: &'a [Column],
    columns: &'a [Column],
    changes: &'a [Column],
) -> impl Iterator<Item = (u32, &'a Column)> {
    let records = (FIRST_COLUMN..).zip(columns);
    (1..).zip(ours).chain(records).chain((FIRST_CHANGE..).zip(changes))
}
