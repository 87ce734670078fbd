//! IO. Watches every kind of object that matters; after each gap all of that kind are listed anew.

use std::fmt::Debug;

use common::chain::Chain;
use futures::StreamExt as _;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{ConfigMap, Node};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Config, Event, watcher};
use kube::{Api, Client, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tracing::warn;

use super::facts::{ClaimFacts, DeploymentFacts, Identity, MapFacts, PodFacts, is_node_ready};
use super::names::group_selector;
use super::observed::{Change, News, NodeFacts};

/// What is watched, besides all that carries the group's labels.
#[derive(Clone, Debug)]
pub struct Watched {
    pub group: String,
    pub group_object: String,
    pub template: String,
}

/// Starts all watches; they end when the set is dropped.
pub fn start(client: &Client, watched: &Watched, news: &mpsc::Sender<News>) -> JoinSet<()> {
    let ours = Config::default().labels(&group_selector(&watched.group));
    let named = |name: &str| Config::default().fields(&format!("metadata.name={name}"));
    let mut tasks = JoinSet::new();
    tasks.spawn(follow(
        own(client),
        ours.clone(),
        news.clone(),
        DeploymentFacts::of,
        News::Deployments,
    ));
    tasks.spawn(follow(own(client), ours.clone(), news.clone(), ClaimFacts::of, News::Claims));
    tasks.spawn(follow(own(client), ours, news.clone(), PodFacts::of, News::Pods));
    let map = |object: &ConfigMap| Some(MapFacts::of(object));
    let (template, group) = (named(&watched.template), named(&watched.group_object));
    tasks.spawn(follow(own(client), template, news.clone(), map, News::Template));
    tasks.spawn(follow(own(client), group, news.clone(), map, News::Group));
    let nodes: Api<Node> = Api::all(client.clone());
    tasks.spawn(follow(nodes, Config::default(), news.clone(), node, News::Nodes));
    tasks
}

fn own<K>(client: &Client) -> Api<K>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
{
    Api::default_namespaced(client.clone())
}

fn node(object: &Node) -> Option<NodeFacts> {
    let identity = Identity { name: object.name_any(), ..Identity::of(&object.metadata) };
    Some(NodeFacts { identity, is_ready: is_node_ready(object) })
}

/// Passes on what becomes of all objects of one kind. Of what is no consumer's nothing is said.
async fn follow<K, T>(
    api: Api<K>,
    config: Config,
    news: mpsc::Sender<News>,
    facts: impl Fn(&K) -> Option<T>,
    tell: impl Fn(Change<T>) -> News,
) where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let kind = K::kind(&());
    let mut events = watcher(api, config).default_backoff().boxed();
    let mut listed = vec![];
    while let Some(event) = events.next().await {
        let told = match event {
            Ok(Event::Init) => {
                listed.clear();
                None
            }
            Ok(Event::InitApply(object)) => {
                listed.extend(facts(&object));
                None
            }
            Ok(Event::InitDone) => Some(tell(Change::Listed(std::mem::take(&mut listed)))),
            Ok(Event::Apply(object)) => facts(&object).map(|facts| tell(Change::Set(facts))),
            Ok(Event::Delete(object)) => Some(tell(Change::Gone(Identity::of(object.meta())))),
            Err(error) => {
                warn!(%kind, error = %Chain(&error), "a watch was interrupted");
                let is_refused = kind == "Node" && is_forbidden(&error);
                is_refused.then_some(News::NoNodes)
            }
        };
        if let Some(told) = told
            && news.send(told).await.is_err()
        {
            return;
        }
    }
}

fn is_forbidden(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status)) => status.code == 403,
        _ => false,
    }
}
