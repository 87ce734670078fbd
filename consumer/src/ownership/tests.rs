//! Pure. What an incarnation does with commands that are lost, repeated, late or for somebody else.

use common::identity::TopicId;
use common::messages::command::{AssignedTopic, Source};
use common::messages::event::PartitionState;
use uuid::Uuid;

use super::*;

const ME: Incarnation = Incarnation(1);

fn topic_id() -> TopicId {
    TopicId(Uuid::from_u128(9))
}

fn position(offset: u64) -> Position {
    Position { offset, leader_epoch: None, topic_id: topic_id(), table_id: None }
}

/// An `Assign` of partitions of `orders`, each with its `since` and its hand-over.
fn assign(term: Term, answer_read: u64, partitions: &[(u32, Term, Option<HandOver>)]) -> Event {
    let assigned = partitions.iter().map(|(partition, since, hand_over)| AssignedPartition {
        partition: *partition,
        since: *since,
        hand_over: hand_over.clone(),
        new_table: false,
    });
    Event::Assign(Assign {
        term,
        incarnation: ME,
        answer_read,
        end: false,
        topics: vec![AssignedTopic {
            topic: "orders".into(),
            topic_id: topic_id(),
            source: Source {
                table: "orders".into(),
                format: "json".into(),
                sink: "discard".into(),
                options: BTreeMap::new(),
            },
            partitions: assigned.collect(),
        }],
        extra: Extra::new(),
    })
}

fn lane(partition: u32, since: Term) -> LaneId {
    LaneId { partition: TopicPartition::new("orders", partition), since }
}

fn t(sequence: u64) -> Term {
    Term::new(5, sequence)
}

fn stopped(offset: u64) -> Stopped {
    let position = Some(position(offset));
    Stopped { position, clean: true, tokens: vec![], polled_at_ms: Some(7), reason: None }
}

fn led() -> Ownership {
    let mut ownership = Ownership::new(ConsumerId(1), ME);
    ownership.handle(Event::LeaderStarted(Generation(5)));
    ownership
}

/// An incarnation that holds partition 0 since term 5.1.
fn holding() -> Ownership {
    let mut ownership = led();
    ownership.handle(assign(t(1), 0, &[(0, t(1), None)]));
    ownership.handle(Event::Opened { lane: lane(0, t(1)), position: position(3), tokens: vec![] });
    ownership
}

#[test]
fn a_writer_is_announced_once_an_answer_that_names_it_is_acknowledged() {
    let mut ownership = led();
    ownership.handle(assign(t(1), 0, &[(0, t(1), None)]));
    let tokens = |name: &str| vec![name.to_owned()];
    let opened = |tokens| Event::Opened { lane: lane(0, t(1)), position: position(3), tokens };
    let answered = last_answer(&ownership.handle(opened(tokens("a")))).number;
    assert_eq!(ownership.handle(Event::AnswerAcknowledged(answered - 1)), []);
    let announced = |name| [Action::Announced { lane: lane(0, t(1)), tokens: tokens(name) }];
    let changed = Event::TokensChanged { lane: lane(0, t(1)), tokens: tokens("b") };
    let changed = last_answer(&ownership.handle(changed)).number;
    assert_eq!(ownership.handle(Event::AnswerAcknowledged(answered)), [], "it names another one");
    // What a later answer says counts as well, and a partition that is being stopped still writes.
    let stopping = last_answer(&ownership.handle(assign(t(2), 0, &[]))).number;
    assert!(stopping > changed);
    assert_eq!(ownership.handle(Event::AnswerAcknowledged(stopping)), announced("b"));
    assert_eq!(ownership.handle(Event::AnswerAcknowledged(stopping)), [], "once");
}

#[test]
fn a_writer_without_tokens_is_not_announced() {
    assert_eq!(holding().handle(Event::AnswerAcknowledged(9)), []);
}

fn last_answer(actions: &[Action]) -> &Answer {
    let answers = actions.iter().filter_map(|action| match action {
        Action::Answer(answer) => Some(answer),
        _ => None,
    });
    answers.max_by_key(|answer| answer.number).expect("an answer")
}

fn states(actions: &[Action]) -> Vec<PartitionState> {
    last_answer(actions).partitions.iter().map(|partition| partition.state).collect()
}

fn opens(actions: &[Action]) -> usize {
    actions.iter().filter(|action| matches!(action, Action::Open(_))).count()
}

#[test]
fn a_command_of_a_generation_that_was_not_announced_changes_nothing() {
    let mut ownership = Ownership::new(ConsumerId(1), ME);
    let refused = ownership.handle(assign(t(1), 0, &[(0, t(1), None)]));
    assert!(matches!(&refused[..], [Action::Refuse { class: RefusalClass::StaleGeneration, .. }]));
    ownership.handle(Event::LeaderStarted(Generation(6)));
    ownership.handle(Event::LeaderStarted(Generation(5)));
    let refused = ownership.handle(assign(t(1), 0, &[(0, t(1), None)]));
    assert!(matches!(&refused[..], [Action::Refuse { class: RefusalClass::StaleGeneration, .. }]));
}

#[test]
fn a_command_for_another_life_changes_nothing() {
    let mut ownership = led();
    ownership.handle(Event::Lapsed { next: Incarnation(2) });
    let refused = ownership.handle(assign(t(1), 0, &[(0, t(1), None)]));
    assert!(matches!(&refused[..], [Action::Refuse { class: RefusalClass::OtherIncarnation, .. }]));
}

