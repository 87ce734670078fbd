//! Records, entries and commands that make no sense harm nothing but themselves.

use std::fs;

use common::messages::codec::EVENT_TYPE;
use common::messages::snapshot::Ownership;
use common::partition::TopicPartition;
use e2e::harness::patience::wait_until;
use rustix::process::Signal;

use crate::crew::{CAPACITY, Crew};
use crate::flow::Flow;
use crate::stage::{PATIENCE, Stage};

/// Poison goes to the dead-letter topic, once for each record; what follows it is stored.
#[test]
fn a_poison_record_becomes_a_dead_letter_and_holds_nothing_up() {
    let Some(stage) = Stage::set("system-poison") else { return };
    let crew = Crew::start(stage, 2);
    let poison: [&[u8]; 4] = [b"{", b"\xff\xfe", b"[1]", b"{\"a\":1,\"a\":2}"];
    let good: [&[u8]; 2] = [b"{\"a\":1}", b"{\"b\":{\"c\":[1.5,null]}}"];
    for partition in 0..2 {
        let values = [&poison[..], &good[..], &good[..], &good[..]].concat().repeat(25);
        crew.stage.send(&crew.topic, partition, &values);
    }
    crew.wait_for("the dead letters are counted", |status| {
        let count: u64 = status.partitions.values().map(|one| one.dead_letters).sum();
        if count == 200 { Ok(()) } else { Err(format!("{count} dead letters")) }
    });
    let counts = crew.end_soundly().counts;
    assert_eq!((counts.dead_lettered, counts.stored), (200, 300));
}

/// Records of a wrong format do not become dead letters by the thousand: the partition waits, says why, and is
/// read whole as soon as the entry is mended; the others are read meanwhile.
#[test]
fn a_partition_whose_records_cannot_be_read_waits_until_the_entry_is_mended() {
    let Some(stage) = Stage::set("system-pause") else { return };
    let crew = Crew::start(stage, 2);
    let values: Vec<&[u8]> = vec![b"plain text"; 1_000];
    crew.stage.send(&crew.topic, 0, &values);
    crew.stage.send(&crew.topic, 1, &[&b"{\"a\":1}"[..]; 10]);
    let (text, json) = (TopicPartition::new(&crew.topic, 0), TopicPartition::new(&crew.topic, 1));
    let reason = crew.wait_for("it is blocked, and the other is stored", |status| {
        let (one, other) = (&status.partitions[&text], &status.partitions[&json]);
        let is_done = one.state == Ownership::Blocked && other.stored == Some(10);
        let reason = one.reason.clone().filter(|_| is_done && one.owner.is_some());
        reason.ok_or_else(|| format!("{:?} {:?}", one.state, other.stored))
    });
    assert!(reason.starts_with("paused: ") && reason.contains(" of the last "), "{reason}");
    assert!(reason.contains("service entry"), "{reason}");
    let set = |words: &[&str]| crew.system.read_topic(&crew.topic, words).unwrap();
    set(&["--format", "bytes"]);
    crew.wait_for("both are read", |status| {
        let states = [&text, &json].map(|partition| status.partitions[partition].state);
        if states == [Ownership::Owned; 2] { Ok(()) } else { Err(format!("{states:?}")) }
    });
    let counts = crew.end_soundly().counts;
    assert!(counts.dead_lettered < 100, "{counts:?}");
    assert_eq!(counts.dead_lettered + counts.stored, 1_010);
}

/// An entry of the service topic that cannot be followed is said to be so, and what was read
/// before is read on as it was.
#[test]
fn a_malformed_service_entry_is_named_and_changes_nothing() {
    let Some(stage) = Stage::set("system-entry") else { return };
    let crew = Crew::start(stage, 2);
    let flow = Flow::start(&crew.stage, &crew.topic, 2, CAPACITY / 4);
    let (service, key) = (crew.stage.topic("service"), format!("topic/{}", crew.topic));
    let wrong: [(&str, &[u8]); 4] = [
        (&key, b"{"),
        ("topic/other", b"{\"format\":\"xml\"}"),
        ("nonsense", b"{}"),
        ("deployment", b"[]"),
    ];
    for (key, value) in wrong {
        crew.stage.send_with((&service, 0), Some(key), None, value);
    }
    let errors = crew.wait_for("all four are named", |status| {
        let errors = status.service_errors.clone();
        if errors.len() == 4 { Ok(errors) } else { Err(format!("{errors:?}")) }
    });
    assert!(errors[&key].contains("malformed"), "{errors:?}");
    assert!(errors["topic/other"].contains("`xml`"), "{errors:?}");
    assert!(errors["nonsense"].contains("`topic/<name>`"), "{errors:?}");
    crew.wait_for_progress();
    flow.stop();
    crew.end_soundly();
}

