//! Pure. The bytes of merged files, as they come about: rows go in, finished row groups come out.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::sync::Arc;

use arrow::array::{AsArray as _, RecordBatch};
use arrow::datatypes::{Int64Type, SchemaRef, TimestampMillisecondType};
use bytes::Bytes;
use common::identity::{TableId, TopicId};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::KeyValue;
use serde::{Deserialize, Serialize};

use super::layout::{date_folder, day};
use crate::sink::parquet::Compression;
use crate::sink::parquet::object::{widened, writer_properties};

pub const TABLE_ID: &str = "stowage.table_id";
pub const PARTS: &str = "stowage.parts";
const SCHEMA_VERSION: &str = "stowage.schema_version";

/// Encoded bytes of all row groups that are being written.
const OPEN_BYTES: usize = 24 << 20;
const ROW_GROUP_ROWS: usize = 1_000_000;
/// Files that are written at the same time, one per date.
const OPEN_FILES: usize = 8;

/// Rows of one partition that follow one another in a merged file: of the offsets from `from` up to, not
/// including, `to`, no other file of the same folder holds any.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Part {
    pub topic: String,
    pub topic_id: TopicId,
    pub partition: u32,
    pub from: u64,
    pub to: u64,
    pub rows: u64,
}

/// What all merged files of one step have in common.
#[derive(Clone, Debug)]
pub struct Format {
    pub schema: SchemaRef,
    pub schema_version: u32,
    pub table_id: TableId,
    pub compression: Compression,
    pub target_bytes: u64,
    pub by_date: bool,
}

/// What became of the rows: bytes that follow those before, of the file `file`, counted from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    Begun { file: usize, folder: String },
    Bytes { file: usize, bytes: Bytes },
    Ended { file: usize, rows: u64 },
}

/// Files that are being written.
#[derive(Debug)]
pub struct Output {
    format: Format,
    /// By folder.
    open: BTreeMap<String, OpenFile>,
    /// Folders of which a file was ended amid the rows of a partition.
    cut: BTreeSet<String>,
    begun: usize,
}

#[derive(Debug)]
struct OpenFile {
    number: usize,
    writer: ArrowWriter<Vec<u8>>,
    parts: Vec<Part>,
    /// Offset of the last row.
    last: u64,
}

impl Output {
    pub fn new(format: Format) -> Self {
        Self { format, open: BTreeMap::new(), cut: BTreeSet::new(), begun: 0 }
    }

    /// Adds some rows of `part`, ascending by offset.
    pub fn add(&mut self, part: &Part, rows: &RecordBatch) -> Result<Vec<Written>> {
        let mut written = Vec::new();
        for (folder, at, count) in self.by_folder(rows)? {
            self.write(&folder, part, &rows.slice(at, count), &mut written)?;
        }
        Ok(written)
    }

    /// Ends all files.
    pub fn finish(mut self) -> Result<Vec<Written>> {
        let mut written = Vec::new();
        for (_, file) in mem::take(&mut self.open) {
            self.end(file, &mut written)?;
        }
        Ok(written)
    }

    /// Runs of rows that belong to one folder: where each begins, and how many rows it has.
    fn by_folder(&self, rows: &RecordBatch) -> Result<Vec<(String, usize, usize)>> {
        if rows.num_rows() == 0 {
            return Ok(Vec::new());
        }
        if !self.format.by_date {
            return Ok(vec![(String::new(), 0, rows.num_rows())]);
        }
        let times = rows.column_by_name("kafka_timestamp");
        let times = times.and_then(|times| times.as_primitive_opt::<TimestampMillisecondType>());
        let times = times.ok_or_else(|| missing("kafka_timestamp"))?;
        let days: Vec<Option<i64>> = times.iter().map(|time| time.map(day)).collect();
        let mut begin = 0;
        let runs = days.chunk_by(|one, other| one == other).map(|run| {
            let at = begin;
            begin += run.len();
            (date_folder(run[0]), at, run.len())
        });
        Ok(runs.collect())
    }

    fn write(
        &mut self,
        folder: &str,
        part: &Part,
        rows: &RecordBatch,
        written: &mut Vec<Written>,
    ) -> Result<()> {
        let (first, last) = bounds(rows)?;
        let from = if self.cut.remove(folder) { first } else { part.from };
        if !self.open.contains_key(folder) {
            if self.open.len() >= OPEN_FILES {
                self.end_largest(written)?;
            }
            self.begin(folder, written)?;
        }
        let schema = Arc::clone(&self.format.schema);
        let file = self.open.get_mut(folder).expect("it was opened");
        file.writer.write(&widened(rows, &schema)?)?;
        file.note(Part { from, rows: rows.num_rows() as u64, ..part.clone() }, last);
        file.drain(written);
        if file.bytes() as u64 >= self.format.target_bytes {
            self.cut(folder, written)?;
        }
        self.bound(written)
    }

