//! The keeper of the fleet on Kubernetes, over a cluster in memory.

#![expect(clippy::unwrap_used, reason = "a test")]

mod cluster;

use common::identity::ConsumerId;
use orchestrator::fleet::kubernetes::request::{Grace, Request, Target};
use orchestrator::fleet::{FleetCommand, FleetEvent, Found, Phase, ProcessId};
use proptest::prelude::{ProptestConfig, any, prop, proptest};

use cluster::{Cluster, KEEP, survey};

const ONE: ConsumerId = ConsumerId(1);

fn led() -> Cluster {
    let mut cluster = Cluster::new();
    cluster.lead(5);
    cluster
}

fn mended(cluster: &Cluster) -> Vec<&str> {
    let mended = cluster.told.iter().filter_map(|event| match event {
        FleetEvent::Mended { what, .. } => Some(what.as_str()),
        _ => None,
    });
    mended.collect()
}

/// A consumer gets a claim, a Deployment and a pod, in this order, and each step is told.
#[test]
fn a_consumer_is_made_and_told_of() {
    let mut cluster = led();
    cluster.create(1);
    cluster.pass(5);
    assert_eq!(cluster.names(), ["de-consumer-1"]);
    assert_eq!(cluster.claims.len(), 1);
    let process = ProcessId::clone(&started(&cluster)[0]);
    assert!(matches!(process, ProcessId::Container(_)));
    for phase in [Phase::Applied, Phase::Scheduled, Phase::Started, Phase::Ready] {
        let reached = FleetEvent::Reached { consumer: ONE, phase };
        assert_eq!(cluster.told.iter().filter(|event| **event == reached).count(), 1);
    }
    let calls = cluster.calls.len();
    cluster.pass(60);
    assert_eq!(cluster.calls.len(), calls, "all is as it should be");
    assert_eq!(mended(&cluster), [""; 0]);
}

fn started(cluster: &Cluster) -> Vec<ProcessId> {
    let started = cluster.told.iter().filter_map(|event| match event {
        FleetEvent::Started { process, .. } => Some(process.clone()),
        _ => None,
    });
    started.collect()
}

/// Before its survey is over a leader makes nothing; then it tells all that it found, once.
#[test]
fn a_new_leader_stamps_and_tells_what_it_found() {
    let mut cluster = led();
    cluster.create(1);
    cluster.pass(5);
    cluster.told.clear();
    cluster.calls.clear();
    cluster.lead(9);
    let surveyed: Vec<_> =
        cluster.told.iter().filter(|event| matches!(event, FleetEvent::Surveyed { .. })).collect();
    let [FleetEvent::Surveyed { found, ended }] = surveyed[..] else { panic!("{surveyed:?}") };
    assert!(matches!(found[&ONE], Found { process: Some(_), .. }) && ended.is_empty());
    assert_eq!(cluster.calls.len(), 1, "{:?}", cluster.calls);
    let stamp = &cluster.deployments["de-consumer-1"].metadata.annotations.as_ref().unwrap()["stowage.dev/generation"];
    assert_eq!(stamp, "9");
}

/// As long as something is not stamped a leader of before may change it: until then nothing is told, made or removed.
#[test]
fn before_all_is_stamped_nothing_is_told_made_or_removed() {
    let mut cluster = led();
    cluster.create(1);
    cluster.pass(5);
    cluster.told.clear();
    cluster.calls.clear();
    cluster.is_refusing = true;
    cluster.lead(9);
    cluster.create(2);
    cluster.command(FleetCommand::Remove { consumer: ONE });
    cluster.pass(60);
    let stamps = cluster.calls.iter().filter(|(target, request)| {
        let is_stamp = matches!(request, Request::ApplyDeployment(_) | Request::Patch { .. });
        is_stamp && target.consumer == ONE
    });
    assert_eq!((cluster.told.len(), stamps.count()), (0, cluster.calls.len()));
    assert!(cluster.calls.len() > 2, "it is tried again and again");
    cluster.is_refusing = false;
    cluster.pass(60);
    assert!(matches!(cluster.told[0], FleetEvent::Surveyed { .. }), "{:?}", cluster.told);
    assert_eq!(cluster.names(), ["de-consumer-2"]);
}

