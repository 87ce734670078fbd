//! Pure. What a published heuristic would do: it knows loads, a capacity and who holds what.

use std::collections::BTreeMap;

use common::identity::ConsumerId;

use super::model::{Model, Places};
use super::snapshot::{Scope, Standing};
use crate::pack::fit::Input;
use crate::pack::published::Heuristic;

/// Packs to the plan capacity of a consumer that does not exist yet. Limits, pins and standings are
/// not among what such a heuristic knows; only numbers that are taken are left out. `None` where it
/// would do what it must not: move anything but what has no owner, create somebody meanwhile, or
/// exceed the maximum.
pub(super) fn solve(model: &Model<'_>, heuristic: Heuristic) -> Option<Places> {
    let limits = &model.snapshot.limits;
    if model.snapshot.scope < Scope::Relieve || limits.hold.is_some() {
        return None;
    }
    let sizes: Vec<u64> = model.partitions.iter().map(|(_, facts)| facts.demand.peak.0).collect();
    let ids = Numbers::new(model);
    let current = model.partitions.iter().map(|(partition, _)| {
        let owner = model.snapshot.living_owner(partition)?;
        ids.compact.get(&owner).copied()
    });
    let current: Vec<Option<u32>> = current.collect();
    let capacity = limits.plan_capacity(limits.capacity).0;
    let packed = heuristic.pack(&Input { capacity, sizes: &sizes, current: &current });
    let owners: Vec<_> = packed.into_iter().map(|id| Some(ids.consumer(id))).collect();
    let exceeds = |owner: &ConsumerId| owner.0 > limits.consumers_max;
    (!owners.iter().flatten().any(exceeds)).then(|| Places {
        owners,
        causes: vec![None; sizes.len()],
        is_held_back: false,
        heuristic: Some(heuristic),
    })
}

/// The numbers that may be used, counted without gaps, as the heuristics count.
struct Numbers {
    compact: BTreeMap<ConsumerId, u32>,
    usable: Vec<ConsumerId>,
}

impl Numbers {
    fn new(model: &Model<'_>) -> Self {
        let is_usable = |id: &ConsumerId| {
            model.standings.get(id).is_none_or(|standing| *standing == Standing::Serving)
        };
        let most = model.partitions.len() + model.standings.len() + 1;
        let usable: Vec<_> = (1..).map(ConsumerId).filter(is_usable).take(most).collect();
        let compact = (1..).zip(&usable).map(|(number, id)| (*id, number)).collect();
        Self { compact, usable }
    }

    fn consumer(&self, number: u32) -> ConsumerId {
        let index = usize::try_from(number).unwrap_or(usize::MAX).saturating_sub(1);
        self.usable.get(index).copied().unwrap_or(ConsumerId(number))
    }
}
