//! Default streams on shared connections: each writer has its own answers, whatever becomes of the others.

use std::sync::Arc;

use bigquery_double::world::Settings;
use consumer::sink::bigquery::client::{Client, Kind, SharedAppend, Verdict};
use futures::future::join_all;
use gcp_bigquery_client::google::cloud::bigquery::storage::v1::ProtoSchema;
use prost::Message as _;
use serde_json::json;

use super::scene::{Row, Scene, descriptor, table};

const STORED: Verdict = Verdict::Stored { offset: None };

fn schema() -> Arc<ProtoSchema> {
    Arc::new(ProtoSchema { proto_descriptor: Some(descriptor()) })
}

/// A schema with a column that no table has.
fn wider() -> Arc<ProtoSchema> {
    let mut descriptor = descriptor();
    descriptor.field[0].name = Some("zzz".into());
    Arc::new(ProtoSchema { proto_descriptor: Some(descriptor) })
}

fn row(partition: i64, offset: i64) -> Vec<u8> {
    let (kafka_topic_id, kafka_partition) = (Some("T".into()), Some(partition));
    Row { kafka_topic_id, kafka_partition, kafka_offset: Some(offset) }.encode_to_vec()
}

fn writer(client: &Client, table: &str) -> SharedAppend {
    client.shared_append(&client.default_stream(table))
}

fn connections(scene: &Scene) -> u64 {
    scene.double.shared.world().state()["connections"].as_u64().unwrap()
}

/// What is stored of a partition, in the order of storing.
fn offsets(scene: &Scene, table: &str, partition: i64) -> Vec<i64> {
    let rows = scene.double.shared.world().rows(table).unwrap();
    let ours = rows.iter().filter(|row| row["row"]["kafka_partition"] == partition);
    ours.map(|row| row["row"]["kafka_offset"].as_i64().unwrap()).collect()
}

/// Appends each offset until it is answered for; true if any was refused or lost before.
async fn write_all(
    append: &mut SharedAppend,
    partition: i64,
    offsets: std::ops::Range<i64>,
) -> bool {
    let mut had_trouble = false;
    for offset in offsets {
        loop {
            append.send(&schema(), vec![row(partition, offset)]).unwrap();
            match append.receive().await {
                Ok(answer) if answer.verdict == STORED => break,
                Ok(answer) => {
                    assert!(matches!(answer.verdict, Verdict::Throttled(_)), "{answer:?}")
                }
                Err(error) => assert!(error.is_transient(), "{error}"),
            }
            had_trouble = true;
        }
    }
    had_trouble
}

async fn with_second_table() -> Scene {
    let scene = Scene::new().await;
    scene.client.create_table(&table("u")).await.unwrap();
    scene
}

/// Sixty partitions of two tables are on one connection, and each has the answers to its own rows; it ends with the
/// last writer.
#[tokio::test]
async fn partitions_and_tables_share_a_connection() {
    let scene = with_second_table().await;
    let mut writers: Vec<_> =
        (0..60).map(|at| (at, writer(&scene.client, ["t", "u"][at % 2]))).collect();
    join_all(writers.iter_mut().map(async |(at, append)| {
        let is_calm = !write_all(append, *at as i64, 0..5).await;
        assert!(is_calm);
    }))
    .await;
    for (at, _) in &writers {
        let table = ["d.t", "d.u"][at % 2];
        assert_eq!(offsets(&scene, table, *at as i64), [0, 1, 2, 3, 4]);
    }
    assert_eq!(connections(&scene), 1);
    let numbers: std::collections::BTreeSet<_> =
        scene.events("AppendRows").iter().map(|event| event.connection).collect();
    assert_eq!(numbers.len(), 1);
    drop(writers);
    while connections(&scene) > 0 {
        tokio::task::yield_now().await;
    }
}

/// A refusal is for the one that it is for: others before and behind it are stored at once.
#[tokio::test]
async fn a_refusal_holds_up_nobody_else() {
    let scene = with_second_table().await;
    let mut writers: Vec<_> = (0..3).map(|_| writer(&scene.client, "t")).collect();
    let mut bad = row(1, 1);
    bad.extend([0x0a, 0xff, 0xff]);
    writers[0].send(&schema(), vec![row(0, 0)]).unwrap();
    writers[1].send(&wider(), vec![row(1, 0)]).unwrap();
    writers[1].send(&schema(), vec![row(1, 0), bad]).unwrap();
    writers[2].send(&schema(), vec![row(2, 0)]).unwrap();
    assert_eq!(writers[2].receive().await.unwrap().verdict, STORED);
    assert_eq!(writers[0].receive().await.unwrap().verdict, STORED);
    let mismatch = writers[1].receive().await.unwrap().verdict;
    assert!(matches!(&mismatch, Verdict::SchemaMismatch(text) if text.contains("zzz")));
    let refused = writers[1].receive().await.unwrap().verdict;
    assert!(matches!(&refused, Verdict::RowsRefused(rows) if rows[0].0 == 1), "{refused:?}");
    assert_eq!(connections(&scene), 1);
    assert!(writers.iter().all(|writer| !writer.is_suspect()));
}

