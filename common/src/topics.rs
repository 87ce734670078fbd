//! Pure. The names of our own topics: a prefix that a user may choose, and a word for each.

/// Our own topics under one prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicNames {
    pub controller: String,
    pub events: String,
    pub service: String,
    pub dead_letter: String,
    pub monitor: String,
}

impl TopicNames {
    pub fn new(prefix: &str) -> Self {
        let name = |what: &str| format!("{prefix}-{what}");
        Self {
            controller: name("controller"),
            events: name("events"),
            service: name("service"),
            dead_letter: name("dead-letter"),
            monitor: name("monitor"),
        }
    }

    /// Whether the topic is one of these.
    pub fn contains(&self, topic: &str) -> bool {
        let Self { controller, events, service, dead_letter, monitor } = self;
        [controller, events, service, dead_letter, monitor].into_iter().any(|name| name == topic)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_begins_like_our_topics_is_none_of_them() {
        let names = TopicNames::new("etl");
        assert_eq!(names.monitor, "etl-monitor");
        assert!(names.contains("etl-controller") && names.contains("etl-dead-letter"));
        assert!(!names.contains("etl") && !names.contains("etl-orders"));
    }
}
