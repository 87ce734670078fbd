//! What the orchestrator may do, against what it did, as the API server wrote it down.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::group::Group;

const ACCOUNT: &str = "stowage-orchestrator";

/// One verb on one kind of objects; with a name, only on the object of that name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Permission {
    verb: String,
    resource: String,
    name: Option<String>,
}

impl Permission {
    fn covers(&self, done: &Self) -> bool {
        let is_named = self.name.is_none() || self.name == done.name;
        self.verb == done.verb && self.resource == done.resource && is_named
    }
}

/// Each permission was needed by something that succeeded and that no other one allows, and nothing was tried that is not
/// allowed: so the Role can lose nothing, and lacks nothing.
pub(crate) fn assert_all_is_used(group: &Group<'_>) {
    let ((done, mut refused), granted) = (asked_for(group), granted(group));
    // An API server that has just started refuses everything until it has read the Roles.
    refused.retain(|refused| !granted.iter().any(|granted| granted.covers(refused)));
    assert!(refused.is_empty(), "the orchestrator was refused {refused:#?}");
    let unused = unused(&granted, &done);
    assert!(unused.is_empty(), "nobody used {unused:#?}\nof what was done {done:#?}");
    eprintln!("all of {} permissions were used", granted.len());
}

fn unused<'a>(
    granted: &'a BTreeSet<Permission>,
    done: &BTreeSet<Permission>,
) -> Vec<&'a Permission> {
    let is_needed = |permission: &Permission| {
        done.iter().any(|done| {
            let mut allowing = granted.iter().filter(|granted| granted.covers(done));
            allowing.next() == Some(permission) && allowing.next().is_none()
        })
    };
    granted.iter().filter(|permission| !is_needed(permission)).collect()
}

/// What the orchestrators asked for and got, and what they were refused.
fn asked_for(group: &Group<'_>) -> (BTreeSet<Permission>, BTreeSet<Permission>) {
    let user = format!("system:serviceaccount:{}:{ACCOUNT}", group.namespace.name());
    let (mut done, mut refused) = (BTreeSet::new(), BTreeSet::new());
    for line in group.cluster.audit_log().unwrap().lines() {
        // The last line may have been cut off when the API server was killed.
        let Ok(entry) = serde_json::from_str::<Value>(line) else { continue };
        let object = &entry["objectRef"];
        if entry["user"]["username"] != *user || object.is_null() {
            continue;
        }
        let parts = ["apiGroup", "resource", "subresource"].map(|part| object[part].as_str());
        let [group, resource, subresource] = parts.map(Option::unwrap_or_default);
        let asked = Permission {
            verb: entry["verb"].as_str().unwrap().to_owned(),
            resource: in_words(group, resource, subresource),
            name: object["name"].as_str().map(str::to_owned),
        };
        match entry["responseStatus"]["code"].as_u64() {
            Some(200..=299) => drop(done.insert(asked)),
            Some(401 | 403) => drop(refused.insert(asked)),
            // It was allowed, and failed for another reason.
            Some(_) | None => {}
        }
    }
    (done, refused)
}

/// All that Role and ClusterRole grant, one by one.
fn granted(group: &Group<'_>) -> BTreeSet<Permission> {
    let cluster_role = format!("clusterrole/{}:orchestrator-nodes", group.namespace.name());
    let mut granted = BTreeSet::new();
    for role in [format!("role/{ACCOUNT}"), cluster_role] {
        let said = group.namespace.kubectl(&["get", &role, "-o", "json"]).unwrap();
        let role: Value = serde_json::from_str(&said).unwrap();
        granted.extend(role["rules"].as_array().unwrap().iter().flat_map(granted_by));
    }
    granted
}

fn granted_by(rule: &Value) -> Vec<Permission> {
    let words = |part: &str| {
        let words = rule[part].as_array().cloned().unwrap_or_default();
        words.iter().map(|word| word.as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let kinds = words("apiGroups").into_iter().flat_map(|group| {
        words("resources").into_iter().map(move |resource| in_words(&group, &resource, ""))
    });
    let names = words("resourceNames").into_iter().map(Some).collect::<Vec<_>>();
    let names = if names.is_empty() { vec![None] } else { names };
    let mut granted = vec![];
    for resource in kinds {
        for verb in words("verbs") {
            granted.extend(names.iter().cloned().map(|name| {
                let (verb, resource) = (verb.clone(), resource.clone());
                Permission { verb, resource, name }
            }));
        }
    }
    granted
}

fn in_words(group: &str, resource: &str, subresource: &str) -> String {
    let parts = [resource, subresource].into_iter().filter(|part| !part.is_empty());
    let path = parts.collect::<Vec<_>>().join("/");
    if group.is_empty() { path } else { format!("{path}.{group}") }
}

/// A check that cannot fail proves nothing.
#[test]
fn what_nobody_used_or_another_permission_allows_as_well_is_found() {
    let permission = |verb: &str, name: Option<&str>| Permission {
        verb: verb.into(),
        resource: "configmaps".into(),
        name: name.map(str::to_owned),
    };
    let done = BTreeSet::from([permission("get", Some("a")), permission("list", None)]);
    let granted = |all: &[(&str, Option<&str>)]| {
        all.iter().map(|(verb, name)| permission(verb, *name)).collect::<BTreeSet<_>>()
    };
    for (all, count) in [
        (granted(&[("get", Some("a")), ("list", None)]), 0),
        (granted(&[("get", Some("a")), ("list", None), ("watch", None)]), 1),
        (granted(&[("get", Some("a")), ("get", Some("b")), ("list", None)]), 1),
        (granted(&[("get", None), ("get", Some("a")), ("list", None)]), 2),
    ] {
        assert_eq!(unused(&all, &done).len(), count, "{all:?}");
    }
}
