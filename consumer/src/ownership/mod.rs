//! What this incarnation holds, and what it says of it: commands in, lanes and answers out.
//!
//! Per partition:
//!
//! ```text
//!             Assign with p              opened             Assign without p
//!  (nothing) ───────────────> Opening ─────────────> Held ──────────────────> Stopping
//!      ^                        │ │ could not                │ fenced, blocked      │ stopped
//!      │                        │ └────────────> Failed      v                      v
//!      │  answer was read       └── told to stop: stops once opened ──────────> Released
//!      └────────────────────────────── Failed, Released <───────────────────────────┘
//! ```
//!
//! An `Assign` is the whole assignment: what is missing in it is stopped, what is new is started.
//! What is being stopped is stopped to the end whatever comes later, and starts again only by a
//! hand-over that quotes the release. So lost, repeated and reordered commands are one case.

mod holding;
mod lane;

use std::collections::BTreeMap;
use std::mem;

use common::identity::{ConsumerId, Incarnation};
use common::messages::Extra;
use common::messages::command::{Assign, AssignedPartition};
use common::messages::event::{Answer, RefusalClass};
use common::partition::TopicPartition;
use common::position::{HandOver, Position, ReleaseId};
use common::term::{Generation, Term};

use holding::{Held, Holding, Release, opening, partition_answer};
pub use lane::{Action, Event, LaneId, Opening, Stopped};

/// The state machine of one consumer process.
#[derive(Clone, Debug)]
pub struct Ownership {
    consumer: ConsumerId,
    incarnation: Incarnation,
    generation: Option<Generation>,
    /// The highest term obeyed by this incarnation.
    term: Option<Term>,
    partitions: BTreeMap<TopicPartition, Held>,
    releases: u64,
    answers: u64,
    acknowledged: u64,
    draining: bool,
}

impl Ownership {
    pub fn new(consumer: ConsumerId, incarnation: Incarnation) -> Self {
        Self {
            consumer,
            incarnation,
            generation: None,
            term: None,
            partitions: BTreeMap::new(),
            releases: 0,
            answers: 0,
            acknowledged: 0,
            draining: false,
        }
    }

    pub fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// The term of the last command that was obeyed.
    pub fn term(&self) -> Option<Term> {
        self.term
    }

    pub fn is_draining(&self) -> bool {
        self.draining
    }

    /// Takes one event and returns what to do now, in this order.
    pub fn handle(&mut self, event: Event) -> Vec<Action> {
        let mut actions = match event {
            Event::LeaderStarted(generation) => {
                self.generation = self.generation.max(Some(generation));
                vec![]
            }
            Event::Assign(assign) => self.take_assign(&assign),
            Event::Opened { lane, position, tokens } => self.opened(&lane, position, tokens),
            Event::OpenFailed { lane, reason, tokens } => self.open_failed(&lane, reason, &tokens),
            Event::Polled { lane, at_ms } => self.polled(&lane, at_ms),
            Event::Stopped { lane, stopped } => self.stopped(&lane, stopped),
            Event::TokensChanged { lane, tokens } => self.tokens_changed(&lane, tokens),
            Event::Drain => self.drain(),
            Event::Lapsed { next } => self.lapse(next),
            Event::AnswerAcknowledged(number) => self.answer_acknowledged(number),
            Event::AnswerLost => vec![self.answer()],
        };
        if self.is_drained() {
            actions.push(Action::Exit);
        }
        actions
    }

    fn take_assign(&mut self, assign: &Assign) -> Vec<Action> {
        if let Some(refusal) = self.refusal(assign) {
            return vec![refusal];
        }
        if self.term > Some(assign.term) {
            return vec![self.answer()]; // Overtaken by a later command: the state says so.
        }
        let is_repeated = self.term == Some(assign.term);
        self.term = Some(assign.term);
        self.forget_what_was_read(assign.answer_read);
        let mut actions = vec![];
        if !is_repeated {
            actions.extend(self.stop_all_but(assign));
            self.draining |= assign.end;
            if !self.draining {
                actions.extend(self.start_new_ones(assign));
            }
        }
        actions.push(self.answer());
        actions
    }

