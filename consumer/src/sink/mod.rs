//! Where rows go: one table per name, one writer per partition that this consumer owns.
//!
//! ```text
//!  Tables::start ──> get ──> open ──> write … write ──> close
//! ```

pub mod tables;
pub mod bigquery;
pub mod claims;
pub mod discard;
pub mod parquet;
pub mod store;
pub mod probe;

mod request;
mod pack;
mod folder;
mod upload;

use std::sync::Arc;

use common::identity::TableId;

use crate::decode::{DeadLetter, Decoded, Decoder};
use crate::record::RawRecord;
use crate::table::schema::{Column, TableSchema};
use bigquery::encode::rows::request_rows_bytes_max;
use bigquery::{BigQueryTable, BigQueryWriter};
use discard::{DiscardTable, DiscardWriter};
use pack::Packer;
use parquet::{ParquetTable, ParquetWriter};

pub use pack::Packed;
#[cfg(test)]
pub(crate) use pack::packed_offsets;
pub use request::*;
pub use upload::Upload;

/// One table that this process has claimed, shared by all partitions that write to it.
#[derive(Debug)]
pub enum Table {
    Parquet(ParquetTable),
    BigQuery(BigQueryTable),
    Discard(DiscardTable),
}

/// Writes the batches of one partition, one after the other.
#[derive(Debug)]
pub enum Writer {
    Parquet(Box<ParquetWriter>),
    BigQuery(Box<BigQueryWriter>),
    Discard(DiscardWriter),
}

/// The rows of a batch, and the schema that they were decoded with.
#[derive(Clone, Debug)]
pub struct DecodedRows {
    pub rows: Packed,
    /// Records that are no rows.
    pub dead_letters: Vec<DeadLetter>,
    /// Rows whose record stands as text in `kafka_unparsed`.
    pub unparsed: usize,
    /// Records that the service entry says are to be skipped.
    pub ignored: usize,
    pub schema: Arc<TableSchema>,
}

/// A table that has what was wanted.
#[derive(Clone, Debug)]
pub struct Widened {
    /// To decode with again.
    pub schema: Arc<TableSchema>,
    /// Whether the table, which others may have made, had one of the columns with another type, which
    /// this process did not know of.
    pub has_other_types: bool,
    /// Whether something that was wanted is not there, and may not be added.
    pub is_closed: bool,
}

impl Table {
    /// `None` where the sink keeps no tables.
    pub fn id(&self) -> Option<TableId> {
        match self {
            Self::Parquet(table) => Some(table.id()),
            Self::BigQuery(table) => Some(table.id()),
            Self::Discard(_) => None,
        }
    }

    /// Whether it still is the one that was claimed; it is looked for only where that is in doubt.
    pub async fn is_there(&self) -> Result<bool, SinkError> {
        match self {
            Self::BigQuery(table) => table.is_there().await,
            Self::Parquet(_) | Self::Discard(_) => Ok(true),
        }
    }

    /// The newest schema that this process knows.
    pub fn schema(&self) -> Arc<TableSchema> {
        match self {
            Self::Parquet(table) => table.schema(),
            Self::BigQuery(table) => table.schema(),
            Self::Discard(table) => table.schema(),
        }
    }

    /// Bytes of packed rows above which a larger batch gains nothing.
    pub fn batch_bytes_max(&self) -> Option<usize> {
        match self {
            Self::BigQuery(_) => Some(2 * request_rows_bytes_max(0)),
            Self::Parquet(_) | Self::Discard(_) => None,
        }
    }

    fn packer(&self) -> Packer {
        match self {
            Self::Parquet(table) => Packer::Parquet(table.compression),
            Self::BigQuery(_) => Packer::BigQuery,
            Self::Discard(_) => Packer::Discard,
        }
    }

