//! Consumers are made anew from another template or image while they are read from, one after the other.

use std::cell::RefCell;
use std::path::Path;

use e2e::harness::kubernetes::{Cluster, NodeFault};
use e2e::harness::patience::wait_until;
use e2e::harness::programs::program;

use crate::cluster::{PATIENCE, cluster, old_programs};
use crate::group::{CAPACITY, CONSUMERS, Group};
use crate::stage::Stage;

/// A new version and a changed template reach everything while records are read; meanwhile consumers of the old and of
/// the new version are led by the old and by the new one. The old one's programs lie in `STOWAGE_TEST_OLD_PROGRAMS`, and
/// without that are the same.
#[test]
fn all_is_replaced_by_a_new_version_while_it_runs() {
    let (Some(cluster), Some(stage)) = (cluster("rollout"), Stage::set("kube-rollout")) else {
        return;
    };
    offer_old(&cluster);
    let group = Group::install_version(&cluster, stage, "rollout", OLD);
    let flow = group.load(CAPACITY);
    group.wait_for_consumers("two consumers are there", |count| count >= 2);
    group.manifests.edit("pod-template.yaml", |text| {
        text.replace("\nmetadata: {}\n", "\nmetadata: {annotations: {team: lake}}\n")
    });
    group.manifests.set_version(NEW);
    group.apply();
    let team = "{.spec.template.metadata.annotations.team}";
    let shown = format!("jsonpath={{range .items[*]}}{team}:{IMAGE} {{end}}");
    let look = || {
        let said = of_consumers(&group, "deployments", &shown)?;
        let is_new = |word: &&str| word.starts_with("lake:") && word.ends_with(NEW);
        let are_new = said.split_whitespace().filter(is_new).count();
        if are_new > 0 && are_new == group.consumers().len() { Ok(()) } else { Err(said) }
    };
    wait_until("all consumers are of the new version", PATIENCE, look).unwrap();
    for name in ["deployment/stowage-orchestrator", "deployment/stowage-monitor"] {
        group.namespace.kubectl(&["rollout", "status", name, "--timeout=90s"]).unwrap();
        let shown = format!("jsonpath={IMAGE}");
        let image = group.namespace.kubectl(&["get", name, "-o", &shown]).unwrap();
        assert!(image.ends_with(NEW), "{image}");
    }
    group.wait_until_owned();
    group.wait_for_progress();
    flow.stop();
    group.end_soundly();
}

const OLD: &str = "0.0.9";
const NEW: &str = "0.1.0";
const IMAGE: &str = "{.spec.template.spec.containers[0].image}";

/// What stands for the images of the old version.
fn offer_old(cluster: &Cluster) {
    for name in ["monitor", "orchestrator", "consumer"] {
        let program = match old_programs() {
            Some(folder) => folder.join(name),
            None => program(name).unwrap(),
        };
        let image = format!("stowage/{name}:{OLD}");
        cluster.offer(&image, &[&program.to_string_lossy()]).unwrap();
    }
}

/// A roll-out stops at the first consumer that does not get on, while the others read; it goes on once the image is
/// right.
#[test]
fn a_roll_out_stops_at_an_image_that_is_missing() {
    let (Some(cluster), Some(stage)) = (cluster("image"), Stage::set("kube-image")) else { return };
    let group = Group::install(&cluster, stage, "image");
    let flow = group.load(CAPACITY);
    group.wait_for_consumers("two consumers are there", |count| count >= 2);
    let right = RefCell::new(String::new());
    group.manifests.edit("config.yaml", |text| {
        right.replace(text.clone());
        text.replace("stowage/consumer:0.1.0", "nowhere/none:1")
    });
    group.apply();
    let pulls = "jsonpath={.items[*].status.containerStatuses[*].state.waiting.reason}";
    let look = || match of_consumers(&group, "pods", pulls)? {
        said if said.contains("Pull") => Ok(()),
        said => Err(said),
    };
    wait_until("one consumer lacks its image", PATIENCE, look).unwrap();
    group.wait_until_owned();
    group.wait_for_progress();
    let said = of_consumers(&group, "pods", pulls).unwrap();
    assert_eq!(said.split_whitespace().count(), 1, "the others were left alone: {said}");
    group.manifests.edit("config.yaml", |_| right.borrow().clone());
    group.apply();
    group.wait_for_consumers("all have the right image", |count| count >= 2);
    group.wait_until_owned();
    flow.stop();
    group.end_soundly();
}

/// Who cannot start holds back only what it was to have, and others get that.
#[test]
fn a_claim_that_does_not_bind_holds_back_nobody_else() {
    let (Some(_), Some(stage)) = (cluster("claim"), Stage::set("kube-claim")) else { return };
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("claims");
    let cluster = Cluster::start(&folder, 1).unwrap();
    let group = Group::install(&cluster, stage, "claim");
    cluster.set_fault(1, NodeFault::Provision, true).unwrap();
    let flow = group.load(CAPACITY * 2);
    let look = || match of_consumers(&group, "pods", "jsonpath={.items[*].status.phase}")? {
        said if said.contains("Pending") => Ok(()),
        said => Err(said),
    };
    wait_until("a consumer waits for its claim", PATIENCE, look).unwrap();
    group.wait_for_progress();
    group.wait_for("every partition is at a consumer that runs", |status| {
        let partitions = status["partitions"].as_object().into_iter().flatten();
        let unowned = partitions.filter(|(_, one)| one["state"] != "Owned").count();
        if unowned == 0 { Ok(()) } else { Err(format!("{unowned} are not owned")) }
    });
    cluster.set_fault(1, NodeFault::Provision, false).unwrap();
    group.wait_for_consumers("all have their claims", |count| count >= 3);
    flow.stop();
    group.end_soundly();
}

fn of_consumers(group: &Group<'_>, kind: &str, shown: &str) -> Result<String, String> {
    let said = group.namespace.kubectl(&["get", kind, "-l", CONSUMERS, "-o", shown]);
    said.map_err(|error| error.to_string())
}
