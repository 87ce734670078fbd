//! On an S3 server that is not Amazon's, or on an Azure Blob server that is not Microsoft's: puts under a condition,
//! answers that are lost, large objects, credentials, kills. With Kafka, where a consumer runs.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(
    clippy::disallowed_methods,
    reason = "tests read where the server is from the environment"
)]

#[path = "bucket/mod.rs"]
mod bucket;
mod stage;

use std::process::{Command, Output};
use std::sync::atomic::Ordering;

use bucket::{Bucket, LosingProxy};
use bytes::Bytes;
use common::identity::ConsumerId;
use common::messages::Message;
use common::messages::request::StartConsuming;
use consumer::sink::store::Put;
use e2e::harness::patience::wait_until;
use e2e::harness::process::{Process, ending};
use e2e::harness::programs::program;
use e2e::lake::store::Lake;
use e2e::verify::check::{Request, verify};
use e2e::verify::kafka::KafkaTopics;
use e2e::verify::wait::until_stored;
use rustix::process::Signal;
use stage::{PATIENCE, Stage, steady};

/// In a form that every store takes.
const WRONG: &str = "d3Jvbmc=";

fn block<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(work)
}

/// Of sixteen writers of one name one wins, and what it wrote stands there.
#[test]
fn one_of_many_writers_wins() {
    let Some(bucket) = Bucket::open("race") else { return };
    block(async {
        let mut puts = tokio::task::JoinSet::new();
        for writer in 0..16_u8 {
            let store = bucket.store().await;
            puts.spawn(
                async move { (writer, store.put_new("t/a", vec![writer; 1_000].into()).await) },
            );
        }
        let mut winners = Vec::new();
        while let Some(put) = puts.join_next().await {
            let (writer, put) = put.unwrap();
            if put.unwrap() == Put::Stored {
                winners.push(writer);
            }
        }
        assert_eq!(winners.len(), 1, "{winners:?}");
        let found = bucket.store().await.read("t/a").await.unwrap().unwrap();
        assert_eq!(found, vec![winners[0]; 1_000]);
    });
}

/// An object larger than any part of a multipart upload goes in one put, under the condition; another one of the name
/// is refused. What compaction writes piece by piece is there when it is whole.
#[test]
fn large_objects_are_put_whole() {
    let Some(bucket) = Bucket::open("large") else { return };
    block(async {
        let store = bucket.store().await;
        let large: Bytes = (0..40_u32 << 20).map(|at| (at % 251) as u8).collect::<Vec<u8>>().into();
        assert_eq!(store.put_new("t/large", large.clone()).await.unwrap(), Put::Stored);
        assert_eq!(store.put_new("t/large", "other".into()).await.unwrap(), Put::Taken);
        assert_eq!(store.read("t/large").await.unwrap().unwrap(), large);
        let mut upload = store.upload("t/pieces").await.unwrap();
        for piece in large.chunks(3 << 20) {
            upload.append(large.slice_ref(piece)).await.unwrap();
            assert_eq!(store.read("t/pieces").await.unwrap(), None);
        }
        upload.finish().await.unwrap();
        assert_eq!(store.read("t/pieces").await.unwrap().unwrap(), large);
        assert_eq!(store.range("t/pieces", 7..9).await.unwrap(), large.slice(7..9));
        store.replace("t/large", "less".into()).await.unwrap();
        assert_eq!(store.read("t/large").await.unwrap().unwrap(), "less");
        let listed = store.list_all("t").await.unwrap();
        let listed: Vec<_> =
            listed.iter().map(|object| (object.path.as_str(), object.bytes)).collect();
        assert_eq!(listed, [("t/large", 4), ("t/pieces", 40 << 20)]);
    });
}

/// A put was carried out and its answer is lost: the client asks again by itself, is told that the name is taken, and
/// what stands there is its own.
#[test]
fn a_repeated_put_finds_what_it_had_stored() {
    let Some(bucket) = Bucket::open("repeated") else { return };
    let proxy = LosingProxy::start(&bucket.endpoint(), 1);
    block(async {
        let store = bucket.store_at(&proxy.endpoint()).await;
        assert_eq!(store.put_new("t/a", "once".into()).await.unwrap(), Put::Taken);
        assert_eq!(proxy.lost.load(Ordering::Relaxed), 1);
        assert_eq!(store.read("t/a").await.unwrap().unwrap(), "once");
    });
}

