//! Pure. What verification asks of a place where rows are stored, whatever that is.

use std::collections::BTreeMap;
use std::error::Error;

use super::compare::Rows;
use super::record::TopicFacts;

/// Why something could not be read.
pub type Unread = Box<dyn Error + Send + Sync>;

/// Where rows of topics are stored.
pub trait Sink {
    /// What is stored of a topic by now.
    fn topic<'a>(
        &'a self,
        topic: &str,
        facts: &TopicFacts,
    ) -> Result<Box<dyn StoredTopic + 'a>, Unread>;

    /// For looking again and again at how far topics are stored; `ids` are theirs.
    fn watch(&self, ids: BTreeMap<String, String>) -> Box<dyn Watch + '_>;
}

/// What is stored of one topic.
pub trait StoredTopic {
    /// One more than the highest partition of which something is stored.
    fn partitions(&self) -> u32;

    /// The rows of a partition, and the end of what is stored without a hole.
    fn partition(&mut self, partition: u32) -> Result<(Rows, u64), Unread>;

    /// What was found besides, once all partitions were asked for.
    fn aside(&mut self) -> Aside;
}

/// What is found besides rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Aside {
    pub objects: u64,
    pub merged_files: u64,
    pub objects_of_earlier_topics: u64,
    /// What is wrong with the place itself, in words.
    pub problems: Vec<String>,
}

/// How far topics are stored.
pub trait Watch {
    fn look(&mut self) -> Result<(), Unread>;

    /// By the last look: the end of what is stored without a hole.
    fn stored_to(&self, topic: &str, partition: u32) -> u64;

    /// Whether a record that was set aside counts as stored in that; else nothing of it is seen here.
    fn counts_dead_letters(&self) -> bool;
}

const PROBLEMS_MAX: usize = 20;

impl Aside {
    /// Keeps the first few.
    pub fn problem(&mut self, problem: String) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(problem);
        }
    }
}
