//! Pure. What our own topics have to be like.

use common::kafka::topic_spec::{Setting, TopicSpec};
use common::topics::TopicNames;

/// Commands and answers are kept for so long at least: longer than any orchestrator stays away.
const WEEK_MS: i64 = 7 * 24 * 60 * 60 * 1_000;

/// Those that the orchestrator creates. The controller topic has a partition for requests and one
/// for each consumer.
pub fn specs(names: &TopicNames, consumers_max: u32) -> Vec<TopicSpec> {
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
        name: names.service.clone(),
        partitions: 1,
        settings: vec![
            Setting::exactly("cleanup.policy", "compact"),
            Setting::at_least("delete.retention.ms", WEEK_MS),
        ],
    };
    let dead_letter =
        TopicSpec { name: names.dead_letter.clone(), partitions: 1, settings: vec![] };
    vec![
        log(&names.controller, consumers_max.saturating_add(1)),
        log(&names.events, 1),
        service,
        dead_letter,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_consumer_has_a_partition_beside_the_one_for_requests() {
        let names = TopicNames::new("etl");
        let specs = specs(&names, 64);
        let partitions: Vec<_> =
            specs.iter().map(|spec| (spec.name.as_str(), spec.partitions)).collect();
        assert_eq!(partitions[0], ("etl-controller", 65));
        assert_eq!(partitions[1], ("etl-events", 1));
    }
}
