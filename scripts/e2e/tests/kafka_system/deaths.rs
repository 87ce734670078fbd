//! Processes end in the middle of their work.

use common::messages::snapshot::Ownership;
use rustix::process::Signal;

use crate::crew::{CAPACITY, Crew, Victim, serving};
use crate::flow::Flow;
use crate::stage::{PATIENCE, Stage};

const PARTITIONS: u32 = 6;
/// Enough for two consumers at least.
const RATE: u64 = CAPACITY * 5 / 4;

fn two_consumers(test: &str) -> Option<(Crew, Flow)> {
    let crew = Crew::start(Stage::set(test)?, PARTITIONS);
    let flow = Flow::start(&crew.stage, &crew.topic, PARTITIONS, RATE);
    crew.wait_for_serving("two consumers share the load", |count| count >= 2);
    Some((crew, flow))
}

/// A consumer that is killed while it stores is replaced, and its successor neither leaves out nor
/// repeats what it was at.
#[test]
fn a_consumer_that_is_killed_in_the_middle_of_a_batch_is_replaced() {
    let Some((crew, flow)) = two_consumers("system-kill") else { return };
    for _ in 0..3 {
        crew.wait_for_progress();
        let victim = crew.victim();
        victim.signal(Signal::KILL);
        crew.wait_for_successor(&victim, PARTITIONS);
    }
    assert!(crew.status().totals.consumers_crashed >= 3);
    flow.stop();
    crew.end_soundly();
}

/// A consumer that somebody asks to end stores what it holds, hands it over, and is replaced.
#[test]
fn a_consumer_that_is_asked_to_end_in_the_middle_of_a_batch_is_replaced() {
    let Some((crew, flow)) = two_consumers("system-term") else { return };
    for _ in 0..3 {
        crew.wait_for_progress();
        let victim = crew.victim();
        victim.signal(Signal::TERM);
        crew.wait_for_successor(&victim, PARTITIONS);
    }
    flow.stop();
    crew.end_soundly();
}

/// The whole system is asked to end while records keep coming, and is started again.
#[test]
fn a_system_that_is_ended_and_started_again_goes_on() {
    let Some((mut crew, flow)) = two_consumers("system-restart") else { return };
    crew.wait_for_progress();
    crew.system.stop().unwrap();
    crew.system.start_monitor().unwrap();
    crew.system.start_orchestrator().unwrap();
    crew.wait_until_owned(PARTITIONS);
    crew.wait_for_progress();
    flow.stop();
    crew.end_soundly();
}

/// Which side of a move stands still while the orchestrator dies.
#[derive(Clone, Copy)]
enum Frozen {
    Giver,
    Taker,
}

/// Asks for a move whose giver or taker does not answer, and kills the orchestrator in between.
fn kill_orchestrator_in_the_middle_of_a_move(crew: &mut Crew, frozen: Frozen) {
    let pick = |status: &orchestrator::status::Status| {
        let (partition, giver) = status
            .partitions
            .iter()
            .find_map(|(name, one)| Some((name.partition(), one.owner?)))
            .ok_or("nobody owns anything")?;
        let of = |wanted: bool| {
            let mut found = serving(status).filter(|one| (one.consumer == giver) == wanted);
            found.next().and_then(Victim::of).ok_or("no such consumer")
        };
        Ok::<_, String>((partition, of(true)?, of(false)?))
    };
    let (partition, giver, taker) = crew.wait_for("there are two consumers", pick);
    let (frozen, state) = match frozen {
        Frozen::Giver => (giver, Ownership::Revoking),
        Frozen::Taker => (taker, Ownership::Assigning),
    };
    frozen.signal(Signal::STOP);
    let (number, to) = (partition.to_string(), taker.consumer.0.to_string());
    let request = ["send", "start", &crew.topic, "--partitions", &number, "--consumer", &to];
    crew.system.tell(&request).unwrap();
    crew.wait_for("the move has begun", |status| {
        let states = status.partitions.iter();
        let found = states.filter(|(name, _)| name.partition() == partition);
        let states: Vec<Ownership> = found.map(|(_, one)| one.state).collect();
        if states == [state] { Ok(()) } else { Err(format!("{states:?}")) }
    });
    // The kernel ends stopped processes whose parent dies: it must go on just before.
    frozen.signal(Signal::CONT);
    let orchestrator = crew.system.orchestrator().unwrap();
    orchestrator.signal(Signal::KILL).unwrap();
    orchestrator.wait(PATIENCE).unwrap();
    crew.system.start_orchestrator().unwrap();
    crew.wait_until_owned(PARTITIONS);
    crew.wait_for_progress();
    assert_eq!(crew.status().totals.consumers_crashed, 0, "consumers are adopted");
}

/// An orchestrator that dies between revoking and assigning leaves nothing unread and nothing read
/// by two: its successor finds out how far the move had come, and adopts the consumers.
#[test]
fn an_orchestrator_that_is_killed_in_the_middle_of_a_move_is_succeeded() {
    let Some((mut crew, flow)) = two_consumers("system-orchestrator") else { return };
    kill_orchestrator_in_the_middle_of_a_move(&mut crew, Frozen::Giver);
    kill_orchestrator_in_the_middle_of_a_move(&mut crew, Frozen::Taker);
    flow.stop();
    crew.end_soundly();
}
