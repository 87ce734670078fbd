//! Properties that every plan and every diff must have, whatever the snapshot.

use std::collections::{BTreeMap, BTreeSet};

use common::identity::ConsumerId;
use common::partition::TopicPartition;
use common::rate::BytesPerSecond;
use orchestrator::diff::{Diff, Group};
use orchestrator::plan::policy::Policy;
use orchestrator::plan::reason::Warning;
use orchestrator::plan::snapshot::{
    ConsumerFacts, Demand, Limits, PartitionFacts, Scope, Snapshot, Standing, Wish,
};
use orchestrator::plan::{Plan, plan};
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

/// Stands for "no limit".
const PLENTY: u32 = 50;

fn consumer() -> impl Strategy<Value = ConsumerId> {
    (1u32..7).prop_map(ConsumerId)
}

fn wish() -> impl Strategy<Value = Wish> {
    prop_oneof![
        8 => Just(Wish::None),
        1 => consumer().prop_map(Wish::Pinned),
        1 => Just(Wish::Excluded),
    ]
}

fn standing() -> impl Strategy<Value = Standing> {
    prop_oneof![
        8 => Just(Standing::Serving),
        1 => Just(Standing::Draining),
        1 => Just(Standing::Gone),
        1 => Just(Standing::Awaited),
        1 => Just(Standing::ByHand),
    ]
}

prop_compose! {
    // Demands around a consumer's capacity, many of them nothing or equal.
    fn partition_facts()(
        steady in prop_oneof![Just(0u64), 0u64..40, 0u64..130],
        more in prop_oneof![3 => Just(0u64), 1 => 0u64..60],
        deviation in prop_oneof![2 => Just(0u64), 1 => 0u64..20],
        owner in prop::option::of(consumer()),
        wish in wish(),
    ) -> PartitionFacts {
        let peak = BytesPerSecond(steady + more);
        PartitionFacts {
            demand: Demand { steady: BytesPerSecond(steady), peak },
            deviation: BytesPerSecond(deviation),
            owner,
            wish,
        }
    }
}

prop_compose! {
    fn consumer_facts()(
        capacity in prop_oneof![3 => Just(100u64), 1 => 50u64..150],
        standing in standing(),
    ) -> ConsumerFacts {
        ConsumerFacts { capacity: BytesPerSecond(capacity), standing }
    }
}

prop_compose! {
    fn limits()(
        consumers_min in 0u32..3,
        spares in prop_oneof![3 => Just(0u32), 1 => 1u32..3],
        consumers_max in prop_oneof![3 => Just(PLENTY), 1 => 1u32..5],
        create_max in prop_oneof![3 => Just(PLENTY), 1 => 0u32..3],
    ) -> Limits {
        let capacity = BytesPerSecond(100);
        let (plan_percent, trigger_percent) = (75, 90);
        Limits {
            capacity,
            plan_percent,
            trigger_percent,
            consumers_min,
            spares,
            consumers_max,
            create_max,
            hold: None,
        }
    }
}

fn policy() -> impl Strategy<Value = Policy> {
    let price = |text: &str| text.parse().expect("a price");
    let prices = ["inf", "1.5", "0.5", "0"].map(price).to_vec();
    let policy = |consumer_price| Policy { consumer_price, ..Policy::default() };
    prop::sample::select(prices).prop_map(policy)
}

prop_compose! {
    fn snapshot()(
        policy in policy(),
        scope in prop_oneof![Just(Scope::Place), Just(Scope::Relieve), Just(Scope::Pack)],
        limits in limits(),
        partitions in prop::collection::vec(partition_facts(), 0..14),
        consumers in prop::collection::btree_map(consumer(), consumer_facts(), 0..6),
    ) -> Snapshot {
        let named = (0u32..).zip(partitions);
        let partitions =
            named.map(|(number, facts)| (TopicPartition::new("orders", number), facts)).collect();
        Snapshot { scope, policy, limits, partitions, consumers }
    }
}

/// The consumers after the plan: created ones serve, removed ones are no more.
fn consumers_after(snapshot: &Snapshot, plan: &Plan) -> BTreeMap<ConsumerId, ConsumerFacts> {
    let mut after = snapshot.consumers.clone();
    let created = ConsumerFacts { capacity: snapshot.limits.capacity, standing: Standing::Serving };
    after.extend(plan.create.keys().map(|id| (*id, created)));
    after.retain(|id, _| !plan.remove.contains_key(id));
    after
}

/// The snapshot that is taken once the plan was carried out.
fn carried_out(snapshot: &Snapshot, plan: &Plan) -> Snapshot {
    let mut next = snapshot.clone();
    next.consumers = consumers_after(snapshot, plan);
    for (partition, facts) in &mut next.partitions {
        facts.owner = plan.assignment.get(partition).copied();
    }
    next
}

