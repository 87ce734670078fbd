//! IO. Carries out one step: reads what is to be merged, and stores its rows in new files.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use bytes::Bytes;
use common::identity::TopicId;
use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::encode::{Format, Output, PARTS, Part, TABLE_ID, Written};
use super::lake::{CompactError, TableLake};
use super::layout::{ChainObject, merged_path};
use super::manifest::{Covered, Manifest, MergedFile};
use super::plan::{ChainPart, Limits, Merge};
use super::source::{FileFacts, footer_bytes};
use crate::decode::frame_fields;
use crate::sink::parquet::object::is_optional;
use crate::sink::parquet::{Compression, Nonces, read_footer};
use crate::sink::{SinkError, Upload};
use crate::table::schema_chain::SchemaChain;

/// Requests that wait for the store at the same time.
const LOOKS: usize = 16;
const READS: usize = 4;
/// Objects up to this size are read at once; of others one row group at a time.
const WHOLE_BYTES: u64 = 4 << 20;
const TAIL_BYTES: u64 = 64 << 10;

/// What all steps of a run have in common.
#[derive(Clone, Debug)]
pub struct Merger {
    pub lake: TableLake,
    pub limits: Limits,
    pub compression: Compression,
    pub nonces: Nonces,
}

/// Rows of one partition, in one file.
#[derive(Clone, Debug)]
struct Piece {
    path: String,
    bytes: u64,
    part: Part,
    /// In the file, counted from 0.
    rows: Range<u64>,
}

/// All that a step reads.
#[derive(Debug, Default)]
struct Sources {
    /// In the order in which rows are to be written.
    pieces: Vec<Piece>,
    /// Columns of ours that not every file has.
    optional: BTreeSet<String>,
    topic_ids: BTreeMap<String, TopicId>,
}

impl Merger {
    /// Stores new files, and returns the manifest that would make them count.
    pub async fn merge(
        &self,
        merge: &Merge,
        before: Option<&Manifest>,
    ) -> Result<Manifest, CompactError> {
        let version = before.map_or(0, |before| before.version) + 1;
        let sources = match merge {
            Merge::Objects(parts) => self.look_at_objects(parts).await?,
            Merge::Files(files) => self.look_at_files(files).await?,
        };
        let mut stored = Stored::default();
        let files = match self.write(&sources, version, &mut stored).await {
            Ok(()) => stored.files,
            Err(error) => {
                stored.abandon(&self.lake).await;
                return Err(error);
            }
        };
        let (nonce, table_id) = (self.nonces.draw(), self.lake.id);
        let nothing = Manifest { version, table_id, nonce, chains: Vec::new(), files: Vec::new() };
        let before = before.cloned().unwrap_or(nothing);
        let mut after = Manifest { version, nonce, ..before };
        match merge {
            Merge::Objects(parts) => self.cover(&mut after, parts, &sources)?,
            Merge::Files(merged) => after.files.retain(|file| !merged.contains(file)),
        }
        after.files.extend(files);
        Ok(after)
    }

    fn cover(
        &self,
        manifest: &mut Manifest,
        parts: &[ChainPart],
        sources: &Sources,
    ) -> Result<(), CompactError> {
        let table = self.lake.table.as_str();
        let known = manifest.by_name(table).into_iter();
        let mut chains: BTreeMap<_, _> = known.map(|(name, chain)| (name, chain.clone())).collect();
        for ChainPart { chain, next, .. } in parts {
            let topic_id = sources.topic_ids[&chain.to_string()];
            let before = chains.get(chain);
            if let Some(before) = before.filter(|before| before.topic_id != topic_id) {
                let problem = format!("its chain belongs to the topic id {}", before.topic_id);
                return Err(CompactError::File { path: next.path.clone(), problem });
            }
            let covered = Covered {
                topic: chain.topic.clone(),
                topic_id,
                partition: chain.partition,
                to: next.from,
                next: next.path.clone(),
                reclaimed: before.map_or(0, |before| before.reclaimed),
            };
            chains.insert(chain.clone(), covered);
        }
        manifest.chains = chains.into_values().collect();
        Ok(())
    }

    async fn look_at_objects(&self, parts: &[ChainPart]) -> Result<Sources, CompactError> {
        let mut sources = Sources::default();
        for ChainPart { chain, objects, next } in parts {
            let ends = objects.iter().skip(1).chain([next]).map(|object| object.from);
            let looks = objects.iter().zip(ends).map(|(object, to)| self.look_at(object, to));
            let mut looks = stream::iter(looks).buffered(LOOKS);
            while let Some((piece, schema)) = looks.try_next().await? {
                sources.note_columns(&schema);
                let topic_id = piece.part.topic_id;
                let known = *sources.topic_ids.entry(chain.to_string()).or_insert(topic_id);
                let (path, id) = (&piece.path, piece.part.partition);
                if known != topic_id || id != chain.partition || piece.part.topic != chain.topic {
                    let problem = format!("its footer names another partition than {chain}");
                    return Err(CompactError::File { path: path.clone(), problem });
                }
                sources.pieces.push(piece);
            }
        }
        Ok(sources)
    }

