//! Pure. The partitions that are measured, each under a dense index.

use std::collections::BTreeMap;
use std::sync::Arc;

use common::identity::TopicId;

/// Which broker leads a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BrokerId(pub i32);

impl std::fmt::Display for BrokerId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "broker {}", self.0)
    }
}

/// One topic as the cluster describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicFacts {
    pub name: Arc<str>,
    pub id: TopicId,
    /// The leader of each partition, by number from 0; `None` while it has none.
    pub leaders: Vec<Option<BrokerId>>,
}

/// The partitions of all topics, numbered through in the order of names and numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalog {
    topics: Vec<TopicFacts>,
    /// The index of the partition 0 of each topic, by name.
    first: BTreeMap<Arc<str>, usize>,
    /// By index, the topic's place and the partition's number.
    partitions: Vec<(u32, u32)>,
}

/// One partition of a catalog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    pub topic: &'a Arc<str>,
    pub topic_id: TopicId,
    pub partition: u32,
    pub leader: Option<BrokerId>,
}

impl Catalog {
    /// Of two topics of one name the first counts.
    pub fn new(mut topics: Vec<TopicFacts>) -> Self {
        topics.sort_by(|left, right| left.name.cmp(&right.name));
        topics.dedup_by(|later, first| later.name == first.name);
        let mut catalog = Self::default();
        for (place, topic) in (0u32..).zip(&topics) {
            catalog.first.insert(Arc::clone(&topic.name), catalog.partitions.len());
            let numbers = (0u32..).zip(&topic.leaders).map(|(number, _)| (place, number));
            catalog.partitions.extend(numbers);
        }
        catalog.topics = topics;
        catalog
    }

    pub fn len(&self) -> usize {
        self.partitions.len()
    }

    pub fn is_empty(&self) -> bool {
        self.partitions.is_empty()
    }

    pub fn topics(&self) -> &[TopicFacts] {
        &self.topics
    }

    pub fn index(&self, topic: &str, partition: u32) -> Option<usize> {
        let first = *self.first.get(topic)?;
        let index = first + usize::try_from(partition).ok()?;
        let &(place, number) = self.partitions.get(index)?;
        (*self.topic(place).name == *topic && number == partition).then_some(index)
    }

    /// # Panics
    /// If the index is not below [`Catalog::len`].
    pub fn entry(&self, index: usize) -> Entry<'_> {
        let (place, partition) = self.partitions[index];
        let topic = self.topic(place);
        Entry {
            topic: &topic.name,
            topic_id: topic.id,
            partition,
            leader: topic.leaders[self.place(partition)],
        }
    }

    pub fn entries(&self) -> impl Iterator<Item = Entry<'_>> {
        (0..self.len()).map(|index| self.entry(index))
    }

    /// The indices of what each broker leads.
    pub fn by_leader(&self) -> BTreeMap<BrokerId, Vec<usize>> {
        let mut led = BTreeMap::<BrokerId, Vec<usize>>::new();
        for (index, entry) in self.entries().enumerate() {
            if let Some(leader) = entry.leader {
                led.entry(leader).or_default().push(index);
            }
        }
        led
    }

    fn topic(&self, place: u32) -> &TopicFacts {
        &self.topics[self.place(place)]
    }

    fn place(&self, number: u32) -> usize {
        usize::try_from(number).expect("an index fits into the address space")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(name: &str, leaders: &[Option<i32>]) -> TopicFacts {
        TopicFacts {
            name: name.into(),
            id: format!("{:032x}", name.len()).parse().unwrap(),
            leaders: leaders.iter().map(|leader| leader.map(BrokerId)).collect(),
        }
    }

    #[test]
    fn indices_are_dense_and_go_both_ways() {
        let catalog = Catalog::new(vec![
            topic("payments", &[Some(1)]),
            topic("empty", &[]),
            topic("orders", &[Some(1), None, Some(2)]),
        ]);
        assert_eq!(catalog.len(), 4);
        for index in 0..catalog.len() {
            let entry = catalog.entry(index);
            assert_eq!(catalog.index(entry.topic, entry.partition), Some(index));
        }
        let names: Vec<_> = catalog.entries().map(|entry| entry.topic.to_string()).collect();
        assert_eq!(names, ["orders", "orders", "orders", "payments"]);
    }

    #[test]
    fn what_is_not_there_has_no_index() {
        let catalog =
            Catalog::new(vec![topic("orders", &[Some(1)]), topic("payments", &[Some(1)])]);
        assert_eq!(catalog.index("orders", 1), None, "that is the next topic's partition");
        assert_eq!(catalog.index("payments", 1), None);
        assert_eq!(catalog.index("refunds", 0), None);
    }

    #[test]
    fn partitions_without_a_leader_are_nobodys() {
        let catalog = Catalog::new(vec![topic("orders", &[Some(1), None, Some(2), Some(1)])]);
        let expected = [(BrokerId(1), vec![0, 3]), (BrokerId(2), vec![2])];
        assert_eq!(catalog.by_leader(), expected.into());
    }
}
