//! Pure. What our objects are called, and by which labels and annotations they are known.

use std::collections::BTreeMap;

use common::identity::ConsumerId;

pub const MANAGER: &str = "stowage-orchestrator";

/// The number of a consumer.
pub const CONSUMER: &str = "stowage.dev/consumer";
/// The generation of the leader that an object belongs to.
pub const GENERATION: &str = "stowage.dev/generation";
/// What a consumer's pod was made from, in short.
pub const TEMPLATE_HASH: &str = "stowage.dev/template-hash";
/// What it was created with: the `deployment` entry of the service topic, as JSON.
pub const DEPLOYMENT: &str = "stowage.dev/deployment";
/// Since when a claim has had no consumer.
pub const UNUSED_SINCE: &str = "stowage.dev/unused-since";

const INSTANCE: &str = "app.kubernetes.io/instance";
const MANAGED_BY: &str = "app.kubernetes.io/managed-by";

pub fn deployment_name(consumer: ConsumerId) -> String {
    format!("de-consumer-{}", consumer.0)
}

pub fn claim_name(consumer: ConsumerId) -> String {
    format!("{}-volume", deployment_name(consumer))
}

/// What all objects of a consumer carry.
pub fn labels(group: &str, consumer: ConsumerId) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::from([
        ("app.kubernetes.io/name".to_owned(), "stowage-consumer".to_owned()),
        ("app.kubernetes.io/component".to_owned(), "consumer".to_owned()),
        ("app.kubernetes.io/part-of".to_owned(), "stowage".to_owned()),
        (MANAGED_BY.to_owned(), MANAGER.to_owned()),
    ]);
    labels.extend(selector(group, consumer));
    labels
}

/// What tells the pods of one consumer from all others.
pub fn selector(group: &str, consumer: ConsumerId) -> BTreeMap<String, String> {
    [(INSTANCE.to_owned(), group.to_owned()), (CONSUMER.to_owned(), consumer.0.to_string())].into()
}

/// What finds all objects of a group.
pub fn group_selector(group: &str) -> String {
    format!("{INSTANCE}={group},{MANAGED_BY}={MANAGER}")
}

/// Whether it can be the value of a label.
pub fn is_label_value(text: &str) -> bool {
    let is_end = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    let mut bytes = text.bytes();
    text.len() <= 63
        && is_end(bytes.clone().next())
        && is_end(bytes.clone().next_back())
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_selectors_are_those_that_people_know() {
        assert_eq!(claim_name(ConsumerId(7)), "de-consumer-7-volume");
        let all = labels("g", ConsumerId(7));
        assert!(
            selector("g", ConsumerId(7)).iter().all(|(key, value)| all.get(key) == Some(value))
        );
        let found = group_selector("g");
        for wanted in found.split(',') {
            let (key, value) = wanted.split_once('=').unwrap();
            assert_eq!(all[key], value);
        }
    }

    #[test]
    fn a_group_is_named_so_that_a_label_can_hold_it() {
        assert!(["a", "data-engineering", "A.b_9"].iter().all(|text| is_label_value(text)));
        let long = "a".repeat(64);
        assert!(!["", "-a", "a-", "a b", "ä", &long].iter().any(|text| is_label_value(text)));
    }
}
