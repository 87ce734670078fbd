//! Deployments and claims follow the load, and go with the group.

use std::time::Duration;

use e2e::harness::patience::wait_until;

use crate::cluster::{PATIENCE, cluster};
use crate::group::{CAPACITY, CONSUMERS, Group};
use crate::stage::Stage;

/// One command installs it, one says what is read; consumers come and go with the load, and every decision can be read
/// where people look for it.
#[test]
fn deployments_follow_the_load() {
    let (Some(cluster), Some(stage)) = (cluster("growth"), Stage::set("kube-growth")) else {
        return;
    };
    let group = Group::install(&cluster, stage, "growth");
    let high = group.load(CAPACITY * 2);
    group.wait_for_consumers("at least three consumers are there", |count| count >= 3);
    let told = group.namespace.kubectl(&["describe", "configmap", "stowage-group"]).unwrap();
    assert!(told.contains("ScaledUp"), "{told}");
    // Meant to be 1 s; what the cluster does on a busy machine is in it, too.
    let own = group.own_part();
    println!("our part of a new consumer's opening: {own:?}");
    assert!(own < Duration::from_secs(10), "{own:?}");
    high.stop();
    let low = group.load(CAPACITY / 5);
    group.wait_for_consumers("one consumer suffices again", |count| count == 1);
    low.stop();
    group.end_soundly();
}

/// Whoever deletes the group's object means all of it.
#[test]
fn consumers_and_claims_go_with_the_group() {
    let (Some(cluster), Some(stage)) = (cluster("cascade"), Stage::set("kube-cascade")) else {
        return;
    };
    let group = Group::install(&cluster, stage, "cascade");
    let namespace = &group.namespace;
    namespace.kubectl(&["scale", "deployment/stowage-orchestrator", "--replicas=0"]).unwrap();
    namespace.kubectl(&["delete", "configmap/stowage-group"]).unwrap();
    let left = ["get", "deployments,persistentvolumeclaims,pods", "-l", CONSUMERS, "-o", "name"];
    let look = || match namespace.kubectl(&left) {
        Ok(said) if said.is_empty() => Ok(()),
        Ok(said) => Err(said),
        Err(error) => Err(error.to_string()),
    };
    wait_until("nothing of the consumers is left", PATIENCE, look).unwrap();
    group.end_soundly();
}
