//! Pure. Which topics are measured: by name, by pattern, or all but Kafka's own and ours.

use std::collections::BTreeSet;

use common::topics::TopicNames;
use regex::Regex;

/// What a person asked for. Names and a pattern add up; with neither everything is selected that is
/// not Kafka's own or ours.
#[derive(Clone, Debug)]
pub struct Selection {
    pub names: BTreeSet<String>,
    /// Must match the whole name.
    pub pattern: Option<Regex>,
    pub own_topics: TopicNames,
}

impl Selection {
    pub fn includes(&self, topic: &str) -> bool {
        if self.names.is_empty() && self.pattern.is_none() {
            return !self.is_internal(topic);
        }
        let is_named = self.names.contains(topic);
        is_named
            || self.pattern.as_ref().is_some_and(|pattern| matches_whole(pattern, topic))
                && !self.is_internal(topic)
    }

    fn is_internal(&self, topic: &str) -> bool {
        topic.starts_with("__") || self.own_topics.contains(topic)
    }
}

fn matches_whole(pattern: &Regex, topic: &str) -> bool {
    pattern.find_iter(topic).any(|found| found.len() == topic.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selection(names: &[&str], pattern: Option<&str>) -> Selection {
        Selection {
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            pattern: pattern.map(|pattern| Regex::new(pattern).unwrap()),
            own_topics: TopicNames::new("data-engineering"),
        }
    }

    #[test]
    fn by_default_all_but_kafkas_own_and_ours_are_selected() {
        let all = selection(&[], None);
        for topic in ["orders", "data-engineering", "data-engineering-orders", "_schemas"] {
            assert!(all.includes(topic), "{topic}");
        }
        for topic in ["__consumer_offsets", "data-engineering-monitor"] {
            assert!(!all.includes(topic), "{topic}");
        }
    }

    #[test]
    fn names_and_a_pattern_add_up() {
        let some = selection(&["orders"], Some("pay.*"));
        assert!(some.includes("orders") && some.includes("payments"));
        assert!(!some.includes("orders2") && !some.includes("prepay"), "a whole name must match");
    }

    #[test]
    fn only_a_name_selects_what_is_internal() {
        assert!(!selection(&[], Some(".*")).includes("__consumer_offsets"));
        assert!(selection(&["__consumer_offsets"], None).includes("__consumer_offsets"));
    }
}