    /// An object of a chain, which must end where the next one begins.
    async fn look_at(
        &self,
        object: &ChainObject,
        to: u64,
    ) -> Result<(Piece, SchemaRef), CompactError> {
        let ChainObject { path, from, bytes } = object;
        let tail = self.tail(path, *bytes).await?;
        let footer = read_footer(&tail).map_err(|error| CompactError::file(path, &error))?;
        let facts = FileFacts::read(&tail).map_err(|error| CompactError::file(path, &error))?;
        if (footer.from, footer.to, footer.table_id) != (*from, to, self.lake.id) {
            let (from, to, id) = (footer.from, footer.to, footer.table_id);
            let problem = format!("its footer says {from} to {to} of the table {id}");
            return Err(CompactError::File { path: path.clone(), problem });
        }
        let (topic, partition) =
            (footer.partition.topic().to_owned(), footer.partition.partition());
        let (from, to, rows) = (footer.from, footer.to, facts.rows());
        let part = Part { topic, topic_id: footer.topic_id, partition, from, to, rows };
        let piece = Piece { path: path.clone(), bytes: *bytes, part, rows: 0..rows };
        Ok((piece, facts.schema()))
    }

    async fn look_at_files(&self, files: &[MergedFile]) -> Result<Sources, CompactError> {
        let mut sources = Sources::default();
        for MergedFile { path, bytes, rows } in files {
            let unusable = |problem: String| CompactError::File { path: path.clone(), problem };
            let tail = self.tail(path, *bytes).await?;
            let facts = FileFacts::read(&tail).map_err(|error| CompactError::file(path, &error))?;
            if facts.value(TABLE_ID) != Some(self.lake.id.to_string().as_str()) {
                return Err(unusable("it belongs to another table".into()));
            }
            let parts: Vec<Part> = serde_json::from_str(facts.value(PARTS).unwrap_or_default())
                .map_err(|error| unusable(format!("its footer's `{PARTS}`: {error}")))?;
            sources.note_columns(&facts.schema());
            let mut end = 0;
            for part in parts {
                let begin = end;
                end += part.rows;
                let (path, bytes) = (path.clone(), *bytes);
                sources.pieces.push(Piece { path, bytes, part, rows: begin..end });
            }
            if end != *rows || facts.rows() != *rows {
                let (found, known) = (facts.rows(), *rows);
                return Err(unusable(format!("it has {found} rows, the manifest says {known}")));
            }
        }
        let order = |piece: &Piece| {
            let Part { topic, topic_id, partition, from, .. } = &piece.part;
            (topic.clone(), *partition, *topic_id, *from)
        };
        sources.pieces.sort_by_key(order);
        Ok(sources)
    }

    async fn write(
        &self,
        sources: &Sources,
        version: u64,
        stored: &mut Stored,
    ) -> Result<(), CompactError> {
        let mut output = Output::new(self.format(sources).await?);
        let pieces = sources.pieces.iter().filter(|piece| !piece.rows.is_empty());
        let reads = pieces.map(async |piece| {
            let whole = match piece.bytes <= WHOLE_BYTES {
                true => Some(self.range(&piece.path, 0..piece.bytes).await?),
                false => None,
            };
            Ok::<_, CompactError>((piece, whole))
        });
        let mut reads = stream::iter(reads).buffered(READS);
        while let Some((piece, whole)) = reads.try_next().await? {
            let facts = match &whole {
                Some(whole) => FileFacts::read(whole),
                None => FileFacts::read(&self.tail(&piece.path, piece.bytes).await?),
            };
            let facts = facts.map_err(|error| CompactError::file(&piece.path, &error))?;
            for group in facts.row_groups(&piece.rows) {
                let bytes = match &whole {
                    Some(whole) => slice(whole, &group.bytes),
                    None => self.range(&piece.path, group.bytes.clone()).await?,
                };
                let (facts, taken) = (facts.clone(), piece.clone());
                let added = move || {
                    let mut written = Vec::new();
                    for rows in facts.batches(&group, bytes, &taken.rows)? {
                        let rows = rows?;
                        written.extend(output.add(&taken.part, &rows)?);
                    }
                    Ok((output, written))
                };
                let written;
                (output, written) = encoding(&piece.path, added).await?;
                self.store(written, version, stored).await?;
            }
        }
        let ended = encoding("the last file", move || output.finish()).await?;
        self.store(ended, version, stored).await?;
        let expected: u64 = sources.pieces.iter().map(|piece| piece.part.rows).sum();
        let rows: u64 = stored.files.iter().map(|file| file.rows).sum();
        if rows == expected {
            return Ok(());
        }
        let problem = format!("{rows} rows were written of {expected}");
        Err(CompactError::File { path: self.lake.table.clone(), problem })
    }

