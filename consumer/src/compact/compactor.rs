//! IO. Compacts a table: merges step by step, then tidies up what no reader needs any more.

use std::fmt;
use std::time::Duration;

use common::chain::Chain;
use common::crash_point;
use common::moment::Timestamp;
use serde::Serialize;
use tracing::info;

use super::lake::{CompactError, Seen, TableLake};
use super::layout::merged;
use super::manifest::Manifest;
use super::merge::Merger;
use super::plan::{Limits, Merge, plan};
use super::reclaim::{Reclaimed, reclaim};
use super::retire::{base, missing_file, old_manifests, reclaimable, unused_files};
use crate::sink::parquet::{Compression, Nonces};

/// Steps that others may be faster at before this compactor leaves the table to them.
const LOST_MAX: u32 = 5;

/// How a table is compacted.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    pub limits: Limits,
    pub compression: Compression,
    /// How long a reader may take.
    pub grace: Duration,
    /// Merged objects give up their rows: from then on the table is read by its manifest alone.
    pub reclaim: bool,
}

/// What a run did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Of chains, and earlier merged files.
    pub read_files: u64,
    pub read_bytes: u64,
    pub written_files: u64,
    pub written_bytes: u64,
    pub steps: u64,
    pub removed_files: u64,
    pub removed_manifests: u64,
    pub reclaimed_objects: u64,
    pub reclaimed_bytes: u64,
}

/// Compacts one table.
#[derive(Clone, Debug)]
pub struct Compactor {
    merger: Merger,
    options: Options,
}

impl Compactor {
    pub fn new(lake: TableLake, options: Options, nonces: Nonces) -> Self {
        let (limits, compression) = (options.limits, options.compression);
        Self { merger: Merger { lake, limits, compression, nonces }, options }
    }

    /// Runs until nothing is left to be merged; `now` reads the calendar.
    pub async fn run(&self, now: impl Fn() -> Timestamp) -> Result<Summary, CompactError> {
        let mut summary = Summary::default();
        self.merge(&mut summary).await?;
        self.tidy(now(), &mut summary).await?;
        Ok(summary)
    }

    async fn merge(&self, summary: &mut Summary) -> Result<(), CompactError> {
        let lake = &self.merger.lake;
        let mut lost = 0;
        while lost < LOST_MAX {
            let seen = lake.see().await?;
            let before = seen.manifest.as_ref();
            let Some(merge) = plan(&lake.table, &seen.chains, before, self.options.limits) else {
                return Ok(());
            };
            let after = match self.merger.merge(&merge, before).await {
                Ok(after) => after,
                // What it reads may go, or be emptied, once others have merged it too.
                Err(error) if self.is_outrun(before).await? => {
                    lost += 1;
                    info!(table = lake.table, error = %Chain(&error), "another compactor was faster");
                    continue;
                }
                Err(error) => return Err(error),
            };
            crash_point::before("manifest");
            if lake.commit(&after).await? {
                crash_point::after("manifest");
                summary.note(&merge, before, &after);
            } else {
                lost += 1;
                // What was written for it is removed by `tidy`, which looks at what counts by then.
                info!(table = lake.table, version = after.version, "another compactor was faster");
            }
        }
        Err(CompactError::Crowded { table: lake.table.clone() })
    }

    async fn is_outrun(&self, before: Option<&Manifest>) -> Result<bool, CompactError> {
        let newest = self.merger.lake.see().await?.manifest;
        let version = |manifest: Option<&Manifest>| manifest.map(|manifest| manifest.version);
        Ok(version(newest.as_ref()) != version(before))
    }