fn set(test: &str) -> Option<(Stage, Bucket, String)> {
    let bucket = Bucket::open(test)?;
    let stage = Stage::set(test)?;
    let topic = stage.topic("orders");
    stage.create(&topic, 4);
    for (kind, partitions) in [("controller", 2), ("events", 1), ("dead-letter", 1)] {
        stage.create(&stage.topic(kind), partitions);
    }
    Some((stage, bucket, topic))
}

fn consumer(stage: &Stage, bucket: &Bucket, endpoint: &str, label: &str) -> Process {
    let settings = bucket.settings(stage.folder(), endpoint);
    let (url, state) = (bucket.url().to_string(), stage.folder().join("state"));
    let (state, settings) = (state.to_str().unwrap(), settings.to_str().unwrap());
    let arguments = [
        "--consumer",
        "1",
        "--by-hand",
        "--sink-url",
        &url,
        "--sink-config",
        settings,
        "--state-dir",
        state,
    ];
    let quick = ["--rotation-secs", "1", "--wait-time-secs", "0.2"];
    stage.start(label, stage.command("consumer", &[&arguments[..], &quick[..]].concat()))
}

fn start_consuming(stage: &Stage, topic: &str) {
    let (topic, partitions) = (topic.to_owned(), Vec::new());
    let consumer = Some(ConsumerId(1));
    let start = StartConsuming { topic, partitions, consumer, extra: Default::default() };
    stage.tell(1, &Message::StartConsuming(start));
}

fn assert_sound(stage: &Stage, lake: &Lake, topic: &str) -> e2e::verify::report::TopicReport {
    let mut topics = KafkaTopics::connect(stage.kafka()).unwrap();
    let request = Request { topics: vec![topic.to_owned()], dead_letter_topic: None };
    assert!(
        until_stored(&mut topics, lake, &request, PATIENCE).unwrap(),
        "not everything was stored"
    );
    let report = verify(&mut topics, lake, &request).unwrap();
    assert!(report.is_sound(), "{report}");
    report.topics.into_iter().next().unwrap()
}

/// A consumer that is killed again and again loses and doubles nothing, and neither does a compactor that is
/// killed before and after the switch to its files, or while objects give up their rows.
#[test]
fn kills_lose_and_double_nothing() {
    let Some((stage, bucket, topic)) = set("bucket-kills") else { return };
    let lake = bucket.lake();
    let load = stage.load(steady(&topic, 4, 200_000, 30));
    let mut objects = 0;
    for life in 0..4 {
        let mut consumer =
            consumer(&stage, &bucket, &bucket.endpoint(), &format!("consumer-{life}"));
        start_consuming(&stage, &topic);
        let enough = || {
            let count = lake.list().unwrap().objects.len();
            if count > objects { Ok(count) } else { Err(format!("{count} objects")) }
        };
        objects = wait_until("objects are stored", PATIENCE, enough).unwrap();
        consumer.signal(Signal::KILL).unwrap();
        assert_eq!(ending(consumer.wait(PATIENCE).unwrap()), "signal 9");
    }
    let _last = consumer(&stage, &bucket, &bucket.endpoint(), "consumer-last");
    start_consuming(&stage, &topic);
    for place in ["before-manifest", "after-manifest", "before-reclaim", "after-reclaim"] {
        let points = stage.folder().join("points");
        std::fs::create_dir_all(&points).unwrap();
        std::fs::write(points.join(place), "").unwrap();
        let is_reclaiming = place.ends_with("reclaim");
        let mut command = compact(&stage, &bucket, &topic, &["--min-objects", "1"]);
        if is_reclaiming {
            command.args(["--reclaim", "--grace-secs", "0"]);
        }
        let killed = command.arg("--crash-points").arg(&points).output().unwrap();
        assert_eq!(ending(killed.status), "signal 9", "{place}: {}", text(&killed));
    }
    load.join().unwrap();
    assert_sound(&stage, &lake, &topic);
    let done =
        compact(&stage, &bucket, &topic, &["--min-objects", "1", "--reclaim", "--grace-secs", "0"]);
    let done = { done }.output().unwrap();
    assert!(done.status.success(), "{}", text(&done));
    eprintln!("{}", String::from_utf8_lossy(&done.stdout));
    let report = assert_sound(&stage, &lake, &topic);
    assert!(report.merged_files > 0, "{report:?}");
}

