//! A group that was installed by the local overlay, and what can be seen of it from outside.

use std::time::Duration;

use e2e::harness::http::Http;
use e2e::harness::kubernetes::{Cluster, Namespace};
use e2e::harness::patience::wait_until;
use e2e::harness::system::SystemPlan;
use e2e::verify::report::TopicReport;
use serde_json::Value;

use crate::cluster::{Manifests, PATIENCE, namespace};
use crate::flow::Flow;
use crate::stage::{Stage, owned};

/// Bytes per second of one consumer.
pub(crate) const CAPACITY: u64 = 200_000;
pub(crate) const PARTITIONS: u32 = 6;
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
const ORCHESTRATORS: &str = "app.kubernetes.io/name=stowage-orchestrator";
pub(crate) const CONSUMERS: &str = "app.kubernetes.io/component=consumer";
/// Quick to see, to grow and to shrink, so that tests are short.
const SETTINGS: [(&str, &str); 12] = [
    ("WINDOW_SECS", "5"),
    ("FILTER_SECS", "2"),
    ("BURST_SECS", "2"),
    ("CAPACITY", "200000"),
    ("CAPACITY_FACTOR", "1"),
    ("STABILISATION_SECS", "4"),
    ("CATCH_UP_SECS", "20"),
    ("MAX_CONSUMERS", "6"),
    ("ROTATION_SECS", "1"),
    ("WAIT_TIME_SECS", "0.2"),
    ("TTL_SECS", "8"),
    ("VOLUME_KEEP_SECS", "5"),
];

pub(crate) struct Group<'a> {
    pub(crate) cluster: &'a Cluster,
    pub(crate) namespace: Namespace<'a>,
    pub(crate) stage: Stage,
    pub(crate) topic: String,
    pub(crate) manifests: Manifests,
    http: Http,
}

impl<'a> Group<'a> {
    /// Applies the overlay, says what is to be read, and waits until every partition has its owner.
    pub(crate) fn install(cluster: &'a Cluster, stage: Stage, test: &str) -> Self {
        let namespace = namespace(cluster, test);
        let manifests = Manifests::new("local", namespace.name(), &["pod-address"]);
        Self::install_from(manifests, cluster, (namespace, stage))
    }

    /// The same, with other images.
    pub(crate) fn install_version(
        cluster: &'a Cluster,
        stage: Stage,
        test: &str,
        version: &str,
    ) -> Self {
        let namespace = namespace(cluster, test);
        let manifests = Manifests::new("local", namespace.name(), &["pod-address"]);
        manifests.set_version(version);
        Self::install_from(manifests, cluster, (namespace, stage))
    }

