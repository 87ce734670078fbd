//! Pure. What a sink makes of decoded rows at once, to keep them until they are stored.

use std::sync::Arc;

use arrow::array::{AsArray as _, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::Int64Type;
use parquet::errors::ParquetError;

use super::bigquery::encode::rows::EncodedRows;
use super::bigquery::encode::{Encoded, Misfit, encode};
use super::parquet::chunk::Chunk;
use super::parquet::object::{Compression, pack};
use super::{BlockedReason, Condemned, DecodedRows, SinkError};
use crate::decode::{DeadLetter, DeadLetterReason, Decoder, Rows};
use crate::record::RawRecord;
use crate::table::schema::TableSchema;

/// Decoded rows, as a sink keeps them until they are stored.
#[derive(Clone, Debug)]
pub enum Packed {
    Parquet(Chunk),
    BigQuery(EncodedRows),
    /// Only counted.
    Discard {
        rows: u64,
    },
}

impl Packed {
    pub fn rows(&self) -> u64 {
        match self {
            Self::Parquet(chunk) => chunk.rows(),
            Self::BigQuery(rows) => rows.rows(),
            Self::Discard { rows } => *rows,
        }
    }

    /// Bytes held in memory.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Parquet(chunk) => chunk.bytes(),
            Self::BigQuery(rows) => rows.bytes(),
            Self::Discard { .. } => 0,
        }
    }

    pub(super) fn chunk(&self) -> Option<&Chunk> {
        match self {
            Self::Parquet(chunk) => Some(chunk),
            Self::BigQuery(_) | Self::Discard { .. } => None,
        }
    }

    pub(super) fn encoded(&self) -> Option<&EncodedRows> {
        match self {
            Self::BigQuery(rows) => Some(rows),
            Self::Parquet(_) | Self::Discard { .. } => None,
        }
    }
}

/// How rows are packed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Packer {
    Parquet(Compression),
    BigQuery,
    Discard,
}

impl Packer {
    /// Packs the rows that a decoder made of `records` under `schema`.
    pub(super) fn pack(
        self,
        rows: Rows,
        schema: Arc<TableSchema>,
        (decoder, records, condemned): (&Decoder, &[RawRecord], &Condemned),
    ) -> Result<DecodedRows, SinkError> {
        let Rows { batch, mut dead_letters, unparsed, ignored } = rows;
        let packed = match self {
            Self::Discard => Packed::Discard { rows: batch.num_rows() as u64 },
            Self::BigQuery => {
                let encoded = encode(&without(&batch, condemned), &schema);
                let Encoded { rows, misfits } =
                    encoded.map_err(|error| unpackable(error.to_string(), decoder, records))?;
                dead_letters.extend(letters(misfits, condemned, records));
                dead_letters.sort_by_key(|letter| letter.offset);
                Packed::BigQuery(rows)
            }
            Self::Parquet(compression) => {
                let chunk = pack(&batch, &schema, compression);
                let unpackable =
                    |error: ParquetError| unpackable(error.to_string(), decoder, records);
                Packed::Parquet(chunk.map_err(unpackable)?)
            }
        };
        Ok(DecodedRows { rows: packed, dead_letters, unparsed, ignored, schema })
    }

    /// Records that are rows whatever they hold, where nobody asks for their columns.
    pub(super) fn without_decoding(
        self,
        decoder: &Decoder,
        records: &[RawRecord],
        schema: &Arc<TableSchema>,
    ) -> Option<DecodedRows> {
        let is_enough = matches!(self, Self::Discard) && decoder.takes_all();
        is_enough.then(|| DecodedRows {
            rows: Packed::Discard { rows: records.len() as u64 },
            dead_letters: Vec::new(),
            unparsed: 0,
            ignored: 0,
            schema: Arc::clone(schema),
        })
    }
}

/// Rows that no attempt can pack; it is a fault of this program.
fn unpackable(problem: String, decoder: &Decoder, records: &[RawRecord]) -> SinkError {
    let offset = |record: Option<&RawRecord>| record.map_or(0, |it| it.offset);
    let (from, to) = (offset(records.first()), offset(records.last()) + 1);
    let reason = BlockedReason::Encoding { from, to, problem };
    SinkError::Blocked { partition: decoder.partition().clone(), reason }
}

/// The rows that the sink has not refused before.
fn without(batch: &RecordBatch, condemned: &Condemned) -> RecordBatch {
    if condemned.is_empty() {
        return batch.clone();
    }
    let offsets = batch.column_by_name("kafka_offset").expect("every row has its offset");
    let offsets = offsets.as_primitive::<Int64Type>().values().iter();
    let is_kept = |offset: &i64| condemned.problem(offset.cast_unsigned()).is_none();
    let kept = BooleanArray::from_iter(offsets.map(|offset| Some(is_kept(offset))));
    filter_record_batch(batch, &kept).expect("it is a mask of the batch's rows")
}

/// The records of rows that the sink cannot take, or has refused. They ascend by their offsets.
fn letters(misfits: Vec<Misfit>, condemned: &Condemned, records: &[RawRecord]) -> Vec<DeadLetter> {
    let misfits = misfits.into_iter().map(|Misfit { offset, text, .. }| {
        let index = records.binary_search_by_key(&offset, |record| record.offset);
        let index = index.expect("each row is of a record");
        DeadLetter { index, offset, reason: DeadLetterReason::Misfit, text }
    });
    let refused = records.iter().enumerate().filter_map(|(index, record)| {
        let (offset, reason) = (record.offset, DeadLetterReason::RefusedBySink);
        let text = condemned.problem(offset)?.to_owned();
        Some(DeadLetter { index, offset, reason, text })
    });
    misfits.chain(refused).collect()
}

/// Rows that are nothing but their offsets.
#[cfg(test)]
pub(crate) fn packed_offsets(offsets: impl IntoIterator<Item = i64>) -> Packed {
    use arrow::array::{ArrayRef, Int64Array, RecordBatch};

    let offsets: ArrayRef = Arc::new(Int64Array::from_iter_values(offsets));
    let rows = RecordBatch::try_from_iter([("kafka_offset", offsets)]).expect("one column");
    let chunk = Chunk::pack(&rows, &rows.schema(), Compression::Snappy);
    Packed::Parquet(chunk.expect("offsets can be encoded"))
}
