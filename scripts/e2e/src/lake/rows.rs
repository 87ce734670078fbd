//! Pure. The rows of one Parquet object, as digests of what they hold.

use std::collections::BTreeMap;

use arrow::array::{Array, ArrayRef, AsArray as _, RecordBatch};
use arrow::datatypes::{
    DataType, Float64Type, Int32Type, Int64Type, TimeUnit, TimestampMillisecondType,
};
use arrow::error::ArrowError;
use bytes::Bytes;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::errors::ParquetError;

use super::naming::Naming;
use crate::verify::digest::{self, Content, Kind, Place};
use crate::verify::json::{self, Json};

/// A row of the lake, reduced to what a comparison needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredRow {
    pub offset: u64,
    pub kind: Kind,
    pub digest: u128,
    /// Absent where the object has no column `kafka_headers`.
    pub headers: Option<u128>,
}

#[derive(Debug, thiserror::Error)]
pub enum RowError {
    #[error("no readable Parquet file")]
    Parquet {
        #[source]
        source: ParquetError,
    },
    #[error("its rows cannot be decoded")]
    Arrow {
        #[source]
        source: ArrowError,
    },
    #[error("the column {column} is {got}, expected {expected}")]
    Column { column: String, got: String, expected: &'static str },
    #[error("a row's offset is null or negative")]
    Offset,
    #[error("a row names no topic, topic id or partition")]
    Place,
}

/// Hands every row to `visit`, in the order of the file.
pub fn visit_rows(
    object: Bytes,
    naming: &Naming,
    mut visit: impl FnMut(StoredRow),
) -> Result<(), RowError> {
    for batch in batches(object, &[])? {
        let batch = batch?;
        let columns = Columns::of(&batch, naming)?;
        for row in 0..batch.num_rows() {
            visit(columns.row(row)?);
        }
    }
    Ok(())
}

/// Hands every row of a merged file to `visit`, with the place that it names. It has the columns of all
/// files that were merged, so that a row without headers may come from one that had no such column.
pub fn visit_merged(
    file: Bytes,
    naming: &Naming,
    mut visit: impl FnMut(Place<'_>, StoredRow),
) -> Result<(), RowError> {
    for batch in batches(file, &[])? {
        let batch = batch?;
        let columns = Columns::of(&batch, naming)?;
        for row in 0..batch.num_rows() {
            let is_absent = columns.headers.is_some_and(|headers| headers.is_null(row));
            let stored = columns.row(row)?;
            let headers = stored.headers.filter(|_| !is_absent);
            visit(columns.place(row)?, StoredRow { headers, ..stored });
        }
    }
    Ok(())
}

/// Hands every row's record time to `visit`, in milliseconds since 1970.
pub fn visit_timestamps(object: Bytes, mut visit: impl FnMut(i64)) -> Result<(), RowError> {
    for batch in batches(object, &["kafka_timestamp"])? {
        let batch = batch?;
        let column = timestamps(&batch)?;
        let times = column.as_primitive::<TimestampMillisecondType>();
        times.iter().flatten().for_each(&mut visit);
    }
    Ok(())
}

/// The columns are taken as Parquet declares them: a hint for Arrow would be read by Arrow alone.
fn batches(
    object: Bytes,
    only: &[&str],
) -> Result<impl Iterator<Item = Result<RecordBatch, RowError>>, RowError> {
    let parquet = |source| RowError::Parquet { source };
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let mut builder = ParquetRecordBatchReaderBuilder::try_new_with_options(object, options)
        .map_err(parquet)?
        .with_batch_size(1_024);
    if !only.is_empty() {
        let schema = builder.parquet_schema();
        let mask = parquet::arrow::ProjectionMask::columns(schema, only.iter().copied());
        builder = builder.with_projection(mask);
    }
    let reader = builder.build().map_err(parquet)?;
    Ok(reader.map(|batch| batch.map_err(|source| RowError::Arrow { source })))
}

struct Columns<'a> {
    topic: &'a ArrayRef,
    topic_id: &'a ArrayRef,
    partition: &'a ArrayRef,
    offset: &'a ArrayRef,
    timestamp: &'a ArrayRef,
    key: &'a ArrayRef,
    tombstone: Option<&'a ArrayRef>,
    unparsed: Option<&'a ArrayRef>,
    headers: Option<&'a ArrayRef>,
    value: Value<'a>,
}

enum Value<'a> {
    Bytes(&'a ArrayRef),
    Fields(Vec<Field<'a>>),
}

struct Field<'a> {
    column: &'a str,
    field: &'a str,
    array: &'a ArrayRef,
    inner: Option<&'a Naming>,
}

/// The column of a table of bytes.
pub const WHOLE_VALUE: &str = "value";

impl<'a> Columns<'a> {
    fn of(batch: &'a RecordBatch, naming: &'a Naming) -> Result<Self, RowError> {
        let optional = |column, kind: &DataType, expected| match batch.column_by_name(column) {
            Some(_) => typed(batch, column, kind, expected).map(Some),
            None => Ok(None),
        };
        Ok(Self {
            topic: typed(batch, "kafka_topic", &DataType::Utf8, "text")?,
            topic_id: typed(batch, "kafka_topic_id", &DataType::Utf8, "text")?,
            partition: typed(batch, "kafka_partition", &DataType::Int32, "a 32-bit integer")?,
            offset: typed(batch, "kafka_offset", &DataType::Int64, "a 64-bit integer")?,
            timestamp: timestamps(batch)?,
            key: typed(batch, "kafka_key", &DataType::Binary, "binary")?,
            tombstone: optional("kafka_tombstone", &DataType::Boolean, "boolean")?,
            unparsed: optional("kafka_unparsed", &DataType::Utf8, "text")?,
            headers: batch.column_by_name("kafka_headers"),
            value: Value::of(batch, naming),
        })
    }

