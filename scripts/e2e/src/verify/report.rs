//! Pure. The outcome of a verification, for people and for programs.

use std::fmt;

use serde::Serialize;

use super::compare::Counts;

/// What was found about one topic.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TopicReport {
    pub topic: String,
    #[serde(flatten)]
    pub counts: Counts,
    pub objects: u64,
    /// Files that hold what was merged, among them those of other topics of the table.
    pub merged_files: u64,
    /// Objects of a topic of the same name that was deleted since; only their chains are looked at.
    pub objects_of_earlier_topics: u64,
    /// What is wrong with chains and objects, in words.
    pub chain_problems: Vec<String>,
    /// A few of the offsets behind the counts.
    pub examples: Vec<String>,
}

/// What was found about all topics.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    pub topics: Vec<TopicReport>,
    /// Records of the dead-letter topic that do not say where they come from.
    pub unnamed_dead_letters: u64,
}

impl TopicReport {
    pub fn is_sound(&self) -> bool {
        self.counts.is_sound() && self.chain_problems.is_empty()
    }
}

impl Report {
    /// True if nothing was lost, doubled, disordered, changed or made up.
    pub fn is_sound(&self) -> bool {
        self.topics.iter().all(TopicReport::is_sound)
    }

    pub fn total(&self) -> Counts {
        let mut total = Counts::default();
        self.topics.iter().for_each(|topic| total += topic.counts);
        total
    }
}

const HEADINGS: [&str; 11] = [
    "produced", "stored", "lost", "pending", "dup", "disorder", "dead", "unparsed", "corrupt",
    "beyond", "expired",
];

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.topics.iter().map(|topic| topic.topic.len());
        let width = names.max().unwrap_or(0).max("topic".len());
        write!(f, "{:width$}", "topic")?;
        HEADINGS.iter().try_for_each(|heading| write!(f, " {heading:>9}"))?;
        writeln!(f)?;
        for topic in &self.topics {
            write!(f, "{:width$}", topic.topic)?;
            numbers(&topic.counts).iter().try_for_each(|number| write!(f, " {number:>9}"))?;
            writeln!(f)?;
        }
        for topic in &self.topics {
            let words = topic.chain_problems.iter().chain(&topic.examples);
            words.into_iter().try_for_each(|text| writeln!(f, "  {text}"))?;
        }
        let verdict = if self.is_sound() { "sound" } else { "NOT SOUND" };
        write!(f, "{verdict}")
    }
}

fn numbers(counts: &Counts) -> [u64; 11] {
    [
        counts.produced,
        counts.stored,
        counts.lost,
        counts.pending,
        counts.duplicated,
        counts.out_of_order,
        counts.dead_lettered,
        counts.unparsed,
        counts.corrupted,
        counts.beyond,
        counts.expired,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bad_topic_or_chain_makes_the_whole_unsound() {
        let good = TopicReport { topic: "orders".into(), ..TopicReport::default() };
        let lost = Counts { produced: 1, lost: 1, ..Counts::default() };
        let bad = TopicReport { counts: lost, ..good.clone() };
        let broken = TopicReport { chain_problems: vec!["a hole".into()], ..good.clone() };
        let sound = |topics: &[&TopicReport]| {
            let topics = topics.iter().map(|topic| (*topic).clone()).collect();
            Report { topics, ..Report::default() }.is_sound()
        };
        assert!(sound(&[&good, &good]));
        assert!(!sound(&[&good, &bad]) && !sound(&[&broken, &good]));
    }

    #[test]
    fn people_get_a_table_and_a_verdict() {
        let counts = Counts { produced: 12, stored: 11, lost: 1, ..Counts::default() };
        let topic = TopicReport {
            topic: "orders".into(),
            counts,
            examples: vec!["orders/0 offset 3: lost".into()],
            ..TopicReport::default()
        };
        let text = Report { topics: vec![topic], unnamed_dead_letters: 0 }.to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[1].starts_with("orders        12        11         1 "), "{text}");
        assert_eq!(lines[2..], ["  orders/0 offset 3: lost", "NOT SOUND"]);
    }
}
