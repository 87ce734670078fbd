//! Pure. What is to be asked of the API so that what exists is what is wanted.
//!
//! ```text
//!            Survey                 all listed, and all that exist are stamped
//!  Released ────────> Surveying ─────────────────────────────────────────────> Keeping
//!     ^                   │                                                        │
//!     └───────────────────┴── Release, or the stamp of a later leader is seen ─────┘
//! ```
//!
//! Level-triggered: each look compares everything, so that a call that was lost is simply made again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use common::chain::Chain;
use common::identity::ConsumerId;
use common::moment::Moment;
use common::term::Generation;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use rand::Rng;

use super::claims;
use super::desired::{Group, Recipe};
use super::facts::{EndedRun, MapFacts};
use super::member::Member;
use super::observed::{Change, News, Observed};
use super::orders::Orders;
use super::patience::Patience;
use super::pods::Pods;
use super::request::{Kind, Outcome, Request, Target};
use super::template::Template;
use super::workload::{Sight, Step, step};
use crate::conductor::input::Now;
use crate::fleet::{FleetCommand, FleetEvent, ProcessId};

#[derive(Clone, Debug)]
pub struct KeeperSettings {
    pub group: Group,
    /// For so long a claim is kept that has no consumer.
    pub keep_volumes: Duration,
}

/// The fleet of one leader.
#[derive(Debug)]
pub struct Keeper {
    settings: KeeperSettings,
    /// Nothing while another leads.
    generation: Option<Generation>,
    is_surveyed: bool,
    template: Option<Template>,
    /// The one that was looked at last, and what is wrong with it.
    template_seen: Option<MapFacts>,
    template_error: Option<String>,
    members: BTreeMap<ConsumerId, Member>,
    patience: Patience,
    orders: Orders,
    pods: Pods,
    /// Those that would be made from something else by now, as it was told.
    outdated: BTreeSet<ConsumerId>,
    events: Vec<FleetEvent>,
}

impl Keeper {
    pub fn new(settings: KeeperSettings) -> Self {
        Self {
            settings,
            generation: None,
            is_surveyed: false,
            template: None,
            template_seen: None,
            template_error: None,
            members: BTreeMap::new(),
            patience: Patience::default(),
            orders: Orders::default(),
            pods: Pods::default(),
            outdated: BTreeSet::new(),
            events: vec![],
        }
    }

    pub fn command(&mut self, command: FleetCommand, observed: &Observed) {
        match command {
            FleetCommand::Survey { generation } => {
                self.release();
                self.generation = Some(generation);
            }
            FleetCommand::Create { consumer, deployment } => {
                let member = Member::new(deployment.clone());
                let member = self.members.entry(consumer).or_insert(member);
                (member.is_leaving, member.entry) = (false, deployment);
            }
            FleetCommand::Remove { consumer } => match self.members.get_mut(&consumer) {
                Some(member) => (member.is_leaving, member.was_seen) = (true, false),
                None => self.events.push(FleetEvent::Removed { consumer }),
            },
            FleetCommand::Restart { consumer } => {
                let pods = observed.pods_of(consumer);
                let pods = pods.into_iter().map(|pod| pod.identity.uid.clone());
                if let Some(member) = self.members.get_mut(&consumer) {
                    member.restart.extend(pods);
                }
            }
            FleetCommand::Bury { pod, .. } => {
                self.pods.bury(pod);
            }
            FleetCommand::Release => self.release(),
        }
    }

    fn release(&mut self) {
        (self.generation, self.is_surveyed) = (None, false);
        self.members.clear();
        self.events.clear();
        self.pods = Pods::default();
        self.outdated.clear();
        self.orders = Orders::default();
    }

    /// What there is to tell since the last time.
    pub fn events(&mut self) -> Vec<FleetEvent> {
        std::mem::take(&mut self.events)
    }

    /// A call came to an end.
    pub fn answered(&mut self, target: Target, outcome: &Outcome, now: Moment, rng: &mut impl Rng) {
        let mut member = self.members.get_mut(&target.consumer);
        let trouble = match outcome {
            Outcome::Done(news) => {
                self.patience.done(target);
                if let (Some(member), Some(News::Deployments(Change::Set(facts)))) =
                    (&mut member, news)
                {
                    member.revision = Some(facts.revision);
                }
                None
            }
            Outcome::Conflict => {
                self.patience.conflict(target, now, rng);
                return;
            }
            Outcome::Failed(error) => {
                self.patience.failed(target, now, rng);
                // It may have been carried out nevertheless.
                member.iter_mut().for_each(|member| member.revision = None);
                Some(format!("the API server refuses what it needs: {error}"))
            }
        };
        if let Some(member) = member {
            member.trouble = trouble;
        }
    }

    /// Compares what is with what is wanted. The calls count as made.
    pub fn look(&mut self, observed: &Observed, now: Now) -> Vec<(Target, Request)> {
        let Some(generation) = self.generation.filter(|_| observed.is_complete()) else {
            return vec![];
        };
        if observed.deployments.values().any(|found| found.stamp > Some(generation)) {
            // A later leader was here: what we know is old, and what we do would be in its way.
            self.release();
            return vec![];
        }
        self.read_template(observed);
        self.adopt(observed);
        self.survey(observed, generation);
        if self.is_surveyed {
            self.tell(observed, now.moment);
        }
        let mut requests = self.workloads(observed, generation, now.moment);
        if self.is_surveyed {
            let keep = self.settings.keep_volumes;
            let is_member = |consumer| self.is_member(consumer);
            requests.extend(claims::requests(observed, is_member, keep, now.timestamp));
            requests.extend(self.pods.requests(&self.members, observed, now.moment));
        }
        requests.retain(|(target, _)| self.patience.begin(*target, now.moment));
        requests
    }

