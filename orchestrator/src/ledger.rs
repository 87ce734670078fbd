//! Pure. What partition 0 of the controller topic tells, leader or not: the last snapshot and what people asked since.

use common::messages::Extra;
use common::messages::request::{
    Approve, Drain, DryRun, Pause, Resume, StartConsuming, StopConsuming, Unpin,
};
use common::messages::snapshot::Snapshot;
use common::term::Generation;
use serde::de::DeserializeOwned;

use crate::operations::Operations;
use crate::wishes::Wishes;

/// Where leaders say which state directory they have: only one orchestrator at a time has it.
pub const STATE_DIR: &str = "state_dir";

/// What a leader adds to its last sign of life: it decides nothing any more.
pub const LEAVES: &str = "leaves";

/// Where snapshots keep what people ordered about the group as a whole, as JSON.
pub const OPERATIONS: &str = "operations";

/// A request of a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    Start(StartConsuming),
    Stop(StopConsuming),
    Unpin(Unpin),
    Pause(Pause),
    Resume(Resume),
    Drain(Drain),
    DryRun(DryRun),
    Approve(Approve),
}

/// The log of partition 0, folded.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    generation: Option<Generation>,
    /// Which state directory the author of the last sign of a leader has.
    state_dir: Option<String>,
    /// That sign was its last one.
    has_left: bool,
    /// With the offset of its first record.
    snapshot: Option<(u64, Snapshot)>,
    /// With their offsets: those that the snapshot does not include.
    requests: Vec<(u64, Request)>,
    /// The first offset that was not read.
    next: u64,
}

impl Ledger {
    /// Everything below `next` has been read.
    pub fn advance(&mut self, next: u64) {
        self.next = self.next.max(next);
    }

    pub fn next(&self) -> u64 {
        self.next
    }

    /// A leader's first record, or a sign of life: of a reign whose beginning was removed by retention
    /// that is all that is left.
    pub fn take_leader(&mut self, generation: Generation, extra: &Extra) {
        if self.generation <= Some(generation) {
            self.generation = Some(generation);
            self.state_dir = extra.get(STATE_DIR).cloned();
            self.has_left = extra.contains_key(LEAVES);
        }
    }

    /// It counts only under the generation of the last `LeaderStarted` before it. Returns whether it
    /// does.
    pub fn take_snapshot(&mut self, first: u64, snapshot: Snapshot) -> bool {
        let counts = self.generation.is_none_or(|generation| generation == snapshot.generation);
        if counts {
            self.requests.retain(|(offset, _)| *offset >= snapshot.requests_offset);
            self.snapshot = Some((first, snapshot));
        }
        counts
    }

    pub fn take_request(&mut self, offset: u64, request: Request) {
        self.requests.push((offset, request));
    }

    /// Which state directory the last leader has, if it said so.
    pub fn state_dir(&self) -> Option<&str> {
        self.state_dir.as_deref()
    }

    pub fn has_leader(&self) -> bool {
        self.generation.is_some()
    }

    /// Whether the last leader said that it ends, and nobody led since.
    pub fn has_left(&self) -> bool {
        self.has_left
    }

    pub fn snapshot(&self) -> Option<&Snapshot> {
        self.snapshot.as_ref().map(|(_, snapshot)| snapshot)
    }

    /// Where the last snapshot that counts begins.
    pub fn snapshot_offset(&self) -> Option<u64> {
        self.snapshot.as_ref().map(|(first, _)| *first)
    }

    /// What holds by now of all that people asked.
    pub fn wishes(&self) -> Wishes {
        let saved = self.snapshot().map(|snapshot| snapshot.requests.as_slice());
        let mut wishes = Wishes::from_standing(saved.unwrap_or_default());
        for (_, request) in &self.requests {
            match request {
                Request::Start(start) => wishes.start(start),
                Request::Stop(stop) => wishes.stop(stop),
                Request::Unpin(unpin) => wishes.unpin(unpin),
                Request::Pause(_)
                | Request::Resume(_)
                | Request::Drain(_)
                | Request::DryRun(_)
                | Request::Approve(_) => {}
            }
        }
        wishes
    }