fn held<'a>(
    snapshot: &'a Snapshot,
    plan: &'a Plan,
    owner: ConsumerId,
) -> impl Iterator<Item = &'a PartitionFacts> {
    let held = plan.assignment.iter().filter(move |(_, to)| **to == owner);
    held.map(|(partition, _)| &snapshot.partitions[partition])
}

fn is_serving(consumers: &BTreeMap<ConsumerId, ConsumerFacts>, id: ConsumerId) -> bool {
    consumers.get(&id).is_some_and(|facts| facts.standing == Standing::Serving)
}

fn serving_count(consumers: &BTreeMap<ConsumerId, ConsumerFacts>) -> u32 {
    consumers.keys().map(|id| u32::from(is_serving(consumers, *id))).sum()
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 8_000,
        max_global_rejects: 100_000,
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..ProptestConfig::default()
    })]

    /// Every partition that is to be read has an owner that serves; excluded ones have none. What
    /// has none, or one that drains, was warned of.
    #[test]
    fn every_partition_has_an_owner_that_serves(snapshot in snapshot()) {
        let plan = plan(&snapshot);
        let after = consumers_after(&snapshot, &plan);
        let mut missing = 0;
        for (partition, facts) in &snapshot.partitions {
            let Some(owner) = plan.assignment.get(partition) else {
                missing += usize::from(facts.wish != Wish::Excluded);
                continue;
            };
            prop_assert!(facts.wish != Wish::Excluded, "{partition} is excluded");
            let stays = snapshot.scope == Scope::Place && facts.owner == Some(*owner);
            let warned = plan.warnings.iter().any(|warning| {
                matches!(warning, Warning::CannotDrain { consumer, .. } if consumer == owner)
            });
            prop_assert!(is_serving(&after, *owner) || stays || warned, "{partition}: {plan:?}");
        }
        let unplaced = plan.warnings.iter().find_map(|warning| match warning {
            Warning::Unplaced { partitions, .. } => Some(*partitions),
            _ => None,
        });
        prop_assert_eq!(missing, unplaced.unwrap_or(0));
        prop_assert!(missing == 0 || serving_count(&after) == 0, "{plan:?}");
        let known = |partition| snapshot.partitions.contains_key(partition);
        prop_assert!(plan.assignment.keys().all(known));
    }

    /// While consumers are to be had, nobody with two or more partitions that ask for anything is
    /// above its trigger capacity, unless a person's pins hold them there; and who is, is named.
    #[test]
    fn nobody_is_overloaded_while_consumers_are_to_be_had(mut snapshot in snapshot()) {
        snapshot.scope = snapshot.scope.max(Scope::Relieve);
        let plan = plan(&snapshot);
        let after = consumers_after(&snapshot, &plan);
        let known = snapshot.consumers.len() + plan.create.len();
        let exhausted = plan.create.len() >= snapshot.limits.create_max as usize
            || known >= snapshot.limits.consumers_max as usize;
        for (id, facts) in after.iter().filter(|(id, _)| is_serving(&after, **id)) {
            let loaded: Vec<_> =
                held(&snapshot, &plan, *id).filter(|facts| facts.demand.peak.0 > 0).collect();
            let load: u64 = loaded.iter().map(|facts| facts.demand.peak.0).sum();
            if load <= facts.capacity.0 * 90 / 100 || loaded.len() < 2 {
                continue;
            }
            let pinned = loaded.iter().filter(|facts| facts.wish == Wish::Pinned(*id)).count();
            prop_assert!(exhausted || pinned + 1 >= loaded.len(), "{id} has {load}: {plan:?}");
            let warned = plan.warnings.iter().any(|warning| {
                matches!(warning, Warning::Overloaded { consumer, .. } if consumer == id)
            });
            prop_assert!(warned, "{id} has {load}, and nobody says so: {plan:?}");
        }
    }

    /// Planning again from what was planned changes nothing, unless creations were held back.
    #[test]
    fn planning_again_changes_nothing(mut snapshot in snapshot()) {
        snapshot.limits.create_max = PLENTY;
        let first = plan(&snapshot);
        // A removal frees a place, and so may allow what the maximum forbade.
        prop_assume!(first.remove.is_empty() || snapshot.limits.consumers_max == PLENTY);
        let again = plan(&carried_out(&snapshot, &first));
        prop_assert!(again.moves.is_empty(), "{first:?}\n{again:?}");
        prop_assert!(again.changes_nothing(), "{first:?}\n{again:?}");
        prop_assert_eq!(first.assignment, again.assignment);
    }

    /// When rates are old nothing moves but what has no owner, and nobody is removed.
    #[test]
    fn what_is_frozen_stays(mut snapshot in snapshot()) {
        snapshot.scope = Scope::Place;
        let plan = plan(&snapshot);
        prop_assert!(plan.remove.is_empty());
        for (partition, planned) in &plan.moves {
            prop_assert_eq!(snapshot.living_owner(partition), None, "{:?}", planned);
        }
    }

    /// A pin to a consumer that takes part is followed.
    #[test]
    fn what_is_pinned_is_where_it_was_pinned(mut snapshot in snapshot()) {
        snapshot.scope = snapshot.scope.max(Scope::Relieve);
        snapshot.limits.consumers_max = PLENTY;
        let plan = plan(&snapshot);
        for (partition, facts) in &snapshot.partitions {
            let Wish::Pinned(wanted) = facts.wish else { continue };
            let followed = plan.assignment.get(partition) == Some(&wanted);
            let unfulfilled = plan.warnings.iter().any(|warning| {
                matches!(warning, Warning::PinUnfulfilled { partition: of, .. } if of == partition)
            });
            prop_assert!(followed || !is_serving(&snapshot.consumers, wanted), "{plan:?}");
            prop_assert!(followed || unfulfilled, "{plan:?}");
        }
    }

    /// Created consumers get free numbers up to the maximum and are never more than allowed at a
    /// time; and nobody is closed below the minimum.
    #[test]
    fn limits_are_kept(snapshot in snapshot()) {
        let plan = plan(&snapshot);
        let limits = &snapshot.limits;
        prop_assert!(plan.create.len() <= limits.create_max as usize);
        for created in plan.create.keys() {
            prop_assert!(created.0 >= 1 && created.0 <= limits.consumers_max, "{created}");
            prop_assert!(!snapshot.consumers.contains_key(created), "{created}");
        }
        let before = serving_count(&snapshot.consumers);
        let after = serving_count(&consumers_after(&snapshot, &plan));
        let kept = before.min(limits.consumers_min).min(limits.consumers_max);
        prop_assert!(after >= kept, "{before} before, {after} after: {plan:?}");
        prop_assert!(snapshot.scope == Scope::Place || after <= limits.consumers_max.max(1));
    }

    /// Of those that could stay or be created, so many hold nothing as are to be ready.
    #[test]
    fn spares_are_kept(snapshot in snapshot()) {
        let plan = plan(&snapshot);
        let limits = &snapshot.limits;
        let used: BTreeSet<_> = plan.assignment.values().copied().collect();
        let after = consumers_after(&snapshot, &plan);
        let serving = after.iter().filter(|(_, facts)| facts.standing == Standing::Serving);
        let idle = serving.filter(|(consumer, _)| !used.contains(consumer)).count();
        let has_room = snapshot.consumers.len() + plan.create.len() < limits.consumers_max as usize
            && plan.create.len() < limits.create_max as usize;
        if snapshot.scope >= Scope::Relieve && has_room {
            prop_assert!(idle >= limits.spares as usize, "{idle} idle: {plan:?}");
        }
    }

    /// The list of moves is exactly the difference between the owners before and after.
    #[test]
    fn moves_are_what_changes(snapshot in snapshot()) {
        let plan = plan(&snapshot);
        let changed = plan.assignment.iter().filter(|(partition, planned)| {
            snapshot.living_owner(partition) != Some(**planned)
        });
        let changed: BTreeSet<_> = changed.map(|(partition, _)| partition).collect();
        prop_assert_eq!(changed, plan.moves.keys().collect::<BTreeSet<_>>());
        for (partition, planned) in &plan.moves {
            prop_assert_eq!(planned.to, plan.assignment[partition]);
            prop_assert!(planned.explain(partition).contains(&planned.to.to_string()));
        }
    }

    /// Applying the diff between what is observed and what is planned yields the plan.
    #[test]
    fn applying_the_diff_yields_the_plan(snapshot in snapshot()) {
        let plan = plan(&snapshot);
        let owners = snapshot.partitions.iter();
        let owners = owners.filter_map(|(partition, facts)| Some((partition.clone(), facts.owner?)));
        let observed = Group {
            consumers: snapshot.consumers.keys().copied().collect(),
            assignment: owners.collect(),
        };
        let planned = Group {
            consumers: consumers_after(&snapshot, &plan).into_keys().collect(),
            assignment: plan.assignment,
        };
        let diff = Diff::between(&observed, &planned);
        prop_assert_eq!(diff.apply_to(&observed), planned.clone());
        prop_assert!(Diff::between(&planned, &planned).is_empty());
        prop_assert!(diff.moves.values().all(|change| change.from != change.to));
    }

    /// A snapshot that was saved is planned to the same plan.
    #[test]
    fn a_saved_snapshot_gives_the_same_plan(snapshot in snapshot()) {
        let saved = serde_json::to_string(&snapshot).expect("a snapshot is plain data");
        let loaded: Snapshot = serde_json::from_str(&saved).expect("it was just written");
        prop_assert_eq!(plan(&loaded), plan(&snapshot));
    }
}
