//! Pure. What is worth merging: new objects as soon as they are many, merged files as long as they are small.

use std::collections::BTreeMap;

use super::layout::{ChainName, ChainObject, Chains, merged_parts};
use super::manifest::{Manifest, MergedFile};

/// When and how much is merged at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Size that merged files are to reach; those of half of it are left alone.
    pub target_bytes: u64,
    /// Fewer new objects are not worth a merge, unless they hold `target_bytes`.
    pub objects_min: usize,
    /// Objects of one step.
    pub objects_max: usize,
    /// Merged files go to folders by the date of their records.
    pub by_date: bool,
}

/// One step: what is read, to be written anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Merge {
    Objects(Vec<ChainPart>),
    Files(Vec<MergedFile>),
}

/// Objects of a chain that follow one another, from where the merged files end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainPart {
    pub chain: ChainName,
    pub objects: Vec<ChainObject>,
    /// The object behind the last of them.
    pub next: ChainObject,
}

/// The next step, or `None` if all is well as it is.
///
/// Steps are a few times `target_bytes` large, so that a compactor that dies loses little.
pub fn plan(
    table: &str,
    chains: &Chains,
    manifest: Option<&Manifest>,
    limits: Limits,
) -> Option<Merge> {
    let pending = pending(table, chains, manifest);
    let objects = || pending.iter().flat_map(|part| &part.objects);
    let (count, bytes) = (objects().count(), objects().map(|object| object.bytes).sum::<u64>());
    if count > 0 && (count >= limits.objects_min || bytes >= limits.target_bytes) {
        return Some(Merge::Objects(first_of(pending, limits)));
    }
    let files = manifest.map(|manifest| manifest.files.as_slice()).unwrap_or_default();
    small_files(table, files, limits).map(Merge::Files)
}

/// What no manifest covers, but the newest object of each chain: where it ends only its footer says.
fn pending(table: &str, chains: &Chains, manifest: Option<&Manifest>) -> Vec<ChainPart> {
    let covered = manifest.map(|manifest| manifest.by_name(table)).unwrap_or_default();
    let part = |(chain, objects): (&ChainName, &Vec<ChainObject>)| {
        let to = covered.get(chain).map_or(0, |covered| covered.to);
        let first = objects.partition_point(|object| object.from < to);
        let (next, objects) = objects.get(first..)?.split_last()?;
        let (chain, objects, next) = (chain.clone(), objects.to_vec(), next.clone());
        (!objects.is_empty()).then_some(ChainPart { chain, objects, next })
    };
    chains.iter().filter_map(part).collect()
}

/// As much of `parts` as one step takes.
fn first_of(parts: Vec<ChainPart>, limits: Limits) -> Vec<ChainPart> {
    let bytes_max = limits.target_bytes.saturating_mul(4);
    let (mut taken, mut count, mut bytes) = (Vec::new(), 0, 0_u64);
    for mut part in parts {
        let mut fits = |object: &ChainObject| {
            let is_room = count < limits.objects_max && bytes < bytes_max;
            count += usize::from(is_room);
            bytes = bytes.saturating_add(object.bytes);
            is_room
        };
        let room = part.objects.iter().take_while(|object| fits(object)).count();
        if room < part.objects.len() {
            part.next = part.objects[room].clone();
            part.objects.truncate(room);
        }
        if !part.objects.is_empty() {
            taken.push(part);
        }
    }
    taken
}

/// Small files of one folder, the smallest first, as long as the next is at most twice as large as those
/// before it together: so few are left, each over twice as large as the one before, and a row is
/// written again only when the file it is in grows by half.
fn small_files(table: &str, files: &[MergedFile], limits: Limits) -> Option<Vec<MergedFile>> {
    let mut folders: BTreeMap<&str, Vec<&MergedFile>> = BTreeMap::new();
    for file in files {
        let (folder, _) = merged_parts(table, &file.path)?;
        if is_undated(folder, limits) || file.bytes < limits.target_bytes / 2 {
            folders.entry(folder).or_default().push(file);
        }
    }
    let run = |(folder, mut files): (&str, Vec<&MergedFile>)| {
        files.sort_by_key(|file| (file.bytes, &file.path));
        let is_undated = is_undated(folder, limits);
        let at_least = if is_undated { 1 } else { 2 };
        let runs = (0..files.len()).map(|first| run_of(&files[first..], is_undated, limits));
        runs.into_iter().find(|run| run.len() >= at_least)
    };
    folders.into_iter().find_map(run)
}

fn is_undated(folder: &str, limits: Limits) -> bool {
    limits.by_date && folder.is_empty()
}