    /// The newest columns of the table, which all files have or can be given.
    async fn format(&self, sources: &Sources) -> Result<Format, CompactError> {
        let table = &self.lake.table;
        let failed = |source: SinkError| CompactError::Table { table: table.clone(), source };
        let schema = SchemaChain::load(table, self.lake.store.clone()).await.map_err(failed)?;
        let schema = schema.current();
        let has = |name: &str| !is_optional(name) || sources.optional.contains(name);
        let ours = frame_fields().into_iter().filter(|field| has(field.name()));
        let fields: Vec<_> = ours.chain(schema.arrow_fields()).collect();
        Ok(Format {
            schema: Arc::new(Schema::new(fields)),
            schema_version: schema.version,
            table_id: self.lake.id,
            compression: self.compression,
            target_bytes: self.limits.target_bytes,
            by_date: self.limits.by_date,
        })
    }

    async fn store(
        &self,
        written: Vec<Written>,
        version: u64,
        stored: &mut Stored,
    ) -> Result<(), CompactError> {
        for written in written {
            match written {
                Written::Begun { file, folder } => {
                    let nonce = self.nonces.draw();
                    let path = merged_path(&self.lake.table, &folder, version, nonce);
                    let upload = self.lake.store.upload(&path).await;
                    let upload = upload.map_err(CompactError::Store)?;
                    stored.open.insert(file, (path, upload, 0));
                }
                Written::Bytes { file, bytes } => {
                    let Some((_, upload, size)) = stored.open.get_mut(&file) else { continue };
                    *size += bytes.len() as u64;
                    upload.append(bytes).await.map_err(CompactError::Store)?;
                }
                Written::Ended { file, rows } => {
                    let Some((path, upload, bytes)) = stored.open.remove(&file) else { continue };
                    let merged = MergedFile { path, bytes, rows };
                    // Noted first: it may be there although no answer comes.
                    stored.files.push(merged);
                    upload.finish().await.map_err(CompactError::Store)?;
                }
            }
        }
        Ok(())
    }

    async fn tail(&self, path: &str, bytes: u64) -> Result<Bytes, CompactError> {
        let tail = self.range(path, bytes.saturating_sub(TAIL_BYTES)..bytes).await?;
        let needed = footer_bytes(&tail).map_err(|error| CompactError::file(path, &error))?;
        if needed <= tail.len() as u64 || needed > bytes {
            return Ok(tail);
        }
        self.range(path, bytes - needed..bytes).await
    }

    async fn range(&self, path: &str, range: Range<u64>) -> Result<Bytes, CompactError> {
        self.lake.store.range(path, range).await.map_err(CompactError::Store)
    }
}

impl Sources {
    fn note_columns(&mut self, schema: &SchemaRef) {
        let names = schema.fields().iter().map(|field| field.name());
        self.optional.extend(names.filter(|name| is_optional(name)).cloned());
    }
}

/// Files of a step, those that are being written by number.
#[derive(Debug, Default)]
struct Stored {
    open: BTreeMap<usize, (String, Upload, u64)>,
    files: Vec<MergedFile>,
}

impl Stored {
    async fn abandon(self, lake: &TableLake) {
        for (_, upload, _) in self.open.into_values() {
            upload.abort().await;
        }
        for file in self.files {
            // Whoever tidies next removes it if this fails.
            let _ = lake.store.remove(&file.path).await;
        }
    }
}

/// Part of a whole file's bytes.
fn slice(whole: &Bytes, range: &Range<u64>) -> Bytes {
    let at = |byte: u64| usize::try_from(byte).unwrap_or(usize::MAX).min(whole.len());
    whole.slice(at(range.start)..at(range.end).max(at(range.start)))
}

/// Decoding and encoding take their time: elsewhere than where others wait for the store.
async fn encoding<T: Send + 'static>(
    path: &str,
    work: impl FnOnce() -> parquet::errors::Result<T> + Send + 'static,
) -> Result<T, CompactError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(|error| CompactError::file(path, &error)),
        Err(ended) => Err(CompactError::file(path, &ended)),
    }
}