fn compact(stage: &Stage, bucket: &Bucket, table: &str, more: &[&str]) -> Command {
    let settings = bucket.settings(stage.folder(), &bucket.endpoint());
    let mut command = Command::new(program("consumer").unwrap());
    command.args(["compact", table, "--sink-url", bucket.url().as_str()]).args(more);
    command.arg("--sink-config").arg(settings);
    command
}

/// Answers to the consumer's puts are lost all the while: it recognises what is its own.
#[test]
fn lost_answers_lose_and_double_nothing() {
    let Some((stage, bucket, topic)) = set("bucket-answers") else { return };
    let proxy = LosingProxy::start(&bucket.endpoint(), 3);
    let mut consumer = consumer(&stage, &bucket, &proxy.endpoint(), "consumer");
    start_consuming(&stage, &topic);
    let summary = stage.load(steady(&topic, 4, 200_000, 8)).join().unwrap();
    let report = assert_sound(&stage, &bucket.lake(), &topic);
    assert_eq!(report.counts.produced, summary.records);
    assert!(proxy.lost.load(Ordering::Relaxed) > 5, "{:?}", proxy.lost);
    assert_eq!(ending(consumer.stop(PATIENCE).unwrap()), "status 0");
}

/// Credentials come from the environment or from a file; wrong ones are refused in one sentence that names the sink.
#[test]
fn credentials_come_the_usual_ways() {
    let Some(bucket) = Bucket::open("credentials") else { return };
    let folder = tempfile::tempdir().unwrap();
    block(async {
        let store = bucket.store().await;
        let claim =
            r#"{"group":"g","cluster_id":"c","table_id":"0b1c0000-0000-4000-8000-000000000002"}"#;
        store.put_new("t/_stowage.json", claim.into()).await.unwrap();
        store.put_new("t/partition=0/o+0+00000000000000000000.parquet", "x".into()).await.unwrap();
    });
    let files = || {
        let mut command = Command::new(program("consumer").unwrap());
        command.args(["files", "t", "--sink-url", bucket.url().as_str()]);
        command
    };
    let environment = |secret: Option<&str>| {
        let mut command = files();
        for (key, value) in bucket.options() {
            command.env(key.to_uppercase(), value);
        }
        command.envs(secret.map(|secret| (bucket.secret_key().to_uppercase(), secret)));
        command.output().unwrap()
    };
    let listed = format!("{}/t/partition=0/o+0+00000000000000000000.parquet\n", bucket.url());
    let by_environment = environment(None);
    assert_eq!(
        String::from_utf8_lossy(&by_environment.stdout),
        listed,
        "{}",
        text(&by_environment)
    );
    let settings = bucket.settings(folder.path(), &bucket.endpoint());
    let by_file = files().arg("--sink-config").arg(&settings).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&by_file.stdout), listed, "{}", text(&by_file));
    let wrong = environment(Some(WRONG));
    assert_eq!(ending(wrong.status), "status 1");
    let said = text(&wrong);
    assert!(said.contains("check the credentials (--sink-config"), "{said}");
    let missing = files().args(["--sink-config", "/nonexistent"]).output().unwrap();
    assert_eq!(ending(missing.status), "status 2", "{}", text(&missing));
}

/// A consumer that may not write its sink ends at once, and says which sink, and why.
#[test]
fn a_consumer_with_wrong_credentials_says_so_and_ends() {
    let Some((stage, bucket, _)) = set("bucket-wrong") else { return };
    let settings = bucket.settings(stage.folder(), &bucket.endpoint());
    let with_wrong = std::fs::read_to_string(&settings).unwrap();
    let with_wrong: String = with_wrong
        .lines()
        .filter(|line| !line.starts_with(bucket.secret_key()))
        .map(|line| format!("{line}\n"))
        .collect();
    std::fs::write(&settings, with_wrong + bucket.secret_key() + "=" + WRONG + "\n").unwrap();
    let (url, settings) = (bucket.url().to_string(), settings.to_str().unwrap().to_owned());
    let arguments =
        ["--consumer", "1", "--by-hand", "--sink-url", &url, "--sink-config", &settings];
    let output = stage.command("consumer", &arguments).output().unwrap();
    let said = text(&output);
    assert_eq!(ending(output.status), "status 1", "{said}");
    assert!(said.contains(&url) && said.contains("check the credentials (--sink-config"), "{said}");
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
