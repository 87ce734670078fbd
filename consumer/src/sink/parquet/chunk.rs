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
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::arrow::{ArrowSchemaConverter, ArrowWriter};
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;

use super::object::{Compression, widened, writer_properties};

/// Encoded rows of one decoded batch.
#[derive(Clone, Debug)]
pub struct Chunk {
    schema: SchemaRef,
    /// The columns' pages, as `metadata` says.
    pages: Bytes,
    metadata: Arc<ParquetMetaData>,
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
        let properties = writer_properties(compression)?.build();
        // What describes the columns is written with the object.
        let options =
            ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
        let mut pages = Vec::new();
        let mut writer =
            ArrowWriter::try_new_with_options(&mut pages, Arc::clone(schema), options)?;
        writer.write(&widened(rows, schema)?)?;
        let metadata = writer.close()?;
        pages.truncate(end_of_pages(&metadata));
        let pages = Bytes::from(pages.into_boxed_slice());
        let schema = Arc::clone(schema);
        Ok(Self { schema, pages, metadata: Arc::new(metadata), offsets: offsets(rows) })
    }

    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    pub fn rows(&self) -> u64 {
        let groups = self.metadata.row_groups().iter();
        groups.map(|group| u64::try_from(group.num_rows()).unwrap_or_default()).sum()
    }

    /// Bytes held in memory.
    pub fn bytes(&self) -> usize {
        self.pages.len() + self.metadata.memory_size()
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
        let mut file = new_file(&self.schema, WriterProperties::new())?;
        self.append_to(&mut file)?;
        let file = Bytes::from(file.into_inner()?);
        let rows = ParquetRecordBatchReaderBuilder::try_new(file)?.build()?;
        let rows = rows.collect::<Result<Vec<_>, _>>()?;
        let schema = rows.first().map_or_else(|| Arc::clone(&self.schema), RecordBatch::schema);
        Ok(concat_batches(&schema, &rows)?)
    }

    /// Copies the pages to the end of a file that has the same columns.
    ///
    /// # Errors
    /// If the columns are others.
    pub fn append_to<W: Write + Send>(
        &self,
        file: &mut SerializedFileWriter<W>,
    ) -> Result<(), ParquetError> {
        for group in self.metadata.row_groups() {
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
                copy.append_column(&self.pages, close)?;
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

fn end_of_pages(metadata: &ParquetMetaData) -> usize {
    let columns = metadata.row_groups().iter().flat_map(|group| group.columns());
    let ends = columns.map(|column| {
        let (start, length) = column.byte_range();
        start + length
    });
    usize::try_from(ends.max().unwrap_or_default()).unwrap_or(usize::MAX)
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
