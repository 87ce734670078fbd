//! A consumer's objects on Kubernetes, as a person finds them in the cluster.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeMap;

use common::identity::ConsumerId;
use common::messages::service::DeploymentEntry;
use common::term::Generation;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use orchestrator::fleet::kubernetes::desired::{Group, Recipe};
use orchestrator::fleet::kubernetes::template::Template;

const POD: &str = "
metadata: {annotations: {team: data}}
spec:
  serviceAccountName: stowage-consumer
  containers:
  - name: consumer
    image: stowage/consumer:1
    env:
    - {name: POD_UID, value: forged}
    - {name: SINK_URL, value: s3://of-the-template}
    - {name: BATCH_BYTES, value: '1000'}
    volumeMounts: [{name: state, mountPath: /state}]
  - {name: sidecar, image: sidecar:1}
";
const CLAIM: &str = "{storageClassName: fast, resources: {requests: {storage: 2Gi}}}";

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
}

fn with(entry: &DeploymentEntry, look: impl FnOnce(Recipe<'_>) -> String) -> String {
    let data = map(&[("pod-template.yaml", POD), ("volume-claim.yaml", CLAIM)]);
    let group = Group {
        id: "g".into(),
        owned: map(&[("GROUP_ID", "g"), ("TOPIC_PREFIX", "p")]),
        defaults: map(&[("SINK_URL", "s3://lake"), ("KAFKA_BOOTSTRAP_SERVERS", "k:9092")]),
        options: map(&[("TTL_SECS", "20")]),
    };
    let owner = OwnerReference {
        api_version: "v1".into(),
        kind: "ConfigMap".into(),
        name: "stowage-group".into(),
        uid: "7".into(),
        ..OwnerReference::default()
    };
    look(Recipe {
        group: &group,
        owner: &owner,
        template: &Template::parse(&data).unwrap(),
        entry,
        consumer: ConsumerId(3),
        generation: Generation(17),
    })
}

/// The template says what a pod is like, but for who the consumer is; a deployment overrides it.
#[test]
fn a_deployment_is_the_template_with_what_makes_it_a_consumer() {
    let entry = DeploymentEntry {
        image: Some("stowage/consumer:2".into()),
        program: None,
        options: map(&[("batch-bytes", "2000"), ("group-id", "h"), ("compression", "zstd")]),
    };
    let text = with(&entry, |recipe| {
        let mut deployment = recipe.deployment();
        let annotations = deployment.metadata.annotations.as_mut().unwrap();
        let hash = annotations.insert("stowage.dev/template-hash".into(), "HASH".into()).unwrap();
        assert_eq!(hash, recipe.hash());
        serde_json::to_string_pretty(&deployment).unwrap()
    });
    insta::assert_snapshot!(text);
}

#[test]
fn a_claim_is_the_template_s() {
    let entry = DeploymentEntry::default();
    insta::assert_snapshot!(with(&entry, |recipe| {
        serde_json::to_string_pretty(&recipe.claim().unwrap()).unwrap()
    }));
}

/// Whatever the process runs with is in it, and nothing else.
#[test]
fn the_hash_tells_what_a_consumer_runs_with() {
    let plain = DeploymentEntry::default();
    let hash = |entry: &DeploymentEntry| with(entry, |recipe| recipe.hash());
    let other = DeploymentEntry { image: Some("i".into()), ..plain.clone() };
    assert_ne!(hash(&plain), hash(&other));
    let of_another = with(&plain, |recipe| {
        Recipe { consumer: ConsumerId(4), generation: Generation(18), ..recipe }.hash()
    });
    assert_eq!(hash(&plain), of_another);
}