    /// What holds by now of what people ordered about the group as a whole.
    pub fn operations(&self) -> Operations {
        let saved = self.snapshot().and_then(|snapshot| kept(&snapshot.extra, OPERATIONS));
        let mut operations: Operations = saved.unwrap_or_default();
        for (_, request) in &self.requests {
            match request {
                Request::Pause(pause) => operations.pause(pause.scaling),
                Request::Resume(resume) => operations.resume(resume.scaling),
                Request::Drain(drain) => operations.drain(drain),
                Request::DryRun(_) => operations.dry_run(),
                Request::Approve(approve) => operations.approve(&approve.proposal),
                Request::Start(_) | Request::Stop(_) | Request::Unpin(_) => {}
            }
        }
        operations
    }
}

/// What a snapshot keeps under this name; nothing if it is of a version that kept something else.
pub fn kept<T: DeserializeOwned>(extra: &Extra, name: &str) -> Option<T> {
    serde_json::from_str(extra.get(name)?).ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use common::messages::request::Scaling;
    use common::partition::TopicPartition;
    use common::term::Sequence;

    use super::*;
    use crate::plan::snapshot::Wish;

    fn snapshot(generation: u64, requests_offset: u64, wishes: &Wishes) -> Snapshot {
        Snapshot {
            generation: Generation(generation),
            sequence: Sequence(0),
            query: None,
            requests_offset,
            events_offset: 0,
            controller_offsets: BTreeMap::new(),
            consumers: vec![],
            partitions: vec![],
            requests: wishes.to_standing(),
            extra: Extra::new(),
        }
    }

    fn started(ledger: &mut Ledger, generation: u64) {
        let extra = [(STATE_DIR.to_owned(), format!("folder {generation}"))].into();
        ledger.take_leader(Generation(generation), &extra);
    }

    fn stop(topic: &str) -> StopConsuming {
        StopConsuming { topic: topic.into(), partitions: vec![], extra: Extra::new() }
    }

    fn wish(ledger: &Ledger, topic: &str) -> Wish {
        ledger.wishes().of(&TopicPartition::new(topic, 0))
    }

    /// A request that was on its way when the snapshot was written is in exactly one of both.
    #[test]
    fn requests_that_a_snapshot_does_not_include_are_kept() {
        let mut ledger = Ledger::default();
        started(&mut ledger, 2);
        ledger.take_request(3, Request::Stop(stop("a")));
        ledger.take_request(5, Request::Stop(stop("b")));
        let mut included = Wishes::default();
        included.stop(&stop("a"));
        assert!(ledger.take_snapshot(6, snapshot(2, 5, &included)));
        assert_eq!((wish(&ledger, "a"), wish(&ledger, "b")), (Wish::Excluded, Wish::Excluded));
        assert_eq!(ledger.requests.len(), 1);
    }

    #[test]
    fn orders_are_kept_by_the_snapshot_and_followed_by_later_ones() {
        let pause = |scaling| Request::Pause(Pause { scaling, extra: Extra::new() });
        let mut ledger = Ledger::default();
        started(&mut ledger, 2);
        ledger.take_request(3, pause(Scaling::In));
        let operations = serde_json::to_string(&ledger.operations()).unwrap();
        let extra = Extra::from([(OPERATIONS.to_owned(), operations)]);
        ledger.take_snapshot(4, Snapshot { extra, ..snapshot(2, 4, &Wishes::default()) });
        assert!(ledger.requests.is_empty() && ledger.operations().is_scale_in_paused);
        ledger.take_request(5, pause(Scaling::Out));
        assert!(ledger.operations().is_scale_in_paused && ledger.operations().is_scale_out_paused);
        let resume = Resume { scaling: Scaling::All, extra: Extra::new() };
        ledger.take_request(6, Request::Resume(resume));
        assert_eq!(ledger.operations(), Operations::default());
        let extra = Extra::from([(OPERATIONS.to_owned(), "?".to_owned())]);
        ledger.take_snapshot(7, Snapshot { extra, ..snapshot(2, 7, &Wishes::default()) });
        assert_eq!(ledger.operations(), Operations::default(), "of another version");
    }

    #[test]
    fn a_deposed_leaders_snapshot_counts_for_nothing() {
        let mut ledger = Ledger::default();
        started(&mut ledger, 2);
        started(&mut ledger, 7);
        assert!(!ledger.take_snapshot(8, snapshot(2, 0, &Wishes::default())));
        assert_eq!(ledger.snapshot_offset(), None);
        assert!(ledger.take_snapshot(9, snapshot(7, 0, &Wishes::default())));
        assert_eq!(ledger.snapshot_offset(), Some(9));
        started(&mut ledger, 2);
        assert_eq!(ledger.state_dir(), Some("folder 7"));
    }
}
