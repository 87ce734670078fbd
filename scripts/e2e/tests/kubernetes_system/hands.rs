//! People delete and change things by hand, and it heals.

use crate::cluster::cluster;
use crate::group::{CAPACITY, CONSUMERS, Group};
use crate::stage::Stage;

#[test]
fn what_people_delete_comes_back_and_nothing_is_lost() {
    let (Some(cluster), Some(stage)) = (cluster("hands"), Stage::set("kube-hands")) else { return };
    let group = Group::install(&cluster, stage, "hands");
    let flow = group.load(CAPACITY);
    group.wait_for_consumers("two consumers are there", |count| count >= 2);
    let name = group.consumers().remove(0).0;
    let namespace = &group.namespace;
    for deed in [
        &["delete", "pods", "-l", CONSUMERS, "--wait=false"][..],
        &["delete", "deployment", &name][..],
        &["scale", "deployment", &name, "--replicas=0"][..],
        &["delete", "pods", "-l", CONSUMERS, "--force", "--grace-period=0"][..],
    ] {
        namespace.kubectl(deed).unwrap();
        group.wait_until_owned();
        group.wait_for_progress();
    }
    flow.stop();
    group.end_soundly();
}

#[test]
fn the_standby_takes_over_when_the_leader_is_deleted() {
    let (Some(cluster), Some(stage)) = (cluster("leader"), Stage::set("kube-leader")) else {
        return;
    };
    let group = Group::install(&cluster, stage, "leader");
    let flow = group.load(CAPACITY);
    for force in [&["--wait=false"][..], &["--force", "--grace-period=0"][..]] {
        let (leader, _) = group.leader().unwrap();
        group.namespace.kubectl(&[&["delete", "pod", &leader], force].concat()).unwrap();
        let another = |_: &serde_json::Value| match group.leader() {
            Ok((name, _)) if name != leader => Ok(()),
            other => Err(format!("{other:?}")),
        };
        group.wait_for("another leads", another);
        group.wait_until_owned();
        group.wait_for_progress();
    }
    flow.stop();
    group.end_soundly();
}
