//! Dead letters on real Kafka: what they hold, how they are looked at, and how they get back.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod stage;

use std::fs;
use std::process::Output;

use common::identity::ConsumerId;
use common::messages::Message;
use common::messages::request::StartConsuming;
use e2e::harness::patience::wait_until;
use e2e::harness::process::{Process, ending};
use e2e::verify::kafka::KafkaTopics;
use e2e::verify::record::{Record, TopicRecords as _};
use serde_json::Value;
use stage::{PATIENCE, Stage};

const POISON: [&[u8]; 3] = [b"{", b"[1]", b"\xff\xfe"];

/// A record of the dead-letter topic.
struct Seen {
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(String, String)>,
}

/// A stage whose consumers are led by hand.
struct Set {
    stage: Stage,
    topic: String,
    repaired: String,
}

impl Set {
    fn new(test: &str) -> Option<Self> {
        let stage = Stage::set(test)?;
        let (topic, repaired) = (stage.topic("orders"), stage.topic("repaired"));
        let own = [("controller", 3), ("events", 1), ("dead-letter", 1)];
        let own = own.map(|(kind, partitions)| (stage.topic(kind), partitions));
        for (name, partitions) in own.into_iter().chain([(topic.clone(), 2), (repaired.clone(), 1)])
        {
            stage.create(&name, partitions);
        }
        Some(Self { stage, topic, repaired })
    }

    /// A consumer that reads one topic.
    fn consumer(&self, number: u32, format: &str, topic: &str) -> Process {
        let (lake, number_text) = (self.stage.lake_url(), number.to_string());
        let arguments = ["--consumer", &number_text, "--by-hand", "--sink-url", &lake];
        let quick = ["--rotation-secs", "1", "--wait-time-secs", "0.2", "--format", format];
        let mut command = self.stage.command("consumer", &[&arguments[..], &quick[..]].concat());
        command.env("CRASH_POINTS", self.stage.folder());
        let consumer = self.stage.start(&format!("consumer-{number}"), command);
        let (topic, partitions) = (topic.to_owned(), Vec::new());
        let to = Some(ConsumerId(number));
        let start = StartConsuming { topic, partitions, consumer: to, extra: Default::default() };
        self.stage.tell(number.cast_signed(), &Message::StartConsuming(start));
        consumer
    }

    fn ask(&self, words: &[&str]) -> Output {
        let words = [&["dead-letters"], words].concat();
        self.stage.command("consumer", &words).output().unwrap()
    }

    /// What a command prints that does what it was asked to.
    fn told(&self, words: &[&str]) -> String {
        let output = self.ask(words);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words:?}: {errors}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn listed(&self, words: &[&str]) -> Vec<Value> {
        let text = self.told(&[&["list", "--json"], words].concat());
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn wait_for_letters(&self, count: usize) -> Vec<Value> {
        let found = || {
            let listed = self.listed(&[]);
            if listed.len() == count { Ok(listed) } else { Err(format!("{}", listed.len())) }
        };
        wait_until(&format!("{count} dead letters are there"), PATIENCE, found).unwrap()
    }

    /// Replays, and dies where it is told to.
    fn die_while_replaying(&self, place: &str, words: &[&str]) {
        let folder = self.stage.folder().join("crash");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(place), "").unwrap();
        let words = [&["dead-letters", "replay"], words].concat();
        let mut command = self.stage.command("consumer", &words);
        command.env("CRASH_POINTS", &folder);
        let mut process = self.stage.start("replay", command);
        assert_eq!(ending(process.wait(PATIENCE).unwrap()), "signal 9", "{place}");
    }

    fn seen(&self, topic: &str, partition: u32) -> Vec<Seen> {
        let mut seen = Vec::new();
        let mut topics = KafkaTopics::connect(self.stage.kafka()).unwrap();
        let mut visit = |record: &Record<'_>| {
            let text = |value: &Option<&[u8]>| {
                String::from_utf8(value.unwrap_or_default().to_vec()).unwrap()
            };
            let headers = record.headers.iter();
            seen.push(Seen {
                key: record.key.map(<[u8]>::to_vec),
                value: record.value.map(<[u8]>::to_vec),
                headers: headers.map(|(name, value)| ((*name).to_owned(), text(value))).collect(),
            });
            true
        };
        topics.read(topic, partition, 0, &mut visit).unwrap();
        seen
    }

    /// The records with poison in the topic itself.
    fn copies(&self) -> usize {
        let records = (0..2).flat_map(|partition| self.seen(&self.topic, partition));
        records.filter(|record| POISON.contains(&record.value.as_deref().unwrap_or(b"{}"))).count()
    }
}

