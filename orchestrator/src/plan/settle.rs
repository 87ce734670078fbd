//! Pure. The first phase: everything stays where it is, but for what has to leave.

use common::identity::ConsumerId;
use common::partition::TopicPartition;

use super::draft::{Draft, Homeless};
use super::reason::{Fit, MoveReason, Warning};
use super::snapshot::{Standing, Wish};

/// Leaves each partition with its owner. Those whose owner is gone become homeless, excluded ones
/// leave the plan.
pub(super) fn settle(draft: &mut Draft<'_>) {
    for (partition, facts) in &draft.snapshot.partitions {
        if facts.wish == Wish::Excluded {
            continue;
        }
        let reason = match (draft.snapshot.living_owner(partition), facts.owner) {
            (Some(owner), _) => {
                draft.keep(partition, owner);
                continue;
            }
            (None, Some(owner)) => MoveReason::OwnerGone { owner },
            (None, None) => MoveReason::New,
        };
        draft.homeless.push(Homeless { partition, reason });
    }
}

/// Moves pinned partitions to where they are pinned, whatever that does to the load there. Returns
/// whether there were any to move.
pub(super) fn follow_pins(draft: &mut Draft<'_>) -> bool {
    let mut has_moved = false;
    for (partition, facts) in &draft.snapshot.partitions {
        let Wish::Pinned(_) = facts.wish else { continue };
        let (Some(wanted), Some(holder)) = (draft.pin(partition), draft.holder(partition)) else {
            continue;
        };
        if wanted != holder {
            draft.take(partition, holder);
            draft.put(partition, wanted, MoveReason::Pinned, Fit::Chosen);
            has_moved = true;
        }
    }
    has_moved
}

/// Makes homeless what draining consumers hold.
pub(super) fn drain(draft: &mut Draft<'_>) {
    let draining: Vec<ConsumerId> = draft
        .consumers
        .iter()
        .filter(|(_, hold)| hold.standing == Standing::Draining)
        .map(|(id, _)| *id)
        .collect();
    for owner in draining {
        let held: Vec<&TopicPartition> =
            draft.consumers[&owner].partitions.iter().copied().collect();
        for partition in held {
            draft.take(partition, owner);
            draft.homeless.push(Homeless { partition, reason: MoveReason::Drained { owner } });
        }
    }
}

/// Says which pins are not followed.
pub(super) fn warn_of_pins(draft: &mut Draft<'_>) {
    for (partition, facts) in &draft.snapshot.partitions {
        if let Wish::Pinned(consumer) = facts.wish
            && draft.pin(partition).is_none()
        {
            let partition = partition.clone();
            draft.warnings.push(Warning::PinUnfulfilled { partition, consumer });
        }
    }
}
