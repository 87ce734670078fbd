//! Pure. What a plan could not do as it should.

use std::collections::BTreeMap;

use common::identity::ConsumerId;
use common::partition::TopicPartition;
use common::rate::BytesPerSecond;

use super::Plan;
use super::changes::percent;
use super::model::{Model, Places, count};
use super::reason::{HeldBackBy, Warning};
use super::snapshot::{Demand, Scope, Standing, Wish};

pub(super) fn warnings(model: &Model<'_>, plan: &Plan, places: &Places) -> Vec<Warning> {
    let mut warnings: Vec<Warning> = unplaced(model, places).into_iter().collect();
    warnings.extend(undrained(model, plan));
    warnings.extend(unfulfilled_pins(model, plan));
    warnings.extend(overloads(model, plan));
    warnings
}

fn unplaced(model: &Model<'_>, places: &Places) -> Option<Warning> {
    let partitions = places.owners.iter().filter(|owner| owner.is_none()).count();
    let held_back_by = limit(model, 0).filter(|_| partitions > 0)?;
    Some(Warning::Unplaced { partitions, held_back_by })
}

/// Draining consumers that keep what they have, as nobody else exists.
fn undrained(model: &Model<'_>, plan: &Plan) -> Vec<Warning> {
    let is_draining = |id: &ConsumerId| model.standings.get(id) == Some(&Standing::Draining);
    if model.snapshot.scope < Scope::Relieve {
        return Vec::new();
    }
    let holding: BTreeMap<_, ()> = plan.assignment.values().map(|owner| (*owner, ())).collect();
    let keeping = holding.into_keys().filter(is_draining);
    let Some(held_back_by) = limit(model, plan.create.len()) else { return Vec::new() };
    keeping.map(|consumer| Warning::CannotDrain { consumer, held_back_by }).collect()
}

fn unfulfilled_pins(model: &Model<'_>, plan: &Plan) -> Vec<Warning> {
    let unfulfilled = model.partitions.iter().filter_map(|(partition, facts)| match facts.wish {
        Wish::Pinned(consumer) if plan.assignment.get(*partition) != Some(&consumer) => {
            Some(Warning::PinUnfulfilled { partition: (*partition).clone(), consumer })
        }
        Wish::Pinned(_) | Wish::None | Wish::Excluded => None,
    });
    unfulfilled.collect()
}

/// Who stays overloaded, and which partitions are larger than a consumer.
fn overloads(model: &Model<'_>, plan: &Plan) -> Vec<Warning> {
    let mut held = BTreeMap::<ConsumerId, Vec<(&TopicPartition, Demand)>>::new();
    for (partition, facts) in &model.partitions {
        if let Some(owner) = plan.assignment.get(*partition) {
            held.entry(*owner).or_default().push((partition, facts.demand));
        }
    }
    let mut warnings = Vec::new();
    for (consumer, held) in held {
        let capacity = model.capacity(consumer);
        let largest = held.iter().max_by_key(|(_, demand)| demand.steady);
        if let Some((partition, demand)) = largest.filter(|(_, one)| one.steady > capacity) {
            let (partition, demand) = ((*partition).clone(), demand.steady);
            warnings.push(Warning::PartitionTooLarge { partition, demand, capacity });
        }
        let trigger = model.snapshot.limits.trigger_capacity(capacity);
        let load: Demand = held.iter().map(|(_, demand)| *demand).sum();
        let loaded = held.iter().filter(|(_, demand)| demand.peak > BytesPerSecond::ZERO);
        if load.peak > trigger && loaded.clone().count() > 1 {
            let pinned = loaded.filter(|(name, _)| is_pinned_to(model, name, consumer)).count();
            let free = held.iter().filter(|(_, demand)| demand.peak > BytesPerSecond::ZERO).count();
            let held_back_by = match free - pinned {
                0 | 1 => Some(HeldBackBy::Pins),
                _ => limit(model, plan.create.len()),
            };
            let percent = percent(load.peak, trigger);
            let overloaded = |held_back_by| Warning::Overloaded { consumer, percent, held_back_by };
            warnings.extend(held_back_by.map(overloaded));
        }
    }
    warnings
}

fn is_pinned_to(model: &Model<'_>, partition: &TopicPartition, consumer: ConsumerId) -> bool {
    let facts = model.snapshot.partitions.get(partition);
    facts.is_some_and(|facts| facts.wish == Wish::Pinned(consumer))
}

/// Which limit forbids to create another consumer after so many, if one does.
fn limit(model: &Model<'_>, created: usize) -> Option<HeldBackBy> {
    let limits = &model.snapshot.limits;
    if model.standings.len() + created >= count(limits.consumers_max) {
        Some(HeldBackBy::Maximum { consumers_max: limits.consumers_max })
    } else if let Some(hold) = limits.hold {
        Some(HeldBackBy::Hold(hold))
    } else if created >= count(limits.create_max) {
        Some(HeldBackBy::Step { create_max: limits.create_max })
    } else {
        None
    }
}
