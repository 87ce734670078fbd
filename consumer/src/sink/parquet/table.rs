//! IO. One table of Parquet objects: what its partitions share, and how one of them is opened.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use common::identity::{Nonce, TableId};
use rand::rngs::ChaCha8Rng;

use super::chain;
use super::footer::{Footer, FooterError, footer_size, read_footer};
use super::object::Compression;
use super::writer::ParquetWriter;
use crate::sink::claims::Beginning;
use crate::sink::store::{Store, StoreError};
use crate::sink::{OpenRequest, Opened, SealedBatch, SinkError, Writer};
use crate::table::schema::{Column, TableSchema};
use crate::table::schema_chain::SchemaChain;

/// Nearly every footer is whole within so many bytes of an object's end.
const TAIL_BYTES: u64 = 64 * 1024;

/// Draws the nonces of all objects that this process encodes.
#[derive(Clone, Debug)]
pub struct Nonces(Arc<Mutex<ChaCha8Rng>>);

impl Nonces {
    pub fn new(rng: ChaCha8Rng) -> Self {
        Self(Arc::new(Mutex::new(rng)))
    }

    pub fn draw(&self) -> Nonce {
        Nonce::from_rng(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A table that this process has claimed.
#[derive(Clone, Debug)]
pub struct ParquetTable {
    pub(super) name: Arc<str>,
    pub(super) id: TableId,
    pub(super) store: Store,
    pub(super) schema: Arc<SchemaChain>,
    pub(in crate::sink) compression: Compression,
    pub(super) nonces: Nonces,
}

/// An object that was looked at.
#[derive(Debug)]
pub(super) enum Found {
    Nothing,
    Object(Box<Footer>),
    Unreadable(FooterError),
}

impl ParquetTable {
    pub fn new(
        id: TableId,
        store: Store,
        schema: SchemaChain,
        compression: Compression,
        nonces: Nonces,
    ) -> Self {
        let name = schema.table().into();
        Self { name, id, store, schema: Arc::new(schema), compression, nonces }
    }

    pub fn id(&self) -> TableId {
        self.id
    }

    pub fn schema(&self) -> Arc<TableSchema> {
        self.schema.current()
    }

    pub async fn widen(&self, wanted: &[Column]) -> Result<Arc<TableSchema>, SinkError> {
        self.schema.widen(wanted).await
    }

    /// Finds the end of the partition's chain, fills what lies between it and where reading begins.
    pub async fn open(&self, request: OpenRequest) -> Result<Opened, SinkError> {
        let start = chain::start(self, &request).await?;
        let Beginning { fill, gap, overruled } = start.beginning.clone();
        let mut writer = ParquetWriter::new(self.clone(), start, &request);
        self.store
            .sweep(writer.stem())
            .await
            .map_err(|source| self.read_error("leftovers", source))?;
        if let Some(range) = fill {
            writer.write(&self.without_rows(range)).await?;
        }
        let (position, newest_object) = (writer.position(), writer.newest_object());
        let tokens = Vec::new();
        let writer = Writer::Parquet(Box::new(writer));
        Ok(Opened { writer, position, newest_object, tokens, gap, overruled })
    }

    fn without_rows(&self, range: Range<u64>) -> SealedBatch {
        let Range { start: from, end: to } = range;
        SealedBatch { from, to, leader_epoch: None, rows: Vec::new(), schema: self.schema() }
    }

    /// Reads the footer of the object at `path`.
    pub(super) async fn look_at(&self, path: &str) -> Result<Found, StoreError> {
        let Some(tail) = self.store.tail(path, TAIL_BYTES).await? else {
            return Ok(Found::Nothing);
        };
        let needed = match footer_size(&tail.bytes) {
            Ok(needed) => needed as u64,
            Err(error) => return Ok(Found::Unreadable(error)),
        };
        if needed <= tail.bytes.len() as u64 || needed > tail.size {
            return Ok(found(&tail.bytes));
        }
        let tail = self.store.tail(path, needed).await?;
        Ok(tail.map_or(Found::Nothing, |tail| found(&tail.bytes)))
    }

    pub(super) fn read_error(&self, what: &'static str, source: StoreError) -> SinkError {
        SinkError::Read { table: self.name.to_string(), what, source }
    }
}

fn found(tail: &Bytes) -> Found {
    match read_footer(tail) {
        Ok(footer) => Found::Object(Box::new(footer)),
        Err(error) => Found::Unreadable(error),
    }
}
