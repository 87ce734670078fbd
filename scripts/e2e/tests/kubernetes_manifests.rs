//! The manifests on a real API server: every overlay is accepted, strictly and with pod security enforced, and the
//! orchestrator may do what it must and nothing else.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod cluster;

use std::path::Path;

use cluster::{Manifests, cluster, namespace, wait_for};
use e2e::harness::kubernetes::{Cluster, Namespace};

/// A kind that others define, open to any content: what matters here is that the manifests are well-formed.
const FOREIGN: &str = r#"{
  "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
  "metadata": {"name": "PLURAL.monitoring.coreos.com"},
  "spec": {
    "group": "monitoring.coreos.com", "scope": "Namespaced",
    "names": {"kind": "KIND", "plural": "PLURAL", "singular": "SINGULAR"},
    "versions": [{"name": "v1", "served": true, "storage": true,
      "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}]}}"#;

fn define_foreign_kinds(cluster: &Cluster) {
    for (kind, singular) in [("PodMonitor", "podmonitor"), ("PrometheusRule", "prometheusrule")] {
        let plural = format!("{singular}s");
        let crd = FOREIGN.replace("PLURAL", &plural).replace("SINGULAR", singular);
        cluster.kubectl_with(&["apply", "-f", "-"], &crd.replace("KIND", kind)).unwrap();
        let name = format!("crd/{plural}.monitoring.coreos.com");
        cluster.kubectl(&["wait", "--for=condition=Established", &name, "--timeout=60s"]).unwrap();
    }
}

/// A Deployment as the orchestrator would make it from the template that stands in the cluster.
fn consumer(namespace: &Namespace<'_>) -> String {
    let template = "jsonpath={.data.pod-template\\.yaml}";
    let template = namespace
        .kubectl(&["get", "configmap", "stowage-consumer-template", "-o", template])
        .unwrap();
    let labels = "{app.kubernetes.io/name: stowage-consumer, stowage.dev/consumer: '1'}";
    let template = template.replacen("metadata: {}", &format!("metadata: {{labels: {labels}}}"), 1);
    let indented: String = template.lines().map(|line| format!("    {line}\n")).collect();
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: de-consumer-1}}\nspec:\n  \
         strategy: {{type: Recreate}}\n  selector: {{matchLabels: {labels}}}\n  template:\n{indented}      \
         - name: state\n        persistentVolumeClaim: {{claimName: de-consumer-1-volume}}\n"
    )
}

fn claim(namespace: &Namespace<'_>) -> String {
    let spec = "jsonpath={.data.volume-claim\\.yaml}";
    let spec =
        namespace.kubectl(&["get", "configmap", "stowage-consumer-template", "-o", spec]).unwrap();
    let spec: String = spec.lines().map(|line| format!("  {line}\n")).collect();
    format!(
        "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {{name: de-consumer-1-volume}}\nspec:\n{spec}"
    )
}

/// Applies text after a dry run that refuses whatever the API does not know.
fn apply(namespace: &Namespace<'_>, text: &str) {
    let dry_run = ["apply", "--dry-run=server", "--validate=strict", "-f", "-"];
    namespace.kubectl_with(&dry_run, text).unwrap();
    namespace.kubectl_with(&["apply", "-f", "-"], text).unwrap();
}

/// The pods that a Deployment wants exist: neither admission nor pod security refused them.
fn wait_for_pods(namespace: &Namespace<'_>, deployment: &str, count: u32) {
    let pods = "jsonpath={.status.replicas}";
    wait_for(namespace, &["get", "deployment", deployment, "-o", pods], &count.to_string());
}