    fn install_from(
        manifests: Manifests,
        cluster: &'a Cluster,
        (namespace, stage): (Namespace<'a>, Stage),
    ) -> Self {
        // The monitor leaves out what begins as the system's own topics do.
        let topic = format!("orders-{}", stage.prefix());
        stage.create(&topic, PARTITIONS);
        let lake = stage.lake_url();
        let crash_points = stage.plan(CAPACITY).crash_points();
        std::fs::create_dir_all(&crash_points).unwrap();
        let crash_points = crash_points.display().to_string();
        let own = [
            ("CRASH_POINTS", crash_points.as_str()),
            ("KAFKA_BOOTSTRAP_SERVERS", stage.servers()),
            ("TOPIC_PREFIX", stage.prefix()),
            ("GROUP_ID", stage.prefix()),
            ("TOPICS", &topic),
            ("SINK_URL", &lake),
        ];
        for (key, value) in own.into_iter().chain(SETTINGS) {
            manifests.set(key, value);
        }
        let http = Http::new(ANSWER_WITHIN).unwrap();
        let group = Self { cluster, namespace, stage, topic, manifests, http };
        group.apply();
        group.wait_for("an orchestrator leads", |_| Ok(()));
        group.tell(&["service", "set", &group.topic]);
        group.wait_until_owned();
        group
    }

    /// What a user does after having changed a file.
    pub(crate) fn apply(&self) {
        self.cluster.kubectl(&["apply", "-k", &self.manifests.path()]).unwrap();
    }

    /// What a person's commands are told.
    fn plan(&self) -> SystemPlan {
        self.stage.plan(CAPACITY)
    }

    pub(crate) fn load(&self, rate: u64) -> Flow {
        Flow::start(&self.stage, &self.topic, PARTITIONS, rate)
    }

    /// The pod that leads, and its status.
    pub(crate) fn leader(&self) -> Result<(String, Value), String> {
        self.leader_of(&self.orchestrators()?)
    }

    /// The orchestrators' pods, with their addresses.
    pub(crate) fn orchestrators(&self) -> Result<Vec<(String, String)>, String> {
        let pods = "jsonpath={range .items[*]}{.metadata.name} {.status.podIP}{'\\n'}{end}";
        let pods = self.namespace.kubectl(&["get", "pods", "-l", ORCHESTRATORS, "-o", pods]);
        let pods = pods.map_err(|error| error.to_string())?;
        let pairs = pods.lines().filter_map(|line| line.split_once(' '));
        Ok(pairs.map(|(name, address)| (name.to_owned(), address.to_owned())).collect())
    }

    /// The one of these that leads; two are a failure of the system.
    pub(crate) fn leader_of(&self, pods: &[(String, String)]) -> Result<(String, Value), String> {
        let leads = |(name, address): &(String, String)| {
            let page = self.http.get(&format!("http://{address}:8082/status")).ok()?;
            let status: Value = serde_json::from_str(&page.text).ok()?;
            (status["role"] == "leading").then(|| (name.clone(), status))
        };
        let mut leaders = pods.iter().filter_map(leads);
        let leader = leaders.next().ok_or_else(|| format!("none of these leads: {pods:?}"))?;
        match leaders.next() {
            Some((second, _)) => Err(format!("both {} and {second} lead", leader.0)),
            None => Ok(leader),
        }
    }

    /// What of the time from the decision for a new consumer to its first partition is not the cluster's:
    /// applying it, and handing over, on average.
    pub(crate) fn own_part(&self) -> Duration {
        let (name, _) = self.leader().unwrap();
        let pods = self.orchestrators().unwrap();
        let (_, address) = pods.iter().find(|(pod, _)| *pod == name).unwrap();
        let page = self.http.get(&format!("http://{address}:8082/metrics")).unwrap().text;
        let value = |suffix: &str, step: &str| -> f64 {
            let begin = format!(
                "stowage_orchestrator_consumer_opening_seconds_{suffix}{{step=\"{step}\"}} "
            );
            let line = page.lines().find_map(|line| line.strip_prefix(&begin));
            line.and_then(|text| text.parse().ok())
                .unwrap_or_else(|| panic!("no {begin} in {page}"))
        };
        let mean = |step| value("sum", step) / value("count", step);
        Duration::from_secs_f64(mean("applied") + mean("handed_over"))
    }

    /// Who holds the Lease.
    pub(crate) fn holder(&self) -> Result<String, String> {
        let shown = "jsonpath={.spec.holderIdentity}";
        let said = self.namespace.kubectl(&["get", "lease/stowage-orchestrator", "-o", shown]);
        said.map_err(|error| error.to_string())
    }

    /// The Deployments of consumers, with their uids.
    pub(crate) fn uids(&self) -> String {
        let shown = "jsonpath={range .items[*]}{.metadata.name} {.metadata.uid}{'\\n'}{end}";
        self.namespace.kubectl(&["get", "deployments", "-l", CONSUMERS, "-o", shown]).unwrap()
    }

    /// Looks at the leader's status until it is as wanted; `judge` says what is missing.
    pub(crate) fn wait_for<T>(&self, what: &str, judge: impl Fn(&Value) -> Result<T, String>) -> T {
        let look = || self.leader().and_then(|(_, status)| judge(&status));
        match wait_until(what, PATIENCE, look) {
            Ok(found) => found,
            Err(error) => panic!("{error}\n{}", self.state()),
        }
    }

    /// Who has partition 0, and another consumer that lives.
    pub(crate) fn owner_and_other(status: &Value) -> Result<(u64, u64), String> {
        let partitions = status["partitions"].as_object().into_iter().flatten();
        let mut first = partitions.filter(|(name, _)| name.ends_with("/0"));
        let owner = first.next().and_then(|(_, one)| one["owner"].as_u64());
        let owner = owner.ok_or_else(|| format!("partition 0 has no owner: {status}"))?;
        let living = Self::incarnations(status).into_iter().filter(|(_, one)| !one.is_null());
        let mut others = living.filter_map(|(consumer, _)| consumer.as_u64());
        let other = others.find(|consumer| *consumer != owner);
        Ok((owner, other.ok_or_else(|| format!("there is no other consumer: {status}"))?))
    }

    /// Whoever comes to this place next dies there.
    pub(crate) fn die_at(&self, place: &str) {
        std::fs::write(self.plan().crash_points().join(place), "").unwrap();
    }

    /// Whether nobody has come there yet.
    pub(crate) fn has_place(&self, place: &str) -> bool {
        self.plan().crash_points().join(place).exists()
    }

    /// What a person types.
    pub(crate) fn tell(&self, arguments: &[&str]) {
        self.plan().tell(arguments).unwrap();
    }

    pub(crate) fn wait_until_owned(&self) {
        self.wait_for("every partition has its owner", |status| {
            let count = owned(status);
            let is_done = count == PARTITIONS as usize && status["is_settled"] == true;
            if is_done { Ok(()) } else { Err(format!("{count} are owned: {status}")) }
        });
    }

    /// Waits until so many Deployments of consumers exist, and all of them are ready.
    pub(crate) fn wait_for_consumers(&self, what: &str, is_enough: impl Fn(usize) -> bool) {
        let look = || match self.consumers() {
            consumers if !is_enough(consumers.len()) => Err(format!("{consumers:?}")),
            consumers => match consumers.iter().find(|(_, ready)| ready != "1") {
                Some((name, _)) => Err(format!("{name} is not ready")),
                None => Ok(()),
            },
        };
        if let Err(error) = wait_until(what, PATIENCE, look) {
            panic!("{error}\n{}", self.state());
        }
    }

    /// The Deployments of consumers, with how many pods of each are ready.
    pub(crate) fn consumers(&self) -> Vec<(String, String)> {
        let shown = "jsonpath={range .items[*]}{.metadata.name}={.status.readyReplicas} {end}";
        let said = self.namespace.kubectl(&["get", "deployments", "-l", CONSUMERS, "-o", shown]);
        let said = said.unwrap();
        let pairs = said.split_whitespace().filter_map(|pair| pair.split_once('='));
        pairs.map(|(name, ready)| (name.to_owned(), ready.to_owned())).collect()
    }

    pub(crate) fn count_unowned(status: &Value) -> usize {
        let partitions = status["partitions"].as_object().into_iter().flatten();
        let states = partitions.map(|(_, partition)| &partition["state"]);
        states.filter(|state| **state == "Unowned" || **state == "Blocked").count()
    }

    /// A person wants that no consumer is removed, or allows it again.
    pub(crate) fn pause_scale_in(&self, is_paused: bool) {
        let change = if is_paused { "=true" } else { "-" };
        let change = format!("stowage.dev/paused-scale-in{change}");
        self.namespace.kubectl(&["annotate", "configmap/stowage-group", &change]).unwrap();
        self.wait_for("the order is followed", |status| {
            let follows = status["operations"]["is_scale_in_paused"] == is_paused;
            if follows { Ok(()) } else { Err(status.to_string()) }
        });
    }

    /// Waits until so many claims of consumers exist.
    pub(crate) fn wait_for_claims(&self, what: &str, wanted: usize) {
        let left = ["get", "persistentvolumeclaims", "-l", CONSUMERS, "-o", "name"];
        let look = || match self.namespace.kubectl(&left) {
            Ok(said) if said.lines().count() == wanted => Ok(()),
            Ok(said) => Err(said),
            Err(error) => Err(error.to_string()),
        };
        wait_until(what, PATIENCE, look).unwrap();
    }

    /// How many records of the topic are stored, by the leader's word: an owner counts its rows from nothing, offsets
    /// go on from owner to owner.
    pub(crate) fn stored(status: &Value) -> u64 {
        let partitions = status["partitions"].as_object().into_iter().flatten();
        partitions.filter_map(|(_, partition)| partition["stored"].as_u64()).sum()
    }

    /// Each consumer's incarnation: another one means that its lease or its process ended.
    pub(crate) fn incarnations(status: &Value) -> Vec<(Value, Value)> {
        let consumers = status["consumers"].as_array().into_iter().flatten();
        consumers.map(|one| (one["consumer"].clone(), one["incarnation"].clone())).collect()
    }

    /// Waits until more rows are stored than now.
    pub(crate) fn wait_for_progress(&self) {
        let before = self.wait_for("an orchestrator leads", |status| Ok(Self::stored(status)));
        self.wait_for("more rows are stored", |status| {
            let now = Self::stored(status);
            if now != before { Ok(()) } else { Err(format!("{now} rows")) }
        });
    }

    /// Verifies, and takes everything away.
    pub(crate) fn end_soundly(self) -> TopicReport {
        let report = self.stage.assert_sound(&self.topic);
        let path = self.manifests.path();
        let delete = ["delete", "-k", &path, "--wait=false", "--ignore-not-found"];
        self.cluster.kubectl(&delete).unwrap();
        report
    }

    /// What a person would look at first.
    fn state(&self) -> String {
        let looks: [&[&str]; 3] = [
            &["get", "deployments,pods,persistentvolumeclaims", "-o", "wide"],
            &["describe", "configmap", "stowage-group"],
            &["logs", "-l", ORCHESTRATORS, "--tail=40", "--prefix"],
        ];
        let said = looks.map(|look| self.namespace.kubectl(look));
        said.map(|said| said.unwrap_or_else(|error| error.to_string())).join("\n")
    }
}
