//! Pure. Single steps of a move; whole histories are simulated together with the consumers.

use common::identity::{TableId, TopicId};
use common::messages::Extra;
use common::messages::command::Source;
use common::messages::event::{PartitionAnswer, PartitionState};
use common::position::{HandOver, Position, ReleaseId};
use common::term::Term;
use uuid::Uuid;

use super::*;

const A: (ConsumerId, Incarnation) = (ConsumerId(1), Incarnation(0xa));
const B: (ConsumerId, Incarnation) = (ConsumerId(2), Incarnation(0xb));

fn partition() -> TopicPartition {
    TopicPartition::new("orders", 0)
}

fn now() -> Moment {
    Moment::default()
}

fn topic_source(table: &str) -> TopicSource {
    let source = Source {
        table: table.into(),
        format: "json".into(),
        sink: "parquet".into(),
        options: BTreeMap::new(),
    };
    TopicSource { topic_id: TopicId(Uuid::from_u128(1)), source }
}

fn target(consumer: ConsumerId) -> Event {
    let owners = BTreeMap::from([(partition(), consumer)]);
    Event::Planned(Target { owners, ending: BTreeSet::new() })
}

fn seen((consumer, incarnation): (ConsumerId, Incarnation)) -> Event {
    Event::Seen { consumer, incarnation, draining: false }
}

fn answer(
    who: (ConsumerId, Incarnation),
    number: u64,
    sequence: u64,
    partitions: Vec<PartitionAnswer>,
) -> Event {
    Event::Answered(Answer {
        consumer: who.0,
        incarnation: who.1,
        number,
        term: Term::new(7, sequence),
        draining: false,
        partitions,
        extra: Extra::new(),
    })
}

fn said(state: PartitionState, since: u64, hand_over: Option<HandOver>) -> PartitionAnswer {
    PartitionAnswer {
        partition: partition(),
        state,
        since: Term::new(7, since),
        position: None,
        tokens: vec![],
        hand_over,
        reason: None,
        polled_at_ms: None,
    }
}

fn released(incarnation: Incarnation) -> HandOver {
    let topic_id = TopicId(Uuid::from_u128(1));
    HandOver {
        position: Some(Position { offset: 5, leader_epoch: None, topic_id, table_id: None }),
        clean: true,
        tokens: vec![],
        release: Some(ReleaseId { incarnation, number: 1 }),
    }
}

fn sent(actions: &[Action]) -> Vec<(ConsumerId, Vec<TopicPartition>)> {
    let sends = actions.iter().filter_map(|action| match action {
        Action::Send { consumer, assign } => {
            Some((*consumer, assign.partitions().map(|(partition, _, _)| partition).collect()))
        }
        Action::Owned { .. } | Action::Failed { .. } => None,
    });
    sends.collect()
}

/// Consumer 1 owns the partition; consumer 2 lives and owns nothing. Sequences 1 to 2 are used.
fn owned_by_a() -> Rebalance {
    let mut rebalance = Rebalance::new(Generation(7), BTreeMap::new(), BTreeMap::new());
    let sources = BTreeMap::from([("orders".into(), topic_source("orders"))]);
    rebalance.handle(Event::Sources(sources), now());
    rebalance.handle(Event::Traced, now());
    rebalance.handle(target(A.0), now());
    rebalance.handle(seen(A), now());
    rebalance.handle(answer(A, 1, 1, vec![said(PartitionState::Held, 1, None)]), now());
    rebalance.handle(seen(B), now());
    rebalance.handle(answer(B, 1, 2, vec![]), now());
    assert!(rebalance.is_settled());
    rebalance
}

