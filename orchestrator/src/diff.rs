//! Pure. What must change to turn what is observed into what is planned.

use std::collections::{BTreeMap, BTreeSet};

use common::identity::ConsumerId;
use common::partition::TopicPartition;

use crate::plan::Assignment;

/// Which consumers exist and who owns what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    pub consumers: BTreeSet<ConsumerId>,
    pub assignment: Assignment,
}

/// One partition's change of owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Move {
    /// `None`: it has no owner yet.
    pub from: Option<ConsumerId>,
    /// `None`: it is not to be read any more.
    pub to: Option<ConsumerId>,
}

/// The change from the observed group to the planned one. Consumers are created before the moves
/// and removed after them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diff {
    pub create: BTreeSet<ConsumerId>,
    pub moves: BTreeMap<TopicPartition, Move>,
    pub remove: BTreeSet<ConsumerId>,
}

impl Diff {
    pub fn between(observed: &Group, planned: &Group) -> Self {
        let partitions = observed.assignment.keys().chain(planned.assignment.keys());
        let moves = partitions.filter_map(|partition| {
            let from = observed.assignment.get(partition).copied();
            let to = planned.assignment.get(partition).copied();
            (from != to).then(|| (partition.clone(), Move { from, to }))
        });
        Self {
            create: planned.consumers.difference(&observed.consumers).copied().collect(),
            moves: moves.collect(),
            remove: observed.consumers.difference(&planned.consumers).copied().collect(),
        }
    }

    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The group after the change.
    pub fn apply_to(&self, observed: &Group) -> Group {
        let mut applied = observed.clone();
        applied.consumers.extend(&self.create);
        for (partition, change) in &self.moves {
            match change.to {
                Some(to) => applied.assignment.insert(partition.clone(), to),
                None => applied.assignment.remove(partition),
            };
        }
        applied.consumers.retain(|consumer| !self.remove.contains(consumer));
        applied
    }
}
