//! Pure. Reads rows from a part of a Parquet file's bytes: its footer, and one row group at a time.

use std::io::Cursor;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::RecordBatch;
use bytes::Bytes;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder, RowSelection,
    RowSelector,
};
use parquet::errors::{ParquetError, Result};
use parquet::file::FOOTER_SIZE;
use parquet::file::metadata::{KeyValue, ParquetMetaDataReader};
use parquet::file::reader::{ChunkReader, Length};

use crate::sink::parquet::footer_size;

/// Rows that are decoded together, unless they are large.
const BATCH_ROWS: u64 = 8_192;
const BATCH_BYTES: u64 = 8 << 20;

/// A file's footer.
#[derive(Clone, Debug)]
pub struct FileFacts(ArrowReaderMetadata);

/// Where a row group stands in the file, and which rows it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowGroup {
    pub index: usize,
    pub bytes: Range<u64>,
    pub rows: Range<u64>,
}

/// How many bytes at the end of a file hold its footer, told by its last bytes.
pub fn footer_bytes(tail: &[u8]) -> Result<u64> {
    let size = footer_size(tail).map_err(|error| ParquetError::External(Box::new(error)))?;
    Ok(size as u64)
}

impl FileFacts {
    /// From the end of a file, which must hold the whole footer.
    pub fn read(tail: &Bytes) -> Result<Self> {
        let size = usize::try_from(footer_bytes(tail)?).unwrap_or(usize::MAX);
        let start = tail.len().checked_sub(size);
        let start = start.ok_or_else(|| ParquetError::General("its footer is cut off".into()))?;
        let encoded = &tail[start..tail.len() - FOOTER_SIZE];
        let metadata = Arc::new(ParquetMetaDataReader::decode_metadata(encoded)?);
        // Types are Parquet's own: a hint for Arrow would not be there for other readers.
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        Ok(Self(ArrowReaderMetadata::try_new(metadata, options)?))
    }

    pub fn key_values(&self) -> &[KeyValue] {
        let entries = self.0.metadata().file_metadata().key_value_metadata();
        entries.map_or(&[], Vec::as_slice)
    }

    pub fn value(&self, key: &str) -> Option<&str> {
        let entry = self.key_values().iter().find(|entry| entry.key == key)?;
        entry.value.as_deref()
    }

    pub fn schema(&self) -> arrow::datatypes::SchemaRef {
        Arc::clone(self.0.schema())
    }

    pub fn rows(&self) -> u64 {
        u64::try_from(self.0.metadata().file_metadata().num_rows()).unwrap_or(0)
    }

    /// The row groups that hold any of `rows`.
    pub fn row_groups(&self, rows: &Range<u64>) -> Vec<RowGroup> {
        let mut first = 0;
        let groups = self.0.metadata().row_groups().iter().enumerate().map(|(index, group)| {
            let begin = first;
            first += u64::try_from(group.num_rows()).unwrap_or(0);
            let (mut start, mut end) = (u64::MAX, 0);
            for column in group.columns() {
                let (at, length) = column.byte_range();
                (start, end) = (start.min(at), end.max(at + length));
            }
            RowGroup { index, bytes: start.min(end)..end, rows: begin..first }
        });
        groups.filter(|group| group.rows.start < rows.end && rows.start < group.rows.end).collect()
    }

    /// Decodes those of `rows` that are in `group`, whose bytes are `bytes`.
    pub fn batches(
        &self,
        group: &RowGroup,
        bytes: Bytes,
        rows: &Range<u64>,
    ) -> Result<impl Iterator<Item = std::result::Result<RecordBatch, arrow::error::ArrowError>>>
    {
        let part = Part { start: group.bytes.start, bytes };
        let held = group.rows.end - group.rows.start;
        let decoded = self.0.metadata().row_group(group.index).total_byte_size();
        let row_bytes = (u64::try_from(decoded).unwrap_or(0) / held.max(1)).max(1);
        let batch_rows = (BATCH_BYTES / row_bytes).clamp(1, BATCH_ROWS);
        let skipped = rows.start.saturating_sub(group.rows.start).min(held);
        let wanted = rows.end.min(group.rows.end).saturating_sub(group.rows.start + skipped);
        let selection = RowSelection::from(vec![
            RowSelector::skip(count(skipped)),
            RowSelector::select(count(wanted)),
        ]);
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(part, self.0.clone())
            .with_row_groups(vec![group.index])
            .with_row_selection(selection)
            .with_batch_size(count(batch_rows));
        builder.build()
    }
}

fn count(rows: u64) -> usize {
    usize::try_from(rows).unwrap_or(usize::MAX)
}

/// Bytes of a file from `start` on.
#[derive(Clone, Debug)]
struct Part {
    start: u64,
    bytes: Bytes,
}

impl Part {
    fn from(&self, at: u64) -> Result<Bytes> {
        let begin = at.checked_sub(self.start).and_then(|begin| usize::try_from(begin).ok());
        let begin = begin.filter(|begin| *begin <= self.bytes.len());
        let begin = begin.ok_or_else(|| ParquetError::EOF(format!("byte {at} is not there")))?;
        Ok(self.bytes.slice(begin..))
    }
}

impl Length for Part {
    fn len(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }
}

impl ChunkReader for Part {
    type T = Cursor<Bytes>;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        Ok(Cursor::new(self.from(start)?))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        let rest = self.from(start)?;
        if length > rest.len() {
            return Err(ParquetError::EOF(format!("{length} bytes from {start} are not there")));
        }
        Ok(rest.slice(..length))
    }
}