/// However often the new owner fails to begin a new table: as long as what is handed over is a
/// position in the one before, the order to change tables holds.
#[test]
fn the_order_to_change_tables_holds_until_the_new_one_has_begun() {
    let in_table = |table: u128| {
        let given = released(A.1);
        let position = given.position.map(|position| Position {
            table_id: Some(TableId(Uuid::from_u128(table))),
            ..position
        });
        HandOver { position, ..given }
    };
    let new_tables = |actions: &[Action]| -> Vec<bool> {
        let sent = actions.iter().filter_map(|action| match action {
            Action::Send { assign, .. } => {
                Some(assign.partitions().map(|(_, _, one)| one.new_table))
            }
            Action::Owned { .. } | Action::Failed { .. } => None,
        });
        sent.flatten().collect()
    };
    let mut rebalance = owned_by_a();
    let sources = BTreeMap::from([("orders".into(), topic_source("sales"))]);
    rebalance.handle(Event::Sources(sources), now());
    let gone = said(PartitionState::Released, 1, Some(in_table(1)));
    let actions = rebalance.handle(answer(A, 2, 3, vec![gone]), now());
    assert_eq!(new_tables(&actions), [true]);
    let since = rebalance.entries()[&partition()].holder().unwrap().since.sequence.0;
    let mut failed = said(PartitionState::Failed, since, Some(in_table(1)));
    failed.reason = Some("the sink is away".into());
    rebalance.handle(answer(A, 3, since, vec![failed]), now());
    let later = now() + Duration::from_secs(60);
    let actions = rebalance.handle(Event::Tick, later);
    assert!(new_tables(&actions).contains(&true), "{actions:?}");
    rebalance.handle(target(B.0), later);
    let actions = rebalance.handle(Event::Ended(A.1), later);
    assert_eq!(new_tables(&actions), [true]);
    let since = rebalance.entries()[&partition()].holder().unwrap().since.sequence.0;
    rebalance.handle(answer(B, 2, since, vec![said(PartitionState::Held, since, None)]), later);
    let gone = said(PartitionState::Released, since, Some(in_table(2)));
    let actions = rebalance.handle(answer(B, 3, since, vec![gone]), later);
    assert_eq!(new_tables(&actions), [false]);
}

#[test]
fn every_incarnation_that_is_seen_gets_a_command_even_an_empty_one() {
    let mut rebalance = Rebalance::new(Generation(7), BTreeMap::new(), BTreeMap::new());
    assert_eq!(sent(&rebalance.handle(seen(A), now())), [(A.0, vec![])]);
    assert_eq!(sent(&rebalance.handle(seen(A), now())), []);
    assert_eq!(sent(&rebalance.handle(Event::Tick, now())), [(A.0, vec![])]);
}

#[test]
fn nothing_is_given_out_while_an_unknown_owner_may_live() {
    let mut rebalance = Rebalance::new(Generation(7), BTreeMap::new(), BTreeMap::new());
    let sources = BTreeMap::from([("orders".into(), topic_source("orders"))]);
    rebalance.handle(Event::Sources(sources), now());
    rebalance.handle(target(A.0), now());
    assert_eq!(sent(&rebalance.handle(seen(A), now())), [(A.0, vec![])]);
    assert_eq!(sent(&rebalance.handle(Event::Traced, now())), [(A.0, vec![partition()])]);
}

#[test]
fn a_move_stops_waits_and_then_starts() {
    let mut rebalance = owned_by_a();
    let stop = rebalance.handle(target(B.0), now());
    assert_eq!(sent(&stop), [(A.0, vec![])]);
    let stopping =
        rebalance.handle(answer(A, 2, 3, vec![said(PartitionState::Stopping, 1, None)]), now());
    assert_eq!(sent(&stopping), []);
    let gone = said(PartitionState::Released, 1, Some(released(A.1)));
    let start = rebalance.handle(answer(A, 3, 3, vec![gone]), now());
    // A learns that its release was read, B what it begins with.
    assert_eq!(sent(&start), [(A.0, vec![]), (B.0, vec![partition()])]);
    let given = start.iter().find_map(|action| match action {
        Action::Send { consumer, assign } if *consumer == B.0 => {
            assign.topics[0].partitions[0].hand_over.clone()
        }
        _ => None,
    });
    assert_eq!(given, Some(released(A.1)));
}

