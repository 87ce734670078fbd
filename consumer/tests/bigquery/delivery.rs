//! At least once, by the default stream and by insertAll: nothing is missing, and no more is there twice than the mode
//! says.

use std::collections::BTreeMap;
use std::sync::Arc;

use common::messages::command::Source;
use common::partition::TopicPartition;
use common::position::HandOver;
use common::term::Term;
use consumer::sink::tables::Tables;
use consumer::sink::{BlockedReason, OpenRequest, Opened, SealedBatch, SinkError, Stored, Table};
use futures::future::join_all;
use rand::rngs::ChaCha8Rng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value as Json, json};

use crate::owner::{decoder, records, request, retry, source, write};
use crate::scene::Scene;

const MODES: [&str; 2] = ["at_least_once", "insert_all"];
const SEEDS: u64 = 6;
const PARTITIONS: u32 = 24;
const BATCHES: u64 = 6;
const BATCH: u64 = 5;

fn source_of(delivery: &str, table: &str) -> Source {
    let options = [("delivery".to_owned(), delivery.to_owned())].into();
    Source { table: table.into(), options, ..source() }
}

async fn table(tables: &Tables, delivery: &str, name: &str) -> Arc<Table> {
    let source = source_of(delivery, name);
    retry(async || tables.get(&source).await).await.unwrap()
}

async fn open(table: &Table, partition: u32, hand_over: Option<HandOver>) -> Opened {
    let partition = TopicPartition::new("orders", partition);
    let request = OpenRequest { partition, hand_over, ..request(Term::new(1, 1)) };
    retry(async || table.open(request.clone()).await).await.unwrap()
}

/// A batch that says of which partition its rows are.
async fn batch(table: &Table, partition: u32, offsets: std::ops::Range<u64>) -> SealedBatch {
    let (from, to) = (offsets.start, offsets.end);
    let records = records(offsets, |_| format!("{{\"of\":{partition}}}"));
    let decode = async || table.decode(&decoder(), Arc::clone(&records), &Arc::default()).await;
    let decoded = retry(decode).await.unwrap();
    let (rows, schema) = (vec![decoded.rows], decoded.schema);
    SealedBatch { from, to, leader_epoch: Some(4), rows, schema }
}

/// What is stored of each partition, in the order of storing.
fn stored(scene: &Scene, table: &str) -> BTreeMap<u64, Vec<u64>> {
    let mut stored = BTreeMap::<u64, Vec<u64>>::new();
    for row in scene.double.shared.world().rows(table).unwrap() {
        let number = |name: &str| row["row"][name].as_u64().unwrap();
        stored.entry(number("of")).or_default().push(number("kafka_offset"));
    }
    stored
}

fn firsts(offsets: &[u64]) -> Vec<u64> {
    let mut firsts = Vec::new();
    for offset in offsets {
        if !firsts.contains(offset) {
            firsts.push(*offset);
        }
    }
    firsts
}

/// Partitions of two tables write at once, on whatever the service does: each row is there, first copies are in order,
/// and of the default stream only what was under way when a connection ended is there twice. Insert ids leave nothing
/// twice, as long as the service remembers them.
#[tokio::test]
async fn many_partitions_lose_nothing() {
    for delivery in MODES {
        join_all((0..SEEDS).map(|seed| simulate(delivery, seed))).await;
    }
}