/// From its first moment on a Deployment belongs to a leader: one of before is refused.
#[test]
fn what_is_made_is_stamped() {
    let mut cluster = led();
    cluster.create(1);
    cluster.pass(5);
    let made = cluster.calls.iter().find_map(|(_, request)| match request {
        Request::CreateDeployment(made) => made.metadata.annotations.clone(),
        _ => None,
    });
    assert_eq!(made.unwrap()["stowage.dev/generation"], "5");
}

/// A leader that sees the stamp of a later one does nothing any more.
#[test]
fn a_deposed_leader_makes_no_call() {
    let mut cluster = led();
    cluster.create(1);
    cluster.pass(5);
    cluster.edit(1, |found| {
        let annotations = found.metadata.annotations.as_mut().unwrap();
        annotations.insert("stowage.dev/generation".into(), "6".into());
    });
    cluster.calls.clear();
    cluster.create(2);
    cluster.pass(60);
    assert_eq!(cluster.calls, []);
}

/// Whatever is changed by hand is put right once, and told once.
#[test]
fn hand_edits_are_put_right() {
    let mut cluster = led();
    cluster.create(1);
    cluster.pass(5);
    cluster.edit(1, |found| found.spec.as_mut().unwrap().replicas = Some(0));
    cluster.pass(5);
    assert_eq!(cluster.pods.len(), 1);
    cluster.edit(1, |found| found.spec.as_mut().unwrap().paused = Some(true));
    cluster.pass(5);
    assert_eq!(cluster.deployments["de-consumer-1"].spec.as_ref().unwrap().paused, None);
    cluster.deployments.clear();
    cluster.list();
    cluster.pass(5);
    assert_eq!(cluster.names(), ["de-consumer-1"]);
    let expected =
        ["it was scaled to 0", "its Deployment was changed", "its Deployment was deleted"];
    assert_eq!(mended(&cluster), expected);
}

/// Removed is who has no pod any more; its claim is kept for a while.
#[test]
fn a_removal_waits_for_the_pod_and_keeps_the_claim() {
    let mut cluster = led();
    cluster.create(1);
    cluster.pass(5);
    cluster.is_kubelet_away = true;
    cluster.command(FleetCommand::Remove { consumer: ONE });
    cluster.pass(10);
    assert!(cluster.deployments.is_empty());
    assert!(!cluster.told.contains(&FleetEvent::Removed { consumer: ONE }));
    cluster.is_kubelet_away = false;
    cluster.pass(5);
    assert!(cluster.told.contains(&FleetEvent::Removed { consumer: ONE }));
    cluster.pass(KEEP.as_secs() / 2);
    cluster.create(1);
    cluster.pass(KEEP.as_secs());
    assert_eq!(cluster.claims.len(), 1, "it is in use");
    cluster.command(FleetCommand::Remove { consumer: ONE });
    cluster.pass(KEEP.as_secs() + 10);
    assert!(cluster.claims.is_empty());
    assert_eq!(mended(&cluster), [""; 0]);
}