#[test]
fn nothing_is_taken_away_for_a_consumer_that_does_not_live() {
    let mut rebalance = owned_by_a();
    rebalance.handle(Event::Ended(B.1), now());
    assert_eq!(sent(&rebalance.handle(target(B.0), now())), []);
    assert_eq!(sent(&rebalance.handle(seen((B.0, Incarnation(0xbb))), now())).len(), 2);
}

#[test]
fn an_incarnation_that_ended_leaves_nothing_certain() {
    let mut rebalance = owned_by_a();
    rebalance.handle(Event::Ended(A.1), now());
    let start = rebalance.handle(target(B.0), now());
    assert_eq!(sent(&start), [(B.0, vec![partition()])]);
    let hand_over = rebalance.entries()[&partition()].hand_over.clone().unwrap();
    assert!(!hand_over.clean && hand_over.release.is_none());
}

/// The fence tokens that the next owner is to be given.
fn tokens(rebalance: &Rebalance) -> Vec<String> {
    rebalance.entries()[&partition()].hand_over.clone().unwrap_or_default().tokens
}

fn held_by(token: &str, since: u64) -> PartitionAnswer {
    let tokens = vec![token.to_owned()];
    PartitionAnswer { tokens, ..said(PartitionState::Held, since, None) }
}

#[test]
fn tokens_stay_until_a_release() {
    let mut rebalance = owned_by_a();
    rebalance.handle(answer(A, 2, 1, vec![held_by("a", 1)]), now());
    rebalance.handle(target(B.0), now());
    rebalance.handle(Event::Ended(A.1), now());
    assert_eq!(tokens(&rebalance), ["a"]);
    let since = rebalance.entries()[&partition()].holder().unwrap().since.sequence.0;
    rebalance.handle(answer(B, 2, since, vec![held_by("b", since)]), now());
    rebalance.handle(Event::Ended(B.1), now());
    assert_eq!(tokens(&rebalance), ["a", "b"]);
}

/// As in a history in which the command that gave it the partition stood where it could not be read.
#[test]
fn tokens_of_an_owner_whose_command_was_not_read_are_handed_over() {
    let mut rebalance = Rebalance::new(Generation(7), BTreeMap::new(), BTreeMap::new());
    rebalance.handle(seen(A), now());
    rebalance.handle(answer(A, 1, 1, vec![held_by("a", 5)]), now());
    rebalance.handle(answer(A, 2, 1, vec![said(PartitionState::Opening, 6, None)]), now());
    let hand_over = rebalance.entries()[&partition()].hand_over.clone().unwrap();
    assert_eq!((hand_over.clean, hand_over.tokens), (false, vec!["a".to_owned()]));
}

/// The owner that is known ended, and the command that gave it to the next one could not be read.
#[test]
fn tokens_of_a_later_owner_than_the_one_that_is_known_are_handed_over() {
    let mut rebalance = owned_by_a();
    rebalance.handle(answer(A, 2, 1, vec![held_by("a", 1)]), now());
    rebalance.handle(answer(B, 2, 2, vec![held_by("b", 9)]), now());
    rebalance.handle(Event::Ended(A.1), now());
    let mut found = tokens(&rebalance);
    found.sort();
    assert_eq!(found, ["a", "b"]);
}

/// Who was told to take it says only after the doubt is over that it did not: another may have had it meanwhile.
#[test]
fn what_was_doubted_and_never_taken_is_not_clean() {
    let (consumer, incarnation) = A;
    let holder = Holder { consumer, incarnation, since: Term::new(6, 3) };
    let entry = Entry {
        state: State::Assigning(holder),
        read_as: Some(topic_source("orders")),
        hand_over: Some(released(B.1)),
        ..Entry::default()
    };
    let seats = BTreeMap::from([(incarnation, Seat::new(consumer))]);
    let mut rebalance = Rebalance::new(Generation(7), [(partition(), entry)].into(), seats);
    rebalance.handle(Event::Tick, now());
    rebalance.handle(Event::Traced, now());
    let sequence = rebalance.sequence().0;
    rebalance.handle(answer(A, 1, sequence, vec![]), now());
    let entry = &rebalance.entries()[&partition()];
    let hand_over = entry.hand_over.clone().unwrap();
    assert_eq!((entry.holder(), hand_over.clean), (None, false));
}

