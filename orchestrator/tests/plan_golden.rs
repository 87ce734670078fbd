//! Plans as a person reads them: what changes, and why. Rates are in B/s, a consumer sustains 100.

use common::identity::ConsumerId;
use common::partition::TopicPartition;
use common::rate::BytesPerSecond;
use insta::assert_snapshot;
use orchestrator::plan::plan;
use orchestrator::plan::policy::Policy;
use orchestrator::plan::snapshot::{
    ConsumerFacts, Demand, Hold, Limits, PartitionFacts, Scope, Snapshot, Standing, Wish,
};

/// Consumers by what they hold, and what has no owner: the rates of partitions orders/0, orders/1, …
/// in that order.
fn snapshot(held: &[&[u64]], unowned: &[u64]) -> Snapshot {
    let limits = Limits {
        capacity: BytesPerSecond(100),
        plan_percent: 75,
        trigger_percent: 90,
        consumers_min: 0,
        spares: 0,
        consumers_max: 10,
        create_max: 10,
        hold: None,
    };
    let facts = ConsumerFacts { capacity: BytesPerSecond(100), standing: Standing::Serving };
    let numbered = || (1..).map(ConsumerId).zip(held);
    let consumers = numbered().map(|(id, _)| (id, facts)).collect();
    let owned = numbered().flat_map(|(id, rates)| rates.iter().map(move |rate| (*rate, Some(id))));
    let all = owned.chain(unowned.iter().map(|rate| (*rate, None)));
    let partitions = (0..).zip(all).map(|(number, (rate, owner))| {
        let demand = Demand::constant(BytesPerSecond(rate));
        let facts =
            PartitionFacts { demand, deviation: BytesPerSecond::ZERO, owner, wish: Wish::None };
        (TopicPartition::new("orders", number), facts)
    });
    Snapshot {
        scope: Scope::Relieve,
        policy: Policy::default(),
        limits,
        partitions: partitions.collect(),
        consumers,
    }
}

fn wish(snapshot: &mut Snapshot, partition: u32, wish: Wish) {
    let facts = snapshot.partitions.get_mut(&TopicPartition::new("orders", partition));
    facts.expect("a partition of this snapshot").wish = wish;
}

fn stand(snapshot: &mut Snapshot, consumer: u32, standing: Standing) {
    let facts = snapshot.consumers.get_mut(&ConsumerId(consumer));
    facts.expect("a consumer of this snapshot").standing = standing;
}

/// From nothing: the largest first, each to the fullest consumer that has room.
#[test]
fn an_empty_group_is_packed_by_best_fit_decreasing() {
    assert_snapshot!(plan(&snapshot(&[], &[10, 40, 30, 50, 20, 5])));
}

/// Between plan and trigger capacity nobody hands over anything.
#[test]
fn noise_moves_nothing() {
    assert_snapshot!(plan(&snapshot(&[&[40, 45], &[50, 40]], &[])));
}

/// The smallest partition whose leaving suffices goes to where there is room.
#[test]
fn an_overloaded_consumer_hands_over_the_smallest_that_suffices() {
    assert_snapshot!(plan(&snapshot(&[&[30, 5, 40, 26], &[40]], &[])));
}

/// Where one does not suffice, several leave.
#[test]
fn several_leave_when_one_does_not_suffice() {
    assert_snapshot!(plan(&snapshot(&[&[20, 20, 20, 20, 20, 20]], &[])));
}

/// A partition larger than a consumer keeps the one it has to itself.
#[test]
fn a_partition_larger_than_a_consumer_is_alone_and_warned_of() {
    assert_snapshot!(plan(&snapshot(&[&[130, 10, 15], &[30]], &[])));
}

/// Fewer consumers suffice, and closing them is allowed.
#[test]
fn a_spare_consumer_is_closed() {
    let mut snapshot = snapshot(&[&[30, 20], &[15], &[40]], &[]);
    snapshot.scope = Scope::Pack;
    assert_snapshot!(plan(&snapshot));
}

/// Who cannot be relieved, because of pins, holds nobody else back, and is named.
#[test]
fn an_overload_by_pins_is_named_and_holds_nobody_back() {
    let mut snapshot = snapshot(&[&[74, 17], &[14], &[15]], &[]);
    snapshot.scope = Scope::Pack;
    wish(&mut snapshot, 0, Wish::Pinned(ConsumerId(1)));
    wish(&mut snapshot, 1, Wish::Pinned(ConsumerId(1)));
    assert_snapshot!(plan(&snapshot));
}

