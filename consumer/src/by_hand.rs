//! Pure. A consumer without a leader: what people ask on its own partition becomes its assignment.

use std::collections::{BTreeMap, BTreeSet};

use common::identity::{Incarnation, TopicId};
use common::messages::Extra;
use common::messages::command::{Assign, AssignedPartition, AssignedTopic, Source};
use common::partition::TopicPartition;
use common::term::{Generation, Sequence, Term};

use crate::topics::KnownTopics;

/// How topics are read that people ask for: into a table of their own name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    pub format: String,
    pub sink: String,
    /// Of the format.
    pub options: BTreeMap<String, String>,
}

/// The wishes of people, as the leader of one consumer.
#[derive(Clone, Debug)]
pub struct ByHand {
    term: Term,
    reading: Reading,
    wishes: BTreeMap<String, Wish>,
    given: BTreeMap<TopicPartition, (TopicId, Term)>,
    last: Option<(Incarnation, Wanted)>,
    is_to_repeat: bool,
}

/// What is to be read, with the id that its topic has now.
type Wanted = BTreeMap<TopicPartition, TopicId>;

/// What of a topic is to be read.
#[derive(Clone, Debug, Default)]
struct Wish {
    is_all: bool,
    /// What is read beside `is_all`.
    wanted: BTreeSet<u32>,
    /// What is not read in spite of `is_all`.
    unwanted: BTreeSet<u32>,
}

impl Wish {
    fn holds(&self, partition: u32) -> bool {
        let is_wanted = self.is_all || self.wanted.contains(&partition);
        is_wanted && !self.unwanted.contains(&partition)
    }
}

impl ByHand {
    /// Commands count from `sequence`, which must be higher than any that this consumer had before:
    /// the sink refuses writers of a lower term.
    pub fn new(generation: Generation, sequence: Sequence, reading: Reading) -> Self {
        Self {
            term: Term { generation, sequence },
            reading,
            wishes: BTreeMap::new(),
            given: BTreeMap::new(),
            last: None,
            is_to_repeat: false,
        }
    }

    pub fn generation(&self) -> Generation {
        self.term.generation
    }

    /// `partitions` empty means all of the topic.
    pub fn start(&mut self, topic: &str, partitions: &[u32]) {
        let wish = self.wishes.entry(topic.into()).or_default();
        if partitions.is_empty() {
            *wish = Wish { is_all: true, ..Wish::default() };
        }
        for partition in partitions {
            wish.unwanted.remove(partition);
            wish.wanted.insert(*partition);
        }
    }

    /// `partitions` empty means all of the topic.
    pub fn stop(&mut self, topic: &str, partitions: &[u32]) {
        if partitions.is_empty() {
            self.wishes.remove(topic);
        }
        if let Some(wish) = self.wishes.get_mut(topic) {
            for partition in partitions {
                wish.wanted.remove(partition);
                wish.unwanted.insert(*partition);
            }
        }
    }

    /// The topics that are to be looked up.
    pub fn topics(&self) -> impl Iterator<Item = &str> {
        self.wishes.keys().map(String::as_str)
    }

    /// A partition ended, or a person asks again: what is wanted has to be said again.
    pub fn repeat(&mut self) {
        self.is_to_repeat = true;
    }

    /// The command that follows from the wishes, if it is not what was said last.
    pub fn assign(&mut self, incarnation: Incarnation, known: &KnownTopics) -> Option<Assign> {
        let wanted = self.wanted(known);
        let this = (incarnation, wanted.clone());
        let is_said = self.last.as_ref().is_some_and(|last| *last == this);
        if is_said && !self.is_to_repeat {
            return None;
        }
        self.is_to_repeat = false;
        self.term.sequence.0 += 1;
        if self.last.as_ref().is_some_and(|(last, _)| *last != incarnation) {
            self.given.clear();
        }
        self.last = Some(this);
        self.given.retain(|partition, (id, _)| wanted.get(partition) == Some(id));
        for (partition, id) in wanted {
            self.given.entry(partition).or_insert((id, self.term));
        }
        Some(Assign {
            term: self.term,
            incarnation,
            // Nobody but this process reads its answers.
            answer_read: u64::MAX,
            end: false,
            topics: self.assigned_topics(known),
            extra: Extra::new(),
        })
    }

