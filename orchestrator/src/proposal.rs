//! Pure. A plan that waits for a person's approval.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use common::identity::ConsumerId;
use common::partition::TopicPartition;
use serde::{Deserialize, Serialize};

use crate::decision::{ChangedConsumer, Decision};

/// A plan with its reasons, under a name that no other plan has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    /// What `approve` asks for: eight hexadecimal digits.
    pub name: String,
    pub decision: Decision,
}

/// What is to be once a proposal is carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approved {
    pub create: Vec<ConsumerId>,
    pub remove: Vec<ConsumerId>,
    pub owners: BTreeMap<TopicPartition, ConsumerId>,
}

impl Proposal {
    pub fn new(decision: Decision) -> Self {
        let text = serde_json::to_string(&decision).expect("a decision is always JSON");
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        let name = format!("{:08x}", hasher.finish() >> 32);
        Self { name, decision }
    }

    /// What it leads to from `owners` and `consumers`, or `None` if they are not as they were when it
    /// was made.
    pub fn from(
        &self,
        owners: &BTreeMap<TopicPartition, ConsumerId>,
        consumers: &BTreeSet<ConsumerId>,
    ) -> Option<Approved> {
        let changes = &self.decision.changes;
        let ids = |changed: &[ChangedConsumer]| changed.iter().map(|one| one.consumer).collect();
        let (create, remove): (Vec<_>, Vec<_>) = (ids(&changes.create), ids(&changes.remove));
        let is_there = |consumer: &ConsumerId| consumers.contains(consumer);
        if create.iter().any(is_there) || !remove.iter().all(is_there) {
            return None;
        }
        let mut owners = owners.clone();
        for planned in &changes.moves {
            let is_as_it_was = owners.get(&planned.partition).copied() == planned.from;
            if !is_as_it_was || !(is_there(&planned.to) || create.contains(&planned.to)) {
                return None;
            }
            owners.insert(planned.partition.clone(), planned.to);
        }
        // Who is to go may hold nothing that came to it since.
        let keeps = owners.values().any(|owner| remove.contains(owner));
        (!keeps).then_some(Approved { create, remove, owners })
    }
}

#[cfg(test)]
mod tests {
    use common::moment::Timestamp;
    use common::rate::BytesPerSecond;

    use super::*;
    use crate::decision::{Changes, DecidedMove};
    use crate::plan::snapshot::Scope;

    const ONE: ConsumerId = ConsumerId(1);
    const TWO: ConsumerId = ConsumerId(2);
    const THREE: ConsumerId = ConsumerId(3);

    fn orders(partition: u32) -> TopicPartition {
        TopicPartition::new("orders", partition)
    }

    /// Partition 0 goes from consumer 1, which is removed, to consumer 3, which is created.
    fn proposal(at: i64) -> Proposal {
        let changed = |consumer| ChangedConsumer { consumer, reason: "r".into() };
        let planned = DecidedMove {
            partition: orders(0),
            from: Some(ONE),
            to: THREE,
            demand: BytesPerSecond(5),
            cause: "closed".into(),
            reason: "r".into(),
        };
        let (create, remove) = (vec![changed(THREE)], vec![changed(ONE)]);
        let changes = Changes { create, remove, moves: vec![planned], ..Changes::default() };
        Proposal::new(Decision {
            at: Timestamp(at),
            trigger: "surplus".into(),
            reason: "r".into(),
            scope: Scope::Pack,
            changes,
        })
    }

    #[test]
    fn what_is_as_it_was_becomes_what_was_proposed() {
        let owners = [(orders(0), ONE), (orders(1), TWO)].into();
        let approved = proposal(1).from(&owners, &[ONE, TWO].into()).unwrap();
        assert_eq!((approved.create, approved.remove), (vec![THREE], vec![ONE]));
        assert_eq!(approved.owners, [(orders(0), THREE), (orders(1), TWO)].into());
    }

    #[test]
    fn what_has_changed_since_cannot_be_carried_out() {
        let both: BTreeSet<_> = [ONE, TWO].into();
        for (owners, consumers) in [
            (vec![(orders(0), TWO)], both.clone()),
            (vec![], both.clone()),
            (vec![(orders(0), ONE), (orders(2), ONE)], both),
            (vec![(orders(0), ONE)], [ONE, THREE].into()),
            (vec![(orders(0), ONE)], [TWO].into()),
        ] {
            let owners = owners.into_iter().collect();
            assert_eq!(proposal(1).from(&owners, &consumers), None, "{owners:?} {consumers:?}");
        }
    }

    #[test]
    fn the_same_plan_at_another_time_has_another_name() {
        assert_eq!(proposal(1).name, proposal(1).name);
        assert_ne!(proposal(1).name, proposal(2).name);
        assert_eq!(proposal(1).name.len(), 8);
    }
}
