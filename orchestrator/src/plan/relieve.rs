//! Pure. The third phase: overloaded consumers hand over what they cannot sustain.
//!
//! One partition after another, each to where it may stay: so nobody is relieved at the price of
//! another's overload, and what finds no better place does not move at all.

use std::cmp::Reverse;

use common::identity::ConsumerId;
use common::partition::TopicPartition;
use common::rate::BytesPerSecond;

use super::draft::Draft;
use super::reason::{CreateReason, Fit, HeldBackBy, MoveReason, Relief, Warning};
use super::snapshot::Demand;

/// A spread that evens out less than this, in thousandths of the capacity, is not worth a move.
const SPREAD_GAIN_MIN: u128 = 50;

/// A partition that may leave an overloaded consumer.
#[derive(Clone, Copy)]
struct Leaver<'a> {
    partition: &'a TopicPartition,
    demand: Demand,
    relief: Relief,
}

/// Brings each consumer that is above its trigger capacity down to its plan capacity, as far as
/// there is room or room can be made; where not, spreads the overload.
pub(super) fn relieve_overload(draft: &mut Draft<'_>) {
    // Each hand-over lowers the load of the fuller one of two consumers and so ends by itself; the
    // bound is for the work of a plan.
    let mut hand_overs_left = 4 * draft.snapshot.partitions.len();
    while hand_overs_left > 0 {
        let overloaded = most_overloaded_first(draft);
        let Some(done) = overloaded.into_iter().find_map(|owner| relieve(draft, owner)) else {
            break;
        };
        hand_overs_left = hand_overs_left.saturating_sub(done);
    }
}

/// Says who stays overloaded, and which partitions are larger than a consumer.
pub(super) fn warn_of_overload(draft: &mut Draft<'_>) {
    let mut warnings = Vec::new();
    for (consumer, hold) in draft.serving() {
        let largest = hold.partitions.iter().max_by_key(|partition| draft.demand(partition).peak);
        if let Some(partition) = largest
            && draft.demand(partition).steady > hold.capacity
        {
            warnings.push(Warning::PartitionTooLarge {
                partition: (*partition).clone(),
                demand: draft.demand(partition).steady,
                capacity: hold.capacity,
            });
        }
        if let Some(held_back_by) = held_back_by(draft, consumer) {
            let percent = hold.trigger_percent();
            warnings.push(Warning::Overloaded { consumer, percent, held_back_by });
        }
    }
    draft.warnings.extend(warnings);
}

/// Whether somebody is overloaded who could do with another consumer.
pub(super) fn has_relievable(draft: &Draft<'_>) -> bool {
    draft.serving().any(|(id, hold)| hold.is_overloaded() && !leavers(draft, id).is_empty())
}

fn held_back_by(draft: &Draft<'_>, consumer: ConsumerId) -> Option<HeldBackBy> {
    let hold = &draft.consumers[&consumer];
    let loaded = |partition: &&&TopicPartition| draft.demand(partition).peak > BytesPerSecond::ZERO;
    if !hold.is_overloaded() || hold.partitions.iter().filter(loaded).count() < 2 {
        return None;
    }
    if leavers(draft, consumer).is_empty() {
        return Some(HeldBackBy::Pins);
    }
    draft.may_create().err()
}

fn most_overloaded_first(draft: &Draft<'_>) -> Vec<ConsumerId> {
    let mut overloaded: Vec<_> = draft
        .serving()
        .filter(|(_, hold)| hold.is_overloaded())
        .map(|(id, hold)| (Reverse(hold.utilization(BytesPerSecond::ZERO)), id))
        .collect();
    overloaded.sort();
    overloaded.into_iter().map(|(_, id)| id).collect()
}

