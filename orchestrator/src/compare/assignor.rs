//! Pure. A model of Kafka's own assignors, which balance the count of partitions, not their load.

use std::collections::BTreeMap;

use super::contestant::Contestant;
use super::trace::{Name, Step};

/// Which of Kafka's assignors is modelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// `RangeAssignor`: of each topic, consecutive partitions; nothing is remembered.
    Range,
    /// `CooperativeStickyAssignor`: equal counts over all topics, as few moves as these allow.
    CooperativeSticky,
}

/// A consumer group whose number of members is given step by step.
pub struct Assignor {
    name: String,
    strategy: Strategy,
    topics: Topics,
    members: Vec<u32>,
    steps: usize,
    owners: Vec<Option<u32>>,
}

impl Assignor {
    /// A group with `members[i]` consumers at step `i`, and the last number afterwards; at least
    /// one. `names` are the trace's.
    pub fn new(
        name: impl Into<String>,
        strategy: Strategy,
        names: &[String],
        members: Vec<u32>,
    ) -> Self {
        let owners = vec![None; names.len()];
        Self { name: name.into(), strategy, topics: topics(names), members, steps: 0, owners }
    }

    fn members_now(&self) -> u32 {
        let step = self.steps.saturating_sub(1);
        self.members.get(step).or(self.members.last()).copied().unwrap_or(1).max(1)
    }
}

impl Contestant for Assignor {
    fn name(&self) -> &str {
        &self.name
    }

    fn assign(&mut self, _step: &Step) -> Vec<u32> {
        self.steps += 1;
        let members = self.members_now();
        let owners = match self.strategy {
            Strategy::Range => range(&self.topics, members),
            Strategy::CooperativeSticky => cooperative_sticky(&self.owners, members),
        };
        self.owners = owners.iter().copied().map(Some).collect();
        owners
    }

    fn running(&self) -> Option<u32> {
        Some(self.members_now())
    }
}

/// `percent` more of each number, rounded up.
pub fn raised(members: &[u32], percent: u32) -> Vec<u32> {
    let raise = |members: u32| {
        let hundredths = u64::from(members) * (100 + u64::from(percent));
        u32::try_from(hundredths.div_ceil(100)).unwrap_or(u32::MAX)
    };
    members.iter().copied().map(raise).collect()
}

/// The partitions of each topic, by their places in the trace, in ascending order of their numbers.
pub(super) type Topics = Vec<Vec<usize>>;

pub(super) fn topics(names: &[String]) -> Topics {
    let mut topics = BTreeMap::<String, Vec<usize>>::new();
    for (place, name) in names.iter().enumerate() {
        let topic = Name::parse(name).map_or_else(|| name.clone(), |name| name.topic);
        topics.entry(topic).or_default().push(place);
    }
    topics.into_values().collect()
}

/// Kafka's `RangeAssignor`: of each topic the first (partitions mod members) members get one more
/// than the others, in ranges. Members are numbered from 1.
pub(super) fn range(topics: &Topics, members: u32) -> Vec<u32> {
    let members = usize::try_from(members.max(1)).unwrap_or(usize::MAX);
    let mut owners = vec![1; topics.iter().map(Vec::len).sum()];
    for partitions in topics {
        let (each, extra) = (partitions.len() / members, partitions.len() % members);
        let mut ranges = (0..members).flat_map(|member| {
            let length = each + usize::from(member < extra);
            std::iter::repeat_n(id(member), length)
        });
        for place in partitions {
            owners[*place] = ranges.next().unwrap_or(1);
        }
    }
    owners
}

/// Kafka's `CooperativeStickyAssignor` where all members read the same topics
/// (`AbstractStickyAssignor`, constrained assignment; KIP-54, KIP-429): each member keeps what it
/// holds up to its quota, ⌊partitions ÷ members⌋, or one more while the remainder lasts; what is
/// left is dealt in order of topic and partition to those below their quota, in turn. Members are
/// numbered from 1; those above `members` have left the group.
pub(super) fn cooperative_sticky(previous: &[Option<u32>], members: u32) -> Vec<u32> {
    let count = usize::try_from(members.max(1)).unwrap_or(usize::MAX);
    let (quota, mut extra) = (previous.len() / count, previous.len() % count);
    let mut held: Vec<Vec<usize>> = vec![Vec::new(); count.min(previous.len().max(1))];
    for (place, owner) in previous.iter().enumerate() {
        let member = owner.and_then(|owner| usize::try_from(owner).ok()?.checked_sub(1));
        if let Some(kept) = member.and_then(|member| held.get_mut(member)) {
            kept.push(place);
        }
    }
    for kept in &mut held {
        let keeps_extra = kept.len() > quota && extra > 0;
        extra -= usize::from(keeps_extra);
        kept.truncate(quota + usize::from(keeps_extra));
    }
    let mut owners = vec![None; previous.len()];
    for (member, kept) in held.iter().enumerate() {
        for place in kept {
            owners[*place] = Some(id(member));
        }
    }
    let mut dealt = deal(&held, quota, extra).into_iter();
    owners.into_iter().map(|owner| owner.or_else(|| dealt.next()).unwrap_or(1)).collect()
}

