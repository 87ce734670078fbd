//! Encryption, login and rights, with one file of settings for librdkafka and the wire client, on a
//! broker of its own that lets nobody in who is not known.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::chain::Chain;
use common::kafka::admin::TopicAdmin;
use common::kafka::config::KafkaConfig;
use common::kafka::wire::client::{WireClient, WireError};
use common::kafka::wire::cluster::{TopicRefusal, Topics};
use common::kafka::wire::log_dirs::LogDirsRefusal;
use tempfile::TempDir;

mod live;

/// A broker with TLS, SCRAM accounts and access rules. It ends with the test.
struct SecureKafka {
    run: TempDir,
    servers: String,
}

impl SecureKafka {
    fn start() -> Self {
        let run = TempDir::new().unwrap();
        let started = script(run.path()).arg("up").stderr(Stdio::inherit()).output().unwrap();
        assert!(started.status.success(), "Kafka did not start");
        let printed = String::from_utf8(started.stdout).unwrap();
        let servers = printed.trim().strip_prefix("KAFKA_BOOTSTRAP_SERVERS=").unwrap().to_owned();
        Self { run, servers }
    }

    fn settings(&self, user: &str) -> String {
        fs::read_to_string(self.secure().join(format!("{user}.rdkafka"))).unwrap()
    }

    fn secure(&self) -> PathBuf {
        self.run.path().join("secure")
    }

    fn config(&self, settings: &str) -> KafkaConfig {
        let file = self.run.path().join(live::topic_name("settings"));
        fs::write(&file, settings).unwrap();
        live::config(&self.servers, Some(&file))
    }

    fn wire(&self, settings: &str) -> WireClient {
        WireClient::new(&self.config(settings), "test", live::rng()).unwrap()
    }
}

impl Drop for SecureKafka {
    fn drop(&mut self) {
        let stopped = script(self.run.path()).args(["down", "--wipe"]).status();
        assert!(stopped.is_ok_and(|status| status.success()), "Kafka did not stop");
    }
}

fn script(run: &Path) -> Command {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut command = Command::new(workspace.join("scripts/kafka.sh"));
    command.env_remove("KAFKA_BOOTSTRAP_SERVERS").env_remove("KAFKA_NODES");
    command.env("KAFKA_RUN", run).env("KAFKA_PORT", "auto").env("KAFKA_SECURE", "1");
    command
}

async fn refusal(wire: &WireClient) -> String {
    Chain(&wire.cluster(Topics::All).await.unwrap_err()).to_string()
}

/// One file of settings lets both clients in; a wrong password, an unknown authority, no encryption
/// and no right are each refused, and each said to be what it is.
#[tokio::test]
async fn only_who_is_known_gets_in_and_sees_what_he_may() {
    if live::servers().is_none() {
        return;
    }
    let kafka = SecureKafka::start();
    let admin = kafka.settings("admin");
    let topics = TopicAdmin::connect(&live::clients(kafka.config(&admin))).await.unwrap();
    topics.ensure_topic(&live::spec("orders", 2)).await.unwrap();

    let monitor = kafka.wire(&kafka.settings("monitor"));
    let cluster = monitor.cluster(Topics::Named(&["orders"])).await.unwrap();
    assert_eq!(cluster.topics["orders"].partitions.len(), 2);
    let broker = *cluster.brokers.keys().next().unwrap();
    assert!(!monitor.log_dirs(broker).await.unwrap().sizes.is_empty());

    let stranger = kafka.wire(&kafka.settings("stranger"));
    let cluster = stranger.cluster(Topics::Named(&["orders"])).await.unwrap();
    assert_eq!(cluster.refused["orders"], TopicRefusal::NotAllowed);
    let error = stranger.log_dirs(broker).await.unwrap_err();
    let is_refused =
        matches!(error, WireError::LogDirsRefused { source: LogDirsRefusal::NotAllowed, .. });
    assert!(is_refused, "{error:?}");

    let wrong = refusal(&kafka.wire(&admin.replace("sasl.password=", "sasl.password=x"))).await;
    assert!(wrong.contains("refused the login: "), "{wrong}");
    let mechanism = admin.replace("SCRAM-SHA-512", "SCRAM-SHA-256");
    let offered = refusal(&kafka.wire(&mechanism)).await;
    assert!(offered.contains("the broker offers SCRAM-SHA-512"), "{offered}");
    let ca = admin.lines().filter(|line| !line.starts_with("ssl.ca.location"));
    let unknown = refusal(&kafka.wire(&ca.collect::<Vec<_>>().join("\n"))).await;
    assert!(unknown.contains("failed to agree on encryption"), "{unknown}");
    let open = refusal(&kafka.wire("")).await;
    assert!(open.contains("none of the brokers"), "{open}");
}
