//! People delete and change things by hand, and it heals.

use std::time::Duration;

use common::clock::Clock;
use e2e::harness::patience::wait_until;
use e2e::harness::process::signal_process;
use rustix::process::Signal;

use crate::cluster::{PATIENCE, cluster};
use crate::group::{CAPACITY, CONSUMERS, Group};
use crate::stage::Stage;

/// For so long the Lease is believed.
const LEASE: Duration = Duration::from_secs(15);
/// A process starts, or hears that the Lease is nobody's.
const SOON: Duration = Duration::from_secs(4);
/// What kubectl and a busy machine take to show it.
const SLACK: Duration = Duration::from_secs(1);

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

/// However the leader ends, another holds the Lease within the 15 s that it lasts, and leads: nothing is made twice,
/// and consumers do not notice.
#[test]
fn the_standby_takes_over_when_the_leader_is_deleted() {
    let (Some(cluster), Some(stage)) = (cluster("leader"), Stage::set("kube-leader")) else {
        return;
    };
    let group = Group::install(&cluster, stage, "leader");
    let flow = group.load(CAPACITY);
    group.wait_for_consumers("two consumers are there", |count| count >= 2);
    // Others may come as the load goes up and down; who is there must live on.
    group.pause_scale_in(true);
    group.wait_until_owned();
    let delete = |leader: &str, how: &[&str]| {
        group.namespace.kubectl(&[&["delete", "pod", leader], how].concat()).unwrap();
    };
    // Given back, or left by a process whose state directory the next one has.
    take_over(&group, "asked to end", SOON, |leader| delete(leader, &["--wait=false"]));
    take_over(&group, "killed", SOON, |leader| signal(&group, leader, Signal::KILL));
    take_over(&group, "lost", LEASE, |leader| {
        // Frozen it cannot give the Lease back.
        signal(&group, leader, Signal::STOP);
        delete(leader, &["--force", "--grace-period=0"]);
    });
    flow.stop();
    group.end_soundly();
}

fn signal(group: &Group<'_>, pod: &str, signal: Signal) {
    let pid = group.cluster.process_of(pod).expect("the pod runs");
    signal_process(pid, signal).unwrap();
}

fn take_over(group: &Group<'_>, how: &str, within: Duration, end: impl Fn(&str)) {
    let (leader, before) = group.leader().unwrap();
    let (holder, uids) = (group.holder().unwrap(), group.uids());
    let began = Clock.now();
    end(&leader);
    let is_another = || match group.holder()? {
        now if now.is_empty() || now == holder => Err(format!("{now:?} holds it")),
        _ => Ok(Clock.now().saturating_since(began)),
    };
    let held_after = wait_until("another holds the Lease", PATIENCE, is_another).unwrap();
    let leads_after = group.wait_for("another leads", |status| {
        let is_new = status["generation"].as_u64() > before["generation"].as_u64();
        let took = Clock.now().saturating_since(began);
        if is_new { Ok(took) } else { Err(status.to_string()) }
    });
    eprintln!("{how}: the Lease was held after {held_after:?}, one led after {leads_after:?}");
    assert!(held_after <= within + SLACK, "{how}: it took {held_after:?}");
    group.wait_until_owned();
    group.wait_for_progress();
    let (now, there) = (group.wait_for("one leads", |status| Ok(status.clone())), group.uids());
    let (were, are) = (Group::incarnations(&before), Group::incarnations(&now));
    assert!(were.iter().all(|one| are.contains(one)), "{how}: {were:?}, then {are:?}");
    assert!(uids.lines().all(|one| there.contains(one)), "{how}: {uids}, then {there}");
}
