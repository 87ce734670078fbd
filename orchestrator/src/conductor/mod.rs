//! The main loop's state: takes every input, and returns what to do.
//!
//! ```text
//!                    Lead                        all read to the end
//!  Standby ──────────────────────> TakingOver ────────────────────────> Leading
//!     ^                                │                                   │
//!     └────────── Deposed ─────────────┴────── Deposed, or renewed ────────┘
//! ```
//!
//! What stands on partition 0, in the service topic and in the measurements is kept up in every
//! phase, so that a standby knows it when it has to lead. All here is pure; `execute` obeys.

pub mod input;
pub mod action;
mod world;
mod takeover;
mod unreachable;
mod workloads;
pub mod openings;
pub mod rollout;
mod newcomers;
mod reign;
mod events;
mod hearing;
mod planning;
mod proposing;
mod learning;
mod care;
mod saved;
mod gaps;
mod report;

use std::collections::BTreeSet;
use std::time::Duration;

use common::identity::{Nonce, TopicId};
use common::kafka::wire::cluster::Cluster;
use common::messages::Extra;
use common::messages::Message;
use common::messages::command::{LeaderAlive, LeaderStarted};
use common::messages::event::Marker;
use common::messages::measurement::Measurement;
use common::moment::Moment;
use common::term::Generation;
use rand::rngs::ChaCha8Rng;

use crate::demand::DemandPolicy;
use crate::fleet::FleetCommand;
use crate::inbox::Received;
use crate::leadership::{self, Leadership, Lease};
use crate::ledger::{LEAVES, Request, STATE_DIR};
use crate::plan::policy::Policy;
use crate::plan::snapshot::Limits;
use crate::trigger::TriggerPolicy;

pub use saved::PROPOSAL;

use action::{Action, Destination, Note};
use input::{Input, Log, Now};
use reign::Reign;
use takeover::TakeOver;
use world::World;

/// What does not change while the process runs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Who we are, for people: host and process.
    pub author: String,
    /// Names our state directory: only one orchestrator at a time has it.
    pub state_dir_id: String,
    pub controller_topic: String,
    pub controller_topic_id: TopicId,
    /// Partitions of the controller topic, less the one for requests.
    pub consumer_partitions: u32,
    pub policy: Policy,
    pub limits: Limits,
    /// What a consumer sustains is learned within `limits.capacity` divided and multiplied by this.
    pub capacity_factor: u64,
    /// The time in which a consumer is to catch up with a lag.
    pub catch_up: Duration,
    pub trigger: TriggerPolicy,
    /// Whether standing for leader takes a Lease.
    pub lease: Lease,
}

/// The orchestrator without its limbs.
#[derive(Debug)]
pub struct Conductor {
    world: World,
    leadership: Leadership,
    phase: Phase,
    /// Partition 0 was read to where it ended when reading began.
    is_caught_up: bool,
    rng: ChaCha8Rng,
    reported: Option<Moment>,
}

#[derive(Debug)]
enum Phase {
    Standby,
    TakingOver(Box<TakeOver>),
    Leading(Box<Reign>),
}

impl Conductor {
    pub fn new(settings: Settings, now: Now, mut rng: ChaCha8Rng) -> Self {
        let leadership = Leadership::new(settings.lease, now.moment, &mut rng);
        let world = World::new(settings);
        let phase = Phase::Standby;
        Self { world, leadership, phase, is_caught_up: false, rng, reported: None }
    }

    pub fn is_leading(&self) -> bool {
        matches!(self.phase, Phase::Leading(_))
    }

    /// What a leader says last, once all that it decided is done or given up: nobody needs to wait until it is missed.
    pub fn farewell(&mut self) -> Option<Message> {
        let generation = self.leadership.highest().filter(|_| self.leadership.is_leader())?;
        let (nonce, snapshot) =
            (Nonce::from_rng(&mut self.rng), self.world.ledger.snapshot_offset());
        let own = self.world.settings.state_dir_id.clone();
        let extra = Extra::from([(STATE_DIR.into(), own), (LEAVES.into(), "true".into())]);
        Some(LeaderAlive { generation, nonce, snapshot, extra }.into())
    }