async fn simulate(delivery: &str, seed: u64) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let scene = Scene::new().await;
    let tables = scene.tables("g", seed).await;
    let tables = [table(&tables, delivery, "t").await, table(&tables, delivery, "u").await];
    let faults = faults(delivery, &mut rng);
    let is_quiet = seed == 0;
    if !is_quiet {
        scene.faults(faults);
    }
    join_all((0..PARTITIONS).map(async |partition| {
        let table = &tables[partition as usize % 2];
        let Opened { mut writer, .. } = open(table, partition, None).await;
        for number in 0..BATCHES {
            let batch = batch(table, partition, number * BATCH..(number + 1) * BATCH).await;
            let stored = retry(async || writer.write(&batch).await).await.unwrap();
            assert_eq!(stored.position.offset, batch.to);
        }
        assert!(writer.close());
    }))
    .await;
    let all: Vec<u64> = (0..BATCHES * BATCH).collect();
    let mut found = stored(&scene, "d.t");
    found.extend(stored(&scene, "d.u"));
    assert_eq!(found.len(), PARTITIONS as usize);
    for (partition, offsets) in found {
        assert_eq!(firsts(&offsets), all, "{delivery}, seed {seed}, partition {partition}");
        let is_single = is_quiet || delivery == "insert_all";
        assert!(!is_single || offsets == all, "{delivery}, seed {seed}: {offsets:?}");
    }
}

fn faults(delivery: &str, rng: &mut ChaCha8Rng) -> Json {
    let rpc = if delivery == "insert_all" { "insertAll" } else { "AppendRows" };
    let actions = [
        json!("lose"),
        json!("hang"),
        json!("reset"),
        json!("reset_before"),
        json!({"refuse": {"code": "UNAVAILABLE"}}),
        json!({"refuse": {"code": "RESOURCE_EXHAUSTED"}}),
        json!({"refuse": {"code": "NOT_FOUND"}}),
        json!({"refuse_in_band": {"code": "INTERNAL"}}),
        json!({"refuse_in_band": {"code": "RESOURCE_EXHAUSTED"}}),
        json!({"http": {"status": 503, "body": "html"}}),
    ];
    let usable = actions.len() - usize::from(delivery != "insert_all");
    let fault = |_| {
        let action = &actions[rng.random_range(0..usable)];
        json!({"rpc": rpc, "after": rng.random_range(0..100), "action": action})
    };
    (0..8).map(fault).collect()
}

/// What is refused in an answer was not stored, and nothing behind it: no row is there twice.
#[tokio::test]
async fn a_refusal_in_an_answer_doubles_nothing() {
    let scene = Scene::new().await;
    let tables = scene.tables("g", 1).await;
    let table = table(&tables, "at_least_once", "t").await;
    let Opened { mut writer, .. } = open(&table, 3, None).await;
    let text = "x".repeat(900_000);
    let large = records(0..30, |offset| format!("{{\"n\":{offset},\"text\":\"{text}\"}}"));
    let refuse = |code: &str| json!({"refuse_in_band": {"code": code}});
    scene.faults(json!([
        {"rpc": "AppendRows", "action": refuse("RESOURCE_EXHAUSTED")},
        {"rpc": "AppendRows", "after": 1, "action": refuse("INTERNAL")},
    ]));
    write(&table, &mut writer, 0, large).await.unwrap();
    assert_eq!(scene.offsets(), (0..30).collect::<Vec<_>>());
}

/// Whichever way rows go, the same rows are there.
#[tokio::test]
async fn rows_are_the_same_in_every_mode() {
    let values = |offset: u64| {
        format!(
            r#"{{"i":{}, "f":1.5e300, "b":true, "s":"ä\n\"", "n":null, "l":[1,2], "ll":[[1],[]],
            "m":{{"a":"x","c":{{"d":[{{"e":-0.25}}]}}}}, "at":"2023-11-14T22:13:20.5Z", "day":"2023-11-14",
            "time":"22:13:20.25", "when":"2023-11-14T22:13:20", "num":1.25, "big":"123456789012345678901234567890.5",
            "raw":"AQL/", "doc":"{{\"k\":[1]}}", "geo":"POINT(1 2)"}}"#,
            i64::MIN + offset.cast_signed()
        )
    };
    let made = [
        ("at", "TIMESTAMP"),
        ("day", "DATE"),
        ("time", "TIME"),
        ("when", "DATETIME"),
        ("num", "NUMERIC"),
        ("big", "BIGNUMERIC"),
        ("raw", "BYTES"),
        ("doc", "JSON"),
        ("geo", "GEOGRAPHY"),
    ];
    let made: Vec<_> = made.map(|(name, kind)| json!({"name": name, "type": kind})).into();
    let mut found = Vec::new();
    for delivery in ["exactly_once", "at_least_once", "insert_all"] {
        let scene = Scene::new().await;
        scene.create_table(&made.clone().into());
        let tables = scene.tables("g", 1).await;
        let table = table(&tables, delivery, "t").await;
        let Opened { mut writer, .. } = open(&table, 3, None).await;
        write(&table, &mut writer, 0, records(0..5, values)).await.unwrap();
        let rows: Vec<_> = scene.rows().iter().map(|row| row["row"].clone()).collect();
        assert_eq!((rows.len(), &rows[0]["kafka_unparsed"]), (5, &Json::Null), "{}", rows[0]);
        assert_eq!(rows[4]["i"], json!(i64::MIN + 4));
        found.push(rows);
    }
    assert_eq!(found[0], found[1]);
    assert_eq!(found[0], found[2]);
}