#[test]
fn an_incarnation_that_was_given_up_and_yet_lives_is_told_to_end() {
    let mut rebalance = owned_by_a();
    rebalance.handle(Event::Ended(A.1), now());
    let actions = rebalance.handle(seen(A), now());
    let [Action::Send { assign, .. }] = &actions[..] else { panic!("{actions:?}") };
    assert!(assign.end && assign.topics.is_empty());
    assert_eq!(rebalance.taker(A.0), None);
}

#[test]
fn of_two_answers_the_later_counts() {
    let mut rebalance = owned_by_a();
    rebalance.handle(target(B.0), now());
    let gone = said(PartitionState::Released, 1, Some(released(A.1)));
    rebalance.handle(answer(A, 3, 3, vec![gone]), now());
    let late = said(PartitionState::Stopping, 1, None);
    rebalance.handle(answer(A, 2, 3, vec![late]), now());
    assert_eq!(rebalance.entries()[&partition()].holder().unwrap().consumer, B.0);
}

#[test]
fn a_partition_that_does_not_open_waits_longer_each_time() {
    let mut rebalance = owned_by_a();
    let failed = |since, number| {
        let mut failed = said(PartitionState::Failed, since, Some(released(A.1)));
        failed.reason = Some("read-only".into());
        answer(A, number, since, vec![failed])
    };
    let actions = rebalance.handle(failed(1, 2), now());
    assert!(matches!(&actions[0], Action::Failed { reason, .. } if reason == "read-only"));
    assert_eq!(rebalance.entries()[&partition()].state, State::Unowned);
    let later = now() + std::time::Duration::from_secs(1);
    let again = rebalance.handle(Event::Tick, later);
    assert!(sent(&again).contains(&(A.0, vec![partition()])));
}

#[test]
fn a_change_of_table_takes_effect_at_a_clean_stop() {
    let mut rebalance = owned_by_a();
    let sources = BTreeMap::from([("orders".into(), topic_source("orders_v2"))]);
    let stop = rebalance.handle(Event::Sources(sources), now());
    assert_eq!(sent(&stop), [(A.0, vec![])]);
    let gone = said(PartitionState::Released, 1, Some(released(A.1)));
    rebalance.handle(answer(A, 2, 3, vec![gone]), now());
    let entry = &rebalance.entries()[&partition()];
    assert!(entry.new_table);
    assert_eq!(entry.read_as, Some(topic_source("orders_v2")));
}

#[test]
fn after_an_unclean_end_a_changed_table_is_first_stopped_cleanly() {
    let mut rebalance = owned_by_a();
    let sources = BTreeMap::from([("orders".into(), topic_source("orders_v2"))]);
    rebalance.handle(Event::Sources(sources), now());
    rebalance.handle(target(B.0), now());
    rebalance.handle(Event::Ended(A.1), now());
    assert_eq!(rebalance.entries()[&partition()].read_as, Some(topic_source("orders")));
    let since = rebalance.entries()[&partition()].holder().unwrap().since.sequence.0;
    let held = said(PartitionState::Held, since, None);
    let stop = rebalance.handle(answer(B, 2, since, vec![held]), now());
    assert!(sent(&stop).contains(&(B.0, vec![])), "the old way ends at once, cleanly");
}

#[test]
fn a_consumer_that_shall_end_is_told_so_once_it_holds_nothing() {
    let mut rebalance = owned_by_a();
    let owners = BTreeMap::from([(partition(), B.0)]);
    let ending = BTreeSet::from([A.0]);
    rebalance.handle(Event::Planned(Target { owners, ending }), now());
    let told = rebalance.seats()[&A.1].sent.as_ref().unwrap();
    assert!(told.end && told.topics.is_empty());
    assert_eq!(rebalance.taker(A.0), None);
}