    /// Takes one input and returns what to do, in this order.
    ///
    /// Who may have been deposed commands nobody: a consumer that the next leader cannot reach would obey. A command that
    /// was left out is unanswered, and is repeated once it is certain who leads.
    pub fn handle(&mut self, input: Input, now: Now) -> Vec<Action> {
        let mut actions = self.take(input, now);
        if self.leadership.may_be_deposed(now.moment) {
            let is_command = |action: &Action| {
                matches!(action, Action::Write { message: Message::Assign(_), .. })
            };
            actions.retain(|action| !is_command(action));
        }
        actions
    }

    fn take(&mut self, input: Input, now: Now) -> Vec<Action> {
        match input {
            Input::Tick => self.tick(now),
            Input::Requests(received) => self.read_requests(received, now),
            Input::RequestsEnd => {
                self.is_caught_up = true;
                self.stand_if_alone(now)
            }
            Input::Service { key, value } => {
                let change = self.world.services.take(key.as_deref(), value.as_deref());
                let reign = match &mut self.phase {
                    Phase::Leading(reign) => Some(reign.as_mut()),
                    Phase::Standby | Phase::TakingOver(_) => None,
                };
                self.world.service_changed(change, reign)
            }
            Input::ServiceEnd => {
                self.world.services.complete();
                vec![]
            }
            Input::Topics { asked, cluster } => self.read_topics(asked, &cluster),
            Input::Measured(measurement) => self.measured(measurement, now),
            Input::Malformed { log, error } => vec![Action::Note(Note::Malformed { log, error })],
            Input::Commands(read) => {
                if let Phase::TakingOver(takeover) = &mut self.phase {
                    takeover.take_commands(read);
                }
                self.begin_reign_if_ready(now)
            }
            Input::Reachable { generation } => self.renew(generation, now),
            Input::Event { generation, received } => self.read_event(generation, received, now),
            Input::Fleet(event) => match &mut self.phase {
                Phase::Leading(reign) => reign.hear_fleet(event, now),
                Phase::TakingOver(takeover) => {
                    takeover.keep_fleet(event);
                    vec![]
                }
                Phase::Standby => vec![],
            },
            Input::Lease(is_held) => self.lead(leadership::Event::Lease { is_held }, now),
            Input::Lost { log, error } => {
                vec![Action::Fail(format!("the topic of {} cannot be read: {error}", log.label()))]
            }
            Input::Written { consumer, next } => {
                if let Phase::Leading(reign) = &mut self.phase {
                    reign.written(consumer, next);
                }
                vec![]
            }
        }
    }

    fn measured(&mut self, mut measurement: Measurement, now: Now) -> Vec<Action> {
        let judged = self.world.monitors.judge(&mut measurement, now);
        let mut anomalies: Vec<_> = judged.anomaly.into_iter().collect();
        if judged.counts {
            let policy = self.demand_policy();
            anomalies.extend(self.world.demands.take(&measurement, &policy));
            if let Phase::Leading(reign) = &mut self.phase {
                reign.measured(now.moment);
            }
        }
        anomalies.into_iter().map(|anomaly| Action::Note(Note::Anomaly(anomaly))).collect()
    }

    /// A lag asks for no more than a consumer is packed to, by what is known of consumers.
    fn demand_policy(&self) -> DemandPolicy {
        let settings = &self.world.settings;
        let capacity = match &self.phase {
            Phase::Leading(reign) => reign.capacities.typical(),
            Phase::Standby | Phase::TakingOver(_) => settings.limits.capacity,
        };
        let plan_capacity = settings.limits.plan_capacity(capacity);
        DemandPolicy { catch_up: settings.catch_up, plan_capacity }
    }

