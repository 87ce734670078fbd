//! Pure. How often partitions changed their owner, and for how long they were not read then.

use std::collections::BTreeMap;

use common::identity::Incarnation;
use common::messages::event::{Answer, PartitionAnswer, PartitionState};
use common::partition::TopicPartition;
use common::term::Term;

use crate::latency::{Histogram, Latency};

/// What consumers' answers say about changes of owner.
#[derive(Debug, Default)]
pub struct Moves {
    partitions: BTreeMap<TopicPartition, Track>,
    moves: u64,
    takeovers: u64,
    gaps: Histogram,
}

/// One partition. A move is measured from the old owner's last answered poll to the new owner's
/// first; after a takeover nobody says when the dead one polled last.
#[derive(Debug, Default)]
struct Track {
    holder: Option<(Incarnation, Term)>,
    released: Option<(Incarnation, i64)>,
    is_measured: bool,
}

impl Moves {
    pub fn apply(&mut self, answer: &Answer) {
        for partition in &answer.partitions {
            match partition.state {
                PartitionState::Held => self.held(answer.incarnation, partition),
                PartitionState::Released => self.released(answer.incarnation, partition),
                PartitionState::Opening | PartitionState::Stopping | PartitionState::Failed => {}
            }
        }
    }

    /// Planned changes of owner: released by one incarnation, held by another.
    pub fn moves(&self) -> u64 {
        self.moves
    }

    /// Changes of owner without a release, because the old one died or lapsed.
    pub fn takeovers(&self) -> u64 {
        self.takeovers
    }

    /// How long a partition was not read in planned moves, in milliseconds.
    pub fn gaps(&self) -> Latency {
        self.gaps.latency()
    }

    fn held(&mut self, by: Incarnation, answer: &PartitionAnswer) {
        let track = self.partitions.entry(answer.partition.clone()).or_default();
        let is_new = track.holder != Some((by, answer.since));
        if is_new {
            let previous = track.holder.replace((by, answer.since));
            let is_change = previous.is_some_and(|(previous, _)| previous != by);
            let is_released = track.released.is_some_and(|(released_by, _)| released_by != by);
            self.moves += u64::from(is_change && is_released);
            self.takeovers += u64::from(is_change && !is_released);
            track.is_measured = !(is_change && is_released);
        }
        if let (false, Some(first), Some((_, last))) =
            (track.is_measured, answer.polled_at_ms, track.released)
        {
            self.gaps.push(first - last);
            track.is_measured = true;
        }
        if track.is_measured {
            track.released = None;
        }
    }

    fn released(&mut self, by: Incarnation, answer: &PartitionAnswer) {
        let track = self.partitions.entry(answer.partition.clone()).or_default();
        let is_holder = track.holder.is_some_and(|(holder, _)| holder == by);
        if let (true, Some(polled_at)) = (is_holder, answer.polled_at_ms) {
            track.released = Some((by, polled_at));
        }
    }
}

#[cfg(test)]
mod tests {
    use common::identity::ConsumerId;
    use common::term::{Generation, Sequence};

    use super::*;

    fn say(moves: &mut Moves, by: u128, state: PartitionState, since: u64, polled: Option<i64>) {
        let partition = PartitionAnswer {
            partition: TopicPartition::new("orders", 0),
            state,
            since: term(since),
            position: None,
            tokens: Vec::new(),
            hand_over: None,
            reason: None,
            polled_at_ms: polled,
        };
        moves.apply(&Answer {
            consumer: ConsumerId(1),
            incarnation: Incarnation(by),
            number: 1,
            term: term(since),
            draining: false,
            partitions: vec![partition],
            extra: BTreeMap::new(),
        });
    }

    fn term(sequence: u64) -> Term {
        Term { generation: Generation(1), sequence: Sequence(sequence) }
    }

    const HELD: PartitionState = PartitionState::Held;
    const RELEASED: PartitionState = PartitionState::Released;

    #[test]
    fn a_move_is_measured_once_from_last_poll_to_first_poll() {
        let mut moves = Moves::default();
        say(&mut moves, 1, HELD, 1, Some(100));
        say(&mut moves, 1, RELEASED, 1, Some(5_000));
        say(&mut moves, 1, RELEASED, 1, Some(5_000));
        say(&mut moves, 2, HELD, 2, None);
        say(&mut moves, 2, HELD, 2, Some(5_120));
        say(&mut moves, 1, RELEASED, 1, Some(5_000));
        say(&mut moves, 2, HELD, 2, Some(5_120));
        assert_eq!((moves.moves(), moves.takeovers()), (1, 0));
        let gaps = moves.gaps();
        assert_eq!((gaps.records, gaps.max), (1, 120));
    }

    #[test]
    fn the_first_owner_is_no_move_and_a_dead_one_is_taken_over_from() {
        let mut moves = Moves::default();
        say(&mut moves, 1, HELD, 1, Some(100));
        say(&mut moves, 2, HELD, 2, Some(15_000));
        assert_eq!((moves.moves(), moves.takeovers(), moves.gaps().records), (0, 1, 0));
    }

    #[test]
    fn going_back_and_forth_counts_each_way() {
        let mut moves = Moves::default();
        say(&mut moves, 1, HELD, 1, Some(0));
        for (from, to, since) in [(1, 2, 2), (2, 1, 3), (1, 2, 4)] {
            let at = i64::try_from(since).unwrap() * 1_000;
            say(&mut moves, from, RELEASED, since - 1, Some(at));
            say(&mut moves, to, HELD, since, Some(at + 50));
        }
        assert_eq!(moves.moves(), 3);
        let gaps = moves.gaps();
        assert_eq!((gaps.records, gaps.p50, gaps.max), (3, 50, 50));
    }
}
