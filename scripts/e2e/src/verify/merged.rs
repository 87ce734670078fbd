//! IO. The part of a topic that is in merged files: its rows, and which objects they stand for.
//!
//! Memory: some 48 bytes per merged row of the topic.

use std::collections::BTreeMap;

use common::chain::Chain;

use super::chain::Link;
use crate::lake::manifest::Manifest;
use crate::lake::name::{self, Entry, ObjectName};
use crate::lake::rows::{self, StoredRow};
use crate::lake::store::{Lake, LakeError, Listing, Object};

/// The merged rows of one topic in all its tables.
#[derive(Debug, Default)]
pub(super) struct Merged {
    pub(super) files: u64,
    rows: BTreeMap<u32, Vec<StoredRow>>,
    /// The first object of each chain that is not merged.
    next: Vec<ObjectName>,
}

impl Merged {
    /// Reads the merged files of `table`; returns what is wrong with them.
    pub(super) fn take(
        &mut self,
        lake: &Lake,
        listing: &Listing,
        table: &str,
        (topic, topic_id): (&str, &str),
    ) -> Result<Vec<String>, LakeError> {
        let Some(manifest) = lake.manifest(listing, table)? else { return Ok(Vec::new()) };
        let naming = lake.naming(listing, table)?;
        let mut problems = self.note_chains(&manifest, topic);
        for file in &manifest.files {
            let path = &file.path;
            let bytes = lake.read(path)?;
            self.files += 1;
            if bytes.len() as u64 != file.bytes {
                problems
                    .push(format!("{path}: {} bytes, the manifest says otherwise", bytes.len()));
            }
            let (mut count, mut unsorted) = (0_u64, 0_u64);
            let mut last: BTreeMap<u32, u64> = BTreeMap::new();
            let read = rows::visit_merged(bytes, &naming, |place, row| {
                count += 1;
                if (place.topic, place.topic_id) == (topic, topic_id) {
                    let before = last.insert(place.partition, row.offset);
                    unsorted += u64::from(before.is_some_and(|before| before > row.offset));
                    self.rows.entry(place.partition).or_default().push(row);
                }
            });
            if let Err(error) = read {
                problems.push(format!("{path}: {}", Chain(&error)));
            } else if count != file.rows {
                problems.push(format!("{path}: {count} rows, the manifest says {}", file.rows));
            }
            if unsorted > 0 {
                problems.push(format!("{path}: {unsorted} rows behind later ones"));
            }
        }
        Ok(problems)
    }

    fn note_chains(&mut self, manifest: &Manifest, topic: &str) -> Vec<String> {
        let mut problems = Vec::new();
        for chain in manifest.chains.iter().filter(|chain| chain.topic == topic) {
            match name::classify(&chain.next) {
                Entry::Object(next) if next.from == chain.to => self.next.push(next),
                _ => problems.push(format!("the manifest's `next` {} is no object", chain.next)),
            }
        }
        problems
    }

    /// True if the object's rows are in merged files.
    pub(super) fn covers(&self, object: &Object) -> bool {
        self.next
            .iter()
            .any(|next| is_one_chain(next, &object.name) && object.name.from < next.from)
    }

    /// Merged rows must end where an object of the chain begins, or nobody knows what is in which.
    pub(super) fn unjoined(&self, links: &[Link]) -> Vec<String> {
        let Some(first) = links.first() else { return Vec::new() };
        let next = self.next.iter().filter(|next| is_one_chain(next, &first.name));
        let is_missing = |next: &&ObjectName| !links.iter().any(|link| link.name == **next);
        let missing = next.filter(is_missing);
        missing
            .map(|next| {
                format!(
                    "merged up to {} of partition {}, where no object begins",
                    next.from, next.partition
                )
            })
            .collect()
    }

    /// The merged rows of a partition, by offset.
    pub(super) fn rows_of(&mut self, partition: u32) -> Vec<StoredRow> {
        let mut rows = self.rows.remove(&partition).unwrap_or_default();
        rows.sort_by_key(|row| row.offset);
        rows
    }
}

fn is_one_chain(one: &ObjectName, other: &ObjectName) -> bool {
    let of = |name: &ObjectName| {
        (name.table.clone(), name.topic.clone(), name.id_digits.clone(), name.partition)
    };
    of(one) == of(other)
}
