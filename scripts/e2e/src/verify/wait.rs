//! IO. Waits until everything that was produced is stored.

use std::collections::BTreeMap;
use std::time::Duration;

use common::clock::Clock;

use super::chain::{self, Link};
use super::check::{VerifyError, facts, reading};
use super::record::TopicRecords;
use crate::lake::footer::Footer;
use crate::lake::store::{Lake, LakeError};

const LOOK_EVERY: Duration = Duration::from_millis(200);

/// A partition, and how far it must be stored.
type Ends = BTreeMap<(String, u32), u64>;

/// Waits until the lake covers every record that the topics held when it was called, at most for
/// `patience`; true if it does.
///
/// Only chains without holes count, and a chain that ends before offsets without records (markers
/// of transactions) covers them.
pub fn until_stored<R: TopicRecords>(
    records: &mut R,
    lake: &Lake,
    topics: &[String],
    patience: Duration,
) -> Result<bool, VerifyError<R::Error>> {
    let mut watch = Watch { lake, ids: BTreeMap::new(), footers: BTreeMap::new() };
    let mut missing = Ends::new();
    for topic in topics {
        let facts = facts(records, topic)?;
        for partition in 0..facts.partitions {
            let bounds = records.bounds(topic, partition).map_err(|e| reading(topic, e))?;
            if bounds.end > bounds.start {
                missing.insert((topic.clone(), partition), bounds.end);
            }
        }
        watch.ids.insert(topic.clone(), facts.id);
    }
    let began = Clock.now();
    loop {
        watch.look().map_err(|source| VerifyError::Lake { source })?;
        for ((topic, partition), end) in std::mem::take(&mut missing) {
            let stored = watch.stored_to(&topic, partition);
            if stored < end && has_records(records, &topic, partition, stored..end)? {
                missing.insert((topic, partition), end);
            }
        }
        if missing.is_empty() {
            return Ok(true);
        }
        if Clock.now().saturating_since(began) > patience {
            return Ok(false);
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// The lake's chains; objects never change, so that each footer is read once.
struct Watch<'a> {
    lake: &'a Lake,
    ids: BTreeMap<String, String>,
    footers: BTreeMap<String, Option<Link>>,
}

impl Watch<'_> {
    fn look(&mut self) -> Result<(), LakeError> {
        for object in self.lake.list()?.objects {
            let is_asked = self.ids.contains_key(&object.name.topic);
            if is_asked && !self.footers.contains_key(&object.path) {
                let footer = Footer::read(&self.lake.read(&object.path)?).ok();
                let path = object.path.clone();
                let link = footer.map(|footer| Link { name: object.name, path, footer });
                self.footers.insert(object.path, link);
            }
        }
        Ok(())
    }

    /// The furthest end among the tables that hold the partition.
    fn stored_to(&self, topic: &str, partition: u32) -> u64 {
        let id = self.ids.get(topic);
        let ours = self.footers.values().flatten().filter(|link| {
            link.name.topic == topic
                && link.name.partition == partition
                && Some(&link.footer.topic_id) == id
        });
        let mut links: Vec<Link> = ours.cloned().collect();
        links.sort_by(|one, other| one.name.cmp(&other.name));
        let tables = links.chunk_by(|one, other| one.name.table == other.name.table);
        tables.map(chain::end).max().unwrap_or(0)
    }
}

fn has_records<R: TopicRecords>(
    records: &mut R,
    topic: &str,
    partition: u32,
    range: std::ops::Range<u64>,
) -> Result<bool, VerifyError<R::Error>> {
    let start = records.bounds(topic, partition).map_err(|e| reading(topic, e))?.start;
    let mut found = false;
    let mut look = |record: &super::record::Record<'_>| {
        found = record.offset < range.end;
        false
    };
    records
        .read(topic, partition, range.start.max(start), &mut look)
        .map_err(|source| reading(topic, source))?;
    Ok(found)
}