    fn tick(&mut self, now: Now) -> Vec<Action> {
        let mut actions = self.lead(leadership::Event::Tick, now);
        match &mut self.phase {
            Phase::Standby => {}
            Phase::TakingOver(takeover) => actions.extend(takeover.tick(now, &mut self.rng)),
            Phase::Leading(reign) => actions.extend(reign.tick(&self.world, now, &mut self.rng)),
        }
        if report::is_due(self.reported, now) {
            self.reported = Some(now.moment);
            actions.push(Action::Publish(Box::new(self.status(now))));
        }
        actions
    }

    fn read_requests(&mut self, received: Received, now: Now) -> Vec<Action> {
        let Received { first, next, message } = received;
        self.world.ledger.advance(next);
        match message {
            Message::LeaderStarted(started) => {
                if started.controller_topic_id != self.world.settings.controller_topic_id {
                    return vec![]; // Of a topic that was deleted since.
                }
                let (generation, nonce) = (Generation(first), started.nonce);
                self.world.ledger.take_leader(generation, &started.extra);
                self.lead(leadership::Event::Started { nonce, generation }, now)
            }
            Message::LeaderAlive(alive) => {
                self.world.ledger.take_leader(alive.generation, &alive.extra);
                let LeaderAlive { nonce, generation, .. } = alive;
                let actions = self.lead(leadership::Event::Alive { nonce, generation }, now);
                // Before the end of the log others may have led since.
                let is_over = self.is_caught_up && self.world.ledger.has_left();
                let stands = is_over.then(|| self.lead(leadership::Event::Alone, now));
                [actions, stands.unwrap_or_default()].concat()
            }
            Message::Marker(marker) => self.lead(leadership::Event::Marker(marker.nonce), now),
            Message::Snapshot(snapshot) => {
                self.world.ledger.take_snapshot(first, snapshot);
                vec![]
            }
            Message::StartConsuming(start) => self.request(first, Request::Start(start)),
            Message::StopConsuming(stop) => self.request(first, Request::Stop(stop)),
            Message::Unpin(unpin) => self.request(first, Request::Unpin(unpin)),
            Message::Pause(pause) => self.request(first, Request::Pause(pause)),
            Message::Resume(resume) => self.request(first, Request::Resume(resume)),
            Message::Drain(drain) => self.request(first, Request::Drain(drain)),
            Message::DryRun(dry_run) => self.request(first, Request::DryRun(dry_run)),
            Message::Approve(approve) => self.request(first, Request::Approve(approve)),
            Message::StateQuery(query) => match &mut self.phase {
                Phase::Leading(reign) => vec![reign.save(&self.world, query.nonce, now)],
                Phase::Standby | Phase::TakingOver(_) => vec![],
            },
            other @ (Message::Assign(_)
            | Message::Heartbeat(_)
            | Message::Answer(_)
            | Message::Report(_)
            | Message::Notice(_)
            | Message::Refused(_)) => {
                let kind = other.kind().name();
                let error = format!("{kind} at offset {first} does not belong on partition 0");
                vec![Action::Note(Note::Malformed { log: Log::Requests, error })]
            }
        }
    }

    fn request(&mut self, offset: u64, request: Request) -> Vec<Action> {
        self.world.ledger.take_request(offset, request.clone());
        match &mut self.phase {
            Phase::Leading(reign) => reign.asked(&request),
            Phase::Standby | Phase::TakingOver(_) => {}
        }
        vec![]
    }

    /// At the end of the log: nobody else can be leading if nobody ever did, if the last leader said that
    /// it ends, or if it had our state directory, whose lock we hold.
    fn stand_if_alone(&mut self, now: Now) -> Vec<Action> {
        let last = self.world.ledger.state_dir();
        let is_ours = last == Some(self.world.settings.state_dir_id.as_str());
        let has_left = self.world.ledger.has_left();
        if self.world.ledger.has_leader() && !has_left && !is_ours {
            return vec![];
        }
        self.lead(leadership::Event::Alone, now)
    }

