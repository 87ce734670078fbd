//! Pure. What happens, counted.

use common::identity::ConsumerId;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

use super::{
    ClassLabel, ConsumerLabel, FaultLabel, OrchestratorMetrics, ReasonLabel, StepLabel,
    partition_label,
};
use crate::conductor::action::{FleetNote, Note, PlanningNote};
use crate::decision::Decision;
use crate::roster::End;

impl OrchestratorMetrics {
    #[expect(clippy::cast_precision_loss, reason = "a metric needs no 53 bits")]
    pub fn count_decision(&self, decision: &Decision) {
        let label = |reason: &str| ReasonLabel { reason: reason.into() };
        self.plans.get_or_create(&label(&decision.trigger)).inc();
        for planned in &decision.changes.moves {
            self.moves.get_or_create(&label(&planned.cause)).inc();
        }
        self.r_score.inc_by(decision.changes.r_score_milli as f64 / 1_000.0);
    }

    #[expect(clippy::cast_precision_loss, reason = "a metric needs no 53 bits")]
    pub fn count(&self, note: &Note) {
        match note {
            Note::MoveGap { gap_ms, .. } => self.move_gap.observe(*gap_ms as f64 / 1_000.0),
            Note::OpenFailed { partition, .. } => {
                self.open_failures.get_or_create(&partition_label(partition)).inc();
            }
            Note::IncarnationEnded { consumer, why, .. } => {
                let class = match why {
                    End::LeaseLapsed => "lease_lapsed",
                    End::Confirmed => "confirmed",
                };
                count(&self.ended, class, *consumer);
            }
            Note::ConsumerExited { consumer, is_expected, .. } => {
                let class = if *is_expected { "expected" } else { "unexpected" };
                count(&self.exits, class, *consumer);
            }
            Note::Unanswering { consumer, .. } => {
                self.unanswering.get_or_create(&ConsumerLabel { consumer: consumer.0 }).inc();
            }
            Note::ConsumerFailing { consumer, .. } => count(&self.fleet, "failing", *consumer),
            Note::Fleet(note) => self.count_fleet(note),
            Note::Stuck { partition, .. } => {
                self.stuck.get_or_create(&partition_label(partition)).inc();
            }
            Note::Refused(said) => count(&self.refused, said.class.label(), said.consumer),
            Note::Notice(said) => count(&self.notices, said.class.label(), said.consumer),
            Note::Malformed { log, .. } => {
                self.malformed.get_or_create(&ClassLabel { class: log.label() }).inc();
            }
            Note::Anomaly(_) => {
                self.anomalies.inc();
            }
            Note::Planning(PlanningNote::Learned { .. }) => {
                self.lessons.inc();
            }
            Note::Planning(PlanningNote::Shortfall(_)) => {
                self.shortfalls.inc();
            }
            Note::Planning(
                PlanningNote::Held(_)
                | PlanningNote::Drained(_)
                | PlanningNote::RolledOut(_)
                | PlanningNote::Proposed(_)
                | PlanningNote::NotApproved { .. },
            )
            | Note::Lead(_)
            | Note::Deposed { .. }
            | Note::Renews
            | Note::TookOver { .. }
            | Note::Unreachable(_)
            | Note::Moved { .. }
            | Note::ConsumerStarted { .. }
            | Note::ConsumerRemoved(_)
            | Note::ServiceEntry { .. }
            | Note::Topic(_)
            | Note::Configuration(_) => {}
        }
    }

    fn count_fleet(&self, note: &FleetNote) {
        match note {
            FleetNote::Waiting { consumer, .. } => count(&self.fleet, "waiting", *consumer),
            FleetNote::Mended { consumer, .. } => count(&self.fleet, "mended", *consumer),
            FleetNote::NeverCame { consumer, .. } => count(&self.fleet, "never_came", *consumer),
            FleetNote::Buried { consumer, .. } => count(&self.fleet, "buried", *consumer),
            FleetNote::Refused { .. } => {
                self.refused_templates.inc();
            }
            FleetNote::Opened { step, took } => {
                let label = StepLabel { step: step.label() };
                self.opening.get_or_create(&label).observe(took.as_secs_f64());
            }
        }
    }
}

fn count(family: &Family<FaultLabel, Counter>, class: &'static str, consumer: ConsumerId) {
    family.get_or_create(&FaultLabel { class, consumer: consumer.0 }).inc();
}
