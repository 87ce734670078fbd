//! Pure. How far each partition is stored, and what of that Kafka has yet to be told.

use std::collections::BTreeMap;
use std::time::Duration;

use common::moment::Moment;
use common::partition::TopicPartition;
use common::position::{CommitMetadata, Position};

/// Kafka forgets offsets that are old, so they are committed again long before.
const REPEAT_AFTER: Duration = Duration::from_secs(3600);

/// A position to be committed: everything below it is stored, dead-lettered or skipped by rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commit {
    pub position: Position,
    /// First offset of the newest object of the chain, where the sink has one.
    pub object: Option<u64>,
}

impl Commit {
    pub fn offset(&self) -> u64 {
        self.position.offset
    }

    /// What is committed beside the offset.
    pub fn metadata(&self) -> CommitMetadata {
        CommitMetadata::new(&self.position, self.object)
    }
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    wanted: Commit,
    /// What Kafka acknowledged last, and when.
    acknowledged: Option<(Commit, Moment)>,
}

/// The commits of all partitions that are owned.
#[derive(Clone, Debug, Default)]
pub struct Offsets {
    entries: BTreeMap<TopicPartition, Entry>,
}

impl Offsets {
    /// Asks for a commit. It replaces the one before; positions of an owner only go up.
    pub fn want(&mut self, partition: &TopicPartition, wanted: Commit) {
        let fresh = Entry { wanted, acknowledged: None };
        let entry = self.entries.entry(partition.clone()).or_insert(fresh);
        if entry.wanted.offset() <= wanted.offset() {
            entry.wanted = wanted;
        }
    }

    /// What is to be committed at `now`: what Kafka has not acknowledged, or longer than an hour ago.
    pub fn due(&self, now: Moment) -> Vec<(TopicPartition, Commit)> {
        let is_due = |entry: &Entry| match entry.acknowledged {
            Some((commit, at)) => {
                commit != entry.wanted || now.saturating_since(at) >= REPEAT_AFTER
            }
            None => true,
        };
        let due = self.entries.iter().filter(|(_, entry)| is_due(entry));
        due.map(|(partition, entry)| (partition.clone(), entry.wanted)).collect()
    }

    pub fn acknowledge(&mut self, partition: &TopicPartition, commit: Commit, now: Moment) {
        if let Some(entry) = self.entries.get_mut(partition) {
            entry.acknowledged = Some((commit, now));
        }
    }

    /// Takes what Kafka has: a late commit of a former owner may have replaced ours. Returns whether
    /// it did.
    pub fn read_back(&mut self, partition: &TopicPartition, found: Option<u64>) -> bool {
        let Some(entry) = self.entries.get_mut(partition) else { return false };
        let Some((commit, _)) = entry.acknowledged else { return false };
        let is_replaced = found != Some(commit.offset());
        if is_replaced {
            entry.acknowledged = None;
        }
        is_replaced
    }

    /// Whether the last position that was asked for is committed.
    pub fn is_committed(&self, partition: &TopicPartition) -> bool {
        self.entries.get(partition).is_none_or(|entry| {
            entry.acknowledged.is_some_and(|(commit, _)| commit == entry.wanted)
        })
    }

    /// The partition is no longer ours: nothing more is committed for it.
    pub fn forget(&mut self, partition: &TopicPartition) {
        self.entries.remove(partition);
    }

    pub fn partitions(&self) -> impl Iterator<Item = &TopicPartition> {
        self.entries.keys()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::identity::TopicId;
    use proptest::prelude::*;
    use uuid::Uuid;

    fn commit(offset: u64) -> Commit {
        let topic_id = TopicId(Uuid::from_u128(1));
        let position = Position { offset, leader_epoch: None, topic_id, table_id: None };
        Commit { position, object: Some(offset) }
    }

    fn at(seconds: u64) -> Moment {
        Moment::since_boot(Duration::from_secs(seconds))
    }

    #[test]
    fn a_commit_is_repeated_until_acknowledged_and_then_hourly() {
        let p = TopicPartition::new("orders", 0);
        let mut offsets = Offsets::default();
        offsets.want(&p, commit(5));
        assert_eq!(offsets.due(at(0)), [(p.clone(), commit(5))]);
        offsets.acknowledge(&p, commit(5), at(1));
        assert!(offsets.is_committed(&p) && offsets.due(at(3_600)).is_empty());
        assert_eq!(offsets.due(at(3_601)), [(p.clone(), commit(5))]);
        offsets.want(&p, commit(6));
        assert!(!offsets.is_committed(&p));
        offsets.forget(&p);
        assert!(offsets.due(at(9_999)).is_empty() && offsets.is_committed(&p));
    }

    #[test]
    fn what_another_committed_is_overwritten() {
        let p = TopicPartition::new("orders", 0);
        let mut offsets = Offsets::default();
        offsets.want(&p, commit(5));
        assert!(!offsets.read_back(&p, None), "ours has not arrived yet");
        offsets.acknowledge(&p, commit(5), at(0));
        assert!(!offsets.read_back(&p, Some(5)));
        assert!(offsets.read_back(&p, Some(3)));
        assert_eq!(offsets.due(at(0)), [(p, commit(5))]);
    }

    proptest! {
        /// Whatever is asked for and acknowledged in between, what is due is the highest position
        /// asked for, until exactly that one is acknowledged.
        #[test]
        fn the_highest_position_ends_up_committed(steps in prop::collection::vec((0u64..9, any::<bool>()), 1..30)) {
            let p = TopicPartition::new("orders", 0);
            let mut offsets = Offsets::default();
            let mut highest = None;
            let mut acknowledged = None;
            for (offset, is_want) in steps {
                if is_want {
                    offsets.want(&p, commit(offset));
                    highest = highest.max(Some(offset));
                } else if let Some((_, due)) = offsets.due(at(0)).first() {
                    offsets.acknowledge(&p, *due, at(0));
                    acknowledged = Some(due.offset());
                }
                let due: Vec<_> = offsets.due(at(0)).iter().map(|(_, due)| due.offset()).collect();
                let expected: Vec<_> = highest.filter(|_| highest != acknowledged).into_iter().collect();
                prop_assert_eq!(due, expected);
            }
        }
    }
}