    /// Ends row groups while too much is held in memory, the largest first.
    fn bound(&mut self, written: &mut Vec<Written>) -> Result<()> {
        let size = |file: &OpenFile| file.writer.in_progress_size();
        while self.open.values().map(size).sum::<usize>() > OPEN_BYTES {
            let Some(largest) = self.open.values_mut().max_by_key(|file| size(file)) else { break };
            largest.writer.flush()?;
            largest.drain(written);
        }
        Ok(())
    }

    fn begin(&mut self, folder: &str, written: &mut Vec<Written>) -> Result<()> {
        let properties = writer_properties(self.format.compression)?
            .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
            .build();
        let options = ArrowWriterOptions::new().with_properties(properties);
        let options = options.with_skip_arrow_metadata(true);
        let schema = Arc::clone(&self.format.schema);
        let writer = ArrowWriter::try_new_with_options(Vec::new(), schema, options)?;
        let number = self.begun;
        self.begun += 1;
        self.open.insert(folder.into(), OpenFile { number, writer, parts: Vec::new(), last: 0 });
        written.push(Written::Begun { file: number, folder: folder.into() });
        Ok(())
    }

    fn end_largest(&mut self, written: &mut Vec<Written>) -> Result<()> {
        let largest = self.open.iter().max_by_key(|(_, file)| file.bytes());
        let Some(folder) = largest.map(|(folder, _)| folder.clone()) else { return Ok(()) };
        self.cut(&folder, written)
    }

    /// Ends a file, although rows of the last part may follow in another one.
    fn cut(&mut self, folder: &str, written: &mut Vec<Written>) -> Result<()> {
        let Some(mut file) = self.open.remove(folder) else { return Ok(()) };
        if let Some(part) = file.parts.last_mut() {
            part.to = file.last + 1;
        }
        self.cut.insert(folder.into());
        self.end(file, written)
    }

    fn end(&self, file: OpenFile, written: &mut Vec<Written>) -> Result<()> {
        let OpenFile { number, mut writer, parts, .. } = file;
        let rows = parts.iter().map(|part| part.rows).sum();
        let parts = serde_json::to_string(&parts).expect("names and numbers are always JSON");
        let version = self.format.schema_version.to_string();
        for (key, value) in [
            (TABLE_ID, self.format.table_id.to_string()),
            (SCHEMA_VERSION, version),
            (PARTS, parts),
        ] {
            writer.append_key_value_metadata(KeyValue::new(key.into(), value));
        }
        writer.finish()?;
        let bytes = mem::take(writer.inner_mut()).into();
        written.push(Written::Bytes { file: number, bytes });
        written.push(Written::Ended { file: number, rows });
        Ok(())
    }
}

impl OpenFile {
    fn bytes(&self) -> usize {
        self.writer.bytes_written() + self.writer.in_progress_size()
    }

    fn note(&mut self, part: Part, last: u64) {
        self.last = last;
        let before = self.parts.last_mut().filter(|before| {
            let is_same = (&before.topic, before.topic_id, before.partition)
                == (&part.topic, part.topic_id, part.partition);
            is_same && (before.to == part.from || before.to == part.to)
        });
        match before {
            Some(before) => {
                before.to = part.to;
                before.rows += part.rows;
            }
            None => self.parts.push(part),
        }
    }

    fn drain(&mut self, written: &mut Vec<Written>) {
        let bytes = mem::take(self.writer.inner_mut());
        if !bytes.is_empty() {
            written.push(Written::Bytes { file: self.number, bytes: bytes.into() });
        }
    }
}

/// The first and the last offset, which must ascend.
fn bounds(rows: &RecordBatch) -> Result<(u64, u64)> {
    let offsets = rows.column_by_name("kafka_offset");
    let offsets = offsets.and_then(|offsets| offsets.as_primitive_opt::<Int64Type>());
    let offsets = offsets.ok_or_else(|| missing("kafka_offset"))?.values();
    let number = |offset: Option<&i64>| offset.and_then(|offset| u64::try_from(*offset).ok());
    match (number(offsets.first()), number(offsets.last())) {
        (Some(first), Some(last)) if offsets.is_sorted() => Ok((first, last)),
        _ => Err(ParquetError::General("its offsets do not ascend".into())),
    }
}

fn missing(column: &str) -> ParquetError {
    ParquetError::General(format!("it has no column `{column}` of the documented type"))
}
