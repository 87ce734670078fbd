//! Pure. The second phase: whatever has no owner gets one, the largest first, by best fit.

use std::cmp::Reverse;

use super::draft::{Draft, Homeless};
use super::reason::{CreateReason, Fit, HeldBackBy, MoveReason, Warning};

/// Leaves no partition homeless as long as there is any consumer: an owner comes before capacity.
pub(super) fn place_homeless(draft: &mut Draft<'_>) {
    let mut homeless = std::mem::take(&mut draft.homeless);
    homeless.sort_by_key(|homeless| {
        (Reverse(draft.demand(homeless.partition).peak), homeless.partition)
    });
    let mut unplaced = 0;
    let mut limit = None;
    for homeless in homeless {
        if let Err(held_back_by) = place(draft, homeless) {
            unplaced += 1;
            limit = Some(held_back_by);
        }
    }
    if let Some(held_back_by) = limit {
        draft.warnings.push(Warning::Unplaced { partitions: unplaced, held_back_by });
    }
}

/// Keeps at least the minimum of consumers, as far as the other limits allow.
pub(super) fn keep_minimum(draft: &mut Draft<'_>) {
    let consumers_min = draft.snapshot.limits.consumers_min;
    let serving = draft.serving().count();
    for _ in serving..usize::try_from(consumers_min).unwrap_or(usize::MAX) {
        if draft.create(CreateReason::Minimum { consumers_min }).is_err() {
            return;
        }
    }
}

fn place<'a>(draft: &mut Draft<'a>, homeless: Homeless<'a>) -> Result<(), HeldBackBy> {
    let partition = homeless.partition;
    let demand = draft.demand(partition);
    let place = draft.pin(partition).map(|chosen| (chosen, Fit::Chosen));
    let place = place.or_else(|| draft.best_fit(demand, None).map(|fullest| (fullest, Fit::Best)));
    if let Some((consumer, fit)) = place {
        draft.put(partition, consumer, homeless.reason, fit);
        return Ok(());
    }
    let why = CreateReason::NoRoom { partition: partition.clone(), demand: demand.peak };
    match draft.create(why) {
        Ok(created) => draft.put(partition, created, homeless.reason, Fit::Created),
        Err(held_back_by) => place_without_room(draft, homeless, held_back_by)?,
    }
    Ok(())
}

fn place_without_room<'a>(
    draft: &mut Draft<'a>,
    homeless: Homeless<'a>,
    held_back_by: HeldBackBy,
) -> Result<(), HeldBackBy> {
    let Homeless { partition, reason } = homeless;
    if let Some(target) = draft.least_loaded(draft.demand(partition).peak, None) {
        draft.put(partition, target, reason, Fit::LeastLoaded);
        return Ok(());
    }
    // Nobody serves. What a draining consumer still holds had better stay there.
    let MoveReason::Drained { owner } = reason else { return Err(held_back_by) };
    draft.keep(partition, owner);
    let warning = Warning::CannotDrain { consumer: owner, held_back_by };
    if !draft.warnings.contains(&warning) {
        draft.warnings.push(warning);
    }
    Ok(())
}
