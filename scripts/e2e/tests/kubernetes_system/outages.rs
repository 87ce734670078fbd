//! Parts of the cluster fail: its API server, its nodes. With a cluster of its own, since others would feel it, too.

use std::path::Path;
use std::time::Duration;

use common::clock::Clock;
use e2e::harness::kubernetes::Cluster;
use e2e::harness::patience::{stays_true, wait_until};
use e2e::harness::process::signal_process;
use rustix::process::Signal;
use serde_json::Value;

use crate::cluster::{PATIENCE, api_server_away, cluster};
use crate::group::{CAPACITY, CONSUMERS, Group};
use crate::role::assert_all_is_used;
use crate::stage::Stage;

/// For so long nothing may be stored: objects go to a disk that others keep busy, too.
const STALL: Duration = Duration::from_secs(10);

/// In the end all that the orchestrator may do was done, and nothing else was tried.
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
    let low = group.load(CAPACITY / 5);
    group.wait_for_consumers("one consumer suffices again", |count| count == 1);
    group.wait_for_claims("claims that are not needed go", 1);
    // Nothing else patches a Deployment for sure.
    let name = group.consumers().remove(0).0;
    group.namespace.kubectl(&["scale", "deployment", &name, "--replicas=0"]).unwrap();
    group.wait_until_owned();
    group.wait_for_progress();
    low.stop();
    assert_all_is_used(&group);
    group.end_soundly();
}

/// Consumers read on without it all the time, the leader leads on, the other one does not, and when it is back what was
/// there is there, and what was decided meanwhile is made once.
fn lose_api_server(group: &Group<'_>) {
    group.pause_scale_in(true);
    group.wait_until_owned();
    let (orchestrators, uids) = (group.orchestrators().unwrap(), group.uids());
    let (leader, before) = group.leader().unwrap();
    let (generation, incarnations) = (&before["generation"], Group::incarnations(&before));
    let is_undisturbed = |name: &str, status: &Value| {
        let now = Group::incarnations(status);
        let live_on = incarnations.iter().all(|one| now.contains(one));
        let is_so = name == leader && status["generation"] == *generation && live_on;
        if is_so { Ok(()) } else { Err(format!("{name}: {status}\nbefore, {leader}: {before}")) }
    };
    let (mut stored, mut stored_at) = (Group::stored(&before), Clock.now());
    let (mut rows, mut pause_max) = (0, Duration::ZERO);
    group.cluster.signal("kube-apiserver", Signal::KILL).unwrap();
    let look = || {
        let (name, status) = group.leader_of(&orchestrators)?;
        is_undisturbed(&name, &status)?;
        if Group::count_unowned(&status) > 0 {
            return Err(format!("a partition has no owner: {status}"));
        }
        let now = Group::stored(&status);
        if now > stored {
            rows += now - stored;
            (stored, stored_at) = (now, Clock.now());
        }
        let pause = Clock.now().saturating_since(stored_at);
        pause_max = pause_max.max(pause);
        let stalls = || format!("nothing was stored for {pause:?}: {status}");
        if pause < STALL { Ok(()) } else { Err(stalls()) }
    };
    let span = api_server_away();
    stays_true("the leader leads and all is read", span, look).unwrap();
    eprintln!("API server away for {span:?}: {rows} rows stored, no pause above {pause_max:?}");
    group.cluster.start_again().unwrap();
    group.wait_until_owned();
    group.wait_for_progress();
    let (name, after) = group.leader().unwrap();
    is_undisturbed(&name, &after).unwrap();
    let look = || {
        let (_, status) = group.leader()?;
        let (decided, there) = (Group::incarnations(&status).len(), group.uids());
        let is_so = there.lines().count() == decided && uids.lines().all(|one| there.contains(one));
        if is_so { Ok(()) } else { Err(format!("{decided} were decided: {there}\nbefore: {uids}")) }
    };
    wait_until("what was there is there, and what was decided, once", PATIENCE, look).unwrap();
    group.pause_scale_in(false);
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
