//! The end of a log is lost, and the log grows again: other records stand at the same offsets.

use common::messages::snapshot::Ownership;

use crate::crew::Crew;
use crate::own_kafka::OwnKafka;
use crate::stage::Stage;

const RECORDS: usize = 40;
/// So many at a time, so that the log can be cut between them.
const BATCH: usize = 10;

/// A partition whose log was cut below what was read of it stops with that reason: nothing that was
/// written since is taken for what follows, and nothing stored is touched.
#[test]
fn a_log_that_was_cut_and_has_grown_again_stops_its_partition() {
    // Whoever has no Kafka here has none to start either.
    if Stage::set("system-cut").is_none() {
        return;
    }
    let kafka = OwnKafka::start();
    let mut crew = Crew::start(kafka.stage("system-cut"), 1);
    write(&crew, "before");
    crew.stage.assert_sound(&crew.topic);
    crew.system.stop().unwrap();
    let stored = crew.stage.objects();

    kafka.kill();
    kafka.cut(&crew.topic, 0);
    kafka.start_again();
    write(&crew, "after");
    write(&crew, "after");

    crew.start_again();
    let reason = crew.wait_for("the partition stops", |status| {
        let (_, partition) = status.partitions.iter().next().ok_or("no partition")?;
        assert_ne!(partition.state, Ownership::Owned, "it is read as if nothing had happened");
        partition.reason.clone().ok_or_else(|| format!("{:?}", partition.state))
    });
    assert!(reason.contains("the log was cut"), "{reason}");
    crew.system.stop().unwrap();
    assert_eq!(crew.stage.objects(), stored);
}

/// Writes records in several batches.
fn write(crew: &Crew, word: &str) {
    let values: Vec<_> = (0..RECORDS).map(|number| format!(r#"{{"{word}":{number}}}"#)).collect();
    let values: Vec<_> = values.iter().map(String::as_bytes).collect();
    for batch in values.chunks(BATCH) {
        crew.stage.send(&crew.topic, 0, batch);
    }
}