    /// A template that cannot be used changes nothing, and is told of once.
    fn read_template(&mut self, observed: &Observed) {
        if self.template_seen == observed.template && self.template_seen.is_some() {
            return;
        }
        let Some(found) = &observed.template else {
            self.template_error = Some("there is no template of consumers".into());
            return;
        };
        self.template_seen = Some(found.clone());
        match Template::parse(&found.data) {
            Ok(template) => (self.template, self.template_error) = (Some(template), None),
            Err(error) => {
                let error = Chain(&error).to_string();
                self.template_error = Some(error.clone());
                self.events.push(FleetEvent::Refused { error });
            }
        }
    }

    /// Whatever exists and was not asked for by this leader was by one before it.
    fn adopt(&mut self, observed: &Observed) {
        for found in observed.deployments.values().filter(|found| !found.identity.is_deleting) {
            let new = || Member::new(found.entry.clone());
            let member = self.members.entry(found.consumer).or_insert_with(new);
            member.was_seen = !member.is_leaving;
            // As it is now it is ours, unless a call tells more of it.
            let is_settled = found.stamp == self.generation && self.is_surveyed;
            member.revision = member.revision.or(is_settled.then_some(found.revision));
        }
    }

    /// The survey is over when a leader of before cannot change anything any more.
    fn survey(&mut self, observed: &Observed, generation: Generation) {
        let mut there = observed.deployments.values().filter(|found| !found.identity.is_deleting);
        if self.is_surveyed || there.any(|found| found.stamp != Some(generation)) {
            return;
        }
        self.is_surveyed = true;
        let mut ended = vec![];
        let mut found = BTreeMap::new();
        // Whoever was ordered meanwhile does not exist yet.
        for (consumer, member) in self.members.iter_mut().filter(|(_, member)| member.was_seen) {
            let ends = member.new_ends(*consumer, observed);
            let process = |end: EndedRun| (*consumer, ProcessId::Container(end.run));
            ended.extend(ends.into_iter().map(process));
            found.insert(*consumer, member.found(*consumer, observed));
        }
        self.events.push(FleetEvent::Surveyed { found, ended });
    }

    fn tell(&mut self, observed: &Observed, now: Moment) {
        self.events.extend(self.pods.look(observed, now));
        let asked = observed.group.as_ref().map(|group| self.orders.read(&group.annotations));
        self.events.extend(asked.into_iter().flatten().map(FleetEvent::Asked));
        let mut removed = vec![];
        for (consumer, member) in &mut self.members {
            self.events.extend(member.tell(*consumer, observed, now));
            let is_there = observed.deployment(*consumer).is_some();
            if member.is_leaving && !is_there && observed.pods_of(*consumer).is_empty() {
                removed.push(*consumer);
            }
        }
        for consumer in removed {
            self.members.remove(&consumer);
            self.events.push(FleetEvent::Removed { consumer });
        }
    }

    fn workloads(
        &mut self,
        observed: &Observed,
        generation: Generation,
        now: Moment,
    ) -> Vec<(Target, Request)> {
        let owner = observed.group.as_ref().map(owner);
        let mut requests = vec![];
        let mut outdated = self.outdated.clone();
        outdated.retain(|consumer| self.members.contains_key(consumer));
        for (consumer, member) in &mut self.members {
            let target = |kind| Target { consumer: *consumer, kind };
            let is_free = |kind| self.patience.may_call(target(kind), now);
            if !is_free(Kind::Deployment) || !is_free(Kind::Claim) {
                continue;
            }
            let entry = member.entry.clone();
            let recipe = match (&self.template, &owner) {
                (Some(template), Some(owner)) => Ok(Recipe {
                    group: &self.settings.group,
                    owner,
                    template,
                    entry: &entry,
                    consumer: *consumer,
                    generation,
                }),
                (None, _) => Err(self.template_error.clone().unwrap_or_default()),
                (_, None) => Err("the object that stands for the group does not exist".to_owned()),
            };
            let sight = Sight {
                found: observed.deployment(*consumer),
                claim: observed.claim(*consumer),
                generation,
                is_surveyed: self.is_surveyed,
            };
            if let (Ok(recipe), Some(found)) = (&recipe, sight.found) {
                match found.hash.as_ref() == Some(&recipe.hash()) {
                    true => outdated.remove(consumer),
                    false => outdated.insert(*consumer),
                };
            }
            let Step { request, mended, trouble } = step(member, &recipe, sight);
            member.trouble = trouble.or(member.trouble.take().filter(|_| request.is_some()));
            let mended = mended.map(|what| FleetEvent::Mended { consumer: *consumer, what });
            self.events.extend(mended);
            requests.extend(request.map(|(kind, request)| (target(kind), request)));
        }
        if self.is_surveyed && outdated != self.outdated {
            self.outdated.clone_from(&outdated);
            self.events.push(FleetEvent::Outdated { consumers: outdated });
        }
        requests
    }

    fn is_member(&self, consumer: ConsumerId) -> bool {
        self.members.contains_key(&consumer)
    }
}

fn owner(group: &MapFacts) -> OwnerReference {
    OwnerReference {
        api_version: "v1".into(),
        kind: "ConfigMap".into(),
        name: group.identity.name.clone(),
        uid: group.identity.uid.clone(),
        ..OwnerReference::default()
    }
}
