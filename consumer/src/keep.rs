//! IO. Keeps the state on the volume in step with what is owned; without a volume it keeps nothing.

use common::chain::Chain;
use common::clock::Clock;
use common::identity::{Incarnation, TopicId};
use common::messages::event::NoticeClass;
use common::position::Position;
use tracing::warn;

use crate::events::Finding;
use crate::lanes::Lanes;
use crate::metrics::ConsumerMetrics;
use crate::ownership::LaneId;
use crate::state::{Belonging, PartitionState, State};
use crate::volume::{Found, Volume};

/// What is written to the volume, and when.
#[derive(Debug)]
pub struct Keeper {
    volume: Option<Volume>,
    found: Option<Found>,
    belonging: Belonging,
    controller_topic_id: TopicId,
    /// What was owned when everything was to be released, with how far it came.
    released: Option<Vec<PartitionState>>,
    is_old: bool,
    is_clean: bool,
}

impl Keeper {
    /// `found` is what became of the state of the last process.
    pub fn new(
        volume: Option<Volume>,
        found: Option<Found>,
        belonging: Belonging,
        controller_topic_id: TopicId,
    ) -> Self {
        Self {
            volume,
            found,
            belonging,
            controller_topic_id,
            released: None,
            is_old: true,
            is_clean: false,
        }
    }

    /// What a person should know of the state that was found.
    pub fn finding(&self) -> Option<Finding> {
        let Some(Found::SetAside { why, name }) = &self.found else { return None };
        let text = format!("{why}: it was set aside as {name}");
        Some(Finding::new(NoticeClass::StateSetAside, text))
    }

    /// The state is to be written soon.
    pub fn change(&mut self) {
        self.is_old = true;
    }

    /// Everything is to be released: what is owned now is remembered as the last assignment.
    pub fn drain(&mut self, lanes: &Lanes) {
        self.released.get_or_insert_with(|| lanes.states());
        self.change();
    }

    /// Notes how far a partition came.
    pub fn released(&mut self, lane: &LaneId, position: Option<Position>) {
        let mut released = self.released.iter_mut().flatten();
        let released = released.find(|state| state.partition == lane.partition);
        if let (Some(state), Some(position)) = (released, position) {
            (state.position, state.stored) = (position.offset, position.offset);
        }
    }

    /// The process ends; `is_clean` if everything is stored, committed and released.
    pub fn close(&mut self, is_clean: bool) {
        self.is_clean = is_clean;
        self.change();
    }

    /// Writes the state if something changed.
    pub async fn keep(
        &mut self,
        incarnation: Incarnation,
        lanes: &Lanes,
        clock: Clock,
        metrics: &ConsumerMetrics,
    ) {
        let is_old = std::mem::take(&mut self.is_old);
        let Some(volume) = self.volume.as_ref().filter(|_| is_old) else { return };
        let state = State {
            belonging: self.belonging.clone(),
            controller_topic_id: self.controller_topic_id,
            incarnation,
            is_clean: self.is_clean,
            saved_at: clock.timestamp(),
            partitions: self.released.clone().unwrap_or_else(|| lanes.states()),
        };
        if let Err(error) = volume.save(&state).await {
            metrics.volume_failures.inc();
            warn!(error = %Chain(&error), "the state was not saved");
        }
    }
}