    fn row(&self, row: usize) -> Result<StoredRow, RowError> {
        let offset = self.offset.as_primitive::<Int64Type>();
        let offset = offset.is_valid(row).then(|| offset.value(row));
        let offset =
            offset.and_then(|offset| u64::try_from(offset).ok()).ok_or(RowError::Offset)?;
        let timestamps = self.timestamp.as_primitive::<TimestampMillisecondType>();
        let (kind, body) = self.value(row)?;
        let content = Content {
            place: self.place(row)?,
            timestamp_ms: timestamps.is_valid(row).then(|| timestamps.value(row)),
            key: binary(self.key, row),
            kind,
            body: &body,
        };
        let headers = self.headers.map(|array| headers(array, row)).transpose()?;
        Ok(StoredRow { offset, kind, digest: content.digest(), headers })
    }

    fn place(&self, row: usize) -> Result<Place<'_>, RowError> {
        let partitions = self.partition.as_primitive::<Int32Type>();
        let partition = partitions.is_valid(row).then(|| partitions.value(row));
        Ok(Place {
            topic: text(self.topic, row).ok_or(RowError::Place)?,
            topic_id: text(self.topic_id, row).ok_or(RowError::Place)?,
            partition: partition.and_then(|p| u32::try_from(p).ok()).ok_or(RowError::Place)?,
        })
    }

    /// The value, and beside it whatever a row of that kind should not hold, so that it differs.
    fn value(&self, row: usize) -> Result<(Kind, Vec<u8>), RowError> {
        let is_tombstone = self.tombstone.is_some_and(|array| {
            let flags = array.as_boolean();
            flags.is_valid(row) && flags.value(row)
        });
        let unparsed = self.unparsed.and_then(|array| text(array, row));
        Ok(digest::kind_of_row(is_tombstone, unparsed, self.value.of_row(row)?))
    }
}

impl<'a> Value<'a> {
    fn of(batch: &'a RecordBatch, naming: &'a Naming) -> Self {
        if let Some(value) = batch.column_by_name(WHOLE_VALUE)
            && value.data_type() == &DataType::Binary
        {
            return Self::Bytes(value);
        }
        let schema = batch.schema_ref();
        let ours = schema.fields().iter().zip(batch.columns());
        let fields = ours.filter(|(field, _)| !is_ours(field.name())).map(|(field, array)| {
            let column = field.name().as_str();
            let inner = naming.within_column(column);
            Field { column, field: naming.field(column), array, inner }
        });
        Self::Fields(fields.collect())
    }

    fn of_row(&self, row: usize) -> Result<(Kind, Vec<u8>), RowError> {
        match self {
            Self::Bytes(array) => {
                Ok((Kind::Bytes, binary(array, row).unwrap_or_default().to_vec()))
            }
            Self::Fields(fields) => {
                let mut object = BTreeMap::new();
                for field in fields {
                    let value = value(field.array, row, field.column, field.inner)?;
                    object.insert(field.field.to_owned(), value);
                }
                Ok((Kind::Parsed, digest::form(Json::Object(object))))
            }
        }
    }
}