    /// Decodes records off the polling path, packs their rows, and widens the table as they need it.
    /// Those that the sink has condemned are dead letters, whatever they are decoded to.
    ///
    /// A transient error is worth calling again with the same records.
    pub async fn decode(
        &self,
        decoder: &Decoder,
        records: Arc<Vec<RawRecord>>,
        condemned: &Arc<Condemned>,
    ) -> Result<DecodedRows, SinkError> {
        let (mut schema, mut wider, mut is_closed) = (self.schema(), None, false);
        let packer = self.packer();
        if let Some(counted) = packer.without_decoding(decoder, &records, &schema) {
            return Ok(counted);
        }
        loop {
            let decoder = if is_closed { decoder.closed() } else { decoder.clone() };
            let (records, known) = (Arc::clone(&records), Arc::clone(&schema));
            let condemned = Arc::clone(condemned);
            let decoded = tokio::task::spawn_blocking(move || {
                let decoded = match wider {
                    None => decoder.decode(&records, &known),
                    Some(wider) => decoder.decode_again(&wider, &records, &known),
                };
                match decoded {
                    Decoded::Rows(rows) => {
                        packer.pack(rows, known, (&decoder, &records, &condemned)).map(Ok)
                    }
                    Decoded::Wider(wider) => Ok(Err(wider)),
                }
            });
            match decoded.await.expect("decoding never panics and is never cancelled")? {
                Ok(rows) => return Ok(rows),
                Err(needed) if is_closed => return Err(self.lacks(&needed.columns)),
                Err(needed) => {
                    let widened = self.widen(&needed.columns, &needed.key).await?;
                    // What did not fit the wanted types may fit those that the table had before.
                    is_closed = widened.is_closed;
                    wider = Some(needed).filter(|_| !widened.has_other_types && !is_closed);
                    schema = widened.schema;
                }
            }
        }
    }

    /// Adds columns, and the key by which rows change others, if there is one.
    pub async fn widen(&self, wanted: &[Column], key: &[String]) -> Result<Widened, SinkError> {
        let schema = match self {
            Self::Parquet(table) => table.widen(wanted).await?,
            Self::BigQuery(table) => return table.widen(wanted, key).await,
            Self::Discard(table) => table.widen(wanted),
        };
        Ok(Widened { schema, has_other_types: false, is_closed: false })
    }

    /// Without any of these columns no record can be a row.
    fn lacks(&self, wanted: &[Column]) -> SinkError {
        match self {
            Self::BigQuery(table) => table.lacks(wanted),
            Self::Parquet(_) | Self::Discard(_) => unreachable!("they are always widened"),
        }
    }

    /// Finds where the partition goes on, and makes its writer.
    ///
    /// A transient error is worth opening again with the same request.
    pub async fn open(&self, request: OpenRequest) -> Result<Opened, SinkError> {
        match self {
            Self::Parquet(table) => table.open(request).await,
            Self::BigQuery(table) => table.open(request).await,
            Self::Discard(table) => Ok(table.open(&request)),
        }
    }
}

impl Writer {
    /// What others have to know of before the first write, so that they can end this writer.
    pub fn token(&self) -> Option<&str> {
        match self {
            Self::BigQuery(writer) => writer.token(),
            Self::Parquet(_) | Self::Discard(_) => None,
        }
    }

    /// Stores a batch that begins at the writer's position; durable when it returns.
    ///
    /// After a transient error the *same* batch must be written again: it may be stored already.
    /// The outcome may lie beyond the batch, where another owner stored more.
    pub async fn write(&mut self, batch: &SealedBatch) -> Result<Stored, SinkError> {
        match self {
            Self::Parquet(writer) => writer.write(batch).await,
            Self::BigQuery(writer) => writer.write(batch).await,
            Self::Discard(writer) => Ok(writer.write(batch)),
        }
    }

    /// Ends the writer; true if nothing is left whose outcome is unknown.
    pub fn close(self) -> bool {
        match self {
            Self::Parquet(writer) => writer.close(),
            Self::BigQuery(writer) => writer.close(),
            Self::Discard(_) => true,
        }
    }
}
