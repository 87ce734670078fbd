//! Pure. How long a partition is not read while it moves: from the last poll at its old owner to the first answered one at the new.

use std::collections::{BTreeMap, VecDeque};

use common::messages::event::{Answer, PartitionState};
use common::moment::Timestamp;
use common::partition::TopicPartition;

/// Gaps that are remembered.
const REMEMBERED: usize = 1_000;

/// The gaps of one reign. Both times are the consumers' own.
#[derive(Clone, Debug, Default)]
pub(super) struct Gaps {
    released: BTreeMap<TopicPartition, Timestamp>,
    /// The first polls that ended a gap, as answers repeat them.
    counted: BTreeMap<TopicPartition, Timestamp>,
    last_ms: VecDeque<u64>,
}

impl Gaps {
    /// Takes an answer; returns the gaps that it ends, in milliseconds.
    pub(super) fn hear(&mut self, answer: &Answer) -> Vec<(TopicPartition, u64)> {
        let mut ended = vec![];
        for said in &answer.partitions {
            let Some(polled) = said.polled_at_ms.map(Timestamp) else { continue };
            let partition = &said.partition;
            match said.state {
                PartitionState::Released => {
                    // One that is repeated after the next owner has begun says nothing new.
                    if self.counted.get(partition).is_none_or(|first| *first <= polled) {
                        self.released.insert(partition.clone(), polled);
                    }
                }
                PartitionState::Held => {
                    let is_new = self.counted.insert(partition.clone(), polled) != Some(polled);
                    if let Some(released) = self.released.remove(partition).filter(|_| is_new) {
                        ended.push((partition.clone(), polled.saturating_ms_since(released)));
                    }
                }
                PartitionState::Opening | PartitionState::Stopping | PartitionState::Failed => {}
            }
        }
        self.last_ms.extend(ended.iter().map(|(_, gap)| *gap));
        let surplus = self.last_ms.len().saturating_sub(REMEMBERED);
        self.last_ms.drain(..surplus);
        ended
    }

    pub(super) fn last_ms(&self) -> Vec<u64> {
        self.last_ms.iter().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use common::identity::{ConsumerId, Incarnation};
    use common::messages::Extra;
    use common::messages::event::PartitionAnswer;
    use common::term::Term;

    use super::*;

    fn answer(state: PartitionState, polled_at_ms: i64) -> Answer {
        let partition = PartitionAnswer {
            partition: TopicPartition::new("orders", 0),
            state,
            since: Term::default(),
            position: None,
            tokens: vec![],
            hand_over: None,
            reason: None,
            polled_at_ms: Some(polled_at_ms),
        };
        Answer {
            consumer: ConsumerId(1),
            incarnation: Incarnation(1),
            number: 1,
            term: Term::default(),
            draining: false,
            partitions: vec![partition],
            extra: Extra::new(),
        }
    }

    #[test]
    fn a_gap_is_counted_once_however_often_answers_repeat_it() {
        let mut gaps = Gaps::default();
        let mut hear = |state, at| {
            gaps.hear(&answer(state, at)).into_iter().map(|(_, gap)| gap).collect::<Vec<_>>()
        };
        assert!(hear(PartitionState::Held, 100).is_empty(), "nobody released it");
        assert!(hear(PartitionState::Released, 500).is_empty());
        assert_eq!(hear(PartitionState::Held, 620), [120]);
        assert!(hear(PartitionState::Held, 620).is_empty());
        assert!(hear(PartitionState::Released, 500).is_empty());
        assert!(hear(PartitionState::Held, 620).is_empty());
        assert!(hear(PartitionState::Released, 900).is_empty());
        assert_eq!(hear(PartitionState::Held, 910), [10]);
        assert_eq!(gaps.last_ms(), [120, 10]);
    }
}