/// Who gets the next free partition, and the next: in turn the members below the quota until none
/// is, then one more each for as many as `extra` allows.
fn deal(held: &[Vec<usize>], quota: usize, extra: usize) -> Vec<u32> {
    let mut counts: Vec<usize> = held.iter().map(Vec::len).collect();
    let mut order = Vec::new();
    while counts.iter().any(|count| *count < quota) {
        for (member, count) in counts.iter_mut().enumerate() {
            if *count < quota {
                *count += 1;
                order.push(id(member));
            }
        }
    }
    let at_quota = counts.iter().enumerate().filter(|(_, count)| **count == quota);
    order.extend(at_quota.map(|(member, _)| id(member)).take(extra));
    order
}

fn id(member: usize) -> u32 {
    u32::try_from(member + 1).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn names(topics: &[(&str, u32)]) -> Vec<String> {
        let names = |(topic, count): &(&str, u32)| {
            let topic = (*topic).to_owned();
            (0..*count).map(move |partition| format!("{topic}/{partition}"))
        };
        topics.iter().flat_map(names).collect()
    }

    /// The example of the `RangeAssignor`'s documentation: two topics of three, two members.
    #[test]
    fn range_gives_the_first_members_one_more_of_each_topic() {
        let topics = topics(&names(&[("t0", 3), ("t1", 3)]));
        assert_eq!(range(&topics, 2), [1, 1, 2, 1, 1, 2]);
        assert_eq!(range(&topics, 5), [1, 2, 3, 1, 2, 3]);
        assert_eq!(range(&super::topics(&names(&[("t0", 7)])), 3), [1, 1, 1, 2, 2, 3, 3]);
    }

    #[test]
    fn sticky_deals_in_turn_at_first_and_keeps_afterwards() {
        let first = cooperative_sticky(&[None; 7], 3);
        assert_eq!(first, [1, 2, 3, 1, 2, 3, 1]);
        let first: Vec<_> = first.into_iter().map(Some).collect();
        // Member 3 leaves: what it held goes to the others, who keep all they had.
        assert_eq!(cooperative_sticky(&first, 2), [1, 2, 2, 1, 2, 1, 1]);
        // Two join: the quota is 1, and two keep one more.
        assert_eq!(cooperative_sticky(&first, 5), [1, 2, 3, 1, 2, 4, 5]);
    }

    #[test]
    fn numbers_are_raised_and_rounded_up() {
        assert_eq!(raised(&[1, 5, 10, 11], 60), [2, 8, 16, 18]);
    }

    proptest! {
        /// Counts differ by one at most, and no more moves than the counts demand.
        #[test]
        fn sticky_is_balanced_by_count_and_moves_no_more_than_it_must(
            partitions in 1_usize..60,
            members in prop::collection::vec(1_u32..20, 2..6),
        ) {
            let mut owners: Vec<Option<u32>> = vec![None; partitions];
            for members in members {
                let next = cooperative_sticky(&owners, members);
                let count = |id: u32| next.iter().filter(|owner| **owner == id).count();
                let counts: Vec<usize> = (1..=members).map(count).collect();
                let (min, max) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
                prop_assert!(max - min <= 1, "{counts:?}");
                prop_assert_eq!(counts.iter().sum::<usize>(), partitions);
                prop_assert_eq!(kept(&owners, &next), kept_at_most(&owners, members));
                owners = next.into_iter().map(Some).collect();
            }
        }
    }

    fn kept(before: &[Option<u32>], after: &[u32]) -> usize {
        before.iter().zip(after).filter(|(before, after)| **before == Some(**after)).count()
    }

    /// Of those who stay, each can keep the quota, and as many as there are extras one more.
    fn kept_at_most(before: &[Option<u32>], members: u32) -> usize {
        let members = members as usize;
        let (quota, extra) = (before.len() / members, before.len() % members);
        let staying: BTreeSet<u32> = before.iter().flatten().copied().collect();
        let held = staying.into_iter().filter(|owner| *owner as usize <= members);
        let held: Vec<usize> = held
            .map(|owner| before.iter().filter(|before| **before == Some(owner)).count())
            .collect();
        let above = held.iter().filter(|count| **count > quota).count();
        held.iter().map(|count| *count.min(&quota)).sum::<usize>() + above.min(extra)
    }
}