fn run_of(files: &[&MergedFile], is_undated: bool, limits: Limits) -> Vec<MergedFile> {
    let mut bytes = 0_u64;
    let is_like = |file: &&&MergedFile| {
        let is_like = bytes == 0 || is_undated || file.bytes <= 2 * bytes;
        let is_room = bytes < limits.target_bytes;
        bytes = bytes.saturating_add(file.bytes);
        is_like && is_room
    };
    files.iter().take_while(is_like).map(|file| (*file).clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compact::layout::merged_path;
    use crate::compact::manifest::Covered;
    use common::identity::{Nonce, TableId, TopicId};
    use proptest::prelude::*;
    use uuid::Uuid;

    const LIMITS: Limits =
        Limits { target_bytes: 1_000, objects_min: 4, objects_max: 50, by_date: false };

    fn name(partition: u32) -> ChainName {
        ChainName { topic: "orders".into(), partition, id_digits: None }
    }

    /// Chains of objects of ten offsets each, of the given sizes.
    fn chains(sizes: &[Vec<u64>]) -> Chains {
        let chain = |(partition, sizes): (u32, &Vec<u64>)| {
            let object = |(at, bytes): (u64, &u64)| ChainObject {
                path: name(partition).path("t", at * 10),
                from: at * 10,
                bytes: *bytes,
            };
            (name(partition), (0..).zip(sizes).map(object).collect())
        };
        (0..).zip(sizes).map(chain).collect()
    }

    fn file(version: u64, bytes: u64) -> MergedFile {
        MergedFile { path: merged_path("t", "", version, Nonce(version.into())), bytes, rows: 1 }
    }

    fn manifest(version: u64) -> Manifest {
        let (table_id, nonce) = (TableId(Uuid::nil()), Nonce(0));
        Manifest { version, table_id, nonce, chains: Vec::new(), files: Vec::new() }
    }

    /// Does a step as a compactor would: the rows go to files of the target size at most.
    fn done(before: &Manifest, merge: &Merge) -> Manifest {
        let mut after = Manifest { version: before.version + 1, ..before.clone() };
        let bytes: u64 = match merge {
            Merge::Objects(parts) => {
                for ChainPart { chain, objects, next } in parts {
                    let covered = after.chains.iter().find(|c| c.partition == chain.partition);
                    let from = covered.map_or(0, |covered| covered.to);
                    assert_eq!(objects[0].from, from, "a chain is covered without holes");
                    assert_eq!(objects[objects.len() - 1].from + 10, next.from);
                    after.chains.retain(|c| c.partition != chain.partition);
                    after.chains.push(Covered {
                        topic: chain.topic.clone(),
                        topic_id: TopicId(Uuid::nil()),
                        partition: chain.partition,
                        to: next.from,
                        next: next.path.clone(),
                        reclaimed: 0,
                    });
                }
                parts.iter().flat_map(|part| &part.objects).map(|object| object.bytes).sum()
            }
            Merge::Files(files) => {
                after.files.retain(|file| !files.contains(file));
                files.iter().map(|file| file.bytes).sum()
            }
        };
        let target = LIMITS.target_bytes;
        let full = std::iter::repeat_n(target, usize::try_from(bytes / target).unwrap());
        let sizes = full.chain((!bytes.is_multiple_of(target)).then_some(bytes % target));
        for (at, size) in (0_u64..).zip(sizes) {
            let nonce = Nonce(u128::from(at));
            let path = merged_path("t", "", after.version, nonce);
            after.files.push(MergedFile { path, bytes: size, rows: 1 });
        }
        after
    }

    fn read(merge: &Merge) -> u64 {
        match merge {
            Merge::Objects(parts) => {
                parts.iter().flat_map(|part| &part.objects).map(|object| object.bytes).sum()
            }
            Merge::Files(files) => files.iter().map(|file| file.bytes).sum(),
        }
    }

    #[test]
    fn few_new_objects_and_the_newest_of_a_chain_wait() {
        let merged = |sizes: &[Vec<u64>]| plan("t", &chains(sizes), None, LIMITS);
        assert_eq!(merged(&[vec![1; 3], vec![1; 2]]), None);
        let Some(Merge::Objects(parts)) = merged(&[vec![1; 4], vec![1; 2]]) else {
            panic!("four old objects are merged");
        };
        let counts: Vec<_> = parts.iter().map(|part| part.objects.len()).collect();
        assert_eq!(counts, [3, 1]);
        assert_eq!((parts[0].next.from, parts[1].next.from), (30, 10));
        assert!(merged(&[vec![1_000, 1]]).is_some(), "one large object is worth it");
    }

    #[test]
    fn undated_files_are_written_anew_when_dates_are_asked_for() {
        let files = vec![file(1, 1_000)];
        let manifest = Manifest { files: files.clone(), ..manifest(1) };
        let dated = Limits { by_date: true, ..LIMITS };
        assert_eq!(plan("t", &Chains::new(), Some(&manifest), LIMITS), None);
        let planned = plan("t", &Chains::new(), Some(&manifest), dated);
        assert_eq!(planned, Some(Merge::Files(files)));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// However chains grow between runs: each run ends, leaves few new objects and few small
        /// files, covers chains without holes, and no row is written often.
        #[test]
        fn runs_end_with_large_files(
            growth in prop::collection::vec(prop::collection::vec(prop::collection::vec(1_u64..400, 0..30), 3), 1..12),
        ) {
            let mut sizes = vec![Vec::new(); 3];
            let (mut now, mut stored, mut written) = (manifest(0), 0_u64, 0_u64);
            for grown in growth {
                for (chain, grown) in sizes.iter_mut().zip(&grown) {
                    stored += grown.iter().sum::<u64>();
                    chain.extend_from_slice(grown);
                }
                let mut steps = 0;
                while let Some(merge) = plan("t", &chains(&sizes), Some(&now), LIMITS) {
                    steps += 1;
                    prop_assert!(steps < 60, "a run does not end");
                    written += read(&merge);
                    now = done(&now, &merge);
                }
                let pending: usize = pending("t", &chains(&sizes), Some(&now)).iter().map(|part| part.objects.len()).sum();
                prop_assert!(pending < LIMITS.objects_min);
                let small = now.files.iter().filter(|file| file.bytes < LIMITS.target_bytes / 2).count();
                prop_assert!(small <= 10, "{small} small files");
            }
            // Once as an object, and once more each time that its file grows by half.
            prop_assert!(written <= stored * 15, "{written} bytes written for {stored}");
        }
    }
}
