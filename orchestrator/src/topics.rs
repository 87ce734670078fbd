//! Pure. Our own topics: their names, and what they have to be like.

use common::kafka::topic_spec::{Setting, TopicSpec};

/// Commands and answers are kept for so long at least: longer than any orchestrator stays away.
const WEEK_MS: i64 = 7 * 24 * 60 * 60 * 1_000;

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

    /// Those that the orchestrator creates. The controller topic has a partition for requests and
    /// one for each consumer.
    pub fn specs(&self, consumers_max: u32) -> Vec<TopicSpec> {
        let log = |name: &str, partitions: u32| TopicSpec {
            name: name.into(),
            partitions,
            settings: vec![
                Setting::exactly("cleanup.policy", "delete"),
                Setting::at_least("retention.ms", WEEK_MS),
                Setting::exactly("retention.bytes", "-1"),
            ],
        };
        let service = TopicSpec {
            name: self.service.clone(),
            partitions: 1,
            settings: vec![
                Setting::exactly("cleanup.policy", "compact"),
                Setting::at_least("delete.retention.ms", WEEK_MS),
            ],
        };
        let dead_letter =
            TopicSpec { name: self.dead_letter.clone(), partitions: 1, settings: vec![] };
        vec![
            log(&self.controller, consumers_max.saturating_add(1)),
            log(&self.events, 1),
            service,
            dead_letter,
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_consumer_has_a_partition_beside_the_one_for_requests() {
        let names = TopicNames::new("etl");
        let specs = names.specs(64);
        let partitions: Vec<_> =
            specs.iter().map(|spec| (spec.name.as_str(), spec.partitions)).collect();
        assert_eq!(partitions[0], ("etl-controller", 65));
        assert_eq!(partitions[1], ("etl-events", 1));
        assert_eq!(names.monitor, "etl-monitor");
    }
}
