//! The fleet on a real Kubernetes API server, with pods that are local processes.

#![expect(clippy::unwrap_used, reason = "a test")]

mod cluster;

use std::time::Duration;

use common::clock::Clock;
use common::identity::ConsumerId;
use common::messages::service::DeploymentEntry;
use common::shutdown::Shutdown;
use common::term::Generation;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use orchestrator::conductor::input::Input;
use orchestrator::fleet::kubernetes::call::Caller;
use orchestrator::fleet::kubernetes::election::Election;
use orchestrator::fleet::kubernetes::facts::DeploymentFacts;
use orchestrator::fleet::kubernetes::lease::LeaseView;
use orchestrator::fleet::kubernetes::request::{Kind, Outcome, Request, Target};
use orchestrator::fleet::{ContainerRun, FleetCommand, FleetEvent, Phase, ProcessId};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::timeout;

use cluster::{Cluster, Fleet, LIVES, PATIENCE};

const ONE: ConsumerId = ConsumerId(1);
const NAME: &str = "de-consumer-1";
const KEEP: Duration = Duration::from_secs(3_600);

fn survey(generation: u64) -> FleetCommand {
    FleetCommand::Survey { generation: Generation(generation) }
}

fn create(deployment: DeploymentEntry) -> FleetCommand {
    FleetCommand::Create { consumer: ONE, deployment }
}

fn ready(event: &FleetEvent) -> Option<()> {
    (*event == FleetEvent::Reached { consumer: ONE, phase: Phase::Ready }).then_some(())
}

fn started(event: &FleetEvent) -> Option<ContainerRun> {
    match event {
        FleetEvent::Started { process: ProcessId::Container(run), .. } => Some(run.clone()),
        _ => None,
    }
}

fn surveyed(event: &FleetEvent) -> Option<usize> {
    match event {
        FleetEvent::Surveyed { found, .. } => Some(found.len()),
        _ => None,
    }
}

fn mended(event: &FleetEvent) -> Option<String> {
    match event {
        FleetEvent::Mended { what, .. } => Some(what.clone()),
        _ => None,
    }
}

/// A fleet that leads, with one consumer that is ready.
async fn one(cluster: &Cluster) -> Fleet {
    let mut fleet = cluster.fleet(KEEP);
    fleet.command(survey(5)).await;
    fleet.until("the survey ends", surveyed).await;
    fleet.command(create(DeploymentEntry::default())).await;
    fleet.until("it is ready", ready).await;
    fleet
}

/// A consumer is made, runs, is told of, ends with its Deployment, and its claim follows when it is due.
#[tokio::test]
async fn a_consumer_comes_and_goes() {
    let Some(cluster) = Cluster::open("life").await else { return };
    let mut fleet = cluster.fleet(Duration::from_secs(2));
    fleet.command(survey(5)).await;
    assert_eq!(fleet.until("the survey ends", surveyed).await, 0);
    let before = Clock.timestamp().0 / 1_000 * 1_000;
    fleet.command(create(DeploymentEntry::default())).await;
    let run = fleet.until("it is started", started).await;
    let after = Clock.timestamp().0;
    assert!((before..=after).contains(&run.from_ms) && run.until_ms.is_none(), "{run:?}");
    let pods: Vec<Pod> = cluster.api().list(&ListParams::default()).await.unwrap().items;
    assert_eq!(pods[0].metadata.uid.as_ref(), Some(&run.pod));
    fleet.command(FleetCommand::Remove { consumer: ONE }).await;
    let removed = |event: &FleetEvent| matches!(event, FleetEvent::Removed { .. }).then_some(());
    fleet.until("it is removed", removed).await;
    assert_eq!(cluster.api::<Pod>().list(&ListParams::default()).await.unwrap().items.len(), 0);
    let claims = cluster.api::<PersistentVolumeClaim>();
    let is_gone = || async { claims.list(&ListParams::default()).await.unwrap().items.is_empty() };
    fleet.while_not("its claim is removed", is_gone).await;
    assert!(fleet.told.iter().all(|event| mended(event).is_none()), "{:#?}", fleet.told);
    cluster.close().await;
}

/// A process that ends is told of with the run that it was, and the next run is another one.
#[tokio::test]
async fn the_end_of_a_process_is_confirmed() {
    let Some(cluster) = Cluster::open("exit").await else { return };
    cluster.template("sleep 3; exit 7").await;
    let mut fleet = cluster.fleet(KEEP);
    fleet.command(survey(5)).await;
    fleet.command(create(DeploymentEntry::default())).await;
    let run = fleet.until("it is started", started).await;
    let exited = |event: &FleetEvent| match event {
        FleetEvent::Exited { process: ProcessId::Container(run), how, .. } => {
            Some((run.clone(), how.clone()))
        }
        _ => None,
    };
    let (ended, how) = fleet.until("it ends", exited).await;
    assert_eq!((&ended.pod, ended.from_ms), (&run.pod, run.from_ms));
    assert!(ended.until_ms.unwrap() >= run.from_ms + 2_000, "{ended:?}");
    assert_eq!(how, "exit status 7");
    let next = fleet.until("it is started again", started).await;
    assert!(next.from_ms >= ended.until_ms.unwrap() && next.pod == run.pod, "{next:?}");
    cluster.close().await;
}