/// A dead letter holds all that its record was, and says where it stood, why it is one and since when.
#[test]
fn a_dead_letter_holds_its_record_and_says_where_it_stood_and_why() {
    let Some(set) = Set::new("letters-hold") else { return };
    let _consumer = set.consumer(1, "json", &set.topic);
    let sly = ("stowage-reason", "made up");
    set.stage.send_with((&set.topic, 1), Some("k"), None, b"{\"a\":1}");
    set.stage.send_with((&set.topic, 1), Some("key"), Some(sly), POISON[1]);
    let letter = set.wait_for_letters(1).remove(0);
    for (field, wanted) in [
        ("letter", Value::from("0:0")),
        ("topic", set.topic.as_str().into()),
        ("partition", 1.into()),
        ("offset", 1.into()),
        ("reason", "not_an_object".into()),
        ("consumer", 1.into()),
        ("table", set.topic.as_str().into()),
        ("attempt", 1.into()),
        ("timestamp_type", "create".into()),
        ("replayed", false.into()),
        ("key_bytes", 3.into()),
        ("value_bytes", 3.into()),
    ] {
        assert_eq!(letter[field], wanted, "{field} of {letter}");
    }
    let at = |field: &str| letter[field].as_i64().unwrap();
    assert!(at("refused_at_ms") >= at("timestamp_ms") && at("timestamp_ms") > 0, "{letter}");
    let written = set.seen(&set.stage.topic("dead-letter"), 0).remove(0);
    assert_eq!(
        (written.key.as_deref(), written.value.as_deref()),
        (Some(&b"key"[..]), Some(POISON[1]))
    );
    assert_eq!(written.headers[0], (sly.0.to_owned(), sly.1.to_owned()));
    assert_eq!(written.headers[1], ("stowage-reason".to_owned(), "not_an_object".to_owned()));
    let file = set.stage.folder().join("value");
    let page = set.told(&["show", "0:0", "--value-out", file.to_str().unwrap()]);
    assert!(page.contains("stowage-reason: made up") && page.contains("\n[1]"), "{page}");
    assert_eq!(fs::read(file).unwrap(), POISON[1]);
    assert!(set.listed(&["--reason", "invalid_json"]).is_empty());
    assert_eq!(
        set.listed(&["--topic", &set.topic, "--since", "1h", "--from-offset", "1"]).len(),
        1
    );
    let summary = set.told(&["list", "--summary", "--json"]);
    assert!(summary.contains("\"letters\":1"), "{summary}");
    for (words, wanted) in [
        (&["show", "0:9"][..], "has the offsets from 0 to before 1"),
        (&["replay"], "say which dead letters to send"),
        (&["replay", "--all", "--to", "no-such-topic"], "the topic no-such-topic does not exist"),
    ] {
        let words: Vec<&str> = words.to_vec();
        let output = set.ask(&words);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && said.contains(wanted), "{words:?}: {said}");
    }
    set.stage.assert_sound(&set.topic);
}