const OURS: [&str; 9] = [
    "kafka_topic",
    "kafka_topic_id",
    "kafka_partition",
    "kafka_offset",
    "kafka_timestamp",
    "kafka_key",
    "kafka_headers",
    "kafka_tombstone",
    "kafka_unparsed",
];

/// Whether a column is not of the record's value.
pub fn is_ours(column: &str) -> bool {
    OURS.contains(&column)
}

fn value(
    array: &ArrayRef,
    row: usize,
    column: &str,
    naming: Option<&Naming>,
) -> Result<Json, RowError> {
    if array.is_null(row) {
        return Ok(Json::Null);
    }
    match array.data_type() {
        DataType::Boolean => Ok(Json::Bool(array.as_boolean().value(row))),
        DataType::Int64 => {
            Ok(json::number(&array.as_primitive::<Int64Type>().value(row).to_string()))
        }
        DataType::Float64 => {
            Ok(json::number(&format!("{:e}", array.as_primitive::<Float64Type>().value(row))))
        }
        DataType::Utf8 => Ok(Json::Text(array.as_string::<i32>().value(row).to_owned())),
        DataType::List(_) => {
            let elements = array.as_list::<i32>().value(row);
            let each = (0..elements.len()).map(|index| value(&elements, index, column, naming));
            Ok(Json::Array(each.collect::<Result<_, _>>()?))
        }
        DataType::Struct(fields) => {
            let parts = array.as_struct();
            let each = fields.iter().zip(parts.columns()).map(|(field, part)| {
                let name = field.name().as_str();
                let inner = naming.and_then(|naming| naming.within_column(name));
                let field = naming.map_or(name, |naming| naming.field(name));
                Ok((field.to_owned(), value(part, row, name, inner)?))
            });
            Ok(Json::Object(each.collect::<Result<_, RowError>>()?))
        }
        other => Err(unexpected(column, other, "a type that JSON records have")),
    }
}

/// `kafka_headers`: a list of name and value, or a map, which is such a list.
fn headers(array: &ArrayRef, row: usize) -> Result<u128, RowError> {
    let wrong = || unexpected("kafka_headers", array.data_type(), "a list of name and value");
    if array.is_null(row) {
        return Ok(digest::of_headers(std::iter::empty()));
    }
    let entries: ArrayRef = match array.data_type() {
        DataType::List(_) => array.as_list::<i32>().value(row),
        DataType::Map(..) => std::sync::Arc::new(array.as_map().value(row)),
        _ => return Err(wrong()),
    };
    let entries = entries.as_struct_opt().ok_or_else(wrong)?;
    let [names, values] = entries.columns() else { return Err(wrong()) };
    let is_fit = names.data_type() == &DataType::Utf8 && values.data_type() == &DataType::Binary;
    if !is_fit {
        return Err(wrong());
    }
    let pairs = (0..entries.len())
        .map(|index| (text(names, index).unwrap_or_default(), binary(values, index)));
    Ok(digest::of_headers(pairs))
}

fn timestamps(batch: &RecordBatch) -> Result<&ArrayRef, RowError> {
    let expected = "a timestamp in milliseconds, UTC";
    let kind = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
    typed(batch, "kafka_timestamp", &kind, expected)
}

fn typed<'a>(
    batch: &'a RecordBatch,
    column: &str,
    kind: &DataType,
    expected: &'static str,
) -> Result<&'a ArrayRef, RowError> {
    match batch.column_by_name(column) {
        Some(array) if array.data_type() == kind => Ok(array),
        Some(array) => Err(unexpected(column, array.data_type(), expected)),
        None => Err(RowError::Column { column: column.into(), got: "missing".into(), expected }),
    }
}

fn unexpected(column: &str, got: &DataType, expected: &'static str) -> RowError {
    RowError::Column { column: column.into(), got: got.to_string(), expected }
}

fn text(array: &ArrayRef, row: usize) -> Option<&str> {
    array.is_valid(row).then(|| array.as_string::<i32>().value(row))
}

fn binary(array: &ArrayRef, row: usize) -> Option<&[u8]> {
    array.is_valid(row).then(|| array.as_binary::<i32>().value(row))
}
