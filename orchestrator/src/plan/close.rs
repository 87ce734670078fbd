//! Pure. The last phase: consumers whose partitions all fit elsewhere are closed.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use common::identity::ConsumerId;
use common::partition::TopicPartition;

use super::draft::{Draft, Hold};
use super::reason::{Fit, MoveReason, RemoveReason};
use super::relieve;
use super::snapshot::{Demand, Standing};

/// Closes consumers, the least loaded first, as long as the others can take what they hold and the
/// minimum is kept. While somebody is overloaded nobody is closed.
pub(super) fn close_spare(draft: &mut Draft<'_>) {
    if relieve::has_relievable(draft) {
        return;
    }
    let consumers_min = usize::try_from(draft.snapshot.limits.consumers_min).unwrap_or(usize::MAX);
    while draft.serving().count() > consumers_min {
        let Some((spare, places)) = next_spare(draft) else { return };
        let reason = match places.len() {
            0 => RemoveReason::Idle,
            partitions => RemoveReason::Closed { partitions },
        };
        for (partition, to) in places {
            draft.take(partition, spare);
            draft.put(partition, to, MoveReason::Closed { owner: spare }, Fit::Best);
        }
        remove(draft, spare, reason);
    }
}

/// Removes consumers that are gone, and draining ones that hold nothing any more.
pub(super) fn remove_leaving(draft: &mut Draft<'_>) {
    let reason = |hold: &Hold<'_>| match hold.standing {
        Standing::Draining if hold.partitions.is_empty() => Some(RemoveReason::Drained),
        Standing::Gone => Some(RemoveReason::Gone),
        Standing::Serving | Standing::Draining | Standing::ByHand => None,
    };
    let consumers = draft.consumers.iter();
    let leaving: Vec<_> = consumers.filter_map(|(id, hold)| Some((*id, reason(hold)?))).collect();
    for (id, reason) in leaving {
        remove(draft, id, reason);
    }
}

fn remove(draft: &mut Draft<'_>, id: ConsumerId, reason: RemoveReason) {
    draft.consumers.remove(&id);
    if draft.created.remove(&id).is_none() {
        draft.removed.insert(id, reason);
    }
}

type Places<'a> = Vec<(&'a TopicPartition, ConsumerId)>;

fn next_spare<'a>(draft: &Draft<'a>) -> Option<(ConsumerId, Places<'a>)> {
    let mut by_load: Vec<_> =
        draft.serving().map(|(id, hold)| (hold.load.steady, Reverse(id))).collect();
    by_load.sort();
    by_load.into_iter().find_map(|(_, Reverse(id))| Some((id, places_elsewhere(draft, id)?)))
}

/// A place at another consumer for all that `spare` holds, if there is one for each.
fn places_elsewhere<'a>(draft: &Draft<'a>, spare: ConsumerId) -> Option<Places<'a>> {
    let mut held: Places<'a> =
        draft.consumers[&spare].partitions.iter().map(|partition| (*partition, spare)).collect();
    held.sort_by_key(|(partition, _)| (Reverse(draft.demand(partition).steady), *partition));
    let mut added = BTreeMap::<ConsumerId, Demand>::new();
    for (partition, place) in &mut held {
        if draft.pin(partition) == Some(spare) {
            return None;
        }
        let demand = draft.demand(partition);
        *place = best_fit(draft, &added, demand, spare)?;
        let added = added.entry(*place).or_default();
        *added = *added + demand;
    }
    Some(held)
}

/// The fullest consumer that can take `demand` on top of what was `added`: packed by the steady
/// load, and not overloaded by the peak.
fn best_fit(
    draft: &Draft<'_>,
    added: &BTreeMap<ConsumerId, Demand>,
    demand: Demand,
    except: ConsumerId,
) -> Option<ConsumerId> {
    let load =
        |id, hold: &Hold<'_>| hold.load + demand + added.get(&id).copied().unwrap_or_default();
    draft
        .serving()
        .filter(|(id, hold)| {
            let load = load(*id, hold);
            *id != except && load.steady <= hold.plan_capacity && load.peak <= hold.trigger_capacity
        })
        .min_by_key(|(id, hold)| (hold.plan_capacity.0 - load(*id, hold).steady.0, *id))
        .map(|(id, _)| id)
}
