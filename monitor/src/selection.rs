//! Pure. Which topics are measured: by name, by pattern, or all but Kafka's own and ours.

use std::collections::BTreeSet;

use regex::Regex;

/// What follows the prefix and a hyphen in the names of our own topics.
const OWN_TOPICS: [&str; 5] = ["controller", "dead-letter", "events", "monitor", "service"];

/// What a person asked for. Names and a pattern add up; with neither everything is selected that is
/// not Kafka's own or ours.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    pub names: BTreeSet<String>,
    /// Must match the whole name.
    pub pattern: Option<Regex>,
    /// What the names of our own topics begin with.
    pub own_prefix: String,
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
        let rest = topic.strip_prefix(self.own_prefix.as_str());
        let own = rest.and_then(|rest| rest.strip_prefix('-'));
        topic.starts_with("__") || own.is_some_and(|name| OWN_TOPICS.contains(&name))
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
            own_prefix: "data-engineering".into(),
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
