//! Parts of the cluster fail: its API server, its nodes. With a cluster of its own, since others would feel it, too.

use std::path::Path;

use e2e::harness::kubernetes::Cluster;
use e2e::harness::patience::wait_until;
use e2e::harness::process::signal_process;
use rustix::process::Signal;

use crate::cluster::{PATIENCE, cluster};
use crate::group::{CAPACITY, CONSUMERS, Group};
use crate::stage::Stage;

#[test]
fn a_lost_api_server_and_a_lost_node_lose_nothing() {
    let (Some(_), Some(stage)) = (cluster("outages"), Stage::set("kube-outages")) else { return };
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("outages");
    let cluster = Cluster::start(&folder, 2).unwrap();
    let group = Group::install(&cluster, stage, "outages");
    let flow = group.load(CAPACITY * 2);
    group.wait_for_consumers("three consumers are there", |count| count >= 3);
    lose_api_server(&group);
    lose_node(&group);
    flow.stop();
    group.end_soundly();
}

/// Consumers read on without it, and nothing is created twice when it is back.
fn lose_api_server(group: &Group<'_>) {
    let rows = || group.stage.objects().len();
    group.cluster.signal("kube-apiserver", Signal::KILL).unwrap();
    let before = rows();
    let look = || match rows() {
        now if now > before + 20 => Ok(()),
        now => Err(format!("{now} objects")),
    };
    wait_until("more is stored", PATIENCE, look).unwrap();
    group.cluster.start_again().unwrap();
    group.wait_until_owned();
}

/// A machine that stands still: its leases lapse, and only then its pods are deleted by force. When its processes wake,
/// before their kubelet does, others have long had what they held.
fn lose_node(group: &Group<'_>) {
    let nodes = "jsonpath={.items[0].spec.nodeName}";
    let node = group.namespace.kubectl(&["get", "pods", "-l", CONSUMERS, "-o", nodes]).unwrap();
    let number: u32 = node.trim_start_matches("node-").parse().unwrap();
    let kubelet = format!("kubelet-{number}");
    // The kubelet first: it would end who does not answer its probes.
    group.cluster.signal(&kubelet, Signal::STOP).unwrap();
    let zombies = group.cluster.processes(number);
    assert!(!zombies.is_empty(), "no process runs on {node}");
    for zombie in &zombies {
        signal_process(*zombie, Signal::STOP).unwrap();
    }
    let here = format!("--field-selector=spec.nodeName={node}");
    let left = ["get", "pods", "-l", CONSUMERS, &here, "-o", "name"];
    let look = || match group.namespace.kubectl(&left) {
        Ok(said) if said.is_empty() => Ok(()),
        Ok(said) => Err(said),
        Err(error) => Err(error.to_string()),
    };
    wait_until("the lost node's pods were deleted by force", PATIENCE, look).unwrap();
    group.wait_until_owned();
    for zombie in &zombies {
        signal_process(*zombie, Signal::CONT).unwrap();
    }
    group.wait_for_progress();
    group.cluster.signal(&kubelet, Signal::CONT).unwrap();
    group.wait_until_owned();
    group.wait_for_progress();
}
