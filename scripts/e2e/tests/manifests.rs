//! What can be said of the manifests without a cluster: they name nothing that is not there.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Variables that stand in no list of flags: of the pod itself, of the overlays' own replacements, and the fleet driver's.
const NOT_READ: [&str; 5] = ["POD_IP", "POD_NAME", "CONSUMER_IMAGE", "NAMESPACE", "SPARES"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// All manifests, by their paths.
fn manifests() -> Vec<(PathBuf, String)> {
    let (mut found, mut folders) = (Vec::new(), vec![root().join("k8s")]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "yaml") {
                found.push((path.clone(), fs::read_to_string(path).unwrap()));
            }
        }
    }
    assert!(found.len() > 30, "only {} manifests were found", found.len());
    found
}

fn is_variable(word: &str) -> bool {
    word.len() > 1 && word.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
}

/// The names of variables that a manifest sets, in a ConfigMap or in a container.
fn variables(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| {
        let line = line.trim();
        let name = match line.strip_prefix("- name: ").or(line.strip_prefix("- {name: ")) {
            Some(rest) => rest.split([',', '}']).next()?,
            None => line.split_once(':')?.0,
        };
        is_variable(name).then_some(name)
    })
}

/// A misspelt variable would be ignored without a word.
#[test]
fn every_variable_is_one_that_a_service_reads() {
    let configuration = read("docs/configuration.md");
    let mut seen = BTreeSet::new();
    for (path, text) in manifests() {
        for name in variables(&text) {
            let is_read = configuration.contains(&format!("| `{name}` |"));
            assert!(is_read || NOT_READ.contains(&name), "{}: nobody reads {name}", path.display());
            seen.insert(name.to_owned());
        }
    }
    assert!(seen.len() > 15, "only these were seen: {seen:?}");
}

/// An alarm on a metric that does not exist never rings.
#[test]
fn alarms_name_metrics_that_exist() {
    let metrics = read("docs/metrics.md");
    let alarms = read("k8s/components/monitoring/alarms.yaml");
    let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let words = alarms.split(|c| !is_name(c)).filter(|word| word.starts_with("stowage_"));
    let named: BTreeSet<&str> = words.collect();
    for name in &named {
        let name = name.strip_suffix("_bucket").unwrap_or(name);
        assert!(metrics.contains(&format!("| `{name}` |")), "there is no metric {name}");
    }
    assert!(named.len() >= 9, "{named:?}");
}

/// The local overlay has the template anew; it differs from the base's by what it adds.
#[test]
fn the_local_template_is_that_of_the_base_and_a_lake() {
    let base = read("k8s/base/consumer-template/pod-template.yaml");
    let local = read("k8s/overlays/local/pod-template.yaml");
    let mut added = Vec::new();
    let mut wanted = base.lines().peekable();
    for line in local.lines() {
        if wanted.next_if_eq(&line).is_none() {
            added.push(line.trim());
        }
    }
    assert_eq!(wanted.next(), None, "the local template lacks a line");
    let lake = ["- {name: lake, mountPath: /lake}", "- name: lake"];
    let claim = "persistentVolumeClaim: {claimName: stowage-lake}";
    assert_eq!(added, [lake[0], lake[1], claim]);
}

/// Overlays put the image between the first double quotes.
#[test]
fn the_image_is_the_only_quoted_text_of_the_template() {
    let template = read("k8s/base/consumer-template/pod-template.yaml");
    let quoted: Vec<&str> = template.split('"').skip(1).step_by(2).collect();
    assert_eq!(quoted, ["stowage/consumer"]);
}

/// They are what users copy: alike but for what they are about.
#[test]
fn overlays_name_images_and_cluster_wide_objects_alike() {
    let tail = |name: &str| {
        let text = read(&format!("k8s/overlays/{name}/kustomization.yaml"));
        text[text.find("\nreplacements:").unwrap()..].to_owned()
    };
    for name in ["local", "parquet", "bigquery"] {
        assert_eq!(tail(name), tail("production"), "{name}");
    }
}
