//! Pure. What people asked for: partitions that are not to be read, and partitions that are pinned.

use std::collections::BTreeMap;

use common::identity::ConsumerId;
use common::messages::request::{StartConsuming, StopConsuming, Unpin};
use common::messages::snapshot::StandingRequest;
use common::partition::TopicPartition;

use crate::plan::snapshot::Wish;

/// Stands in a standing request for "at whichever consumer": an exception from what holds for the
/// whole topic. Consumers are numbered from 1.
pub const ANYWHERE: ConsumerId = ConsumerId(0);

/// All requests that hold until they are lifted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    topics: BTreeMap<String, TopicWishes>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct TopicWishes {
    whole: Wish,
    /// Exceptions, by partition.
    partitions: BTreeMap<u32, Wish>,
}

impl Wishes {
    pub fn from_standing(requests: &[StandingRequest]) -> Self {
        let mut wishes = Self::default();
        for request in requests {
            let wish = match request.pinned_to {
                None => Wish::Excluded,
                Some(ANYWHERE) => Wish::None,
                Some(consumer) => Wish::Pinned(consumer),
            };
            wishes.put(&request.topic, &request.partitions, wish);
        }
        wishes
    }

    /// The same as a list: what holds for whole topics first, then the exceptions.
    pub fn to_standing(&self) -> Vec<StandingRequest> {
        let mut requests = vec![];
        for (topic, wishes) in &self.topics {
            let request = |partitions: Vec<u32>, wish: Wish| StandingRequest {
                topic: topic.clone(),
                partitions,
                pinned_to: match wish {
                    Wish::None => Some(ANYWHERE),
                    Wish::Pinned(consumer) => Some(consumer),
                    Wish::Excluded => None,
                },
            };
            if wishes.whole != Wish::None {
                requests.push(request(vec![], wishes.whole));
            }
            let exceptions = wishes.partitions.iter();
            requests.extend(exceptions.map(|(partition, wish)| request(vec![*partition], *wish)));
        }
        requests
    }

    /// Reading goes on; a consumer that is named is preferred.
    pub fn start(&mut self, request: &StartConsuming) {
        let wish = match request.consumer {
            None | Some(ANYWHERE) => Wish::None,
            Some(consumer) => Wish::Pinned(consumer),
        };
        self.put(&request.topic, &request.partitions, wish);
    }

    pub fn stop(&mut self, request: &StopConsuming) {
        self.put(&request.topic, &request.partitions, Wish::Excluded);
    }

    /// What is not to be read stays so.
    pub fn unpin(&mut self, request: &Unpin) {
        let Some(wishes) = self.topics.get_mut(&request.topic) else { return };
        let whole = wishes.whole;
        let unpinned = |wish: Wish| match wish {
            Wish::Pinned(_) | Wish::None => Wish::None,
            Wish::Excluded => Wish::Excluded,
        };
        if request.partitions.is_empty() {
            wishes.whole = unpinned(whole);
            wishes.partitions.values_mut().for_each(|wish| *wish = unpinned(*wish));
        }
        for partition in &request.partitions {
            let wish = wishes.partitions.entry(*partition).or_insert(whole);
            *wish = unpinned(*wish);
        }
        self.forget_what_says_nothing(&request.topic);
    }

    pub fn of(&self, partition: &TopicPartition) -> Wish {
        let Some(wishes) = self.topics.get(partition.topic()) else { return Wish::None };
        wishes.partitions.get(&partition.partition()).copied().unwrap_or(wishes.whole)
    }

    /// The last request on a partition counts; no partition named means all of them.
    fn put(&mut self, topic: &str, partitions: &[u32], wish: Wish) {
        let wishes = self.topics.entry(topic.to_owned()).or_default();
        if partitions.is_empty() {
            *wishes = TopicWishes { whole: wish, partitions: BTreeMap::new() };
        }
        wishes.partitions.extend(partitions.iter().map(|partition| (*partition, wish)));
        self.forget_what_says_nothing(topic);
    }

    /// Exceptions that are none, and topics without a wish.
    fn forget_what_says_nothing(&mut self, topic: &str) {
        if let Some(wishes) = self.topics.get_mut(topic) {
            let whole = wishes.whole;
            wishes.partitions.retain(|_, exception| *exception != whole);
        }
        self.topics.retain(|_, wishes| *wishes != TopicWishes::default());
    }
}

#[cfg(test)]
mod tests {
    use common::messages::Extra;
    use proptest::prelude::*;

    use super::*;

    fn start(partitions: Vec<u32>, consumer: Option<u32>) -> StartConsuming {
        let consumer = consumer.map(ConsumerId);
        StartConsuming { topic: "orders".into(), partitions, consumer, extra: Extra::new() }
    }

    fn stop(partitions: Vec<u32>) -> StopConsuming {
        StopConsuming { topic: "orders".into(), partitions, extra: Extra::new() }
    }

    fn orders(partition: u32) -> TopicPartition {
        TopicPartition::new("orders", partition)
    }

    #[test]
    fn a_later_request_lifts_an_earlier_one() {
        let mut wishes = Wishes::default();
        wishes.stop(&stop(vec![]));
        wishes.start(&start(vec![3], None));
        wishes.start(&start(vec![4], Some(2)));
        assert_eq!(wishes.of(&orders(0)), Wish::Excluded);
        assert_eq!(wishes.of(&orders(3)), Wish::None);
        assert_eq!(wishes.of(&orders(4)), Wish::Pinned(ConsumerId(2)));
        assert_eq!(wishes.of(&TopicPartition::new("payments", 0)), Wish::None);
        wishes.start(&start(vec![], None));
        assert_eq!(wishes, Wishes::default());
    }

    fn unpin(partitions: Vec<u32>) -> Unpin {
        Unpin { topic: "orders".into(), partitions, extra: Extra::new() }
    }

    #[test]
    fn unpinning_starts_nothing_that_is_not_to_be_read() {
        let mut wishes = Wishes::default();
        wishes.unpin(&unpin(vec![1]));
        assert_eq!(wishes, Wishes::default());
        wishes.start(&start(vec![], Some(2)));
        wishes.stop(&stop(vec![3]));
        wishes.unpin(&unpin(vec![3, 4]));
        assert_eq!(wishes.of(&orders(3)), Wish::Excluded);
        assert_eq!(wishes.of(&orders(4)), Wish::None);
        assert_eq!(wishes.of(&orders(5)), Wish::Pinned(ConsumerId(2)));
        wishes.unpin(&unpin(vec![]));
        assert_eq!(wishes.of(&orders(3)), Wish::Excluded);
        assert_eq!(wishes.of(&orders(5)), Wish::None);
    }

    proptest! {
        /// Whatever was asked, the list of standing requests says the same.
        #[test]
        fn what_is_listed_is_read_back(
            asked in prop::collection::vec(
                (any::<bool>(), prop::collection::vec(0u32..4, 0..3), prop::option::of(0u32..3)),
                0..8,
            ),
        ) {
            let mut wishes = Wishes::default();
            for (is_start, partitions, consumer) in asked {
                if is_start {
                    wishes.start(&start(partitions, consumer));
                } else {
                    wishes.stop(&stop(partitions));
                }
            }
            prop_assert_eq!(Wishes::from_standing(&wishes.to_standing()), wishes);
        }
    }
}
