//! Pure. What a reign makes of what its fleet tells.

use common::identity::ConsumerId;
use common::messages::Message;

use crate::fleet::{FleetCommand, FleetEvent};

use super::action::{Action, Destination, FleetNote, Note, fleet_note};
use super::input::Now;
use super::openings::Step;
use super::reign::Reign;

impl Reign {
    pub(super) fn hear_fleet(&mut self, event: FleetEvent, now: Now) -> Vec<Action> {
        let note = match event {
            FleetEvent::Surveyed { found, ended } => {
                self.workloads.survey(found);
                for (consumer, process) in ended {
                    self.roster.confirm_end(consumer, &process);
                }
                return vec![];
            }
            FleetEvent::Reached { consumer, phase } => {
                return self.openings.reached(consumer, phase.into(), now.moment);
            }
            FleetEvent::Started { consumer, process } => {
                self.workloads.started(consumer, process.clone(), now.moment);
                let opened = self.openings.reached(consumer, Step::Started, now.moment);
                let note = Note::ConsumerStarted { consumer, process };
                return [vec![Action::Note(note)], opened].concat();
            }
            FleetEvent::Exited { consumer, process, how, is_expected } => {
                self.workloads.exited(consumer, &process);
                self.roster.confirm_end(consumer, &process);
                self.totals.consumers_crashed += u64::from(!is_expected);
                Note::ConsumerExited { consumer, process, how, is_expected }
            }
            FleetEvent::Waiting { consumer, reason } => {
                self.workloads.waiting(consumer, reason.clone(), now.moment);
                Note::Fleet(FleetNote::Waiting { consumer, reason })
            }
            FleetEvent::Stuck { consumer, pod, reason } => {
                return self.bury(consumer, pod, reason);
            }
            FleetEvent::Mended { consumer, what } => {
                Note::Fleet(FleetNote::Mended { consumer, what })
            }
            FleetEvent::Outdated { consumers } => {
                self.workloads.outdated(consumers);
                return vec![];
            }
            FleetEvent::Refused { error } => Note::Fleet(FleetNote::Refused { error }),
            FleetEvent::Asked(message) => return self.pass_on(message),
            FleetEvent::Failing { consumer, failures, reason } => {
                self.workloads.failing(consumer, failures, now.moment);
                Note::ConsumerFailing { consumer, failures, reason }
            }
            FleetEvent::Removed { consumer } => {
                self.workloads.removed(consumer);
                self.openings.removed(consumer);
                self.newcomers.removed(consumer);
                self.totals.consumers_removed += 1;
                Note::ConsumerRemoved(consumer)
            }
        };
        vec![Action::Note(note)]
    }

    /// A pod of which nothing is known but that it does not go may be removed by force once nobody
    /// can live in it who was ever given anything.
    fn bury(&mut self, consumer: ConsumerId, pod: String, reason: String) -> Vec<Action> {
        if self.roster.may_live_in(consumer, &pod) {
            return vec![];
        }
        let note = FleetNote::Buried { consumer, pod: pod.clone(), reason };
        vec![fleet_note(note), Action::Fleet(FleetCommand::Bury { consumer, pod })]
    }

    /// An order that was given where the fleet lives becomes one for every leader, unless it is
    /// followed already.
    fn pass_on(&self, message: Message) -> Vec<Action> {
        if self.operations.includes(&message) {
            return vec![];
        }
        vec![Action::Write { to: Destination::Requests, message }]
    }
}
