//! The broker goes away for a while, and comes back.

use rustix::process::Signal;

use crate::crew::{CAPACITY, Crew};
use crate::flow::Flow;
use crate::own_kafka::OwnKafka;
use crate::stage::Stage;

const PARTITIONS: u32 = 4;

/// A broker that stands still, and one that is killed and started again, cost time and nothing
/// else: no process ends, every partition gets its owner back, and every record is stored once.
#[test]
fn a_broker_that_stops_and_returns_costs_nothing_but_time() {
    // Whoever has no Kafka here has none to start either.
    if Stage::set("system-broker").is_none() {
        return;
    }
    let kafka = OwnKafka::start();
    let crew = Crew::start(kafka.stage("system-broker"), PARTITIONS);
    let flow = Flow::start(&crew.stage, &crew.topic, PARTITIONS, CAPACITY / 2);
    crew.wait_for_progress();

    kafka.signal(Signal::STOP);
    crew.wait_for("heartbeats stay away", |status| {
        let age = status.consumers.iter().filter_map(|one| one.heartbeat_age_ms).max();
        if age.is_some_and(|age| age > 5_000) { Ok(()) } else { Err(format!("{age:?} ms")) }
    });
    kafka.signal(Signal::CONT);
    crew.wait_for_progress();
    crew.wait_until_owned(PARTITIONS);

    kafka.kill();
    kafka.start_again();
    crew.wait_for_progress();
    crew.wait_until_owned(PARTITIONS);
    assert_eq!(crew.status().totals.consumers_crashed, 0);
    flow.stop();
    crew.end_soundly();
}