fn check_overlay(overlay: &str, components: &[&str]) {
    let name = format!("{overlay}-{}", components.len());
    let Some(cluster) = cluster(&name) else { return };
    define_foreign_kinds(&cluster);
    let namespace = namespace(&cluster, &name);
    let manifests = Manifests::new(overlay, namespace.name(), components);
    let path = manifests.path();
    let dry_run = ["apply", "--dry-run=server", "--validate=strict", "-k", &path];
    cluster.kubectl(&dry_run).unwrap();
    let applied = cluster.kubectl(&["apply", "-k", &path]).unwrap();
    assert!(applied.contains("deployment.apps/stowage-orchestrator created"), "{applied}");
    let again = cluster.kubectl(&["apply", "-k", &path]).unwrap();
    // Those two always count as configured: a Secret's stringData and a budget's selector are sent whole.
    let is_quiet = |line: &&str| !line.starts_with("secret/") && !line.starts_with("poddisruption");
    let lines = again.lines().filter(is_quiet);
    let changed: Vec<_> = lines.filter(|line| !line.ends_with("unchanged")).collect();
    assert!(changed.is_empty(), "applied twice, it changes: {changed:?}");
    apply(&namespace, &claim(&namespace));
    apply(&namespace, &consumer(&namespace));
    for (deployment, count) in
        [("stowage-monitor", 1), ("stowage-orchestrator", 2), ("de-consumer-1", 1)]
    {
        wait_for_pods(&namespace, deployment, count);
    }
    if components.contains(&"compaction") {
        let job = ["create", "job", "--from=cronjob/stowage-compaction", "compaction"];
        namespace.kubectl(&job).unwrap();
        wait_for(&namespace, &["get", "job", "compaction", "-o", "jsonpath={.status.active}"], "1");
    }
    // What is cluster-wide does not go with the namespace.
    cluster.kubectl(&["delete", "-k", &path, "--wait=false"]).unwrap();
}

#[test]
fn the_local_overlay_is_accepted() {
    check_overlay("local", &["pod-address"]);
}

#[test]
fn the_production_overlay_is_accepted() {
    check_overlay("production", &[]);
}

#[test]
fn the_production_overlay_is_accepted_with_every_component() {
    let all = ["monitoring", "tls", "spares", "compaction", "pod-address"];
    check_overlay("production", &all);
}

#[test]
fn the_parquet_overlay_is_accepted() {
    check_overlay("parquet", &[]);
}

#[test]
fn the_bigquery_overlay_is_accepted() {
    check_overlay("bigquery", &[]);
}

/// Otherwise that the overlays are accepted would prove nothing.
#[test]
fn a_pod_that_may_do_more_than_ours_is_refused() {
    let Some(cluster) = cluster("refused") else { return };
    let namespace = namespace(&cluster, "refused");
    let pod =
        "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: c, image: i}]}";
    let refused = namespace.kubectl_with(&["apply", "-f", "-"], pod).unwrap_err().to_string();
    assert!(refused.contains("violates PodSecurity \"restricted"), "{refused}");
    let strict = ["apply", "--dry-run=server", "--validate=strict", "-f", "-"];
    let unknown = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndta: {}";
    let refused = namespace.kubectl_with(&strict, unknown).unwrap_err().to_string();
    assert!(refused.contains("unknown field \"dta\""), "{refused}");
}

/// What the Role is for, as `kubectl auth can-i` takes it.
const ALLOWED: [&str; 25] = [
    "list deployments.apps",
    "watch deployments.apps",
    "create deployments.apps",
    "patch deployments.apps",
    "delete deployments.apps",
    "list persistentvolumeclaims",
    "watch persistentvolumeclaims",
    "create persistentvolumeclaims",
    "patch persistentvolumeclaims",
    "delete persistentvolumeclaims",
    "list pods",
    "watch pods",
    "delete pods",
    "get configmaps/stowage-group",
    "list configmaps/stowage-group",
    "watch configmaps/stowage-group",
    "list configmaps/stowage-consumer-template",
    "watch configmaps/stowage-consumer-template",
    "create leases.coordination.k8s.io",
    "get leases.coordination.k8s.io/stowage-orchestrator",
    "watch leases.coordination.k8s.io/stowage-orchestrator",
    "update leases.coordination.k8s.io/stowage-orchestrator",
    "create events.events.k8s.io",
    "list nodes",
    "watch nodes",
];

/// What a stolen token must not do.
const REFUSED: [&str; 29] = [
    "get secrets",
    "list secrets",
    "create secrets",
    "create pods",
    "patch pods",
    "create pods --subresource=exec",
    "get pods --subresource=log",
    "create pods --subresource=eviction",
    "update deployments.apps",
    "deletecollection deployments.apps",
    "patch deployments.apps --subresource=scale",
    "create statefulsets.apps",
    "get configmaps/stowage-config",
    "list configmaps",
    "create configmaps",
    "patch configmaps/stowage-group",
    "patch configmaps/stowage-consumer-template",
    "delete configmaps/stowage-group",
    "update leases.coordination.k8s.io/another",
    "list leases.coordination.k8s.io",
    "watch leases.coordination.k8s.io",
    "patch events.events.k8s.io",
    "delete leases.coordination.k8s.io/stowage-orchestrator",
    "create serviceaccounts --subresource=token",
    "patch roles.rbac.authorization.k8s.io",
    "create rolebindings.rbac.authorization.k8s.io",
    "delete nodes",
    "patch nodes",
    "delete persistentvolumes",
];