/// Whoever dies in the middle of a replay has sent each letter once or not at all, and the next one
/// sends what is missing; a record that stays bad is not sent for ever.
#[test]
fn each_letter_is_sent_once_whoever_dies_and_none_for_ever() {
    let Some(set) = Set::new("letters-once") else { return };
    let consumer = set.consumer(1, "json", &set.topic);
    set.stage.send(&set.topic, 0, &[&b"{\"a\":1}"[..], POISON[0], POISON[1], POISON[2]]);
    set.wait_for_letters(3);
    let chosen = ["0:0", "0:1", "0:2"];
    let would = set.told(&[&["replay", "--dry-run"], &chosen[..]].concat());
    assert_eq!(would.trim(), format!("would send 3 to {}", set.topic));
    set.die_while_replaying("before-replay", &chosen);
    assert_eq!(set.copies(), 3, "what was not committed is not there");
    set.die_while_replaying("after-replay", &chosen);
    let letters = set.wait_for_letters(6);
    let attempts: Vec<_> = letters.iter().map(|letter| letter["attempt"].as_u64()).collect();
    assert_eq!(attempts, [1, 1, 1, 2, 2, 2].map(Some));
    assert!(letters[..3].iter().all(|letter| letter["replayed"] == true), "{letters:?}");
    let again = set.told(&[&["replay"], &chosen[..]].concat());
    assert_eq!(again.trim(), "sent nothing\nleft 3 that were sent before (--again sends them)");
    assert_eq!(set.copies(), 6, "each was sent once");
    assert!(set.told(&["replay", "--all"]).starts_with("sent 3 to"));
    set.wait_for_letters(9);
    let worn = set.told(&["replay", "--all"]);
    assert!(worn.starts_with("sent nothing") && worn.contains("left 3 that were read 3"), "{worn}");
    assert_eq!(set.copies(), 9);
    let last = set.seen(&set.topic, 0).pop().unwrap();
    let header =
        |name: &str| last.headers.iter().find(|(found, _)| found == name).unwrap().1.clone();
    assert_eq!((last.headers.len(), header("stowage-attempt")), (4, "3".to_owned()));
    assert_eq!(header("stowage-origin"), format!("{}/0/3", set.topic));
    let counts = set.stage.assert_sound(&set.topic).counts;
    assert_eq!((counts.stored, counts.dead_lettered), (1, 9));
    drop(consumer);
}

/// A consumer that dies before Kafka has its dead letters has not passed their records.
#[test]
fn no_record_is_passed_before_its_dead_letter_is_acknowledged() {
    let Some(set) = Set::new("letters-first") else { return };
    fs::write(set.stage.folder().join("before-dead-letter"), "").unwrap();
    let mut consumer = set.consumer(1, "json", &set.topic);
    set.stage.send(&set.topic, 0, &[&b"{}"[..], POISON[0], b"{}"]);
    assert_eq!(ending(consumer.wait(PATIENCE).unwrap()), "signal 9");
    assert!(set.listed(&[]).is_empty());
    let _next = set.consumer(1, "json", &set.topic);
    set.wait_for_letters(1);
    let counts = set.stage.assert_sound(&set.topic).counts;
    assert_eq!((counts.stored, counts.dead_lettered), (2, 1));
}

/// Records of a wrong format wait, uncounted as dead letters, and are read by the format that is right;
/// whoever reads again by itself, once good records outweigh the bad, needs nobody.
#[test]
fn a_pause_ends_by_itself_when_the_records_get_better() {
    let Some(set) = Set::new("letters-pause") else { return };
    let consumer = set.consumer(1, "json", &set.topic);
    set.stage.send(&set.topic, 0, &[POISON[0]; 150]);
    let paused = || {
        let said = consumer.output();
        if said.contains("paused: 150 of the last 150 records") { Ok(()) } else { Err(said) }
    };
    wait_until("the partition is paused", PATIENCE, paused).unwrap();
    assert!(set.listed(&[]).len() < 100, "the batch that was refused is not among them");
    set.stage.send(&set.topic, 0, &[&b"{\"a\":1}"[..]; 200]);
    let counts = set.stage.assert_sound(&set.topic).counts;
    assert_eq!((counts.stored, counts.dead_lettered), (200, 150));
    assert!(consumer.output().contains("is read on"));
}

/// What is mended is sent to where it can be read, and lands there.
#[test]
fn records_that_can_be_read_otherwise_become_rows() {
    let Some(set) = Set::new("letters-mended") else { return };
    let _first = set.consumer(1, "json", &set.topic);
    set.stage.send(&set.topic, 0, &POISON);
    set.stage.send(&set.topic, 1, &POISON);
    set.wait_for_letters(6);
    let _second = set.consumer(2, "bytes", &set.repaired);
    let said = set.told(&["replay", "--reason", "invalid_json", "--to", &set.repaired]);
    assert_eq!(said.trim(), format!("sent 4 to {}", set.repaired));
    let said = set.told(&["replay", "--all", "--to", &set.repaired]);
    assert!(said.starts_with("sent 2 to"), "{said}");
    let counts = set.stage.assert_sound(&set.repaired).counts;
    assert_eq!((counts.stored, counts.dead_lettered), (6, 0));
    set.stage.assert_sound(&set.topic);
}