/// Only what a Ready node's kubelet wrote confirms an end.
#[test]
fn the_end_of_a_container_is_told_when_its_node_is_well() {
    let exits = |cluster: &Cluster| {
        let exits = cluster.told.iter().filter(|event| matches!(event, FleetEvent::Exited { .. }));
        exits.count()
    };
    let mut cluster = led();
    cluster.create(1);
    cluster.pass(5);
    cluster.node(false);
    cluster.crash(1);
    cluster.pass(5);
    assert_eq!(exits(&cluster), 0);
    cluster.forget_nodes();
    cluster.pass(5);
    assert_eq!(exits(&cluster), 0, "nobody knows how its node is");
    cluster.node(true);
    cluster.pass(5);
    assert_eq!(exits(&cluster), 1);
    let failing =
        FleetEvent::Failing { consumer: ONE, failures: 1, reason: "exit status 1".into() };
    assert!(cluster.told.contains(&failing));
    // A pod that vanishes confirms nothing.
    cluster.pods.clear();
    cluster.pass(5);
    assert_eq!(exits(&cluster), 1);
}

/// A pod on a node that is lost is removed by force only after its leader allowed it.
#[test]
fn a_force_delete_waits_for_leave() {
    let mut cluster = led();
    cluster.create(1);
    cluster.pass(5);
    let pod = cluster.pod_of(1).identity.uid.clone();
    cluster.is_kubelet_away = true;
    cluster.node(false);
    cluster.pass(20);
    let stuck = |event: &&FleetEvent| matches!(event, FleetEvent::Stuck { .. });
    assert!(cluster.told.iter().filter(stuck).count() > 2, "it is told again and again");
    assert!(cluster.pods.contains_key(&pod));
    cluster.command(FleetCommand::Bury { consumer: ONE, pod: pod.clone() });
    cluster.pass(2);
    assert!(!cluster.pods.contains_key(&pod));
}

/// A pod that has time to end is not stuck; one that is there long after its time is.
#[test]
fn a_pod_is_stuck_only_after_its_time() {
    let stuck = |cluster: &Cluster| {
        cluster.told.iter().any(|event| matches!(event, FleetEvent::Stuck { .. }))
    };
    let mut cluster = led();
    cluster.create(1);
    cluster.pass(5);
    cluster.is_kubelet_away = true;
    cluster.pod_of(1).identity.is_deleting = true;
    let grace_secs = cluster.pod_of(1).grace_secs;
    cluster.pass(grace_secs);
    assert!(!stuck(&cluster));
    cluster.pass(20);
    assert!(stuck(&cluster));
}

/// Leave to bury is no order to kill: a pod that is well again stays.
#[test]
fn a_pod_that_is_well_is_not_removed_by_force() {
    let mut cluster = led();
    cluster.create(1);
    cluster.pass(5);
    let pod = cluster.pod_of(1).identity.uid.clone();
    cluster.command(FleetCommand::Bury { consumer: ONE, pod: pod.clone() });
    cluster.pass(60);
    assert!(cluster.pods.contains_key(&pod));
}

/// A restart ends the present pod once; its successor stays.
#[test]
fn a_restart_ends_one_pod() {
    let mut cluster = led();
    cluster.create(1);
    cluster.pass(5);
    cluster.command(FleetCommand::Restart { consumer: ONE });
    cluster.pass(30);
    let deleted = cluster
        .calls
        .iter()
        .filter(|(_, request)| matches!(request, Request::Delete { grace: Grace::Own, .. }));
    assert_eq!((deleted.count(), started(&cluster).len()), (1, 2));
}

/// What a Deployment of before left running beside the pod of the present one is asked to end; the newer stays.
#[test]
fn a_pod_that_outlives_its_deployment_is_ended() {
    let mut cluster = led();
    cluster.create(1);
    cluster.pass(5);
    let old = cluster.pod_of(1).identity.uid.clone();
    let new = cluster.second_pod(1);
    cluster.pass(15);
    assert!(cluster.pods.contains_key(&old), "it may be about to go by itself");
    cluster.pass(15);
    assert_eq!(cluster.pods.keys().collect::<Vec<_>>(), [&new]);
    let is_forced = |(_, request): &(Target, Request)| {
        matches!(request, Request::Delete { grace: Grace::None, .. })
    };
    assert!(!cluster.calls.iter().any(is_forced), "it has its time to end");
}

