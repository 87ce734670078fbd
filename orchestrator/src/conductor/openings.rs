//! Pure. How long each step takes from the decision to create a consumer until it holds its first partition.

use std::collections::BTreeMap;

use common::identity::ConsumerId;
use common::moment::Moment;

use crate::fleet::Phase;

use super::action::{Action, FleetNote, fleet_note};

/// A step on the way of a new consumer, named by what it ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// From the decision on.
    Applied,
    Scheduled,
    Started,
    Ready,
    /// It holds its first partition.
    HandedOver,
}

impl Step {
    pub const ALL: [Self; 5] =
        [Self::Applied, Self::Scheduled, Self::Started, Self::Ready, Self::HandedOver];

    /// A word for metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Scheduled => "scheduled",
            Self::Started => "started",
            Self::Ready => "ready",
            Self::HandedOver => "handed_over",
        }
    }
}

impl From<Phase> for Step {
    fn from(phase: Phase) -> Self {
        match phase {
            Phase::Applied => Self::Applied,
            Phase::Scheduled => Self::Scheduled,
            Phase::Started => Self::Started,
            Phase::Ready => Self::Ready,
        }
    }
}

/// Consumers on their way: the last step that each has done, and when.
#[derive(Clone, Debug, Default)]
pub(super) struct Openings {
    open: BTreeMap<ConsumerId, (Option<Step>, Moment)>,
}

impl Openings {
    pub(super) fn began(&mut self, consumer: ConsumerId, now: Moment) {
        self.open.insert(consumer, (None, now));
    }

    pub(super) fn removed(&mut self, consumer: ConsumerId) {
        self.open.remove(&consumer);
    }

    /// A step was done. One that was done before, or later than one after it, counts for nothing.
    pub(super) fn reached(&mut self, consumer: ConsumerId, step: Step, now: Moment) -> Vec<Action> {
        let Some((done, since)) = self.open.get_mut(&consumer) else { return vec![] };
        if *done >= Some(step) {
            return vec![];
        }
        let took = now.saturating_since(*since);
        (*done, *since) = (Some(step), now);
        if step == Step::HandedOver {
            self.open.remove(&consumer);
        }
        vec![fleet_note(FleetNote::Opened { step, took })]
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::action::Note;
    use super::*;

    #[test]
    fn each_step_is_timed_once_from_the_one_before() {
        let at = |ms| Moment::since_boot(Duration::from_millis(ms));
        let one = ConsumerId(1);
        let mut openings = Openings::default();
        let mut took = |step, ms| match openings.reached(one, step, at(ms))[..] {
            [Action::Note(Note::Fleet(FleetNote::Opened { step, took }))] => {
                Some((step, took.as_millis()))
            }
            _ => None,
        };
        assert_eq!(took(Step::Applied, 1), None, "nobody decided to create it");
        openings.began(one, at(10));
        let mut took = |step, ms| match openings.reached(one, step, at(ms))[..] {
            [Action::Note(Note::Fleet(FleetNote::Opened { step, took }))] => {
                Some((step, took.as_millis()))
            }
            _ => None,
        };
        assert_eq!(took(Step::Applied, 15), Some((Step::Applied, 5)));
        assert_eq!(took(Step::Started, 40), Some((Step::Started, 25)));
        assert_eq!(took(Step::Scheduled, 41), None, "it was left out");
        assert_eq!(took(Step::Started, 60), None, "it was done");
        assert_eq!(took(Step::HandedOver, 70), Some((Step::HandedOver, 30)));
        assert_eq!(took(Step::HandedOver, 80), None);
    }
}