/// Whoever was above the trigger capacity is brought down to the plan capacity, if need be by a
/// consumer more.
#[test]
fn an_overloaded_consumer_comes_down_to_its_plan_capacity() {
    assert_snapshot!(plan(&snapshot(&[&[40, 40, 15], &[60]], &[])));
}

/// At the maximum nothing moves that would only move the overload.
#[test]
fn at_the_maximum_a_move_must_gain_something() {
    let mut snapshot = snapshot(&[&[50, 45], &[60]], &[]);
    snapshot.limits.consumers_max = 2;
    assert_snapshot!(plan(&snapshot));
}

/// At the maximum the overload is spread, and the plan says so.
#[test]
fn at_the_maximum_overload_is_spread() {
    let mut snapshot = snapshot(&[&[80, 80, 40], &[70]], &[]);
    snapshot.limits.consumers_max = 2;
    assert_snapshot!(plan(&snapshot));
}

/// A drained consumer hands over all it has, a dead one has lost it, and both are told apart.
#[test]
fn the_drained_and_the_dead_are_replaced() {
    let mut snapshot = snapshot(&[&[30, 20], &[15, 20], &[40]], &[]);
    stand(&mut snapshot, 1, Standing::Draining);
    stand(&mut snapshot, 3, Standing::Gone);
    assert_snapshot!(plan(&snapshot));
}

/// Pins are followed where they can be, excluded partitions are nobody's.
#[test]
fn wishes_are_followed_or_named() {
    let mut snapshot = snapshot(&[&[30, 20], &[15, 20]], &[]);
    wish(&mut snapshot, 0, Wish::Pinned(ConsumerId(2)));
    wish(&mut snapshot, 1, Wish::Pinned(ConsumerId(9)));
    wish(&mut snapshot, 2, Wish::Excluded);
    assert_snapshot!(plan(&snapshot));
}

/// While rates are old only what has no owner moves, overload or not.
#[test]
fn a_frozen_plan_places_only_what_has_no_owner() {
    let mut snapshot = snapshot(&[&[80, 60], &[20]], &[30]);
    snapshot.scope = Scope::Place;
    assert_snapshot!(plan(&snapshot));
}

/// An owner comes before capacity: where nobody may be created, the least loaded takes it.
#[test]
fn without_room_the_least_loaded_takes_what_has_no_owner() {
    let mut snapshot = snapshot(&[&[70], &[60]], &[50, 0]);
    snapshot.limits.create_max = 0;
    assert_snapshot!(plan(&snapshot));
}

/// Numbers that no consumer of a fleet has, however they came into a snapshot: what they hold has no
/// owner, and no plan grows with them.
#[test]
fn whoever_has_no_number_of_ours_is_planned_around() {
    let mut snapshot = snapshot(&[&[60, 20]], &[]);
    for (partition, number) in [(0, 0), (1, u32::MAX)] {
        let name = TopicPartition::new("orders", partition);
        let owner = Some(ConsumerId(number));
        snapshot.partitions.get_mut(&name).expect("it is there").owner = owner;
        let facts = snapshot.consumers[&ConsumerId(1)];
        snapshot.consumers.insert(ConsumerId(number), facts);
    }
    let owners: Vec<u32> = plan(&snapshot).assignment.values().map(|owner| owner.0).collect();
    assert_eq!(owners, [1, 2]);
}

/// A heuristic that knows no limits plans only where none of them is in its way: else ours does.
#[test]
fn a_published_heuristic_moves_and_creates_nothing_that_it_must_not() {
    let policy = Policy { algorithm: "wfd".parse().expect("it is one"), ..Policy::default() };
    let free = Snapshot { policy, ..snapshot(&[&[60, 50], &[10]], &[30]) };
    let moved = |snapshot: &Snapshot| {
        let plan = plan(snapshot);
        let moves = plan.moves.values().filter(|planned| planned.from.is_some()).count();
        (moves, plan.create.len(), plan.assignment.len())
    };
    assert!(moved(&free).0 > 0 && moved(&free).1 > 0, "{:?}", moved(&free));
    let frozen = Snapshot { scope: Scope::Place, ..free.clone() };
    assert_eq!(moved(&frozen), (0, 0, 4));
    let limits = Limits { hold: Some(Hold::Paused), ..free.limits.clone() };
    assert_eq!(moved(&Snapshot { limits, ..free.clone() }).1, 0);
    let limits = Limits { consumers_max: 2, ..free.limits.clone() };
    assert_eq!(moved(&Snapshot { limits, ..free }).1, 0);
}
