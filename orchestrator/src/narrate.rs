//! IO. What happens, as lines of the log.

use common::messages::event::{Notice, NoticeClass};
use tracing::{error, info, warn};

use crate::capacity::Lesson;
use crate::conductor::action::{FleetNote, Note, PlanningNote};
use crate::conductor::rollout::Progress;
use crate::expansion::Shortfall;
use crate::proposal::Proposal;

/// Writes a note to the log.
pub fn narrate(note: &Note) {
    match note {
        Note::Lead(generation) => info!(%generation, "became the leader"),
        Note::Deposed { by } => warn!(generation = %by, "was deposed by another orchestrator"),
        Note::TookOver { partitions, incarnations } => {
            info!(partitions, incarnations, "read what the reigns before left");
        }
        Note::Renews => info!("stands again: consumers that were out of reach can be reached"),
        Note::Unreachable(consumers) => error!(
            ?consumers,
            "their partitions of the controller topic can be neither written nor read"
        ),
        Note::Moved { partition, from: Some(from), to } if from != to => {
            info!(%partition, %from, %to, "a partition moved");
        }
        Note::Moved { partition, to, .. } => info!(%partition, %to, "a partition has its owner"),
        Note::MoveGap { partition, gap_ms } => {
            tracing::debug!(%partition, gap_ms, "a partition was not read while it moved");
        }
        Note::OpenFailed { partition, consumer, reason } => {
            warn!(%partition, %consumer, reason, "a partition could not be read");
        }
        Note::IncarnationEnded { consumer, incarnation, why, partitions } => {
            info!(%consumer, %incarnation, ?why, partitions, "an incarnation ended");
        }
        Note::ConsumerStarted { consumer, process } => {
            info!(%consumer, %process, "started a consumer");
        }
        Note::ConsumerExited { consumer, process, how, is_expected: true } => {
            info!(%consumer, %process, how, "a consumer ended");
        }
        Note::ConsumerExited { consumer, process, how, is_expected: false } => {
            warn!(%consumer, %process, how, "a consumer ended without being told to");
        }
        Note::ConsumerFailing { consumer, failures, reason } => {
            warn!(%consumer, failures, reason, "a consumer failed and is started again");
        }
        Note::Unanswering { consumer, incarnation, is_ours: true } => {
            error!(%consumer, %incarnation, "a consumer lives and answers nothing: it is ended");
        }
        Note::Unanswering { consumer, incarnation, is_ours: false } => {
            error!(%consumer, %incarnation, "a consumer lives and answers nothing: a person should look");
        }
        Note::Stuck { partition, consumer } => {
            error!(%partition, %consumer, "a partition stands still: it is given out anew");
        }
        Note::ConsumerRemoved(consumer) => info!(%consumer, "removed a consumer"),
        Note::Refused(refused) => warn!(
            consumer = %refused.consumer,
            class = ?refused.class,
            event_type = refused.event_type,
            offset = refused.controller_offset,
            text = refused.text,
            "a consumer refused a command"
        ),
        Note::Notice(notice) => narrate_notice(notice),
        Note::Malformed { log, error } => {
            warn!(topic = log.label(), error, "a record changed nothing");
        }
        Note::ServiceEntry { key, error } => {
            warn!(key, error, "a service entry changed nothing");
        }
        Note::Topic(change) => info!(change, "a topic changed"),
        Note::Configuration(change) => info!(change, "the configuration changed"),
        Note::Fleet(note) => narrate_fleet(note),
        Note::Planning(note) => narrate_planning(note),
        Note::Anomaly(anomaly) => warn!(%anomaly, "a measured value cannot be true"),
    }
}

fn narrate_fleet(note: &FleetNote) {
    match note {
        FleetNote::Waiting { consumer, reason } => {
            info!(%consumer, reason, "a consumer cannot run for now");
        }
        FleetNote::NeverCame { consumer, in_a_row, rest } => warn!(
            %consumer,
            in_a_row,
            rest_secs = rest.as_secs(),
            "a new consumer does not come: no other one is made for a while"
        ),
        FleetNote::Mended { consumer, what } => {
            warn!(%consumer, what, "a consumer's workload was put right");
        }
        FleetNote::Buried { consumer, pod, reason } => {
            warn!(%consumer, pod, reason, "the pod of a consumer that nothing lives in is removed");
        }
        FleetNote::Refused { error } => {
            error!(error, "how consumers are to be run was refused: it stays as it was");
        }
        FleetNote::Opened { step, took } => {
            tracing::debug!(step = step.label(), ?took, "a new consumer is on its way");
        }
    }
}

fn narrate_planning(note: &PlanningNote) {
    match note {
        PlanningNote::Learned { consumer, lesson } => {
            let Lesson { sustained, before, after, .. } = lesson;
            info!(%consumer, %sustained, %before, %after, "learned what a consumer sustains");
        }
        PlanningNote::Shortfall(Shortfall { expected, gained }) => {
            warn!(%expected, %gained, "the last consumers that were created brought little");
        }
        PlanningNote::Held(Some(hold)) => warn!("{hold}"),
        PlanningNote::Held(None) => info!("consumers may be created again"),
        PlanningNote::RolledOut(Progress::Replaces { consumer, left }) => {
            info!(%consumer, left, "a consumer is replaced: it runs with something old");
        }
        PlanningNote::RolledOut(Progress::Stopped { by }) => {
            error!(consumer = %by, "a new consumer does not get on: no other one is replaced");
        }
        PlanningNote::RolledOut(Progress::Done) => info!("no consumer runs with anything old"),
        PlanningNote::Drained(consumer) => info!(%consumer, "a consumer was drained"),
        PlanningNote::Proposed(proposal) => {
            let Proposal { name, decision } = proposal;
            let changes = &decision.changes;
            let (moves, create, remove) =
                (changes.moves.len(), changes.create.len(), changes.remove.len());
            let reason = &decision.reason;
            info!(name, reason, moves, create, remove, "a plan waits for approval");
        }
        PlanningNote::NotApproved { name } => {
            warn!(name, "an approved plan is not proposed any more: nothing is done");
        }
    }
}

fn narrate_notice(notice: &Notice) {
    let partition = notice.partition.as_ref().map(ToString::to_string).unwrap_or_default();
    let (consumer, class, text) = (notice.consumer, notice.class, &notice.text);
    let (from, to) = (notice.from, notice.to);
    match class {
        NoticeClass::Gap
        | NoticeClass::PositionLost
        | NoticeClass::TopicReplaced
        | NoticeClass::Blocked => {
            error!(%consumer, ?class, partition, ?from, ?to, text, "a person should look");
        }
        NoticeClass::ForeignCommit
        | NoticeClass::Fenced
        | NoticeClass::LeaseLapsed
        | NoticeClass::StateSetAside => {
            warn!(%consumer, ?class, partition, ?from, ?to, text, "a consumer recovered");
        }
    }
}
