//! The control plane for tests behaves as a cluster does where the other tests rely on it, its kubelet above all.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod cluster;

use std::path::Path;

use cluster::{PATIENCE, cluster, namespace, wait_for};
use e2e::harness::kubernetes::{Cluster, Namespace, NodeFault};
use e2e::harness::patience::wait_until;
use rustix::process::Signal;

const PODS: [&str; 3] = ["get", "pods", "-o"];
/// Each pod's readiness, whether it is being deleted, and its node.
const SHOWN: &str = "jsonpath={range .items[*]}{.status.conditions[?(@.type=='Ready')].status}\
                     {' '}{.metadata.deletionGracePeriodSeconds}{' '}{.spec.nodeName}{'\\n'}{end}";

/// A consumer as the orchestrator would make it, of programs that every machine has: it notes its starts on its claim.
fn consumer() -> &'static str {
    "
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: state}
spec: {accessModes: [ReadWriteOncePod], resources: {requests: {storage: 1Gi}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: consumer}
spec:
  strategy: {type: Recreate}
  selector: {matchLabels: {app: consumer}}
  template:
    metadata: {labels: {app: consumer}}
    spec:
      automountServiceAccountToken: false
      terminationGracePeriodSeconds: 5
      securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
      containers:
      - name: consumer
        image: shell
        command: [sh, -c, 'echo \"$POD_UID at $POD_IP\" | tee -a /state/starts; exec python3 -m http.server 8080 --bind $POD_IP']
        securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
        env:
        - {name: POD_IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
        - {name: POD_UID, valueFrom: {fieldRef: {fieldPath: metadata.uid}}}
        readinessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1}
        volumeMounts: [{name: state, mountPath: /state}]
      volumes: [{name: state, persistentVolumeClaim: {claimName: state}}]
"
}

/// Each pod as readiness, `leaving` or `staying`, and node, in order.
fn pods(namespace: &Namespace<'_>) -> Vec<String> {
    let said = namespace.kubectl(&[&PODS[..], &[SHOWN]].concat()).unwrap();
    let mut found: Vec<String> = said
        .lines()
        .map(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            let staying = if words[1].is_empty() { "staying" } else { "leaving" };
            format!("{} {staying} {}", words[0], words[2]).trim().to_owned()
        })
        .collect();
    found.sort();
    found
}

fn wait_for_one_pod(namespace: &Namespace<'_>) -> String {
    let look = || match &pods(namespace)[..] {
        [pod] if pod.starts_with("True staying ") => Ok(pod["True staying ".len()..].to_owned()),
        other => Err(format!("{other:?}")),
    };
    wait_until("one pod is there and ready", PATIENCE, look).unwrap()
}

#[test]
fn a_claim_outlives_the_pod_and_one_pod_at_a_time_has_it() {
    let Some(cluster) = cluster("claim") else { return };
    let namespace = namespace(&cluster, "claim");
    namespace.kubectl_with(&["apply", "-f", "-"], consumer()).unwrap();
    wait_for_one_pod(&namespace);
    let said = namespace.kubectl(&["logs", "deployment/consumer"]).unwrap();
    assert!(said.contains(" at 127."), "{said}");
    namespace.kubectl(&["rollout", "restart", "deployment/consumer"]).unwrap();
    let rolled = ["rollout", "status", "deployment/consumer", "--timeout=60s"];
    namespace.kubectl(&rolled).unwrap();
    let node = wait_for_one_pod(&namespace);
    namespace.kubectl(&["scale", "deployment/consumer", "--replicas=2"]).unwrap();
    let reason = "jsonpath={.items[?(@.status.phase=='Pending')].status.conditions[0].reason}";
    wait_for(&namespace, &["get", "pods", "-o", reason], "Unschedulable");
    assert!(pods(&namespace).contains(&format!("True staying {node}")));
}

#[test]
fn faults_of_a_node_show_as_a_cluster_shows_them() {
    let Some(cluster) = cluster("faults") else { return };
    let namespace = namespace(&cluster, "faults");
    let missing = consumer()
        .replace("command: [sh", "args: [sh")
        .replace("image: shell", "image: nowhere/none:1");
    namespace.kubectl_with(&["apply", "-f", "-"], &missing).unwrap();
    let reason = "jsonpath={.items[*].status.containerStatuses[*].state.waiting.reason}";
    wait_for(&namespace, &["get", "pods", "-o", reason], "ErrImagePull");
    let crashing = consumer().replace("exec python3", "exit 3; exec python3");
    namespace.kubectl_with(&["apply", "-f", "-"], &crashing).unwrap();
    wait_for(&namespace, &["get", "pods", "-o", reason], "CrashLoopBackOff");
    let code = "jsonpath={.items[*].status.containerStatuses[*].lastState.terminated.exitCode}";
    wait_for(&namespace, &["get", "pods", "-o", code], "3");
}

/// What a fleet driver has to live with: nobody but who deletes the old pod by force frees a claim of a lost node, and the
/// old process may live on.
#[test]
fn a_lost_node_keeps_its_claims_and_its_processes() {
    // With a cluster of its own, since other tests would lose their pods as well.
    if cluster("lost").is_none() {
        return;
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("lost-node");
    let cluster = Cluster::start(&folder, 2).unwrap();
    let namespace = namespace(&cluster, "lost");
    namespace.kubectl_with(&["apply", "-f", "-"], consumer()).unwrap();
    let node = wait_for_one_pod(&namespace);
    let number: u32 = node.trim_start_matches("node-").parse().unwrap();
    let old = namespace.kubectl(&["get", "pods", "-o", "name"]).unwrap();
    cluster.silence(number).unwrap();
    let look = || match &pods(&namespace)[..] {
        [leaving, waiting] if waiting == "staying" && leaving.contains("leaving") => Ok(()),
        other => Err(format!("{other:?}")),
    };
    wait_until("the pod is leaving and its successor waits", PATIENCE, look).unwrap();
    namespace.kubectl(&["delete", old.trim(), "--force", "--grace-period=0"]).unwrap();
    assert_ne!(wait_for_one_pod(&namespace), node);
    assert_eq!(cluster.processes(number).len(), 1, "the old process lives on");
    cluster.wake(number).unwrap();
    let gone = || match cluster.processes(number).len() {
        0 => Ok(()),
        count => Err(format!("{count} processes")),
    };
    wait_until("the node that is back ends it", PATIENCE, gone).unwrap();
    check_outage(&cluster, &namespace);
    check_provision(&cluster, &namespace);
}

/// Pods do not notice that the API server is gone.
fn check_outage(cluster: &Cluster, namespace: &Namespace<'_>) {
    let starts =
        |namespace: &Namespace<'_>| namespace.kubectl(&["logs", "deployment/consumer"]).unwrap();
    let before = starts(namespace);
    cluster.signal("kube-apiserver", Signal::KILL).unwrap();
    namespace.kubectl(&["get", "pods"]).unwrap_err();
    cluster.start_again().unwrap();
    wait_for_one_pod(namespace);
    assert_eq!(starts(namespace), before);
}

fn check_provision(cluster: &Cluster, namespace: &Namespace<'_>) {
    cluster.set_fault(1, NodeFault::Provision, true).unwrap();
    let second = consumer().replace("consumer", "second").replace("state", "more");
    namespace.kubectl_with(&["apply", "-f", "-"], &second).unwrap();
    let phase = ["get", "pvc", "more", "-o", "jsonpath={.status.phase}"];
    wait_for(namespace, &phase, "Pending");
    cluster.set_fault(1, NodeFault::Provision, false).unwrap();
    wait_for(namespace, &phase, "Bound");
}
