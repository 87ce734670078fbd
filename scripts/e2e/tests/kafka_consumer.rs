//! One consumer, led by hand, on real Kafka: whatever ends it, every record is in the lake once.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod stage;

use common::identity::ConsumerId;
use common::messages::Message;
use common::messages::request::{StartConsuming, StopConsuming};
use e2e::chaos::memory::{Peaks, look};
use e2e::harness::patience::wait_until;
use e2e::harness::process::{Process, ending};
use e2e::lake::store::Object;
use e2e::latency;
use rustix::process::Signal;
use stage::{PATIENCE, Stage, steady};

const PARTITIONS: u32 = 4;
const RATE: u64 = 400_000;
const SECONDS: u64 = 12;
/// What a consumer may take, whatever it reads.
const MEMORY_MIB_MAX: u64 = 200;

/// A topic, and the topics that an orchestrator would have made.
fn set(test: &str) -> Option<(Stage, String)> {
    let stage = Stage::set(test)?;
    let topic = stage.topic("orders");
    stage.create(&topic, PARTITIONS);
    for (kind, partitions) in [("controller", 2), ("events", 1), ("dead-letter", 1)] {
        stage.create(&stage.topic(kind), partitions);
    }
    Some((stage, topic))
}

/// Objects of a second, so that there are many ends of objects to be killed in.
fn consumer(stage: &Stage, label: &str) -> Process {
    consumer_with(stage, label, &["--rotation-secs", "1", "--wait-time-secs", "0.2"])
}

fn consumer_with(stage: &Stage, label: &str, options: &[&str]) -> Process {
    let (lake, state) = (stage.lake_url(), stage.folder().join("state"));
    let state = state.to_str().unwrap();
    let arguments = ["--consumer", "1", "--by-hand", "--sink-url", &lake, "--state-dir", state];
    stage.start(label, stage.command("consumer", &[&arguments[..], options].concat()))
}

fn start_consuming(stage: &Stage, topic: &str) {
    let consumer = Some(ConsumerId(1));
    let (topic, partitions) = (topic.to_owned(), Vec::new());
    let start = StartConsuming { topic, partitions, consumer, extra: Default::default() };
    stage.tell(1, &Message::StartConsuming(start));
}

fn wait_for_objects(stage: &Stage, topic: &str, more_than: usize) -> usize {
    let lake = stage.lake();
    let enough = || {
        let listing = lake.list().unwrap();
        let count = listing.objects.iter().filter(|object| object.name.topic == topic).count();
        if count > more_than { Ok(count) } else { Err(format!("{count} objects")) }
    };
    wait_until(&format!("there are more than {more_than} objects"), PATIENCE, enough).unwrap()
}

/// Every record of a load is stored, and a consumer that is asked to end does so with status 0.
#[test]
fn a_load_is_stored_and_the_consumer_ends_cleanly() {
    let Some((stage, topic)) = set("consumer-steady") else { return };
    let mut consumer = consumer(&stage, "consumer");
    start_consuming(&stage, &topic);
    let summary = stage.load(steady(&topic, PARTITIONS, RATE, SECONDS)).join().unwrap();
    let report = stage.assert_sound(&topic);
    assert_eq!(report.counts.produced, summary.records);
    assert_eq!(report.counts.unparsed, 0);
    assert_eq!(ending(consumer.stop(PATIENCE).unwrap()), "status 0");
}

/// A consumer that is killed again and again in the middle of its work loses and doubles nothing.
#[test]
fn a_consumer_that_is_killed_in_the_middle_of_a_batch_loses_and_doubles_nothing() {
    let Some((stage, topic)) = set("consumer-kill") else { return };
    let load = stage.load(steady(&topic, PARTITIONS, RATE, SECONDS));
    let mut objects = 0;
    for life in 0..4 {
        let mut consumer = consumer(&stage, &format!("consumer-{life}"));
        start_consuming(&stage, &topic);
        objects = wait_for_objects(&stage, &topic, objects + 3);
        consumer.signal(Signal::KILL).unwrap();
        assert_eq!(ending(consumer.wait(PATIENCE).unwrap()), "signal 9");
    }
    load.join().unwrap();
    let _last = consumer(&stage, "consumer-last");
    start_consuming(&stage, &topic);
    stage.assert_sound(&topic);
}

/// One that is asked to end in the middle of its work stores what it has, and the next one goes on.
#[test]
fn a_consumer_that_is_asked_to_end_in_the_middle_of_a_batch_hands_over_cleanly() {
    let Some((stage, topic)) = set("consumer-term") else { return };
    let load = stage.load(steady(&topic, PARTITIONS, RATE, SECONDS));
    let mut objects = 0;
    for life in 0..4 {
        let mut consumer = consumer(&stage, &format!("consumer-{life}"));
        start_consuming(&stage, &topic);
        objects = wait_for_objects(&stage, &topic, objects + 3);
        assert_eq!(ending(consumer.stop(PATIENCE).unwrap()), "status 0");
    }
    load.join().unwrap();
    let _last = consumer(&stage, "consumer-last");
    start_consuming(&stage, &topic);
    stage.assert_sound(&topic);
}

