//! Pure. What every orchestrator knows, leader or not: requests, what is to be read, and its rates.

use std::collections::{BTreeMap, BTreeSet};

use common::identity::Nonce;
use common::kafka::wire::cluster::Cluster;
use common::messages::event::Marker;
use common::messages::{Extra, Message};

use crate::catalog::Catalog;
use crate::demand::Demands;
use crate::ledger::Ledger;
use crate::monitors::Monitors;
use crate::rebalance::TopicSource;
use crate::service::{Change, Services};

use super::Settings;
use super::action::{Action, Destination, Note};
use super::reign::Reign;

#[derive(Debug)]
pub(super) struct World {
    pub(super) settings: Settings,
    pub(super) ledger: Ledger,
    pub(super) services: Services,
    pub(super) catalog: Catalog,
    pub(super) demands: Demands,
    pub(super) monitors: Monitors,
}

impl World {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            settings,
            ledger: Ledger::default(),
            services: Services::default(),
            catalog: Catalog::default(),
            demands: Demands::default(),
            monitors: Monitors::default(),
        }
    }

    /// The topics that have an entry and exist, with how they are to be read.
    pub(super) fn sources(&self) -> BTreeMap<String, TopicSource> {
        let known = self.services.topics().iter().filter_map(|(name, entry)| {
            let topic_id = self.catalog.topic(name)?.id;
            Some((name.clone(), TopicSource { topic_id, source: entry.source(name) }))
        });
        known.collect()
    }

    pub(super) fn service_changed(&self, change: Change, reign: Option<&mut Reign>) -> Vec<Action> {
        let what = match change {
            Change::None => return vec![],
            Change::Malformed { key, error } => {
                return vec![Action::Note(Note::ServiceEntry { key, error })];
            }
            Change::Deployment => "what consumers run with".to_owned(),
            Change::Topic(what) => what,
        };
        if let Some(reign) = reign {
            reign.configuration_changed(&what);
        }
        vec![Action::AskFor(self.asked_for()), Action::Note(Note::Configuration(what))]
    }

    fn asked_for(&self) -> BTreeSet<String> {
        let controller = self.settings.controller_topic.clone();
        self.services.topics().keys().cloned().chain([controller]).collect()
    }

    /// Whether it is known of all that is to be read whether it exists.
    pub(super) fn is_complete(&self) -> bool {
        self.services.is_complete() && self.catalog.covers(self.services.topics().keys())
    }

    pub(super) fn take_topics(
        &mut self,
        asked: BTreeSet<String>,
        cluster: &Cluster,
    ) -> Vec<String> {
        let changes = self.catalog.take(asked, cluster);
        let catalog = &self.catalog;
        self.demands.retain(|partition| {
            let topic = catalog.topic(partition.topic());
            topic.is_none_or(|topic| partition.partition() < topic.partitions)
        });
        changes
    }
}

pub(super) fn marker(to: Destination, author: &str, nonce: Nonce) -> Action {
    let marker = Marker { nonce, author: author.into(), extra: Extra::new() };
    Action::Write { to, message: Message::from(marker) }
}
