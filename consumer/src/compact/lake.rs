//! IO. A table as compactors and readers see it: its chains, its newest manifest, and the switch to the next one.

use common::chain::Chain;
use common::identity::TableId;
use common::moment::Timestamp;

use super::layout::{ChainObject, Chains, chains, manifest_path, manifest_version};
use super::manifest::{Manifest, ManifestError, MergedFile};
use crate::sink::SinkError;
use crate::sink::store::{Listed, Put, Store, StoreError};
use crate::table::claim::claimed;

/// Looks at a table in which manifests come and go before it is given up.
const LOOKS: u32 = 5;
/// Puts of one manifest whose outcome is unknown.
const PUTS: u32 = 5;

/// A table that somebody claimed.
#[derive(Clone, Debug)]
pub struct TableLake {
    pub store: Store,
    pub table: String,
    pub id: TableId,
}

/// A table at one moment.
#[derive(Clone, Debug)]
pub struct Seen {
    pub chains: Chains,
    /// The newest.
    pub manifest: Option<Manifest>,
    /// All versions that are there, ascending, and since when.
    pub versions: Vec<(u64, Timestamp)>,
}

/// A file to be read, by its path below the lake's root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableFile {
    pub path: String,
    pub bytes: u64,
}

/// Why a table cannot be looked at or compacted.
#[derive(Debug, thiserror::Error)]
pub enum CompactError {
    #[error("there is no table `{table}`: nothing stands at `{table}/_stowage.json`")]
    NoTable { table: String },
    #[error("the table `{table}` cannot be used")]
    Table {
        table: String,
        #[source]
        source: SinkError,
    },
    #[error("the store failed")]
    Store(#[source] StoreError),
    #[error("the manifest `{path}` cannot be used")]
    Manifest {
        path: String,
        #[source]
        source: ManifestError,
    },
    #[error("`{path}` cannot be used: {problem}; nothing was changed")]
    File { path: String, problem: String },
    #[error(
        "the manifests of `{table}` change too often; run it again when no other compactor runs"
    )]
    Crowded { table: String },
}

impl CompactError {
    pub(super) fn file(path: &str, error: &dyn std::error::Error) -> Self {
        Self::File { path: path.into(), problem: Chain(error).to_string() }
    }

    /// True if what was asked for cannot be, however often it is tried.
    pub fn is_bad_input(&self) -> bool {
        matches!(self, Self::NoTable { .. })
    }
}

impl TableLake {
    /// # Errors
    /// If nobody claimed the table, or the store cannot be read.
    pub async fn open(store: Store, table: &str) -> Result<Self, CompactError> {
        let failed = |source| CompactError::Table { table: table.into(), source };
        let id = claimed(&store, table).await.map_err(failed)?;
        let id = id.ok_or_else(|| CompactError::NoTable { table: table.into() })?;
        Ok(Self { store, table: table.into(), id })
    }

    /// Lists the table and reads its newest manifest.
    pub async fn see(&self) -> Result<Seen, CompactError> {
        for _ in 0..LOOKS {
            let listed = self.store.list_all(&self.table).await.map_err(CompactError::Store)?;
            let versions = self.versions(&listed);
            let Some((newest, _)) = versions.last() else {
                let chains = chains(&self.table, &listed);
                return Ok(Seen { chains, manifest: None, versions });
            };
            // Removed since: then there are newer ones.
            let Some(manifest) = self.manifest(*newest).await? else { continue };
            let chains = chains(&self.table, &listed);
            return Ok(Seen { chains, manifest: Some(manifest), versions });
        }
        Err(CompactError::Crowded { table: self.table.clone() })
    }

    fn versions(&self, listed: &[Listed]) -> Vec<(u64, Timestamp)> {
        let version = |object: &Listed| {
            Some((manifest_version(&self.table, &object.path)?, object.stored_at))
        };
        listed.iter().filter_map(version).collect()
    }

    /// A manifest, or `None` if it is not there (any more).
    pub async fn manifest(&self, version: u64) -> Result<Option<Manifest>, CompactError> {
        let path = manifest_path(&self.table, version);
        let text = self.store.read(&path).await.map_err(CompactError::Store)?;
        let parse = |text: bytes::Bytes| Manifest::parse(&text, &self.table, self.id, version);
        let manifest = text.map(parse).transpose();
        manifest.map_err(|source| CompactError::Manifest { path, source })
    }

    /// Makes `manifest` the newest, unless its version is there; true if it is now this very one.
    pub async fn commit(&self, manifest: &Manifest) -> Result<bool, CompactError> {
        let path = manifest_path(&self.table, manifest.version);
        let mut failed = None;
        for _ in 0..PUTS {
            match self.store.put_new(&path, manifest.to_json().into()).await {
                Ok(Put::Stored) => return Ok(true),
                // Another compactor's, or this one's whose answer was lost.
                Ok(Put::Taken) => {
                    let Some(found) = self.manifest(manifest.version).await? else { break };
                    let is_own = found.nonce == manifest.nonce;
                    if is_own {
                        self.store.settle(&path).await.map_err(CompactError::Store)?;
                    }
                    return Ok(is_own);
                }
                Err(error) if error.is_transient() => failed = Some(error),
                Err(error) => return Err(CompactError::Store(error)),
            }
        }
        Err(failed.map_or_else(
            || CompactError::Crowded { table: self.table.clone() },
            CompactError::Store,
        ))
    }
}

impl Seen {
    /// The files that hold the table: all that was stored when it was seen, each record once.
    pub fn files(&self, table: &str) -> Vec<TableFile> {
        let merged = self.manifest.as_ref().map(|manifest| manifest.files.as_slice());
        let merged = merged.unwrap_or_default().iter();
        let merged = merged.map(|MergedFile { path, bytes, .. }| (path, *bytes));
        let covered = self.manifest.as_ref().map(|manifest| manifest.by_name(table));
        let covered = covered.unwrap_or_default();
        let chains = self.chains.iter().flat_map(|(name, objects)| {
            let to = covered.get(name).map_or(0, |covered| covered.to);
            objects.iter().filter(move |object| object.from >= to)
        });
        let chains = chains.map(|ChainObject { path, bytes, .. }| (path, *bytes));
        let file = |(path, bytes): (&String, u64)| TableFile { path: path.clone(), bytes };
        merged.chain(chains).map(file).collect()
    }
}