/// Requests of insertAll hold 500 rows at most, and no more bytes than are taken, whatever their text becomes as JSON.
#[tokio::test]
async fn insertions_keep_to_the_limits() {
    let scene = Scene::new().await;
    let tables = scene.tables("g", 1).await;
    let table = table(&tables, "insert_all", "t").await;
    let Opened { mut writer, .. } = open(&table, 3, None).await;
    let many = records(0..1_234, |offset| format!("{{\"n\":{offset}}}"));
    write(&table, &mut writer, 0, many).await.unwrap();
    // Each character is six as JSON.
    let text = "\\u0001".repeat(400_000);
    let large = records(1_234..1_254, |offset| format!("{{\"n\":{offset},\"text\":\"{text}\"}}"));
    write(&table, &mut writer, 1_234, large).await.unwrap();
    assert_eq!(scene.offsets(), (0..1_254).collect::<Vec<_>>());
    let events = scene.events("insertAll");
    assert!(events.iter().all(|event| event.code == "200"), "{events:?}");
    let rows: Vec<_> = events.iter().filter_map(|event| event.rows).collect();
    assert_eq!(rows[..3], [500, 500, 234]);
    assert!(rows[3..].iter().all(|rows| (1..=3).contains(rows)), "{rows:?}");
    // One that no request can hold is refused by its name, and not sent.
    let text = "\\u0001".repeat(1_700_000);
    let huge = records(1_254..1_255, |_| format!("{{\"text\":\"{text}\"}}"));
    let refused = write(&table, &mut writer, 1_254, huge).await.unwrap_err();
    let SinkError::RowsRefused { rows, .. } = refused else { panic!("{refused:?}") };
    assert!(rows[&1_254].contains("larger"), "{rows:?}");
}

/// Rows that the service refuses are named; nothing beside or behind them was stored, so that their dead letters come
/// first.
#[tokio::test]
async fn refused_rows_are_named_in_every_mode() {
    for delivery in MODES {
        let scene = Scene::new().await;
        scene.create_table(&json!([{"name": "doc", "type": "JSON"}]));
        let tables = scene.tables("g", 1).await;
        let table = table(&tables, delivery, "t").await;
        let Opened { mut writer, .. } = open(&table, 3, None).await;
        let value = |offset: u64| match offset {
            601 | 603 => "{\"doc\":\"no json\"}".to_owned(),
            _ => format!("{{\"doc\":\"{offset}\"}}"),
        };
        let refused = write(&table, &mut writer, 0, records(0..1_600, value)).await.unwrap_err();
        let SinkError::RowsRefused { rows, .. } = refused else { panic!("{refused:?}") };
        assert_eq!(rows.keys().copied().collect::<Vec<_>>(), [601, 603], "{delivery}");
        let before: Vec<u64> = if delivery == "insert_all" { (0..500).collect() } else { vec![] };
        assert_eq!(scene.offsets(), before, "{delivery}");
    }
}