#[test]
fn a_repeated_command_is_answered_and_nothing_more() {
    let mut ownership = holding();
    let actions = ownership.handle(assign(t(1), 0, &[(0, t(1), None)]));
    assert_eq!(actions.len(), 1);
    assert_eq!(states(&actions), [PartitionState::Held]);
}

#[test]
fn an_overtaken_command_is_answered_with_the_present_state() {
    let mut ownership = holding();
    ownership.handle(assign(t(3), 0, &[(0, t(1), None)]));
    let actions = ownership.handle(assign(t(2), 0, &[]));
    assert_eq!(states(&actions), [PartitionState::Held]);
    assert_eq!(last_answer(&actions).term, t(3));
}

#[test]
fn what_is_being_stopped_is_stopped_to_the_end() {
    let mut ownership = holding();
    let actions = ownership.handle(assign(t(2), 0, &[]));
    assert_eq!(actions[0], Action::Stop(lane(0, t(1))));
    let again = ownership.handle(assign(t(3), 0, &[(0, t(1), None)]));
    assert_eq!(states(&again), [PartitionState::Stopping]);
    let stopped = ownership.handle(Event::Stopped { lane: lane(0, t(1)), stopped: stopped(8) });
    assert_eq!(states(&stopped), [PartitionState::Released]);
    let hand_over = last_answer(&stopped).partitions[0].hand_over.clone().unwrap();
    assert_eq!(hand_over.position, Some(position(8)));

    let without_quote = ownership.handle(assign(t(4), 0, &[(0, t(4), None)]));
    assert_eq!(opens(&without_quote), 0);
    let quoting = ownership.handle(assign(t(5), 0, &[(0, t(5), Some(hand_over))]));
    assert_eq!(opens(&quoting), 1);
}

#[test]
fn a_release_is_said_until_the_leader_has_read_it() {
    let mut ownership = holding();
    ownership.handle(assign(t(2), 0, &[]));
    let said = ownership.handle(Event::Stopped { lane: lane(0, t(1)), stopped: stopped(8) });
    let number = last_answer(&said).number;
    let unread = ownership.handle(assign(t(3), number - 1, &[]));
    assert_eq!(states(&unread), [PartitionState::Released]);
    let read = ownership.handle(assign(t(4), number, &[]));
    assert_eq!(states(&read), []);
}

#[test]
fn an_opening_that_is_no_longer_wanted_stops_once_it_is_open() {
    let mut ownership = led();
    ownership.handle(assign(t(1), 0, &[(0, t(1), None)]));
    let actions = ownership.handle(assign(t(2), 0, &[]));
    assert_eq!(actions[0], Action::Stop(lane(0, t(1))));
    assert_eq!(states(&actions), [PartitionState::Stopping]);
    ownership.handle(Event::Opened { lane: lane(0, t(1)), position: position(3), tokens: vec![] });
    let done = ownership.handle(Event::Stopped { lane: lane(0, t(1)), stopped: stopped(3) });
    assert_eq!(states(&done), [PartitionState::Released]);
}

#[test]
fn a_failed_opening_gives_back_what_it_got() {
    let mut ownership = led();
    let given = HandOver { position: Some(position(4)), clean: true, ..HandOver::default() };
    ownership.handle(assign(t(1), 0, &[(0, t(1), Some(given.clone()))]));
    let reason = "the folder is read-only".to_owned();
    let failed =
        ownership.handle(Event::OpenFailed { lane: lane(0, t(1)), reason, tokens: vec![] });
    let answer = &last_answer(&failed).partitions[0];
    assert_eq!(answer.state, PartitionState::Failed);
    let back = answer.hand_over.clone().unwrap();
    assert_eq!((back.position, back.clean), (given.position, true));
    assert_eq!(back.release, Some(ReleaseId { incarnation: ME, number: 1 }));
}

#[test]
fn an_unasked_stop_is_a_release_with_its_reason() {
    let mut ownership = holding();
    let fenced = Stopped { clean: false, reason: Some("fenced by 5.9".into()), ..stopped(8) };
    let actions = ownership.handle(Event::Stopped { lane: lane(0, t(1)), stopped: fenced });
    assert_eq!(states(&actions), [PartitionState::Failed]);
    assert!(!last_answer(&actions).partitions[0].hand_over.as_ref().unwrap().clean);
}

#[test]
fn what_a_lane_of_a_former_life_says_is_not_heard() {
    let mut ownership = holding();
    let abandoned = ownership.handle(Event::Lapsed { next: Incarnation(2) });
    assert_eq!(abandoned, [Action::Abandon(lane(0, t(1)))]);
    let late = ownership.handle(Event::Stopped { lane: lane(0, t(1)), stopped: stopped(8) });
    assert_eq!(late, []);
}

#[test]
fn a_drained_consumer_exits_once_kafka_has_its_last_word() {
    let mut ownership = holding();
    let draining = ownership.handle(Event::Drain);
    assert_eq!(draining[0], Action::Stop(lane(0, t(1))));
    let ignored = ownership.handle(assign(t(2), 0, &[(0, t(1), None), (1, t(2), None)]));
    assert_eq!(opens(&ignored), 0, "nothing is started while draining");
    let done = ownership.handle(Event::Stopped { lane: lane(0, t(1)), stopped: stopped(8) });
    assert!(!done.contains(&Action::Exit));
    let number = last_answer(&done).number;
    assert_eq!(ownership.handle(Event::AnswerAcknowledged(number)), [Action::Exit]);
}
