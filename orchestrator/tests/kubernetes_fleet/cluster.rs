//! The API server that the tests were given, and a namespace of it for each.

#![expect(
    clippy::disallowed_methods,
    reason = "tests read where Kubernetes is from the environment"
)]

use std::env;
use std::process;
use std::time::Duration;

use common::crypto::install_crypto_provider;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use orchestrator::fleet::kubernetes::desired::Group;
use orchestrator::fleet::kubernetes::driver::KubernetesFleet;
use orchestrator::fleet::kubernetes::keeper::KeeperSettings;
use orchestrator::fleet::kubernetes::watch::Watched;
use orchestrator::fleet::{FleetCommand, FleetDriver as _, FleetEvent};
use rand::SeedableRng as _;
use rand::rngs::ChaCha8Rng;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

/// How long anything may take on a busy machine before it counts as not happening.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);
const LOOK: Duration = Duration::from_millis(50);
/// A program that every machine has stands for the consumer.
pub(crate) const LIVES: &str = "trap 'exit 0' TERM; while :; do sleep 0.1; done";
const IMAGE: &str = "stowage/consumer";

pub(crate) struct Cluster {
    pub(crate) client: Client,
    pub(crate) namespace: String,
}

impl Cluster {
    /// `None` without Kubernetes: the test skips itself and says so; in CI that is a failure.
    pub(crate) async fn open(test: &str) -> Option<Self> {
        let Ok(kubeconfig) = env::var("STOWAGE_TEST_KUBERNETES") else {
            let is_ci = env::var("CI").is_ok_and(|value| value == "true");
            assert!(!is_ci, "STOWAGE_TEST_KUBERNETES is not set: {test} cannot be skipped");
            eprintln!("SKIPPED: {test}: STOWAGE_TEST_KUBERNETES names no kubeconfig");
            return None;
        };
        install_crypto_provider();
        let kubeconfig = Kubeconfig::read_from(kubeconfig).unwrap();
        let options = KubeConfigOptions::default();
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &options).await.unwrap();
        let namespace = format!("fleet-{test}-{}", process::id());
        config.default_namespace.clone_from(&namespace);
        let client = Client::try_from(config).unwrap();
        let metadata = ObjectMeta { name: Some(namespace.clone()), ..ObjectMeta::default() };
        let object = Namespace { metadata, ..Namespace::default() };
        Api::all(client.clone()).create(&PostParams::default(), &object).await.unwrap();
        let cluster = Self { client, namespace };
        cluster.map("group", json!({})).await;
        cluster.template(LIVES).await;
        Some(cluster)
    }

    /// Removes the namespace with all that is in it; nobody waits for that.
    pub(crate) async fn close(self) {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        namespaces.delete(&self.namespace, &DeleteParams::background()).await.unwrap();
    }

    pub(crate) async fn template(&self, script: &str) {
        let pod = json!({"spec": {
            "terminationGracePeriodSeconds": 2,
            "containers": [{"name": "consumer", "image": IMAGE, "command": ["sh", "-c", script]}],
        }});
        let claim = json!({"resources": {"requests": {"storage": "1Gi"}}});
        let data = json!({
            "pod-template.yaml": pod.to_string(), "volume-claim.yaml": claim.to_string(),
        });
        self.map("template", data).await;
    }

    pub(crate) async fn map(&self, name: &str, data: Value) {
        let map = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data,
        });
        let maps: Api<ConfigMap> = Api::default_namespaced(self.client.clone());
        let options = PatchParams::apply("test").force();
        maps.patch(name, &options, &Patch::Apply(map)).await.unwrap();
    }

    pub(crate) fn fleet(&self, keep_volumes: Duration) -> Fleet {
        let watched = Watched {
            group: "g".into(),
            group_object: "group".into(),
            template: "template".into(),
        };
        let group = Group { id: "g".into(), ..Group::default() };
        let settings = KeeperSettings { group, keep_volumes };
        let rng = ChaCha8Rng::seed_from_u64(1);
        Fleet {
            driver: KubernetesFleet::start(&self.client, &watched, settings, rng),
            told: vec![],
        }
    }

    pub(crate) fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::default_namespaced(self.client.clone())
    }
}

/// A driver, and what it told.
pub(crate) struct Fleet {
    driver: KubernetesFleet,
    pub(crate) told: Vec<FleetEvent>,
}

impl Fleet {
    pub(crate) async fn command(&mut self, command: FleetCommand) {
        self.driver.command(command).await;
    }

    /// Goes on until it tells what is looked for.
    pub(crate) async fn until<T>(
        &mut self,
        what: &str,
        mut find: impl FnMut(&FleetEvent) -> Option<T>,
    ) -> T {
        let found = async {
            loop {
                let event = self.driver.observe().await;
                self.told.push(event.clone());
                if let Some(found) = find(&event) {
                    return found;
                }
            }
        };
        match timeout(PATIENCE, found).await {
            Ok(found) => found,
            Err(_) => panic!("{what}: {:#?}", self.told),
        }
    }

    /// Goes on until the cluster is as it should be.
    pub(crate) async fn while_not<F: Future<Output = bool>>(
        &mut self,
        what: &str,
        mut look: impl FnMut() -> F,
    ) {
        let told = &mut self.told;
        let driver = &mut self.driver;
        let run = async {
            loop {
                told.push(driver.observe().await);
            }
        };
        let looked = async {
            while !look().await {
                sleep(LOOK).await;
            }
        };
        tokio::select! {
            () = run => {}
            ended = timeout(PATIENCE, looked) => assert!(ended.is_ok(), "{what}"),
        }
    }
}
