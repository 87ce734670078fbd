//! What the tests on real Kafka share: where it is, topics of their own, and clients.

#![expect(clippy::unwrap_used, reason = "a test")]
#![expect(clippy::disallowed_methods, reason = "tests read where Kafka is from the environment")]
#![allow(dead_code, reason = "each test program uses a part of this")]

use std::env;
use std::path::Path;
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use common::kafka::client_events::ClientMetrics;
use common::kafka::clients::{ClientNames, KafkaClients};
use common::kafka::config::KafkaConfig;
use common::kafka::config_file;
use common::kafka::topic_spec::{Setting, TopicSpec};
use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;

/// The brokers to test on. Without any, a test skips itself, and says so; in CI that is a failure.
pub(crate) fn servers() -> Option<String> {
    match env::var("STOWAGE_TEST_KAFKA") {
        Ok(servers) => Some(servers),
        Err(_) => {
            assert!(
                !is_ci(),
                "STOWAGE_TEST_KAFKA is not set: tests on real Kafka cannot be skipped"
            );
            eprintln!("SKIPPED: STOWAGE_TEST_KAFKA names no brokers (scripts/test.sh starts some)");
            None
        }
    }
}

fn is_ci() -> bool {
    env::var("CI").is_ok_and(|value| value == "true")
}

pub(crate) fn config(servers: &str, file: Option<&Path>) -> KafkaConfig {
    config_file::load(servers, file).unwrap()
}

pub(crate) fn clients(config: KafkaConfig) -> KafkaClients {
    let names = ClientNames { client_id: "test".into(), group: "data-engineering".into() };
    KafkaClients::new(config, names, ClientMetrics::default())
}

pub(crate) fn rng() -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(1)
}

/// A name that no other test has.
pub(crate) fn topic_name(prefix: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let started = common::clock::Clock.timestamp().0;
    format!("{prefix}-{started}-{}-{}", process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

pub(crate) fn spec(name: &str, partitions: u32) -> TopicSpec {
    TopicSpec {
        name: name.into(),
        partitions,
        settings: vec![Setting::exactly("cleanup.policy", "delete")],
    }
}