/// Deleted, scaled, edited: each is put right and said, and then nothing is called any more.
#[tokio::test]
async fn what_is_done_by_hand_is_put_right() {
    let Some(cluster) = Cluster::open("heal").await else { return };
    let mut fleet = one(&cluster).await;
    let deployments = cluster.api::<Deployment>();
    let merge = |spec| Patch::Merge(json!({ "spec": spec }));
    let by_hand = PatchParams { field_manager: Some("hand".into()), ..PatchParams::default() };
    deployments.patch(NAME, &by_hand, &merge(json!({"replicas": 0}))).await.unwrap();
    assert_eq!(fleet.until("the scale is mended", mended).await, "it was scaled to 0");
    let replicas =
        || async { deployments.get(NAME).await.unwrap().spec.unwrap().replicas == Some(1) };
    fleet.while_not("it has one replica", replicas).await;
    let grace = json!({"template": {"spec": {"terminationGracePeriodSeconds": 9}}});
    deployments.patch(NAME, &by_hand, &merge(grace)).await.unwrap();
    assert_eq!(fleet.until("the edit is mended", mended).await, "its Deployment was changed");
    let is_as_before = || async {
        let pod = deployments.get(NAME).await.unwrap().spec.unwrap().template.spec.unwrap();
        pod.termination_grace_period_seconds == Some(2)
    };
    fleet.while_not("the template is as it was", is_as_before).await;
    deployments.delete(NAME, &DeleteParams::background()).await.unwrap();
    assert_eq!(fleet.until("the deletion is mended", mended).await, "its Deployment was deleted");
    let is_there = || async { deployments.get_opt(NAME).await.unwrap().is_some() };
    fleet.while_not("it is there again", is_there).await;
    cluster.close().await;
}

/// The next leader finds what is there and restarts nothing; the former one changes nothing any more.
#[tokio::test]
async fn a_new_leader_adopts_and_the_former_is_refused() {
    let Some(cluster) = Cluster::open("adopt").await else { return };
    let mut former = one(&cluster).await;
    let deployments = cluster.api::<Deployment>();
    let seen = deployments.get(NAME).await.unwrap();
    let pods = cluster.api::<Pod>();
    let pod =
        || async { pods.list(&ListParams::default()).await.unwrap().items[0].metadata.uid.clone() };
    let before = pod().await;
    let mut heir = cluster.fleet(KEEP);
    heir.command(survey(9)).await;
    assert_eq!(heir.until("the survey ends", surveyed).await, 1);
    // A call of the former leader that was on its way all the time.
    let patch = Request::scale(&DeploymentFacts::of(&seen).unwrap().identity, 0);
    let target = Target { consumer: ONE, kind: Kind::Deployment };
    let caller = Caller::new(&cluster.client);
    assert_eq!(caller.call(target, patch).await, Outcome::Conflict);
    let mut stale = seen.clone();
    stale.metadata.managed_fields = None;
    let apply = Request::ApplyDeployment(Box::new(stale));
    assert_eq!(caller.call(target, apply).await, Outcome::Conflict);
    let identity = DeploymentFacts::of(&seen).unwrap().identity;
    let grace = orchestrator::fleet::kubernetes::request::Grace::Own;
    let delete = Request::Delete { identity, grace };
    assert_eq!(caller.call(target, delete).await, Outcome::Conflict);
    former.command(FleetCommand::Remove { consumer: ONE }).await;
    let is_stamped = || async {
        let found = deployments.get(NAME).await.unwrap();
        DeploymentFacts::of(&found).unwrap().stamp == Some(Generation(9))
    };
    former.while_not("the stamp is that of the heir", is_stamped).await;
    former.command(FleetCommand::Remove { consumer: ONE }).await;
    assert!(deployments.get_opt(NAME).await.unwrap().is_some());
    assert_eq!(pod().await, before, "no pod was restarted");
    cluster.close().await;
}

