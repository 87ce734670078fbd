//! The Kubernetes that `scripts/test.sh` started, and a namespace of it for each test.

#![expect(
    clippy::disallowed_methods,
    reason = "tests read where Kubernetes is from the environment"
)]
#![allow(dead_code, reason = "each test program uses a part of this")]

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process;
use std::time::Duration;

use e2e::harness::kubernetes::{Cluster, Namespace};
use e2e::harness::patience::wait_until;

/// How long anything may take on a busy machine before it counts as not happening.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// `None` without Kubernetes: the test skips itself and says so; in CI that is a failure.
pub(crate) fn cluster(test: &str) -> Option<Cluster> {
    let Ok(kubeconfig) = env::var("STOWAGE_TEST_KUBERNETES") else {
        let is_ci = env::var("CI").is_ok_and(|value| value == "true");
        assert!(!is_ci, "STOWAGE_TEST_KUBERNETES is not set: {test} cannot be skipped");
        eprintln!("SKIPPED: {test}: STOWAGE_TEST_KUBERNETES names no kubeconfig");
        return None;
    };
    Some(Cluster::at(Path::new(&kubeconfig)).unwrap())
}

/// For how long a test keeps the API server away.
pub(crate) fn api_server_away() -> Duration {
    let seconds = env::var("STOWAGE_TEST_API_SERVER_AWAY_SECS");
    Duration::from_secs(seconds.map_or(60, |seconds| seconds.parse().unwrap()))
}

/// Where the programs of an older version lie.
pub(crate) fn old_programs() -> Option<PathBuf> {
    env::var_os("STOWAGE_TEST_OLD_PROGRAMS").map(PathBuf::from)
}

/// A namespace that no other test and no other run has.
pub(crate) fn namespace<'a>(cluster: &'a Cluster, test: &str) -> Namespace<'a> {
    cluster.namespace(&format!("{test}-{}", process::id())).unwrap()
}

/// Waits until kubectl prints `wanted`.
pub(crate) fn wait_for(namespace: &Namespace<'_>, arguments: &[&str], wanted: &str) {
    let look = || match namespace.kubectl(arguments) {
        Ok(said) if said.trim() == wanted => Ok(()),
        Ok(said) => Err(said),
        Err(error) => Err(error.to_string()),
    };
    let what = format!("kubectl {} says {wanted}", arguments.join(" "));
    wait_until(&what, PATIENCE, look).unwrap();
}

/// A copy of the manifests, to be changed as a user would.
pub(crate) struct Manifests {
    folder: PathBuf,
}

impl Manifests {
    /// `overlay` with the namespace changed in its kustomization, and with further components.
    pub(crate) fn new(overlay: &str, namespace: &str, components: &[&str]) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{namespace}-{overlay}"));
        let _ = fs::remove_dir_all(&folder);
        copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../k8s"), &folder);
        let manifests = Self { folder: folder.join("overlays").join(overlay) };
        manifests.edit("kustomization.yaml", |text| {
            let mut text =
                text.replace("\nnamespace: stowage\n", &format!("\nnamespace: {namespace}\n"));
            let listed = components.iter().map(|name| format!("- ../../components/{name}\n"));
            let listed: String = listed.collect();
            if text.contains("\ncomponents:\n") {
                text = text.replace("\ncomponents:\n", &format!("\ncomponents:\n{listed}"));
            } else if !listed.is_empty() {
                text += &format!("components:\n{listed}");
            }
            text
        });
        manifests
    }

    /// Changes a file of the overlay.
    pub(crate) fn edit(&self, name: &str, change: impl Fn(String) -> String) {
        let path = self.folder.join(name);
        fs::write(&path, change(fs::read_to_string(&path).unwrap())).unwrap();
    }

    /// Sets a value of the ConfigMap that a user edits.
    pub(crate) fn set(&self, key: &str, value: &str) {
        self.edit("config.yaml", |text| {
            let others = text.lines().filter(|line| !line.starts_with(&format!("  {key}:")));
            let others: Vec<_> = others.collect();
            format!("{}\n  {key}: '{value}'\n", others.join("\n"))
        });
    }

    /// Sets the tag of all images.
    pub(crate) fn set_version(&self, version: &str) {
        self.edit("kustomization.yaml", |text| {
            let tagged = text.lines().map(|line| match line.split_once("newTag:") {
                Some((before, _)) => format!("{before}newTag: {version}}}\n"),
                None => format!("{line}\n"),
            });
            tagged.collect()
        });
        self.set("CONSUMER_IMAGE", &format!("stowage/consumer:{version}"));
    }

    pub(crate) fn path(&self) -> String {
        self.folder.display().to_string()
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}
