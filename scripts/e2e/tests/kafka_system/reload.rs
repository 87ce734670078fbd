//! A topic that is read again from the beginning, or from somewhere else, into a table of its own.

use rustix::process::Signal;

use crate::crew::{CAPACITY, Crew};
use crate::flow::Flow;
use crate::stage::Stage;

/// Under load, and though a consumer dies over it: the new table gets every record once, the one before
/// keeps what it has, and goes on without a hole when the topic is read into it again.
#[test]
fn a_topic_is_loaded_again_into_a_new_table() {
    let Some(stage) = Stage::set("system-reload") else { return };
    let crew = Crew::start(stage, 2);
    let flow = Flow::start(&crew.stage, &crew.topic, 2, CAPACITY / 4);
    crew.wait_for_progress();
    crew.wait_for_progress();
    let read = |words: &[&str]| crew.system.read_topic(&crew.topic, words).unwrap();
    read(&["--table", "again", "--option", "from=beginning"]);
    wait_for_table(&crew, "again");
    let victim = crew.victim();
    victim.signal(Signal::KILL);
    crew.wait_for_successor(&victim, 2);
    crew.wait_for_progress();
    let summary = flow.stop();
    let again = crew.stage.verify_table(&crew.topic, "again");
    assert!(again.is_sound(), "{again:#?}");
    assert_eq!(again.counts.stored, summary.records);
    read(&[]);
    crew.stage.send(&crew.topic, 0, &[b"{\"last\":1}"]);
    crew.stage.send(&crew.topic, 1, &[b"{\"last\":1}"]);
    let former = crew.stage.verify_table(&crew.topic, &crew.topic);
    assert!(former.chain_problems.is_empty(), "{former:#?}");
    assert_eq!(former.counts.duplicated, 0, "{former:#?}");
}

/// A topic that is read into another table from now on goes on there, whoever dies over it: the two tables together have
/// every record once.
#[test]
fn a_changed_table_is_gone_on_with_whoever_dies() {
    let Some(stage) = Stage::set("system-table") else { return };
    let crew = Crew::start(stage, 2);
    let flow = Flow::start(&crew.stage, &crew.topic, 2, CAPACITY / 4);
    crew.wait_for_progress();
    crew.system.read_topic(&crew.topic, &["--table", "second"]).unwrap();
    wait_for_table(&crew, "second");
    for _ in 0..2 {
        let victim = crew.victim();
        victim.signal(Signal::KILL);
        crew.wait_for_successor(&victim, 2);
        crew.wait_for_progress();
    }
    let summary = flow.stop();
    let second = crew.stage.verify_table(&crew.topic, "second");
    crew.system.read_topic(&crew.topic, &[]).unwrap();
    for partition in 0..2 {
        crew.stage.send(&crew.topic, partition, &[b"{\"last\":1}"]);
    }
    let former = crew.stage.verify_table(&crew.topic, &crew.topic);
    for report in [&former, &second] {
        assert!(report.chain_problems.is_empty(), "{report:#?}");
        assert_eq!(report.counts.duplicated, 0, "{report:#?}");
    }
    assert!(second.counts.stored > 0, "{second:#?}");
    assert_eq!(former.counts.stored + second.counts.stored, summary.records + 2);
}

/// Only what comes behind an offset is loaded, and a time before all records is the beginning.
#[test]
fn a_table_begins_at_an_offset_or_a_time() {
    let Some(stage) = Stage::set("system-rewind") else { return };
    let crew = Crew::start(stage, 2);
    for partition in 0..2 {
        crew.stage.send(&crew.topic, partition, &[&b"{\"a\":1}"[..]; 50]);
    }
    crew.stage.assert_sound(&crew.topic);
    let read = |words: &[&str]| crew.system.read_topic(&crew.topic, words).unwrap();
    read(&["--table", "tail", "--option", "from=offset 30"]);
    let tail = crew.stage.verify_table(&crew.topic, "tail");
    assert!(tail.chain_problems.is_empty(), "{tail:#?}");
    assert_eq!((tail.counts.stored, tail.counts.duplicated, tail.counts.lost), (40, 0, 60));
    read(&["--table", "recent", "--option", "from=time 2020-01-01T00:00:00Z"]);
    let recent = crew.stage.verify_table(&crew.topic, "recent");
    assert!(recent.is_sound(), "{recent:#?}");
    assert_eq!(recent.counts.stored, 100);
}

fn wait_for_table(crew: &Crew, table: &str) {
    crew.wait_for("the new table has objects", |_| {
        let objects = crew.stage.objects();
        let is_there = objects.iter().any(|path| path.starts_with(&format!("{table}/")));
        if is_there { Ok(()) } else { Err(format!("{} objects", objects.len())) }
    });
}