    async fn tidy(&self, now: Timestamp, summary: &mut Summary) -> Result<(), CompactError> {
        let lake = &self.merger.lake;
        let seen = lake.see().await?;
        let Some(newest) = &seen.manifest else { return Ok(()) };
        let listed = lake.store.list_all(&merged(&lake.table)).await;
        let listed = listed.map_err(CompactError::Store)?;
        let paths: Vec<String> = listed.into_iter().map(|object| object.path).collect();
        if let Some(path) = missing_file(&paths, newest) {
            let problem = "the newest manifest names it, and it is not there".into();
            return Err(CompactError::File { path: path.into(), problem });
        }
        let base = base(&seen.versions, now, self.options.grace);
        let mut used = vec![newest.clone()];
        for (version, _) in &seen.versions {
            let is_used = base.is_none_or(|base| *version >= base) && *version < newest.version;
            // Gone since: another compactor saw that no reader needs it.
            if is_used && let Some(manifest) = lake.manifest(*version).await? {
                used.push(manifest);
            }
        }
        let remove = |path: String| async move {
            lake.store.remove(&path).await.map_err(CompactError::Store)
        };
        for path in unused_files(&lake.table, &paths, &used) {
            remove(path.into()).await?;
            summary.removed_files += 1;
        }
        for version in old_manifests(&seen.versions, base) {
            remove(super::layout::manifest_path(&lake.table, version)).await?;
            summary.removed_manifests += 1;
        }
        let grace_ms = i64::try_from(self.options.grace.as_millis()).unwrap_or(i64::MAX);
        let until = Timestamp(now.0.saturating_sub(grace_ms));
        lake.store.sweep_older(&merged(&lake.table), until).await.map_err(CompactError::Store)?;
        let stood = used.into_iter().find(|manifest| Some(manifest.version) == base);
        match stood.filter(|_| self.options.reclaim) {
            Some(stood) => self.reclaim(&seen, newest, &stood, summary).await,
            None => Ok(()),
        }
    }

    async fn reclaim(
        &self,
        seen: &Seen,
        newest: &Manifest,
        stood: &Manifest,
        summary: &mut Summary,
    ) -> Result<(), CompactError> {
        let lake = &self.merger.lake;
        let stood = stood.by_name(&lake.table);
        let mut after = newest.clone();
        let mut is_more = false;
        for chain in &mut after.chains {
            let Some(name) = chain.name(&lake.table) else { continue };
            let Some(base) = stood.get(&name) else { continue };
            let objects = reclaimable(&seen.chains, &name, base, chain);
            is_more |= !objects.is_empty();
            let Reclaimed { objects, bytes } = reclaim(lake, objects).await?;
            summary.reclaimed_objects += objects;
            summary.reclaimed_bytes += bytes;
            chain.reclaimed = chain.reclaimed.max(base.to.min(chain.to));
        }
        if is_more {
            after.version += 1;
            after.nonce = self.merger.nonces.draw();
            // If another compactor was faster, the next one finds these objects without rows.
            lake.commit(&after).await?;
        }
        Ok(())
    }
}

impl Summary {
    fn note(&mut self, merge: &Merge, before: Option<&Manifest>, after: &Manifest) {
        let sizes: Vec<u64> = match merge {
            Merge::Objects(parts) => {
                let objects = parts.iter().flat_map(|part| &part.objects);
                objects.map(|object| object.bytes).collect()
            }
            Merge::Files(files) => files.iter().map(|file| file.bytes).collect(),
        };
        let known = before.map(|before| before.files.as_slice()).unwrap_or_default();
        let new: Vec<u64> = after
            .files
            .iter()
            .filter(|file| !known.contains(file))
            .map(|file| file.bytes)
            .collect();
        self.read_files += sizes.len() as u64;
        self.read_bytes += sizes.iter().sum::<u64>();
        self.written_files += new.len() as u64;
        self.written_bytes += new.iter().sum::<u64>();
        self.steps += 1;
        info!(version = after.version, merged = sizes.len(), into = new.len(), "merged");
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { read_files, read_bytes, written_files, written_bytes, .. } = self;
        write!(
            f,
            "merged {read_files} files of {read_bytes} bytes into {written_files} of {written_bytes} bytes"
        )?;
        if self.removed_files + self.removed_manifests > 0 {
            let (files, manifests) = (self.removed_files, self.removed_manifests);
            write!(f, "; removed {files} files and {manifests} manifests that no reader needs")?;
        }
        if self.reclaimed_objects > 0 {
            let (objects, bytes) = (self.reclaimed_objects, self.reclaimed_bytes);
            write!(f, "; {objects} objects gave up {bytes} bytes of rows")?;
        }
        Ok(())
    }
}
