//! Pure. What no reader needs any more: who began to read within the grace period may use any manifest since.

use std::collections::BTreeSet;
use std::time::Duration;

use common::moment::Timestamp;

use super::layout::{ChainName, Chains, merged_parts};
use super::manifest::{Covered, Manifest};

/// The newest manifest that has stood for all of the grace period: readers use it or a later one.
///
/// `versions` ascend. Versions count, not times: a compactor that slept may put an old version late,
/// which nobody ever takes for the newest.
pub fn base(versions: &[(u64, Timestamp)], now: Timestamp, grace: Duration) -> Option<u64> {
    let has_stood = |at: Timestamp| u128::from(now.saturating_ms_since(at)) >= grace.as_millis();
    let stood = versions.iter().rev().find(|(_, at)| has_stood(*at));
    stood.map(|(version, _)| *version)
}

/// Manifests that no reader uses any more.
pub fn old_manifests(versions: &[(u64, Timestamp)], base: Option<u64>) -> Vec<u64> {
    let is_old = |version: &u64| base.is_some_and(|base| *version < base);
    versions.iter().map(|(version, _)| *version).filter(is_old).collect()
}

/// Those of the merged files at `paths` that none of `used` names, and none ever will: `used` are all
/// manifests from the base on.
///
/// The name of a file says which manifest alone could first name it; one that is still to come is waited for.
pub fn unused_files<'a>(table: &str, paths: &'a [String], used: &[Manifest]) -> Vec<&'a str> {
    let newest = used.iter().map(|manifest| manifest.version).max();
    let named: BTreeSet<&str> =
        used.iter().flat_map(|manifest| &manifest.files).map(|file| file.path.as_str()).collect();
    let is_unused = |path: &&str| {
        let version = merged_parts(table, path).map(|(_, version)| version);
        version.is_some_and(|version| Some(version) <= newest) && !named.contains(path)
    };
    paths.iter().map(String::as_str).filter(is_unused).collect()
}

/// A file that a manifest names and that is not at `paths`.
pub fn missing_file<'a>(paths: &[String], manifest: &'a Manifest) -> Option<&'a str> {
    let there: BTreeSet<&str> = paths.iter().map(String::as_str).collect();
    let named = manifest.files.iter().map(|file| file.path.as_str());
    named.into_iter().find(|path| !there.contains(path))
}

/// The objects of a chain that may give up their rows: merged for every reader, and not done yet.
pub fn reclaimable(
    chains: &Chains,
    name: &ChainName,
    base: &Covered,
    newest: &Covered,
) -> Vec<(String, u64)> {
    let objects = chains.get(name).map(Vec::as_slice).unwrap_or_default();
    let range = newest.reclaimed..base.to.min(newest.to);
    let ours = objects.iter().filter(|object| range.contains(&object.from));
    ours.map(|object| (object.path.clone(), object.bytes)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compact::layout::merged_path;
    use crate::compact::manifest::MergedFile;
    use common::identity::{Nonce, TableId};
    use uuid::Uuid;

    const GRACE: Duration = Duration::from_millis(100);

    fn path(version: u64) -> String {
        merged_path("t", "", version, Nonce(u128::from(version)))
    }

    fn manifest(version: u64, files: &[u64]) -> Manifest {
        let file = |at: &u64| MergedFile { path: path(*at), bytes: 1, rows: 1 };
        let (table_id, nonce) = (TableId(Uuid::nil()), Nonce(0));
        let files = files.iter().map(file).collect();
        Manifest { version, table_id, nonce, chains: Vec::new(), files }
    }

    #[test]
    fn readers_may_use_what_stood_when_the_grace_began_and_all_that_came_since() {
        let versions: Vec<_> = [(3, 0), (4, 50), (5, 120)].map(|(v, at)| (v, Timestamp(at))).into();
        let at = |now| base(&versions, Timestamp(now), GRACE);
        assert_eq!([at(99), at(100), at(150), at(220)], [None, Some(3), Some(4), Some(5)]);
        assert_eq!(old_manifests(&versions, at(150)), [3]);
        assert_eq!(old_manifests(&versions, None), [0; 0]);
        // Put late by a compactor that slept: nobody's newest, and gone with the next tidying.
        let late: Vec<_> = [(1, 200), (5, 120)].map(|(v, at)| (v, Timestamp(at))).into();
        assert_eq!(base(&late, Timestamp(220), GRACE), Some(5));
        assert_eq!(old_manifests(&late, Some(5)), [1]);
    }

    #[test]
    fn files_go_when_no_manifest_names_them_or_ever_will() {
        let paths: Vec<String> = (1..=6).map(path).collect();
        let used = [manifest(4, &[2, 3, 4]), manifest(5, &[5])];
        // 1 is named by neither; 6 is being written for a manifest to come.
        assert_eq!(unused_files("t", &paths, &used), [path(1)]);
        assert_eq!(unused_files("t", &paths, &used[1..]).len(), 4);
        assert_eq!(unused_files("t", &paths, &[]), [""; 0]);
        assert_eq!(missing_file(&paths[..4], &used[1]), Some(path(5).as_str()));
        assert_eq!(missing_file(&paths, &used[1]), None);
    }
}
