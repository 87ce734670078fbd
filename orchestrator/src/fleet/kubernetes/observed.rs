//! Pure. What exists, as far as the API told: a cache for each kind of object.

use std::collections::{BTreeMap, BTreeSet};

use common::identity::ConsumerId;

use super::facts::{ClaimFacts, DeploymentFacts, Identity, MapFacts, PodFacts};

/// News of one kind of objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change<T> {
    Set(T),
    /// It does not exist any more.
    Gone(Identity),
    /// All that exist.
    Listed(Vec<T>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    Deployments(Change<DeploymentFacts>),
    Claims(Change<ClaimFacts>),
    Pods(Change<PodFacts>),
    Nodes(Change<NodeFacts>),
    Template(Change<MapFacts>),
    Group(Change<MapFacts>),
    /// Nodes may not be looked at: nothing is known of any.
    NoNodes,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeFacts {
    pub identity: Identity,
    pub is_ready: bool,
}

/// A kind of objects that is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Deployments,
    Claims,
    Pods,
    Nodes,
    Template,
    Group,
}

const KINDS: usize = 6;

/// Objects by their names.
type Cache<T> = BTreeMap<String, T>;

#[derive(Clone, Debug, Default)]
pub struct Observed {
    pub deployments: Cache<DeploymentFacts>,
    pub claims: Cache<ClaimFacts>,
    /// By uid: a pod may have the name of one before it.
    pub pods: Cache<PodFacts>,
    nodes: Cache<NodeFacts>,
    pub template: Option<MapFacts>,
    pub group: Option<MapFacts>,
    listed: BTreeSet<Kind>,
}

impl Observed {
    pub fn take(&mut self, news: News) {
        match news {
            News::Deployments(change) => {
                self.note(Kind::Deployments, &change);
                update(&mut self.deployments, change, |facts| &facts.identity, by_name);
            }
            News::Claims(change) => {
                self.note(Kind::Claims, &change);
                update(&mut self.claims, change, |facts| &facts.identity, by_name);
            }
            News::Pods(change) => {
                self.note(Kind::Pods, &change);
                update(&mut self.pods, change, |facts| &facts.identity, by_uid);
            }
            News::Nodes(change) => {
                self.note(Kind::Nodes, &change);
                update(&mut self.nodes, change, |facts| &facts.identity, by_name);
            }
            News::Template(change) => {
                self.note(Kind::Template, &change);
                self.template = single(self.template.take(), change);
            }
            News::Group(change) => {
                self.note(Kind::Group, &change);
                self.group = single(self.group.take(), change);
            }
            News::NoNodes => {
                self.nodes.clear();
                self.listed.insert(Kind::Nodes);
            }
        }
    }

    fn note<T>(&mut self, kind: Kind, change: &Change<T>) {
        if matches!(change, Change::Listed(_)) {
            self.listed.insert(kind);
        }
    }

    /// Whether each kind of objects was listed once.
    pub fn is_complete(&self) -> bool {
        self.listed.len() == KINDS
    }

    pub fn deployment(&self, consumer: ConsumerId) -> Option<&DeploymentFacts> {
        self.deployments.values().find(|facts| facts.consumer == consumer)
    }

    pub fn claim(&self, consumer: ConsumerId) -> Option<&ClaimFacts> {
        self.claims.values().find(|facts| facts.consumer == consumer)
    }

    /// The pods of a consumer, the newest first, those that are being deleted last.
    pub fn pods_of(&self, consumer: ConsumerId) -> Vec<&PodFacts> {
        let mut own: Vec<_> = self.pods.values().filter(|pod| pod.consumer == consumer).collect();
        own.sort_by_key(|pod| (pod.identity.is_deleting, std::cmp::Reverse(pod.created_ms)));
        own
    }

    /// Whether the pod's node is well; nothing if that is not known.
    pub fn is_node_ready(&self, pod: &PodFacts) -> Option<bool> {
        Some(self.nodes.get(pod.node.as_ref()?)?.is_ready)
    }
}

fn by_name(identity: &Identity) -> &String {
    &identity.name
}

fn by_uid(identity: &Identity) -> &String {
    &identity.uid
}

/// What a call answered may be newer than what a watch tells next.
fn update<T>(
    cache: &mut Cache<T>,
    change: Change<T>,
    identity: fn(&T) -> &Identity,
    key: fn(&Identity) -> &String,
) {
    match change {
        Change::Set(facts) => {
            let own = identity(&facts);
            let is_old = |known: &T| {
                identity(known).uid == own.uid && version(identity(known)) > version(own)
            };
            if !cache.get(key(own)).is_some_and(is_old) {
                cache.insert(key(own).clone(), facts);
            }
        }
        Change::Gone(gone) => {
            cache.retain(|_, facts| identity(facts).uid != gone.uid);
        }
        Change::Listed(all) => {
            *cache = all.into_iter().map(|facts| (key(identity(&facts)).clone(), facts)).collect();
        }
    }
}

fn single(known: Option<MapFacts>, change: Change<MapFacts>) -> Option<MapFacts> {
    match change {
        Change::Set(facts) => Some(facts),
        Change::Gone(gone) => known.filter(|known| known.identity.uid != gone.uid),
        Change::Listed(all) => all.into_iter().next(),
    }
}

fn version(identity: &Identity) -> u64 {
    identity.resource_version.parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, uid: &str, version: u64, is_ready: bool) -> NodeFacts {
        let (name, uid) = (name.to_owned(), uid.to_owned());
        let resource_version = version.to_string();
        let identity = Identity { name, uid, resource_version, is_deleting: false };
        NodeFacts { identity, is_ready }
    }

    #[test]
    fn older_news_of_the_same_object_change_nothing() {
        let mut observed = Observed::default();
        let set = |facts| News::Nodes(Change::Set(facts));
        observed.take(set(node("n", "a", 9, true)));
        observed.take(set(node("n", "a", 10, false)));
        observed.take(set(node("n", "a", 9, true)));
        assert!(!observed.nodes["n"].is_ready);
        observed.take(set(node("n", "b", 1, true)));
        assert!(observed.nodes["n"].is_ready, "it is another one of the same name");
        observed.take(News::Nodes(Change::Gone(node("n", "a", 11, true).identity)));
        assert_eq!(observed.nodes.len(), 1);
        observed.take(News::Nodes(Change::Listed(vec![])));
        assert!(observed.nodes.is_empty());
    }
}
