//! IO. Waits until everything that was produced is stored.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use common::clock::Clock;

use super::check::{Request, VerifyError, dead_letters, facts, reading};
use super::dead_letters::{DeadLetters, OfPartition};
use super::record::{Record, TopicRecords};
use super::sink::{Sink, Watch};

const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Waits until everything is stored that the topics held when it was called, at most for `patience`; true if
/// it is.
///
/// Only what is stored without a hole counts, and what ends before offsets without records (markers of
/// transactions) covers them. Where the sink knows nothing of records that were set aside, their letters count.
pub fn until_stored<R: TopicRecords>(
    records: &mut R,
    sink: &dyn Sink,
    request: &Request,
    patience: Duration,
) -> Result<bool, VerifyError<R::Error>> {
    let mut missing = Missing::find(records, request)?;
    let mut watch = sink.watch(missing.ids.clone());
    let began = Clock.now();
    loop {
        watch.look().map_err(|source| VerifyError::Stored { source })?;
        missing.strike(records, request, &*watch)?;
        if missing.ends.is_empty() {
            return Ok(true);
        }
        if Clock.now().saturating_since(began) > patience {
            return Ok(false);
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Partitions that are not stored as far as they must be.
struct Missing {
    ids: BTreeMap<String, String>,
    ends: BTreeMap<(String, u32), u64>,
}

impl Missing {
    fn find<R: TopicRecords>(
        records: &mut R,
        request: &Request,
    ) -> Result<Self, VerifyError<R::Error>> {
        let (mut ids, mut ends) = (BTreeMap::new(), BTreeMap::new());
        for topic in &request.topics {
            let facts = facts(records, topic)?;
            for partition in 0..facts.partitions {
                let bounds = records.bounds(topic, partition).map_err(|e| reading(topic, e))?;
                if bounds.end > bounds.start {
                    ends.insert((topic.clone(), partition), bounds.end);
                }
            }
            ids.insert(topic.clone(), facts.id);
        }
        Ok(Self { ids, ends })
    }

    /// Strikes out what is stored by now.
    fn strike<R: TopicRecords>(
        &mut self,
        records: &mut R,
        request: &Request,
        watch: &dyn Watch,
    ) -> Result<(), VerifyError<R::Error>> {
        let letters = match watch.counts_dead_letters() {
            true => DeadLetters::default(),
            false => dead_letters(records, request)?,
        };
        for ((topic, partition), end) in std::mem::take(&mut self.ends) {
            let stored = watch.stored_to(&topic, partition);
            let set_aside = letters.of(&topic, &self.ids[&topic], partition);
            let open = stored..end;
            if stored < end && has_records(records, (&topic, partition), open, &set_aside)? {
                self.ends.insert((topic, partition), end);
            }
        }
        Ok(())
    }
}

fn has_records<R: TopicRecords>(
    records: &mut R,
    (topic, partition): (&str, u32),
    range: Range<u64>,
    set_aside: &OfPartition,
) -> Result<bool, VerifyError<R::Error>> {
    let start = records.bounds(topic, partition).map_err(|e| reading(topic, e))?.start;
    let mut found = false;
    let mut look = |record: &Record<'_>| {
        let is_within = record.offset < range.end;
        found = is_within && !set_aside.contains_key(&record.offset);
        is_within && !found
    };
    records
        .read(topic, partition, range.start.max(start), &mut look)
        .map_err(|source| reading(topic, source))?;
    Ok(found)
}
