//! What the orchestrator learns from the reports of consumers.

use common::rate::BytesPerSecond;
use orchestrator::plan::snapshot::Hold;

use crate::stage::{Stage, rates};

/// All consumers read so much of each partition a second.
fn read(stage: &mut Stage, seconds: u32, rates: &[u64], bytes: u64, sink_wait: u32) {
    for _ in 0..seconds {
        stage.measure(rates);
        stage.report(bytes, sink_wait);
        stage.pass(1_000);
    }
}

#[test]
fn what_a_consumer_sustains_is_learned_and_kept_over_restarts() {
    let mut stage = Stage::settled(4, 100);
    read(&mut stage, 12, &rates(4, 100), 350, 0);
    let status = stage.status();
    assert_eq!(status.consumers[0].capacity, BytesPerSecond(1_200), "half way to 1,400");
    assert_eq!(status.consumers[0].lessons.len(), 1);
    stage.pass(31_000);
    stage.replace_orchestrator();
    assert_eq!(stage.status().consumers[0].capacity, BytesPerSecond(1_200));
    // 1,000 would ask for a second consumer; of 1,200 it is no overload.
    read(&mut stage, 5, &rates(4, 250), 250, 0);
    assert_eq!(stage.status().consumers.len(), 1);
}

/// A lag asks for a whole consumer at most, by what consumers are known to sustain.
#[test]
fn a_lag_asks_for_what_was_learned() {
    let mut stage = Stage::settled(4, 100);
    read(&mut stage, 12, &rates(4, 100), 350, 0);
    stage.measure_unread(&rates(4, 100));
    let demands: Vec<u64> =
        stage.status().partitions.values().map(|partition| partition.demand.0).collect();
    assert_eq!(demands, [900; 4], "three quarters of 1,200");
}

#[test]
fn a_throttled_sink_teaches_nothing_and_holds_back_others() {
    let mut stage = Stage::settled(4, 100);
    read(&mut stage, 12, &rates(4, 100), 50, 900);
    assert!(stage.status().consumers[0].lessons.is_empty());
    read(&mut stage, 20, &rates(4, 400), 50, 900);
    let status = stage.status();
    assert_eq!((status.consumers.len(), status.hold), (1, Some(Hold::Sink)));
    read(&mut stage, 12, &rates(4, 400), 50, 0);
    assert_eq!(stage.status().hold, None);
    assert!(stage.status().consumers.len() > 1, "the sink is well again");
}

/// However little the last ones brought: somebody has to read.
#[test]
fn nothing_holds_back_the_first_consumer() {
    let mut stage = Stage::settled(8, 80);
    read(&mut stage, 60, &rates(8, 80), 10, 0);
    read(&mut stage, 60, &rates(8, 150), 10, 0);
    assert_eq!(stage.status().hold, Some(Hold::Fruitless));
    for consumer in stage.status().consumers {
        stage.freeze(consumer.consumer);
    }
    for _ in 0..60 {
        stage.measure(&rates(8, 150));
        stage.pass(1_000);
    }
    assert!(!stage.owners().contains(&0), "{:?}", stage.owners());
}

#[test]
fn consumers_that_brought_nothing_hold_back_others_for_a_while() {
    let mut stage = Stage::settled(8, 80);
    assert_eq!(stage.status().consumers.len(), 1);
    // However many there are, together they read 80 a second.
    read(&mut stage, 60, &rates(8, 80), 10, 0);
    read(&mut stage, 60, &rates(8, 150), 10, 0);
    let (before, hold) = (stage.status().consumers.len(), stage.status().hold);
    assert_eq!(hold, Some(Hold::Fruitless));
    read(&mut stage, 60, &rates(8, 400), 10, 0);
    assert_eq!(stage.status().consumers.len(), before);
    read(&mut stage, 300, &rates(8, 400), 10, 0);
    assert!(stage.status().consumers.len() > before, "another try");
}
