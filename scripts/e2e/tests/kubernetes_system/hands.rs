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
/// Whoever holds the Lease reads what the reigns before have given away.
const TAKING_OVER: Duration = Duration::from_secs(3);
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

/// However the leader ends, another process holds the Lease within the 15 s that it lasts, and leads: nothing is made
/// twice, and consumers do not notice.
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
    // It gives the Lease back, and says that nobody leads any more.
    let [before, now] =
        take_over(&group, "asked to end", SOON, |leader| delete(leader, &["--wait=false"]));
    assert_ne!(before, now, "another pod leads");
    // The next process of its pod has its state directory.
    take_over(&group, "killed", SOON, |leader| signal(&group, leader, Signal::KILL));
    let [before, now] = take_over(&group, "lost", LEASE, |leader| {
        // Frozen it cannot give the Lease back.
        signal(&group, leader, Signal::STOP);
        delete(leader, &["--force", "--grace-period=0"]);
    });
    assert_ne!(before, now, "another pod leads");
    flow.stop();
    group.end_soundly();
}

/// A leader dies before, or after, it has told an owner to give up a partition that a person wants elsewhere: whoever
/// follows finds out what became of that, and the partition moves all the same.
#[test]
fn a_leader_that_dies_in_mid_move_loses_nothing() {
    let (Some(cluster), Some(stage)) = (cluster("moves"), Stage::set("kube-moves")) else { return };
    let group = Group::install(&cluster, stage, "moves");
    let flow = group.load(CAPACITY);
    group.wait_for_consumers("two consumers are there", |count| count >= 2);
    group.pause_scale_in(true);
    group.wait_until_owned();
    for place in ["before-Assign", "after-Assign"] {
        let (owner, other) = group.wait_for("there is another consumer", Group::owner_and_other);
        group.die_at(place);
        group.tell(&["pin", &group.topic, "--partitions", "0", "--consumer", &other.to_string()]);
        group.wait_for("the partition moved", |status| {
            let (now, _) = Group::owner_and_other(status)?;
            let has_moved = now == other && status["is_settled"] == true;
            if has_moved { Ok(()) } else { Err(format!("{now} has it, as {owner} had")) }
        });
        assert!(!group.has_place(place), "nobody died at {place}");
        group.wait_for_progress();
    }
    flow.stop();
    group.end_soundly();
}

fn signal(group: &Group<'_>, pod: &str, signal: Signal) {
    let pid = group.cluster.process_of(pod).expect("the pod runs");
    signal_process(pid, signal).unwrap();
}

/// The pod that led, and the one that leads now.
fn take_over(group: &Group<'_>, how: &str, within: Duration, end: impl Fn(&str)) -> [String; 2] {
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
    assert!(leads_after <= within + TAKING_OVER + SLACK, "{how}: it took {leads_after:?}");
    let (now_leading, _) = group.leader().unwrap();
    group.wait_until_owned();
    group.wait_for_progress();
    let (now, there) = (group.wait_for("one leads", |status| Ok(status.clone())), group.uids());
    let (were, are) = (Group::incarnations(&before), Group::incarnations(&now));
    assert!(were.iter().all(|one| are.contains(one)), "{how}: {were:?}, then {are:?}");
    assert!(uids.lines().all(|one| there.contains(one)), "{how}: {uids}, then {there}");
    [leader, now_leading]
}