/// Rows that need a column which the service does not know yet wait for it, and become no dead letters; others on the
/// same connection go on.
#[tokio::test]
async fn new_columns_are_waited_for() {
    for delivery in MODES {
        let scene = Scene::new().await;
        let tables = scene.tables("g", 1).await;
        let (wide, plain) =
            (table(&tables, delivery, "t").await, table(&tables, delivery, "u").await);
        let (mut one, mut other) = (open(&wide, 3, None).await, open(&plain, 4, None).await);
        write(&wide, &mut one.writer, 0, records(0..2, |_| "{\"n\":1}".into())).await.unwrap();
        write(&plain, &mut other.writer, 0, records(0..2, |_| "{\"n\":1}".into())).await.unwrap();
        scene.settings(json!({"schema_lag_ms": 400}));
        let more = records(2..4, |_| "{\"n\":1,\"more\":{\"a\":[1]}}".into());
        let (waited, calm): (Stored, Stored) =
            tokio::join!(async { write(&wide, &mut one.writer, 2, more).await.unwrap() }, async {
                write(&plain, &mut other.writer, 2, records(2..4, |_| "{\"n\":1}".into()))
                    .await
                    .unwrap()
            },);
        assert_eq!((waited.position.offset, calm.position.offset), (4, 4));
        let rows = scene.rows();
        assert_eq!((rows.len(), &rows[3]["row"]["more"]["a"]), (4, &json!([1])), "{delivery}");
        let struck =
            scene.events(if delivery == "insert_all" { "insertAll" } else { "AppendRows" });
        assert!(struck.len() > 4, "{delivery}: it knew the column at once");
    }
}

/// A table that is deleted is not made anew behind somebody's back. Once it was brought back, partitions go on without
/// a restart; another one of its name is another table.
#[tokio::test]
async fn a_table_that_was_brought_back_is_gone_on_with() {
    for delivery in ["exactly_once", "at_least_once", "insert_all"] {
        let scene = Scene::new().await;
        let tables = scene.tables("g", 1).await;
        let source = source_of(delivery, "t");
        let claimed = table(&tables, delivery, "t").await;
        let mut opened = open(&claimed, 3, None).await;
        write(&claimed, &mut opened.writer, 0, records(0..2, |_| "{\"n\":1}".into()))
            .await
            .unwrap();
        let deleted = scene.delete_table();
        let stopped =
            write(&claimed, &mut opened.writer, 2, records(2..4, |_| "{\"n\":1}".into())).await;
        assert!(stopped.is_err_and(|error| !error.is_transient()), "{delivery}");
        let refused = tables.get(&source).await.unwrap_err().to_string();
        assert!(refused.contains("it was deleted"), "{delivery}: {refused}");
        assert_eq!(scene.events("tables.insert").len(), 1, "{delivery}: it was made anew");
        let clean =
            HandOver { position: Some(opened.position), clean: true, ..HandOver::default() };

        scene.bring_back(&deleted);
        let found = tables.get(&source).await.unwrap();
        assert_eq!(found.id(), claimed.id());
        let mut again = open(&found, 3, Some(clean.clone())).await;
        write(&found, &mut again.writer, 0, records(0..4, |_| "{\"n\":1}".into())).await.unwrap();
        assert_eq!(scene.offsets(), [0, 1, 2, 3], "{delivery}");

        scene.delete_table();
        let stopped =
            write(&found, &mut again.writer, 4, records(4..5, |_| "{\"n\":1}".into())).await;
        assert!(stopped.is_err(), "{delivery}");
        scene.create_table(&json!([]));
        let other = tables.get(&source).await.unwrap();
        assert_ne!(other.id(), claimed.id());
        let partition = TopicPartition::new("orders", 3);
        let request = OpenRequest { partition, hand_over: Some(clean), ..request(Term::new(1, 2)) };
        let blocked = other.open(request).await.unwrap_err();
        let is_named =
            matches!(&blocked, SinkError::Blocked { reason: BlockedReason::OtherTable { .. }, .. });
        assert!(is_named, "{delivery}: {blocked:?}");
        assert_eq!(scene.offsets(), [0; 0], "{delivery}");
    }
}