    fn lead(&mut self, event: leadership::Event, now: Now) -> Vec<Action> {
        let actions = self.leadership.handle(event, now.moment, &mut self.rng);
        actions.into_iter().flat_map(|action| self.obey(action, now)).collect()
    }

    fn obey(&mut self, action: leadership::Action, now: Now) -> Vec<Action> {
        let requests = |message| vec![Action::Write { to: Destination::Requests, message }];
        let author = self.world.settings.author.clone();
        let extra = Extra::from([(STATE_DIR.into(), self.world.settings.state_dir_id.clone())]);
        match action {
            leadership::Action::WriteStarted(nonce) => requests(Message::from(LeaderStarted {
                nonce,
                author,
                generation: None,
                controller_topic_id: self.world.settings.controller_topic_id,
                extra,
            })),
            leadership::Action::WriteMarker(nonce) => {
                requests(Marker { nonce, author, extra: Extra::new() }.into())
            }
            leadership::Action::WriteAlive { generation, nonce } => {
                let snapshot = self.world.ledger.snapshot_offset();
                requests(LeaderAlive { generation, nonce, snapshot, extra }.into())
            }
            leadership::Action::Lead(generation) => {
                let (takeover, actions) =
                    TakeOver::begin(generation, &self.world, now, &mut self.rng);
                self.phase = Phase::TakingOver(Box::new(takeover));
                [vec![Action::Note(Note::Lead(generation))], actions].concat()
            }
            leadership::Action::Deposed { by } => {
                self.phase = Phase::Standby;
                vec![Action::Fleet(FleetCommand::Release), Action::Note(Note::Deposed { by })]
            }
        }
    }

    fn read_topics(&mut self, asked: BTreeSet<String>, cluster: &Cluster) -> Vec<Action> {
        let (name, id) =
            (&self.world.settings.controller_topic, self.world.settings.controller_topic_id);
        if cluster.topics.get(name).is_some_and(|found| found.id != id) {
            let why = format!("the topic {name} was deleted and created again");
            return vec![Action::Fail(why)];
        }
        let changes = self.world.take_topics(asked, cluster);
        if let Phase::Leading(reign) = &mut self.phase {
            reign.catalog_changed(&changes);
        }
        changes.into_iter().map(|change| Action::Note(Note::Topic(change))).collect()
    }

    fn read_event(&mut self, generation: Generation, received: Received, now: Now) -> Vec<Action> {
        match &mut self.phase {
            Phase::TakingOver(takeover) if takeover.generation() == generation => {
                takeover.take_event(received);
                self.begin_reign_if_ready(now)
            }
            Phase::Leading(reign) if reign.generation() == generation => {
                reign.hear(received, &self.world, now)
            }
            // Of an earlier reign of ours.
            Phase::Standby | Phase::TakingOver(_) | Phase::Leading(_) => vec![],
        }
    }

    /// A consumer that could not be told of the reign can be: a new reign learns what it may hold.
    fn renew(&mut self, generation: Generation, now: Now) -> Vec<Action> {
        let present = match &self.phase {
            Phase::Leading(reign) => Some(reign.generation()),
            Phase::TakingOver(takeover) => Some(takeover.generation()),
            Phase::Standby => None,
        };
        if present != Some(generation) {
            return vec![];
        }
        self.phase = Phase::Standby;
        let stands = self.lead(leadership::Event::Renew, now);
        [vec![Action::Fleet(FleetCommand::Release), Action::Note(Note::Renews)], stands].concat()
    }

    fn begin_reign_if_ready(&mut self, now: Now) -> Vec<Action> {
        let is_ready = matches!(&self.phase, Phase::TakingOver(takeover) if takeover.is_ready());
        if !is_ready {
            return vec![];
        }
        let Phase::TakingOver(takeover) = std::mem::replace(&mut self.phase, Phase::Standby) else {
            return vec![];
        };
        let (reign, actions) = Reign::begin(*takeover, &self.world, now);
        self.phase = Phase::Leading(Box::new(reign));
        actions
    }
}
