//! Pure. What a reign makes of the messages on the events topic.

use common::messages::Message;
use common::messages::event::{Answer, Heartbeat};

use crate::inbox::Received;
use crate::rebalance::Event;

use super::action::{Action, Note};
use super::input::{Log, Now};
use super::reign::{Reign, is_by_hand};
use super::world::World;

impl Reign {
    pub(super) fn hear(&mut self, received: Received, world: &World, now: Now) -> Vec<Action> {
        self.events_next = self.events_next.max(received.next);
        match received.message {
            Message::Heartbeat(heartbeat) => self.hear_heartbeat(heartbeat, now),
            Message::Answer(answer) => self.hear_answer(answer, now),
            Message::Marker(marker) => {
                let verdicts = self.roster.marker(marker.nonce, now.moment);
                verdicts.into_iter().flat_map(|verdict| self.obey_roster(verdict, now)).collect()
            }
            Message::Report(report) => self.hear_report(report, world, now),
            Message::Refused(refused) => {
                self.totals.refused += 1;
                vec![Action::Note(Note::Refused(refused))]
            }
            Message::Notice(notice) => {
                self.totals.notices += 1;
                vec![Action::Note(Note::Notice(notice))]
            }
            other @ (Message::LeaderStarted(_)
            | Message::LeaderAlive(_)
            | Message::Snapshot(_)
            | Message::Assign(_)
            | Message::StartConsuming(_)
            | Message::StopConsuming(_)
            | Message::StateQuery(_)
            | Message::Unpin(_)
            | Message::Pause(_)
            | Message::Resume(_)
            | Message::Drain(_)
            | Message::DryRun(_)
            | Message::Approve(_)) => {
                let (kind, offset) = (other.kind().name(), received.first);
                let error = format!("{kind} at offset {offset} does not belong among events");
                vec![Action::Note(Note::Malformed { log: Log::Events, error })]
            }
        }
    }

    fn hear_heartbeat(&mut self, heartbeat: Heartbeat, now: Now) -> Vec<Action> {
        let event = Event::Seen {
            consumer: heartbeat.consumer,
            incarnation: heartbeat.incarnation,
            draining: heartbeat.draining,
        };
        let is_by_hand = is_by_hand(&heartbeat);
        self.roster.heartbeat(heartbeat, now.moment);
        if is_by_hand { vec![] } else { self.rebalance(event, now) }
    }

    fn hear_answer(&mut self, answer: Answer, now: Now) -> Vec<Action> {
        let gaps = self.gaps.hear(&answer).into_iter();
        let mut actions: Vec<_> = gaps
            .map(|(partition, gap_ms)| Action::Note(Note::MoveGap { partition, gap_ms }))
            .collect();
        actions.extend(self.rebalance(Event::Answered(answer), now));
        actions
    }
}