    fn refusal(&self, assign: &Assign) -> Option<Action> {
        let refuse = |class, text| Some(Action::Refuse { class, text });
        let generation = assign.term.generation;
        match self.generation {
            None => refuse(
                RefusalClass::StaleGeneration,
                format!("no leader of generation {generation} has announced itself"),
            ),
            Some(known) if known != generation => refuse(
                RefusalClass::StaleGeneration,
                format!("generation {known} leads, the command is of {generation}"),
            ),
            Some(_) if assign.incarnation != self.incarnation => refuse(
                RefusalClass::OtherIncarnation,
                format!("this is {}, the command is for {}", self.incarnation, assign.incarnation),
            ),
            Some(_) => None,
        }
    }

    fn forget_what_was_read(&mut self, answer_read: u64) {
        self.partitions.retain(|_, held| match &held.holding {
            Holding::Gone(release) => release.said_in > answer_read,
            Holding::Opening { .. } | Holding::Held { .. } | Holding::Stopping { .. } => true,
        });
    }

    fn stop_all_but(&mut self, assign: &Assign) -> Vec<Action> {
        let wanted: BTreeMap<_, _> =
            assign.partitions().map(|(partition, _, _)| (partition, ())).collect();
        let unwanted: Vec<_> =
            self.partitions.keys().filter(|p| !wanted.contains_key(p)).cloned().collect();
        unwanted.iter().filter_map(|partition| self.stop(partition)).collect()
    }

    /// Begins to stop a partition; one that is being opened is stopped once it is open.
    fn stop(&mut self, partition: &TopicPartition) -> Option<Action> {
        let held = self.partitions.get_mut(partition)?;
        match &mut held.holding {
            Holding::Opening { stop, .. } => {
                let already = mem::replace(stop, true);
                let lane = LaneId { partition: partition.clone(), since: held.since };
                (!already).then_some(Action::Stop(lane))
            }
            Holding::Held { position, tokens, .. } => {
                let (position, tokens) = (*position, mem::take(tokens));
                held.holding = Holding::Stopping { position, tokens };
                Some(Action::Stop(LaneId { partition: partition.clone(), since: held.since }))
            }
            Holding::Stopping { .. } | Holding::Gone(_) => None,
        }
    }

    fn start_new_ones(&mut self, assign: &Assign) -> Vec<Action> {
        let mut actions = vec![];
        for (partition, topic, assigned) in assign.partitions() {
            if self.may_start(&partition, assigned) {
                let opening = opening(&partition, topic, assigned);
                let holding = Holding::Opening { opening: opening.clone(), stop: false };
                self.partitions.insert(partition, Held::new(assigned.since, holding));
                actions.push(Action::Open(opening));
            }
        }
        actions
    }

    fn may_start(&self, partition: &TopicPartition, assigned: &AssignedPartition) -> bool {
        match self.partitions.get(partition).map(|held| &held.holding) {
            None => true,
            Some(Holding::Gone(release)) => {
                assigned.hand_over.as_ref().and_then(|given| given.release) == Some(release.id)
            }
            Some(Holding::Opening { .. } | Holding::Held { .. } | Holding::Stopping { .. }) => {
                false
            }
        }
    }

    fn lane(&mut self, lane: &LaneId) -> Option<&mut Held> {
        self.partitions.get_mut(&lane.partition).filter(|held| held.since == lane.since)
    }

    fn opened(&mut self, lane: &LaneId, position: Position, tokens: Vec<String>) -> Vec<Action> {
        let said_in = self.answers + 1;
        let Some(held) = self.lane(lane) else { return vec![] };
        let Holding::Opening { stop, .. } = held.holding else { return vec![] };
        held.announcing = (!tokens.is_empty()).then_some(said_in);
        held.holding = if stop {
            Holding::Stopping { position, tokens }
        } else {
            Holding::Held { position, tokens, polled_at_ms: None }
        };
        vec![self.answer()]
    }

    fn open_failed(&mut self, lane: &LaneId, reason: String, tokens: &[String]) -> Vec<Action> {
        let Some(held) = self.lane(lane) else { return vec![] };
        let Holding::Opening { opening, .. } = &held.holding else { return vec![] };
        // What was given is given back; what a failed open made is to be fenced as well.
        let given = opening.hand_over.clone().unwrap_or_default();
        let clean = given.clean;
        let hand_over = HandOver { clean, ..given.after_unclean_end(tokens) };
        self.release(lane, hand_over, Some(reason), None)
    }