/// What was evicted is over, and stays to be looked at.
#[test]
fn a_pod_that_is_over_stays_beside_the_next() {
    let mut cluster = led();
    cluster.create(1);
    cluster.pass(5);
    let old = cluster.pod_of(1);
    (old.running_since_ms, old.waits_for) = (None, Some("the pod is over: Evicted".into()));
    cluster.second_pod(1);
    cluster.pass(60);
    assert_eq!(cluster.pods.len(), 2);
}

/// A bad template changes nothing and is told once; consumers that have one keep it.
#[test]
fn a_bad_template_is_refused_and_the_old_one_goes_on() {
    let mut cluster = led();
    cluster.create(1);
    cluster.pass(5);
    cluster.template("spec: {containers: [{name: other, image: i}]}");
    cluster.create(2);
    cluster.pass(30);
    assert_eq!(cluster.names(), ["de-consumer-1", "de-consumer-2"]);
    let refused = cluster.told.iter().filter(|event| matches!(event, FleetEvent::Refused { .. }));
    assert_eq!(refused.count(), 1);
}

/// What cannot run says why, once, and again when the reason changes.
#[test]
fn a_pod_that_waits_says_why() {
    let mut cluster = led();
    cluster.is_kubelet_away = true;
    cluster.create(1);
    cluster.pass(10);
    cluster.is_kubelet_away = false;
    cluster.pass(1);
    cluster.is_kubelet_away = true;
    let pod = cluster.pod_of(1);
    (pod.running_since_ms, pod.waits_for) = (None, Some("no node takes the pod".into()));
    cluster.pass(10);
    let reasons = cluster.told.iter().filter_map(|event| match event {
        FleetEvent::Waiting { reason, .. } => Some(reason.as_str()),
        _ => None,
    });
    assert_eq!(reasons.collect::<Vec<_>>(), ["its pod is being created", "no node takes the pod"]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whatever is ordered, lost, deleted and deposed: once all answers come the cluster holds what was
    /// ordered last, and then no call is made any more.
    #[test]
    fn it_converges_and_then_stays_still(
        steps in prop::collection::vec((0_u8..6, 1_u32..4, any::<bool>()), 1..30),
    ) {
        let mut cluster = led();
        let mut wanted = std::collections::BTreeSet::new();
        let mut generation = 5;
        cluster.lost_percent = 30;
        for (what, consumer, is_long) in steps {
            match what {
                0 | 1 => {
                    wanted.insert(consumer);
                    cluster.create(consumer);
                }
                2 => {
                    wanted.remove(&consumer);
                    cluster.command(FleetCommand::Remove { consumer: ConsumerId(consumer) });
                }
                3 => {
                    cluster.deployments.remove(&format!("de-consumer-{consumer}"));
                    cluster.list();
                }
                4 => {
                    cluster.command(FleetCommand::Restart { consumer: ConsumerId(consumer) });
                }
                _ => {
                    // Whoever leads next learns what exists, and orders anew what it wants.
                    generation += 1;
                    cluster.command(survey(generation));
                    cluster.pass(60);
                    for consumer in 1..4 {
                        if wanted.contains(&consumer) {
                            cluster.create(consumer);
                        } else {
                            let consumer = ConsumerId(consumer);
                            cluster.command(FleetCommand::Remove { consumer });
                        }
                    }
                }
            }
            cluster.pass(if is_long { 20 } else { 0 });
        }
        cluster.lost_percent = 0;
        cluster.pass(KEEP.as_secs() + 120);
        let names: Vec<_> = wanted.iter().map(|consumer| format!("de-consumer-{consumer}")).collect();
        assert_eq!(cluster.names(), names);
        assert_eq!(cluster.pods.len(), wanted.len());
        let calls = cluster.calls.len();
        cluster.pass(120);
        let late: Vec<_> = cluster.calls[calls..].iter().collect();
        assert!(late.is_empty(), "{late:?}");
    }
}