fn may(namespace: &Namespace<'_>, account: &str, what: &str) -> bool {
    let who = format!("--as=system:serviceaccount:{}:{account}", namespace.name());
    let words: Vec<&str> = ["auth", "can-i"].into_iter().chain(what.split(' ')).collect();
    // The exit status says the same, and so a refusal looks like a failure.
    match namespace.kubectl(&[&words[..], &[&who]].concat()) {
        Ok(said) => said.trim() == "yes",
        Err(_) => false,
    }
}

#[test]
fn the_orchestrator_may_do_what_it_must_and_nothing_else() {
    let Some(cluster) = cluster("role") else { return };
    let (ours, other) = (namespace(&cluster, "role"), namespace(&cluster, "role-other"));
    let manifests = Manifests::new("local", ours.name(), &[]);
    cluster.kubectl(&["apply", "-k", &manifests.path()]).unwrap();
    let denied: Vec<_> =
        ALLOWED.iter().filter(|what| !may(&ours, "stowage-orchestrator", what)).collect();
    assert!(denied.is_empty(), "the orchestrator may not {denied:?}");
    let granted: Vec<_> =
        REFUSED.iter().filter(|what| may(&ours, "stowage-orchestrator", what)).collect();
    assert!(granted.is_empty(), "the orchestrator may {granted:?}");
    let config = ours.kubeconfig_of("stowage-orchestrator", Path::new(env!("CARGO_TARGET_TMPDIR")));
    let config = config.unwrap();
    let ask = |arguments: &[&str]| e2e::harness::kubernetes::kubectl(&config, arguments, "");
    ask(&["get", "deployments,persistentvolumeclaims,pods"]).unwrap();
    ask(&["get", "configmaps", "--field-selector=metadata.name=stowage-group"]).unwrap();
    ask(&["get", "nodes"]).unwrap();
    for arguments in [&["get", "configmaps"][..], &["get", "pods", "--namespace", other.name()][..]]
    {
        let refused = ask(arguments).unwrap_err().to_string();
        assert!(refused.contains("Forbidden"), "{refused}");
    }
    for account in ["stowage-consumer", "stowage-monitor"] {
        let granted: Vec<_> = ALLOWED.iter().filter(|what| may(&ours, account, what)).collect();
        assert!(granted.is_empty(), "{account} may {granted:?}");
    }
    cluster.kubectl(&["delete", "-k", &manifests.path(), "--wait=false"]).unwrap();
}

/// Monitor and consumers have no token at all.
#[test]
fn only_the_orchestrator_has_a_token() {
    let Some(cluster) = cluster("token") else { return };
    let namespace = namespace(&cluster, "token");
    let manifests = Manifests::new("production", namespace.name(), &[]);
    cluster.kubectl(&["apply", "-k", &manifests.path()]).unwrap();
    apply(&namespace, &claim(&namespace));
    apply(&namespace, &consumer(&namespace));
    for (deployment, count) in
        [("stowage-monitor", 1), ("stowage-orchestrator", 2), ("de-consumer-1", 1)]
    {
        wait_for_pods(&namespace, deployment, count);
    }
    let name = r"{.metadata.labels.app\.kubernetes\.io/name}";
    let tokens = "{range .spec.volumes[*].projected.sources[*]}{.serviceAccountToken.path}{end}";
    let pods = format!("jsonpath={{range .items[*]}}{name}={tokens} {{end}}");
    let said = namespace.kubectl(&["get", "pods", "-o", &pods]).unwrap();
    let mut found: Vec<&str> = said.split_whitespace().collect();
    found.sort_unstable();
    let orchestrator = "stowage-orchestrator=token";
    assert_eq!(found, ["stowage-consumer=", "stowage-monitor=", orchestrator, orchestrator]);
    cluster.kubectl(&["delete", "-k", &manifests.path(), "--wait=false"]).unwrap();
}