    fn polled(&mut self, lane: &LaneId, at_ms: i64) -> Vec<Action> {
        let Some(held) = self.lane(lane) else { return vec![] };
        match &mut held.holding {
            Holding::Held { polled_at_ms: polled @ None, .. } => *polled = Some(at_ms),
            _ => return vec![],
        }
        vec![self.answer()]
    }

    fn tokens_changed(&mut self, lane: &LaneId, changed: Vec<String>) -> Vec<Action> {
        let said_in = self.answers + 1;
        let Some(held) = self.lane(lane) else { return vec![] };
        held.announcing = (!changed.is_empty()).then_some(said_in);
        match &mut held.holding {
            Holding::Held { tokens, .. } | Holding::Stopping { tokens, .. } => *tokens = changed,
            Holding::Opening { .. } | Holding::Gone(_) => return vec![],
        }
        vec![self.answer()]
    }

    /// An answer is the whole state, so that one says all that earlier ones said, too.
    fn answer_acknowledged(&mut self, number: u64) -> Vec<Action> {
        self.acknowledged = self.acknowledged.max(number);
        let mut announced = vec![];
        for (partition, held) in &mut self.partitions {
            if held.announcing.take_if(|said_in| *said_in <= number).is_some() {
                let lane = LaneId { partition: partition.clone(), since: held.since };
                announced.push(Action::Announced { lane, tokens: held.tokens().to_vec() });
            }
        }
        announced
    }

    fn stopped(&mut self, lane: &LaneId, stopped: Stopped) -> Vec<Action> {
        let Some(held) = self.lane(lane) else { return vec![] };
        if let Holding::Gone(_) = held.holding {
            return vec![];
        }
        let Stopped { position, clean, tokens, polled_at_ms, reason } = stopped;
        let hand_over = match &held.holding {
            // Stopped before it was open: nothing was written, so what was given still holds.
            Holding::Opening { opening, .. } if position.is_none() => {
                let given = opening.hand_over.clone().unwrap_or_default();
                let clean = given.clean;
                HandOver { clean, ..given.after_unclean_end(&tokens) }
            }
            _ => HandOver { position, clean, tokens, release: None },
        };
        self.release(lane, hand_over, reason, polled_at_ms)
    }

    fn release(
        &mut self,
        lane: &LaneId,
        hand_over: HandOver,
        failure: Option<String>,
        polled_at_ms: Option<i64>,
    ) -> Vec<Action> {
        self.releases += 1;
        let id = ReleaseId { incarnation: self.incarnation, number: self.releases };
        let hand_over = HandOver { release: Some(id), ..hand_over };
        let said_in = self.answers + 1;
        let release = Release { id, hand_over, failure, polled_at_ms, said_in };
        let held = Held::new(lane.since, Holding::Gone(release));
        self.partitions.insert(lane.partition.clone(), held);
        vec![self.answer()]
    }

    fn drain(&mut self) -> Vec<Action> {
        self.draining = true;
        let held: Vec<_> = self.partitions.keys().cloned().collect();
        let mut actions: Vec<_> = held.iter().filter_map(|p| self.stop(p)).collect();
        actions.push(self.answer());
        actions
    }

    fn is_drained(&self) -> bool {
        let nothing_runs =
            self.partitions.values().all(|held| matches!(held.holding, Holding::Gone(_)));
        self.draining && nothing_runs && self.acknowledged == self.answers
    }

    fn lapse(&mut self, next: Incarnation) -> Vec<Action> {
        let partitions = mem::take(&mut self.partitions).into_iter();
        let running = partitions.filter(|(_, held)| !matches!(held.holding, Holding::Gone(_)));
        let abandoned = running
            .map(|(partition, held)| Action::Abandon(LaneId { partition, since: held.since }));
        let actions = abandoned.collect();
        let (generation, draining) = (self.generation, self.draining);
        *self = Self { generation, draining, ..Self::new(self.consumer, next) };
        actions
    }

    fn answer(&mut self) -> Action {
        self.answers += 1;
        Action::Answer(Answer {
            consumer: self.consumer,
            incarnation: self.incarnation,
            number: self.answers,
            term: self.term.unwrap_or_default(),
            draining: self.draining,
            partitions: self.partitions.iter().map(partition_answer).collect(),
            extra: Extra::new(),
        })
    }
}

#[cfg(test)]
mod tests;