/// Bytes on the controller topic that are no command, or not the leader's, are refused by everyone
/// who reads them.
#[test]
fn a_malformed_command_changes_nothing() {
    let Some(stage) = Stage::set("system-command") else { return };
    let crew = Crew::start(stage, 2);
    let flow = Flow::start(&crew.stage, &crew.topic, 2, CAPACITY / 4);
    let controller = crew.stage.topic("controller");
    let stop = format!(r#"{{"topic":"{}","partitions":[0]}}"#, crew.topic);
    let wrong: [(Option<&str>, &[u8]); 6] = [
        (None, b"garbage"),
        (Some("StopConsuming"), b"{\"topic\":"),
        (Some("StopConsuming"), b"\xc3\x01\0\0\0\0\0\0\0\0\x02"),
        (Some("NoSuchKind"), b"{}"),
        (Some("Assign"), b"{\"partitions\":[]}"),
        (None, b""),
    ];
    let refused_before = crew.status().totals.refused;
    for (kind, value) in wrong {
        for partition in [0, 1] {
            let header = kind.map(|kind| (EVENT_TYPE, kind));
            crew.stage.send_with((&controller, partition), None, header, value);
        }
    }
    // A request that is well-formed, but is not for those whom a leader leads.
    let header = Some((EVENT_TYPE, "StopConsuming"));
    crew.stage.send_with((&controller, 1), None, header, stop.as_bytes());
    crew.wait_for("they are counted", |status| {
        let refused = status.totals.refused - refused_before;
        if refused >= 3 { Ok(()) } else { Err(format!("{refused} refused")) }
    });
    crew.wait_for_progress();
    crew.wait_until_owned(2);
    assert_eq!(crew.status().totals.consumers_crashed, 0);
    flow.stop();
    crew.end_soundly();
}

/// What a consumer left on its volume is a cache: garbage there is set aside, and nothing is lost.
#[test]
fn a_state_file_with_garbage_is_set_aside() {
    let Some(stage) = Stage::set("system-garbage") else { return };
    let mut crew = Crew::start(stage, 2);
    let flow = Flow::start(&crew.stage, &crew.topic, 2, CAPACITY / 4);
    crew.wait_for_progress();
    crew.system.stop().unwrap();
    let state = crew.stage.folder().join("state");
    let volume = state.join("consumers/1");
    assert!(volume.join("state.json").is_file());
    for file in [volume.join("state.json"), volume.join("process.json")] {
        fs::write(file, "garbage\0\u{1}").unwrap();
    }
    crew.system.start_monitor().unwrap();
    crew.system.start_orchestrator().unwrap();
    crew.wait_until_owned(2);
    crew.wait_for_progress();
    let set_aside = || {
        let names = fs::read_dir(&volume).unwrap().map(|entry| entry.unwrap().file_name());
        let names: Vec<_> = names.filter_map(|name| name.into_string().ok()).collect();
        let is_there = names.iter().any(|name| name.contains("corrupt"));
        if is_there { Ok(()) } else { Err(format!("{names:?}")) }
    };
    wait_until("the damaged file is set aside", PATIENCE, set_aside).unwrap();
    flow.stop();
    crew.end_soundly();
}

/// An orchestrator whose own folder holds garbage begins with an empty one, as another would.
#[test]
fn an_orchestrators_folder_with_garbage_loses_nothing() {
    let Some(stage) = Stage::set("system-folder") else { return };
    let mut crew = Crew::start(stage, 2);
    let flow = Flow::start(&crew.stage, &crew.topic, 2, CAPACITY / 4);
    crew.wait_for_progress();
    let orchestrator = crew.system.orchestrator().unwrap();
    orchestrator.signal(Signal::KILL).unwrap();
    orchestrator.wait(PATIENCE).unwrap();
    let state = crew.stage.folder().join("state");
    for entry in fs::read_dir(&state).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_file() {
            fs::write(entry.path(), "garbage\0\u{1}").unwrap();
        }
    }
    crew.system.start_orchestrator().unwrap();
    crew.wait_until_owned(2);
    crew.wait_for_progress();
    flow.stop();
    crew.end_soundly();
}