/// A template that cannot be used is refused with a sentence, and the one before goes on.
#[tokio::test]
async fn a_bad_template_is_refused() {
    let Some(cluster) = Cluster::open("template").await else { return };
    let mut fleet = one(&cluster).await;
    cluster.map("template", json!({"pod-template.yaml": "spec: {containers: []}"})).await;
    let refused = |event: &FleetEvent| match event {
        FleetEvent::Refused { error } => Some(error.clone()),
        _ => None,
    };
    let error = fleet.until("it is refused", refused).await;
    assert!(error.contains("no container called consumer"), "{error}");
    let two = ConsumerId(2);
    let deployment = DeploymentEntry::default();
    fleet.command(FleetCommand::Create { consumer: two, deployment }).await;
    let ready = |event: &FleetEvent| {
        (*event == FleetEvent::Reached { consumer: two, phase: Phase::Ready }).then_some(())
    };
    fleet.until("another one is made from the old one", ready).await;
    cluster.template(LIVES).await;
    cluster.close().await;
}

/// An image that is missing is told of in the pod's own words, and nothing is made or removed for it.
#[tokio::test]
async fn a_missing_image_is_told_of() {
    let Some(cluster) = Cluster::open("image").await else { return };
    let mut fleet = cluster.fleet(KEEP);
    fleet.command(survey(5)).await;
    let image = Some("no/such:1".to_owned());
    let pod = "{\"spec\": {\"containers\": [{\"name\": \"consumer\", \"image\": \"x\"}]}}";
    cluster.map("template", json!({ "pod-template.yaml": pod })).await;
    fleet.command(create(DeploymentEntry { image, ..DeploymentEntry::default() })).await;
    let waiting = |event: &FleetEvent| match event {
        FleetEvent::Waiting { reason, .. } if reason.contains("no/such:1") => Some(()),
        _ => None,
    };
    fleet.until("the image is named", waiting).await;
    cluster.close().await;
}

/// What the API server refuses is told with its own words, and tried again when it may succeed.
#[tokio::test]
async fn what_the_api_server_refuses_is_told_of() {
    let Some(cluster) = Cluster::open("refuse").await else { return };
    let pod = json!({"spec": {"containers": [
        {"name": "consumer", "image": "x", "command": ["sh", "-c", LIVES], "ports": [{"containerPort": 99_999}]},
    ]}});
    cluster.map("template", json!({ "pod-template.yaml": pod.to_string() })).await;
    let mut fleet = cluster.fleet(KEEP);
    fleet.command(survey(5)).await;
    fleet.command(create(DeploymentEntry::default())).await;
    let waiting = |event: &FleetEvent| match event {
        FleetEvent::Waiting { reason, .. } if reason.contains("containerPort") => Some(()),
        _ => None,
    };
    fleet.until("the refusal is told", waiting).await;
    cluster.template(LIVES).await;
    fleet.until("it is ready", ready).await;
    cluster.close().await;
}

/// Of two orchestrators one holds the Lease; the other gets it when the first ends, or when it has been silent for as long
/// as the Lease lasts. A successor in the same state directory need not wait for that.
#[tokio::test]
async fn one_holds_the_lease() {
    let Some(cluster) = Cluster::open("lease").await else { return };
    let stand = |own: &str, state_dir: &str, stop: &Shutdown| {
        let (inputs, held) = mpsc::channel(1_000);
        let view = LeaseView::new(own, state_dir);
        let election = Election::new(&cluster.client, "lease".into(), view, inputs);
        (tokio::spawn(election.run(stop.clone())), held)
    };
    let (first_stop, others_stop) = (Shutdown::manual(), Shutdown::manual());
    let (first, mut first_held) = stand("first", "a", &first_stop);
    until_held(&mut first_held).await;
    let (second, mut second_held) = stand("second", "b", &others_stop);
    for _ in 0..3 {
        assert!(matches!(second_held.recv().await, Some(Input::Lease(false))));
    }
    first_stop.request();
    first.await.unwrap();
    timeout(Duration::from_secs(1), until_held(&mut second_held)).await.expect("it was given back");
    let (third, mut third_held) = stand("third", "c", &others_stop);
    second.abort();
    let silent = Clock.now();
    timeout(PATIENCE, until_held(&mut third_held)).await.expect("it has lapsed");
    let waited = Clock.now().saturating_since(silent);
    // It was renewed 2 s ago at most; what the machine may take on top is not the Lease's.
    assert!((12_500..=15_500).contains(&waited.as_millis()), "{waited:?}");
    third.abort();
    let (fourth, mut fourth_held) = stand("fourth", "c", &others_stop);
    timeout(Duration::from_secs(1), until_held(&mut fourth_held)).await.expect("third is gone");
    let lease: Lease = cluster.api().get("lease").await.unwrap();
    assert_eq!(lease.spec.unwrap().lease_transitions, Some(4));
    others_stop.request();
    fourth.await.unwrap();
    cluster.close().await;
}

async fn until_held(held: &mut mpsc::Receiver<Input>) {
    while !matches!(held.recv().await, Some(Input::Lease(true))) {}
}