    fn wanted(&self, known: &KnownTopics) -> Wanted {
        let mut wanted = Wanted::new();
        for (name, wish) in &self.wishes {
            let Some(topic) = known.get(name) else { continue };
            let partitions = topic.partitions.keys().filter(|partition| wish.holds(**partition));
            let partition = |number: &u32| (TopicPartition::new(name, *number), topic.id);
            wanted.extend(partitions.map(partition));
        }
        wanted
    }

    fn assigned_topics(&self, known: &KnownTopics) -> Vec<AssignedTopic> {
        let topic = |name: &String| {
            let topic_id = known.get(name)?.id;
            let given = self.given.iter().filter(|(partition, _)| partition.topic() == name);
            let partitions = given.map(|(partition, (_, since))| AssignedPartition {
                partition: partition.partition(),
                since: *since,
                hand_over: None,
                new_table: false,
            });
            let Reading { format, sink, options } = self.reading.clone();
            let source = Source { table: name.clone(), format, sink, options };
            let partitions = partitions.collect();
            Some(AssignedTopic { topic: name.clone(), topic_id, source, partitions })
        };
        self.wishes.keys().filter_map(topic).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::kafka::wire::cluster::{Partition, Topic};
    use uuid::Uuid;

    const ME: Incarnation = Incarnation(1);

    fn known(partitions: u32) -> KnownTopics {
        known_as(1, partitions)
    }

    fn known_as(id: u128, partitions: u32) -> KnownTopics {
        let partition = Partition { leader: None, leader_epoch: None };
        let partitions = (0..partitions).map(|number| (number, partition)).collect();
        let id = TopicId(Uuid::from_u128(id));
        KnownTopics::of([("orders".into(), Topic { id, is_internal: false, partitions })])
    }

    fn by_hand() -> ByHand {
        let reading =
            Reading { format: "json".into(), sink: "parquet".into(), options: BTreeMap::new() };
        ByHand::new(Generation(3), Sequence(100), reading)
    }

    fn numbers(assign: &Assign) -> Vec<(u32, u64)> {
        let partitions = assign.partitions();
        partitions.map(|(p, _, given)| (p.partition(), given.since.sequence.0)).collect()
    }

    #[test]
    fn wishes_become_assignments_that_are_said_once() {
        let mut by_hand = by_hand();
        by_hand.start("orders", &[]);
        let first = by_hand.assign(ME, &known(2)).unwrap();
        assert_eq!(numbers(&first), [(0, 101), (1, 101)]);
        assert_eq!(by_hand.assign(ME, &known(2)), None);
        by_hand.stop("orders", &[0]);
        let second = by_hand.assign(ME, &known(3)).unwrap();
        assert_eq!(numbers(&second), [(1, 101), (2, 102)], "what stays keeps its term");
        by_hand.start("orders", &[0]);
        assert_eq!(numbers(&by_hand.assign(ME, &known(3)).unwrap())[0], (0, 103));
        by_hand.stop("orders", &[]);
        assert_eq!(numbers(&by_hand.assign(ME, &known(3)).unwrap()), []);
    }

    #[test]
    fn a_new_incarnation_gets_everything_anew_under_a_higher_term() {
        let mut by_hand = by_hand();
        by_hand.start("orders", &[1]);
        by_hand.assign(ME, &known(2)).unwrap();
        let again = by_hand.assign(Incarnation(2), &known(2)).unwrap();
        assert_eq!((again.incarnation, numbers(&again)), (Incarnation(2), vec![(1, 102)]));
        by_hand.repeat();
        let repeated = by_hand.assign(Incarnation(2), &known(2)).unwrap();
        assert_eq!(repeated.term.sequence, Sequence(103));
    }

    #[test]
    fn a_topic_that_was_created_again_is_begun_again() {
        let mut by_hand = by_hand();
        by_hand.start("orders", &[]);
        by_hand.assign(ME, &known_as(1, 1)).unwrap();
        let again = by_hand.assign(ME, &known_as(2, 1)).unwrap();
        assert_eq!(again.topics[0].topic_id, TopicId(Uuid::from_u128(2)));
        assert_eq!(numbers(&again), [(0, 102)]);
    }

    #[test]
    fn a_topic_that_does_not_exist_is_not_read() {
        let mut by_hand = by_hand();
        by_hand.start("payments", &[]);
        assert_eq!(numbers(&by_hand.assign(ME, &known(2)).unwrap()), []);
    }
}
