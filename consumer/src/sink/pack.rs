//! Pure. What a sink makes of decoded rows at once, to keep them until they are stored.

use std::sync::Arc;

use super::parquet::chunk::Chunk;
use super::parquet::object::{Compression, pack};
use super::{BlockedReason, DecodedRows, SinkError};
use crate::decode::{Decoder, Rows};
use crate::record::RawRecord;
use crate::table::schema::TableSchema;

/// Decoded rows, as a sink keeps them until they are stored.
#[derive(Clone, Debug)]
pub enum Packed {
    Parquet(Chunk),
    /// Only counted.
    Discard {
        rows: u64,
    },
}

impl Packed {
    pub fn rows(&self) -> u64 {
        match self {
            Self::Parquet(chunk) => chunk.rows(),
            Self::Discard { rows } => *rows,
        }
    }

    /// Bytes held in memory.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Parquet(chunk) => chunk.bytes(),
            Self::Discard { .. } => 0,
        }
    }

    pub(super) fn chunk(&self) -> Option<&Chunk> {
        match self {
            Self::Parquet(chunk) => Some(chunk),
            Self::Discard { .. } => None,
        }
    }
}

/// How rows are packed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Packer {
    Parquet(Compression),
    Discard,
}

impl Packer {
    /// Packs the rows that a decoder made of `records` under `schema`.
    pub(super) fn pack(
        self,
        rows: Rows,
        schema: Arc<TableSchema>,
        (decoder, records): (&Decoder, &[RawRecord]),
    ) -> Result<DecodedRows, SinkError> {
        let Rows { batch, dead_letters, unparsed, ignored } = rows;
        let packed = match self {
            Self::Discard => Packed::Discard { rows: batch.num_rows() as u64 },
            Self::Parquet(compression) => {
                let chunk = pack(&batch, &schema, compression).map_err(|error| {
                    let offset = |record: Option<&RawRecord>| record.map_or(0, |it| it.offset);
                    let (from, to) = (offset(records.first()), offset(records.last()) + 1);
                    let problem = error.to_string();
                    let reason = BlockedReason::Encoding { from, to, problem };
                    SinkError::Blocked { partition: decoder.partition().clone(), reason }
                })?;
                Packed::Parquet(chunk)
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

/// Rows that are nothing but their offsets.
#[cfg(test)]
pub(crate) fn packed_offsets(offsets: impl IntoIterator<Item = i64>) -> Packed {
    use arrow::array::{ArrayRef, Int64Array, RecordBatch};

    let offsets: ArrayRef = Arc::new(Int64Array::from_iter_values(offsets));
    let rows = RecordBatch::try_from_iter([("kafka_offset", offsets)]).expect("one column");
    let chunk = Chunk::pack(&rows, &rows.schema(), Compression::Snappy);
    Packed::Parquet(chunk.expect("offsets can be encoded"))
}