/// A connection that breaks in the middle of many fails all that is under way on it, and nothing else: each sends its
/// own again, nothing is missing, and first copies are in order.
#[tokio::test]
async fn a_broken_connection_loses_nothing() {
    for action in [
        json!("reset"),
        json!("lose"),
        json!("reset_before"),
        json!({"refuse": {"code": "ABORTED"}}),
    ] {
        let scene = with_second_table().await;
        scene.faults(json!([
            {"rpc": "AppendRows", "after": 40, "action": action},
            {"rpc": "AppendRows", "after": 60, "action": action},
        ]));
        let mut writers: Vec<_> =
            (0..20).map(|at| (at, writer(&scene.client, ["t", "u"][at % 2]))).collect();
        let broken = join_all(
            writers.iter_mut().map(async |(at, it)| write_all(it, *at as i64, 0..20).await),
        );
        assert!(broken.await.contains(&true), "{action}");
        for (at, _) in &writers {
            let found = offsets(&scene, ["d.t", "d.u"][at % 2], *at as i64);
            let mut firsts = Vec::new();
            for offset in found {
                if !firsts.contains(&offset) {
                    firsts.push(offset);
                }
            }
            assert_eq!(firsts, (0..20).collect::<Vec<_>>(), "{action}");
        }
        assert_eq!(connections(&scene), 1, "{action}");
    }
}

/// Of those on a connection that ended only the one whose turn it was is to go on alone, and nobody is told that
/// it is refused for good: it may have been another's fault.
#[tokio::test]
async fn one_is_suspected_of_the_end() {
    let scene = Scene::new().await;
    for code in ["PERMISSION_DENIED", "INTERNAL", "RESOURCE_EXHAUSTED"] {
        scene.faults(
            json!([{"rpc": "AppendRows", "after": 1, "action": {"refuse": {"code": code}}}]),
        );
        let mut writers: Vec<_> = (0..4).map(|_| writer(&scene.client, "t")).collect();
        for (at, append) in writers.iter_mut().enumerate() {
            append.send(&schema(), vec![row(at as i64, 0)]).unwrap();
        }
        let mut kinds = Vec::new();
        for append in &mut writers {
            kinds.push(append.receive().await.err().map(|error| error.kind));
        }
        let kind = if code == "RESOURCE_EXHAUSTED" { Kind::Throttled } else { Kind::Unknown };
        assert_eq!(kinds, [None, Some(kind), Some(kind), Some(kind)], "{code}");
        let suspects: Vec<_> = writers.iter().map(SharedAppend::is_suspect).collect();
        assert_eq!(suspects, [false, true, false, false], "{code}");
    }
}

/// A writer that is gone leaves the answers to what is under way to nobody, and those of others in their places; what
/// was not sent is not sent any more.
#[tokio::test]
async fn who_leaves_takes_no_answers_along() {
    for is_under_way in [true, false] {
        let scene = Scene::new().await;
        let (mut leaver, mut stayer) = (writer(&scene.client, "t"), writer(&scene.client, "t"));
        for offset in 0..3 {
            leaver.send(&schema(), vec![row(0, offset)]).unwrap();
            stayer.send(&wider(), vec![row(1, offset)]).unwrap();
            stayer.send(&schema(), vec![row(1, offset)]).unwrap();
        }
        if is_under_way {
            // All is handed over before anything is answered.
            tokio::task::yield_now().await;
        }
        drop(leaver);
        for _ in 0..3 {
            let mismatch = stayer.receive().await.unwrap().verdict;
            assert!(matches!(mismatch, Verdict::SchemaMismatch(_)), "{mismatch:?}");
            assert_eq!(stayer.receive().await.unwrap().verdict, STORED);
        }
        assert_eq!(offsets(&scene, "d.t", 1), [0, 1, 2]);
        let left: &[i64] = if is_under_way { &[0, 1, 2] } else { &[] };
        assert_eq!(offsets(&scene, "d.t", 0), left);
    }
}

/// One connection takes all while it has room; what does not fit goes on another, up to a bound, and later on one again.
#[tokio::test]
async fn a_full_connection_gets_company() {
    let scene = Scene::new().await;
    scene.faults(json!([{"rpc": "AppendRows", "times": 6, "action": {"delay": {"ms": 200}}}]));
    let large = || -> Vec<Vec<u8>> {
        let kafka_topic_id = Some("x".repeat(1 << 20));
        let row = Row { kafka_topic_id, kafka_partition: Some(9), kafka_offset: Some(0) };
        vec![row.encode_to_vec(); 9]
    };
    let mut writers: Vec<_> = (0..6).map(|_| writer(&scene.client, "t")).collect();
    for append in &mut writers {
        append.send(&schema(), large()).unwrap();
    }
    for append in &mut writers {
        assert_eq!(append.receive().await.unwrap().verdict, STORED);
    }
    let open = connections(&scene);
    assert!((2..=3).contains(&open), "{open} connections for 54 MB");
    for append in &mut writers {
        assert!(!write_all(append, 1, 0..1).await);
    }
    while connections(&scene) > 1 {
        tokio::task::yield_now().await;
    }
}

/// A connection that the service ends because nothing came on it is replaced without a word.
#[tokio::test]
async fn a_quiet_connection_is_replaced() {
    let scene = Scene::with(Settings::default(), super::scene::PATIENT).await;
    let mut append = writer(&scene.client, "t");
    assert!(!write_all(&mut append, 0, 0..1).await);
    scene.faults(json!([{"rpc": "AppendRows", "action": {"abort_idle": {"ms": 1}}}]));
    while connections(&scene) > 0 {
        tokio::task::yield_now().await;
    }
    scene.double.shared.world().faults = Default::default();
    while append.send(&schema(), vec![row(0, 1)]).is_err() {}
    while !matches!(append.receive().await, Ok(answer) if answer.verdict == STORED) {
        append.send(&schema(), vec![row(0, 1)]).unwrap();
    }
    assert!(offsets(&scene, "d.t", 0).starts_with(&[0, 1]));
}
