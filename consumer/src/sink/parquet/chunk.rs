//! Pure. Rows that are encoded as soon as they are decoded: row groups of an object to come.
//!
//! Encoded they take a fraction of the memory. An object is made of them by copying, see [`super::object`].

use std::io::Write;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{AsArray as _, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{Int64Type, SchemaRef};
use bytes::Bytes;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::arrow::{ArrowSchemaConverter, ArrowWriter};
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaDataReader;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;

use super::dictionary::hardly_repeating;
use super::object::{Compression, widened, writer_properties};

/// Encoded rows of one decoded batch.
#[derive(Clone, Debug)]
pub struct Chunk {
    schema: SchemaRef,
    /// A whole Parquet file. What describes its pages is read when they are copied: it takes ten times as much then.
    file: Bytes,
    rows: u64,
    /// The first row's offset, and the last one's + 1.
    offsets: Range<u64>,
}

impl Chunk {
    /// Encodes rows with the columns of `schema`, of which they may lack some.
    ///
    /// # Errors
    /// If a column of the rows is of another type than in `schema`.
    pub fn pack(
        rows: &RecordBatch,
        schema: &SchemaRef,
        compression: Compression,
    ) -> Result<Self, ParquetError> {
        let rows = &widened(rows, schema)?;
        let properties = hardly_repeating(rows)
            .fold(writer_properties(compression)?, |all, path| {
                all.set_column_dictionary_enabled(path, false)
            });
        let options = ArrowWriterOptions::new()
            .with_properties(properties.build())
            .with_skip_arrow_metadata(true);
        let mut writer =
            ArrowWriter::try_new_with_options(Vec::new(), Arc::clone(schema), options)?;
        writer.write(rows)?;
        // Without the room that it was given to grow.
        let file = Bytes::from(writer.into_inner()?.into_boxed_slice());
        let (schema, offsets) = (Arc::clone(schema), offsets(rows));
        Ok(Self { schema, file, rows: rows.num_rows() as u64, offsets })
    }

    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Bytes held in memory.
    pub fn bytes(&self) -> usize {
        self.file.len()
    }

    /// The same rows from offset `from` on, with all columns of `schema`; `None` if no row is left.
    ///
    /// # Errors
    /// If they cannot be read again, or a column is of another type in `schema`.
    pub fn reshaped(
        &self,
        from: u64,
        schema: &SchemaRef,
        compression: Compression,
    ) -> Result<Option<Self>, ParquetError> {
        if self.offsets.end <= from {
            return Ok(None);
        }
        if self.offsets.start >= from && self.schema == *schema {
            return Ok(Some(self.clone()));
        }
        let rows = rows_from(&self.unpack()?, from);
        Self::pack(&rows, schema, compression).map(Some)
    }

    /// The rows as they were before they were encoded.
    ///
    /// # Errors
    /// If they are damaged.
    pub fn unpack(&self) -> Result<RecordBatch, ParquetError> {
        let options = ArrowReaderOptions::new().with_schema(Arc::clone(&self.schema));
        let file = self.file.clone();
        let rows = ParquetRecordBatchReaderBuilder::try_new_with_options(file, options)?.build()?;
        let rows = rows.collect::<Result<Vec<_>, _>>()?;
        Ok(concat_batches(&self.schema, &rows)?)
    }

    /// Copies the pages to the end of a file that has the same columns.
    ///
    /// # Errors
    /// If the columns are others.
    pub fn append_to<W: Write + Send>(
        &self,
        file: &mut SerializedFileWriter<W>,
    ) -> Result<(), ParquetError> {
        let metadata = ParquetMetaDataReader::new().parse_and_finish(&self.file)?;
        for group in metadata.row_groups() {
            let mut copy = file.next_row_group()?;
            for column in group.columns() {
                let close = ColumnCloseResult {
                    bytes_written: u64::try_from(column.compressed_size()).unwrap_or_default(),
                    rows_written: u64::try_from(group.num_rows()).unwrap_or_default(),
                    metadata: column.clone(),
                    bloom_filter: None,
                    column_index: None,
                    offset_index: None,
                };
                copy.append_column(&self.file, close)?;
            }
            copy.close()?;
        }
        Ok(())
    }
}

/// A file without rows that has the columns of `schema`.
pub(super) fn new_file(
    schema: &SchemaRef,
    properties: WriterProperties,
) -> Result<SerializedFileWriter<Vec<u8>>, ParquetError> {
    let columns = ArrowSchemaConverter::new().convert(schema)?;
    SerializedFileWriter::new(Vec::new(), columns.root_schema_ptr(), Arc::new(properties))
}

fn offsets(rows: &RecordBatch) -> Range<u64> {
    let column = rows.column_by_name("kafka_offset");
    let offsets = column.map_or(&[][..], |column| column.as_primitive::<Int64Type>().values());
    let number = |offset: &i64| u64::try_from(*offset).unwrap_or_default();
    offsets.first().map_or(0, number)..offsets.last().map_or(0, |last| number(last) + 1)
}

/// The rows whose offset is not below `from`.
fn rows_from(rows: &RecordBatch, from: u64) -> RecordBatch {
    let Some(offsets) = rows.column_by_name("kafka_offset") else {
        return rows.clone();
    };
    let offsets = offsets.as_primitive::<Int64Type>().values();
    let below = offsets.partition_point(|offset| u64::try_from(*offset).is_ok_and(|o| o < from));
    rows.slice(below, rows.num_rows() - below)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::schema::{Column, ColumnType, TableSchema, Unit};
    use arrow::array::{ArrayRef, Int64Array, new_null_array};
    use arrow::datatypes::{DataType, Field, Schema};

    fn column(name: &str, kind: ColumnType) -> Column {
        Column { name: name.into(), field: Some(name.into()), kind }
    }

    /// Every type that a column can have, alone and in all that holds others.
    fn table() -> TableSchema {
        let kinds = [
            ColumnType::Boolean,
            ColumnType::Integer,
            ColumnType::Float,
            ColumnType::Text,
            ColumnType::Binary,
            ColumnType::Decimal { precision: 38, scale: 9 },
            ColumnType::Date,
            ColumnType::Time(Unit::Millis),
            ColumnType::Time(Unit::Micros),
            ColumnType::Time(Unit::Nanos),
            ColumnType::Timestamp { unit: Unit::Millis, utc: true },
            ColumnType::Timestamp { unit: Unit::Micros, utc: false },
            ColumnType::Timestamp { unit: Unit::Nanos, utc: true },
            ColumnType::Uuid,
        ];
        let mut columns = Vec::new();
        for (at, kind) in kinds.into_iter().enumerate() {
            let name = |of: &str| format!("{of}_{at}");
            let fields = vec![column("a", kind.clone())];
            columns.push(column(&name("list"), ColumnType::List(Box::new(kind.clone()))));
            let of_structs = ColumnType::List(Box::new(ColumnType::Struct(fields.clone())));
            columns.push(column(&name("list_of_structs"), of_structs));
            columns.push(column(&name("map"), ColumnType::Map(Box::new(kind.clone()))));
            let of_structs = ColumnType::Map(Box::new(ColumnType::Struct(fields.clone())));
            columns.push(column(&name("map_of_structs"), of_structs));
            columns.push(column(&name("struct"), ColumnType::Struct(fields)));
            columns.push(column(&name("alone"), kind));
        }
        TableSchema { version: 1, columns, ..TableSchema::default() }
    }

    fn schema(table: &TableSchema) -> SchemaRef {
        let offset = Arc::new(Field::new("kafka_offset", DataType::Int64, false));
        let fields =
            std::iter::once(offset).chain(table.arrow_fields().into_iter().map(Into::into));
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }

    fn rows(schema: &SchemaRef) -> RecordBatch {
        let offsets: ArrayRef = Arc::new(Int64Array::from_iter_values(10..15));
        let nulls = schema.fields().iter().skip(1);
        let nulls = nulls.map(|field| new_null_array(field.data_type(), 5));
        let columns = std::iter::once(offsets).chain(nulls).collect();
        RecordBatch::try_new(Arc::clone(schema), columns).unwrap()
    }

    /// Rows of every type are the same once they are read again, and can be given further columns and
    /// fields, or lose those that another owner stored.
    #[test]
    fn packed_rows_can_be_reshaped() {
        let narrow = table();
        let mut wide = table();
        wide.columns.push(column("new", ColumnType::Text));
        for column_of_all in &mut wide.columns {
            let fields = match &mut column_of_all.kind {
                ColumnType::Struct(fields) => fields,
                ColumnType::List(values) | ColumnType::Map(values) => match &mut **values {
                    ColumnType::Struct(fields) => fields,
                    _ => continue,
                },
                _ => continue,
            };
            fields.push(column("b", ColumnType::Integer));
        }
        let (narrow, wide) = (schema(&narrow), schema(&wide));
        let rows = rows(&narrow);
        let chunk = Chunk::pack(&rows, &narrow, Compression::Zstd).unwrap();
        assert_eq!(chunk.unpack().unwrap(), rows);
        let reshaped = |from, schema| chunk.reshaped(from, schema, Compression::Zstd).unwrap();
        let left = reshaped(12, &narrow).unwrap();
        assert_eq!(left.unpack().unwrap(), rows.slice(2, 3));
        let wider = reshaped(0, &wide).unwrap();
        assert_eq!((wider.rows(), wider.schema()), (5, &wide));
        let unpacked = wider.unpack().unwrap();
        assert_eq!(unpacked, widened(&rows, &wide).unwrap());
        let is_null = |column: &ArrayRef| column.null_count() == 5;
        assert!(unpacked.columns()[1..].iter().all(is_null), "none becomes empty");
        assert!(reshaped(15, &wide).is_none());
    }
}
