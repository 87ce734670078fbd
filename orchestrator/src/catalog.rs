//! Pure. The topics that are to be read, as Kafka knows them: their ids and how many partitions they have.

use std::collections::{BTreeMap, BTreeSet};

use common::identity::TopicId;
use common::kafka::wire::cluster::Cluster;

/// So many answers in a row must lack a topic until it counts as deleted.
const MISSING_MAX: u32 = 3;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    pub id: TopicId,
    pub partitions: u32,
    /// How many answers in a row lacked it.
    missing: u32,
}

/// What the brokers said last about each topic that was asked for.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    topics: BTreeMap<String, Topic>,
    /// The topics that the last answer was about.
    asked: BTreeSet<String>,
}

impl Catalog {
    /// Takes an answer about the topics `asked`. Returns what changed, for people. A topic that the
    /// brokers refuse to describe stays as it was.
    pub fn take(&mut self, asked: BTreeSet<String>, cluster: &Cluster) -> Vec<String> {
        let mut changes = vec![];
        for name in &asked {
            match cluster.topics.get(name) {
                Some(found) => {
                    let partitions = u32::try_from(found.partitions.len()).unwrap_or(u32::MAX);
                    let found = Topic { id: found.id, partitions, missing: 0 };
                    changes.extend(self.put(name, found));
                }
                None if cluster.refused.contains_key(name) => {}
                None => changes.extend(self.miss(name)),
            }
        }
        self.asked = asked;
        changes
    }

    fn put(&mut self, name: &str, found: Topic) -> Option<String> {
        let known = self.topics.insert(name.to_owned(), found.clone());
        let partitions = found.partitions;
        match known {
            None => Some(format!("{name} exists, with {partitions} partitions")),
            Some(known) if known.id != found.id => {
                Some(format!("{name} was deleted and created again"))
            }
            Some(known) if known.partitions != partitions => {
                Some(format!("{name} has {partitions} partitions instead of {}", known.partitions))
            }
            Some(_) => None,
        }
    }

    fn miss(&mut self, name: &str) -> Option<String> {
        let known = self.topics.get_mut(name)?;
        known.missing += 1;
        if known.missing < MISSING_MAX {
            return None;
        }
        self.topics.remove(name);
        Some(format!("{name} does not exist any more"))
    }

    /// Whether the brokers were asked for all of these.
    pub fn covers<'a>(&self, topics: impl IntoIterator<Item = &'a String>) -> bool {
        topics.into_iter().all(|topic| self.asked.contains(topic))
    }

    pub fn topic(&self, name: &str) -> Option<&Topic> {
        self.topics.get(name)
    }
}

#[cfg(test)]
mod tests {
    use common::kafka::wire::cluster::{Partition, Topic as Described, TopicRefusal};
    use uuid::Uuid;

    use super::*;

    fn cluster(id: u128, partitions: u32) -> Cluster {
        let partition = Partition { leader: None, leader_epoch: None };
        let topic = Described {
            id: TopicId(Uuid::from_u128(id)),
            is_internal: false,
            partitions: (0..partitions).map(|number| (number, partition)).collect(),
        };
        Cluster { topics: [("orders".to_owned(), topic)].into(), ..Cluster::default() }
    }

    #[test]
    fn growth_and_a_new_id_are_changes_and_nothing_else_is() {
        let asked = BTreeSet::from(["orders".to_owned()]);
        let mut catalog = Catalog::default();
        assert!(!catalog.covers(&asked));
        let said = |catalog: &mut Catalog, id, partitions| {
            catalog.take(asked.clone(), &cluster(id, partitions)).join("; ")
        };
        assert_eq!(said(&mut catalog, 1, 2), "orders exists, with 2 partitions");
        assert_eq!(said(&mut catalog, 1, 2), "");
        assert_eq!(said(&mut catalog, 1, 4), "orders has 4 partitions instead of 2");
        assert_eq!(said(&mut catalog, 2, 4), "orders was deleted and created again");
    }

    #[test]
    fn one_answer_that_lacks_a_topic_does_not_make_it_vanish() {
        let asked = BTreeSet::from(["orders".to_owned()]);
        let mut catalog = Catalog::default();
        catalog.take(asked.clone(), &cluster(1, 2));
        let nothing = Cluster::default();
        let refused = [("orders".to_owned(), TopicRefusal::NotAllowed)].into();
        let refused = Cluster { refused, ..Cluster::default() };
        for answer in [&nothing, &refused, &nothing, &refused] {
            assert!(catalog.take(asked.clone(), answer).is_empty());
        }
        assert_eq!(catalog.take(asked, &nothing), ["orders does not exist any more"]);
        assert!(catalog.topic("orders").is_none());
    }
}
