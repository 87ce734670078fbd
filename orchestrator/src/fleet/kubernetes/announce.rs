//! Pure. What is told as an Event of the group's object, so that `kubectl describe` explains each decision.

use crate::conductor::action::{FleetNote, Note, PlanningNote};
use crate::conductor::rollout::Progress;
use crate::decision::Decision;

/// Longer texts are refused by the API server.
const NOTE_BYTES_MAX: usize = 1_000;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// One word in capitals, as people filter by it.
    pub reason: &'static str,
    pub note: String,
    pub is_warning: bool,
}

impl Announcement {
    fn new(reason: &'static str, note: String, is_warning: bool) -> Self {
        let mut note = note;
        let mut end = note.len().min(NOTE_BYTES_MAX);
        while !note.is_char_boundary(end) {
            end -= 1;
        }
        note.truncate(end);
        Self { reason, note, is_warning }
    }

    /// A plan that changes something.
    pub fn of_decision(decision: &Decision) -> Self {
        let changes = &decision.changes;
        let after = changes.consumers;
        let before = (after + changes.remove.len()).saturating_sub(changes.create.len());
        let because = &decision.reason;
        let (reason, note) = match after.cmp(&before) {
            std::cmp::Ordering::Greater => ("ScaledUp", format!("{before} → {after}, {because}")),
            std::cmp::Ordering::Less => ("ScaledDown", format!("{before} → {after}, {because}")),
            std::cmp::Ordering::Equal => {
                let moves = changes.moves.len();
                ("Rebalanced", format!("{moves} partitions move, {because}"))
            }
        };
        Self::new(reason, note, false)
    }

    /// What befell a consumer or a leader, if people look for it here.
    pub fn of_note(note: &Note) -> Option<Self> {
        let (reason, text, is_warning) = match note {
            Note::Lead(generation) => ("Leading", format!("generation {generation}"), false),
            Note::Fleet(FleetNote::Waiting { consumer, reason }) => {
                ("ConsumerWaiting", format!("{consumer}: {reason}"), true)
            }
            Note::ConsumerFailing { consumer, failures, reason } => {
                ("ConsumerFailing", format!("{consumer}, time {failures}: {reason}"), true)
            }
            Note::Fleet(FleetNote::NeverCame { consumer, in_a_row, rest }) => {
                let rest = rest.as_secs();
                let text = format!(
                    "{consumer} is new and does not come, {in_a_row} in a row: no other one is made for {rest} s"
                );
                ("ConsumerNeverCame", text, true)
            }
            Note::Fleet(FleetNote::Mended { consumer, what }) => {
                ("PutRight", format!("{consumer}: {what}"), true)
            }
            Note::Fleet(FleetNote::Buried { consumer, reason, .. }) => {
                ("ForceDeleted", format!("{consumer}: {reason}"), true)
            }
            Note::Fleet(FleetNote::Refused { error }) => ("TemplateRefused", error.clone(), true),
            Note::Planning(PlanningNote::Held(Some(hold))) => {
                ("ScaleOutHeld", hold.to_string(), false)
            }
            Note::Planning(PlanningNote::RolledOut(Progress::Stopped { by })) => {
                ("RolloutStopped", format!("{by} is new and does not get on"), true)
            }
            _ => return None,
        };
        Some(Self::new(reason, text, is_warning))
    }
}

#[cfg(test)]
mod tests {
    use common::identity::ConsumerId;

    use super::*;
    use crate::decision::{ChangedConsumer, Changes};
    use crate::plan::snapshot::Scope;

    fn decision(create: u32, remove: u32, consumers: usize) -> Decision {
        let changed =
            |consumer| ChangedConsumer { consumer: ConsumerId(consumer), reason: "r".into() };
        Decision {
            at: common::moment::Timestamp(0),
            trigger: "overload".into(),
            reason: "consumer 2 is at 121 % of its trigger capacity".into(),
            scope: Scope::Relieve,
            changes: Changes {
                create: (0..create).map(changed).collect(),
                remove: (0..remove).map(changed).collect(),
                consumers,
                ..Changes::default()
            },
        }
    }

    #[test]
    fn a_decision_is_told_by_what_it_does_to_the_number_of_consumers() {
        let told = |create, remove, after| {
            let told = Announcement::of_decision(&decision(create, remove, after));
            (told.reason, told.note)
        };
        let up = "3 → 4, consumer 2 is at 121 % of its trigger capacity".to_owned();
        assert_eq!(told(1, 0, 4), ("ScaledUp", up));
        assert_eq!(told(0, 2, 1).0, "ScaledDown");
        assert_eq!(told(1, 1, 2).0, "Rebalanced");
    }

    #[test]
    fn a_long_text_is_cut_where_a_letter_ends() {
        let note = Note::Fleet(FleetNote::Refused { error: "ä".repeat(900) });
        assert_eq!(Announcement::of_note(&note).unwrap().note.len(), NOTE_BYTES_MAX);
    }
}