/// What cannot be decoded goes to the dead-letter topic as it was, and holds nothing up.
#[test]
fn poison_is_set_aside_and_what_follows_is_stored() {
    let Some((stage, topic)) = set("consumer-poison") else { return };
    let poison: [&[u8]; 5] = [b"{", b"\xff\xfe", b"[1]", b"{\"a\":1,\"a\":2}", b""];
    let good: [&[u8]; 3] = [b"{\"a\":1}", b"{\"a\":\"one\"}", b"{\"b\":{\"c\":[1.5,null]}}"];
    let _consumer = consumer(&stage, "consumer");
    start_consuming(&stage, &topic);
    for partition in 0..2 {
        stage.send(&topic, partition, &[&poison[..], &good[..], &good[..]].concat().repeat(50));
    }
    let counts = stage.assert_sound(&topic).counts;
    assert_eq!((counts.dead_lettered, counts.stored, counts.unparsed), (500, 600, 200));
}

/// A record of 8 MB among small ones is stored like them, in as much memory as it takes and not more.
#[test]
fn a_large_record_among_small_ones_does_no_harm() {
    const LARGE: u32 = 8_000_000;
    let Some((stage, _)) = set("consumer-large") else { return };
    let topic = stage.topic("large");
    stage.create_for_records_of(LARGE, &topic, PARTITIONS);
    let consumer = consumer(&stage, "consumer");
    start_consuming(&stage, &topic);
    let large = format!(r#"{{"text":"{}"}}"#, "0123456789".repeat(LARGE as usize / 10 - 2));
    let load = stage.load(steady(&topic, PARTITIONS, RATE, SECONDS));
    for partition in [0, 1, 0] {
        stage.send(&topic, partition, &[br#"{"text":"small"}"#, large.as_bytes()]);
    }
    load.join().unwrap();
    let counts = stage.assert_sound(&topic).counts;
    assert_eq!((counts.dead_lettered, counts.unparsed), (0, 0));
    let mut peaks = Peaks::new();
    look(&mut peaks, "consumer", consumer.id());
    eprintln!("peak memory in MiB: {peaks:?}");
    assert!(peaks["consumer"] < MEMORY_MIB_MAX, "{peaks:?}");
}

/// Where there is much to read, objects are about as large as was said; only the last one ends by time.
#[test]
fn objects_of_a_backlog_are_about_as_large_as_said() {
    const SAID: usize = 100_000;
    let Some((stage, topic)) = set("consumer-sizes") else { return };
    stage.load(steady(&topic, PARTITIONS, 10 * RATE, 3)).join().unwrap();
    let (bytes, batch) = (SAID.to_string(), (SAID / 2).to_string());
    let sizes = ["--rotation-bytes", &bytes, "--batch-bytes", &batch, "--rotation-secs", "10"];
    let _consumer = consumer_with(&stage, "consumer", &sizes);
    start_consuming(&stage, &topic);
    stage.assert_sound(&topic);
    let lake = stage.lake();
    let objects = lake.list().unwrap().objects;
    let is_followed = |pair: &&[Object]| pair[0].name.partition == pair[1].name.partition;
    let followed = objects.windows(2).filter(is_followed);
    let sizes: Vec<_> = followed.map(|pair| lake.read(&pair[0].path).unwrap().len()).collect();
    eprintln!("{sizes:?}");
    assert!(sizes.len() >= 8, "{objects:?}");
    assert!(sizes.iter().all(|size| (SAID * 3 / 4..SAID * 3 / 2).contains(size)), "{sizes:?}");
}

/// At a low rate most records are stored within the rotation time and a second.
#[test]
fn a_lonely_record_does_not_wait_for_others() {
    let Some((stage, topic)) = set("consumer-lonely") else { return };
    let _consumer = consumer(&stage, "consumer");
    start_consuming(&stage, &topic);
    stage.load(steady(&topic, PARTITIONS, 3_000, SECONDS)).join().unwrap();
    stage.assert_sound(&topic);
    let latency = latency::measure(&stage.lake(), &[topic]).unwrap();
    eprintln!("{latency:?}");
    assert!(latency.records > 50 && latency.p50 <= 2_000, "{latency:?}");
}

/// What a person stops is read no more, and goes on where it stopped when it is started again.
#[test]
fn a_topic_that_is_stopped_and_started_again_goes_on() {
    let Some((stage, topic)) = set("consumer-stop") else { return };
    let _consumer = consumer(&stage, "consumer");
    start_consuming(&stage, &topic);
    let load = stage.load(steady(&topic, PARTITIONS, RATE, SECONDS));
    let objects = wait_for_objects(&stage, &topic, 4);
    let (name, partitions) = (topic.clone(), vec![0, 1]);
    let stop = StopConsuming { topic: name, partitions, extra: Default::default() };
    stage.tell(1, &Message::StopConsuming(stop));
    wait_for_objects(&stage, &topic, objects + 4);
    start_consuming(&stage, &topic);
    load.join().unwrap();
    stage.assert_sound(&topic);
}
