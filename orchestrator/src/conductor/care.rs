//! Pure. What a reign does about consumers and partitions that live and do not get on.

use std::collections::BTreeSet;
use std::time::Duration;

use common::identity::{ConsumerId, Incarnation, Nonce};
use common::messages::Extra;
use common::messages::command::LeaderStarted;
use common::messages::event::Report;
use common::moment::Moment;
use common::partition::TopicPartition;
use rand::rngs::ChaCha8Rng;

use crate::fleet::FleetCommand;
use crate::rebalance::Event;
use crate::standstill::Standstill;

use super::action::{Action, Destination, Note};
use super::input::Now;
use super::reign::Reign;
use super::world::World;

/// For so long a living consumer may leave a command unanswered.
const ANSWER_PATIENCE: Duration = Duration::from_secs(60);
/// Retention removes what stands on consumers' partitions: who leads is written there again.
const ANNOUNCE_INTERVAL: Duration = Duration::from_secs(24 * 60 * 60);

/// What a reign remembers about those who do not get on.
#[derive(Debug)]
pub(super) struct Care {
    /// Incarnations that were to be ended: once is enough.
    restarted: BTreeSet<Incarnation>,
    standstill: Standstill,
    announced: Moment,
}

impl Care {
    pub(super) fn new(now: Moment) -> Self {
        let (restarted, standstill) = (BTreeSet::new(), Standstill::default());
        Self { restarted, standstill, announced: now }
    }
}

impl Reign {
    pub(super) fn care(&mut self, world: &World, now: Now, rng: &mut ChaCha8Rng) -> Vec<Action> {
        let entries = self.rebalance.entries();
        self.care.standstill.retain(|partition| entries.contains_key(partition));
        let mut actions = self.restart_the_silent(now);
        if now.moment.saturating_since(self.care.announced) >= ANNOUNCE_INTERVAL {
            self.care.announced = now.moment;
            actions.extend(self.announce(world, Nonce::from_rng(rng)));
        }
        actions
    }

    /// A consumer that sends heartbeats and answers nothing may hold what nobody else can get: the
    /// fleet ends it, and its lease does the rest. One that is not the fleet's is reported.
    fn restart_the_silent(&mut self, now: Now) -> Vec<Action> {
        let silent = self.rebalance.unanswering(now.moment, ANSWER_PATIENCE);
        let lives = self.roster.lives();
        self.care.restarted.retain(|incarnation| lives.contains_key(incarnation));
        let living: Vec<(ConsumerId, Incarnation)> = silent
            .into_iter()
            .filter(|(_, incarnation)| lives.contains_key(incarnation))
            .filter(|(consumer, _)| !self.is_by_hand(*consumer))
            .collect();
        let mut actions = vec![];
        for (consumer, incarnation) in living {
            if self.care.restarted.insert(incarnation) {
                let is_ours = self.workloads.known().contains_key(&consumer);
                actions.push(Action::Note(Note::Unanswering { consumer, incarnation, is_ours }));
                let restart = Action::Fleet(FleetCommand::Restart { consumer });
                actions.extend(is_ours.then_some(restart));
            }
        }
        actions
    }

    /// Takes partitions away from an owner that reads nothing of them; they are given out again.
    pub(super) fn give_up_stuck(
        &mut self,
        report: &Report,
        world: &World,
        now: Now,
    ) -> Vec<Action> {
        let entries = self.rebalance.entries();
        let log_end = |partition: &TopicPartition| {
            let keeper = entries.get(partition)?.keeper()?;
            let known = world.demands.known(partition).filter(|known| !known.is_stale)?;
            (keeper.incarnation == report.incarnation).then_some(known.measured.high_watermark)
        };
        let stuck = self.care.standstill.take(report, log_end, now.moment);
        let give_up = |partition: TopicPartition| {
            let note = Note::Stuck { partition: partition.clone(), consumer: report.consumer };
            let actions = self.rebalance(Event::Stuck(partition), now);
            [vec![Action::Note(note)], actions].concat()
        };
        stuck.into_iter().flat_map(give_up).collect()
    }

    fn announce(&self, world: &World, nonce: Nonce) -> Vec<Action> {
        let started = LeaderStarted {
            nonce,
            author: self.author.clone(),
            generation: Some(self.generation),
            controller_topic_id: world.settings.controller_topic_id,
            extra: Extra::new(),
        };
        let consumers = (1..=world.settings.consumer_partitions).map(ConsumerId);
        let write = |consumer| Action::Write {
            to: Destination::Consumer(consumer),
            message: started.clone().into(),
        };
        consumers.map(write).collect()
    }
}