/// Relieves one consumer and returns the number of partitions that it handed over, if any.
fn relieve(draft: &mut Draft<'_>, owner: ConsumerId) -> Option<usize> {
    let percent = draft.consumers[&owner].trigger_percent();
    let mut handed_over = 0;
    while let Some((leaver, to, fit)) = next_hand_over(draft, owner) {
        let reason = MoveReason::Overload { owner, percent, relief: leaver.relief };
        draft.take(leaver.partition, owner);
        draft.put(leaver.partition, to, reason, fit);
        handed_over += 1;
    }
    (handed_over > 0).then_some(handed_over)
}

/// Who leaves next and where to: into what room there is, else to a new consumer, else to the least
/// loaded. Only an overload justifies the last two.
fn next_hand_over<'a>(
    draft: &mut Draft<'a>,
    owner: ConsumerId,
) -> Option<(Leaver<'a>, ConsumerId, Fit)> {
    let hold = &draft.consumers[&owner];
    if hold.load.peak <= hold.plan_capacity {
        return None;
    }
    let is_overloaded = hold.is_overloaded();
    let leavers = leavers(draft, owner);
    for leaver in &leavers {
        if let Some(fullest) = draft.best_fit(leaver.demand, Some(owner)) {
            return Some((*leaver, fullest, Fit::Best));
        }
    }
    let first = leavers.first().filter(|_| is_overloaded)?;
    let partition = first.partition.clone();
    match draft.create(CreateReason::NoRoom { partition, demand: first.demand.peak }) {
        Ok(created) => Some((*first, created, Fit::Created)),
        Err(_) => spread(draft, owner, &leavers),
    }
}

/// The hand-over to the least loaded consumer that leaves the fuller one of the two the least full.
fn spread<'a>(
    draft: &Draft<'a>,
    owner: ConsumerId,
    leavers: &[Leaver<'a>],
) -> Option<(Leaver<'a>, ConsumerId, Fit)> {
    let before = draft.consumers[&owner].utilization(BytesPerSecond::ZERO);
    let target = draft.least_loaded(BytesPerSecond::ZERO, Some(owner))?;
    let outcome = |leaver: &Leaver<'_>| {
        let from = &draft.consumers[&owner];
        let rest = BytesPerSecond(from.load.peak.0.saturating_sub(leaver.demand.peak.0));
        let rest = u128::from(rest.0) * 1000 / u128::from(from.capacity.0.max(1));
        rest.max(draft.consumers[&target].utilization(leaver.demand.peak))
    };
    let gains = |leaver: &&Leaver<'_>| {
        draft.consumers[&target].utilization(leaver.demand.peak) + SPREAD_GAIN_MIN <= before
    };
    let best = leavers.iter().filter(gains).min_by_key(|leaver| outcome(leaver))?;
    Some((Leaver { relief: Relief::Spread, ..*best }, target, Fit::LeastLoaded))
}

/// What may leave `owner`, in the order in which it had better: the smallest that suffices first,
/// after those that suffice the largest of the others. Whoever fills a consumer alone stays.
fn leavers<'a>(draft: &Draft<'a>, owner: ConsumerId) -> Vec<Leaver<'a>> {
    let hold = &draft.consumers[&owner];
    let excess = hold.load.peak.0.saturating_sub(hold.plan_capacity.0);
    let mut held: Vec<(BytesPerSecond, &'a TopicPartition)> = hold
        .partitions
        .iter()
        .map(|partition| (draft.demand(partition).peak, *partition))
        .collect();
    held.sort();
    if held.last().is_some_and(|(largest, _)| *largest > hold.plan_capacity) {
        held.pop();
    }
    held.retain(|(peak, partition)| {
        *peak > BytesPerSecond::ZERO && draft.pin(partition) != Some(owner)
    });
    let suffices_from = held.partition_point(|(peak, _)| peak.0 < excess);
    let sufficient = held[suffices_from..].iter().map(|held| (held, Relief::Sufficient));
    let others = held[..suffices_from].iter().rev().map(|held| (held, Relief::OneOfSeveral));
    sufficient
        .chain(others)
        .map(|((_, partition), relief)| Leaver {
            partition,
            demand: draft.demand(partition),
            relief,
        })
        .collect()
}
