//! insertAll: what each answer is taken for, and what is repeated.

use consumer::sink::bigquery::client::{
    Client, INSERT_BYTES_MAX, InsertRows, Kind, Patience, Verdict,
};
use gcp_bigquery_client::model::table_data_insert_all_request_rows::TableDataInsertAllRequestRows;
use serde_json::{Value as Json, json};

use super::scene::{PATIENT, SHORT, Scene};

const STORED: Verdict = Verdict::Stored { offset: None };

fn rows(offsets: impl IntoIterator<Item = i64>) -> InsertRows {
    let row =
        |offset: i64| of_json(&offset.to_string(), json!({"kafka_offset": offset.to_string()}));
    offsets.into_iter().map(row).collect()
}

fn of_json(id: &str, json: Json) -> TableDataInsertAllRequestRows {
    TableDataInsertAllRequestRows { insert_id: Some(format!("T/3/{id}")), json }
}

async fn insert(client: &Client, rows: InsertRows) -> Verdict {
    client.insert_all("t", rows).await.unwrap()
}

/// Whatever comes between, rows are asked for again until they are answered for, and insert ids keep them single.
#[tokio::test]
async fn trouble_that_passes_is_waited_out_and_doubles_nothing() {
    let http = |status: u16, body: &str, reason: &str| json!({"http": {"status": status, "body": body, "reason": reason}});
    for trouble in [
        http(503, "html", ""),
        http(502, "empty", ""),
        http(503, "json", "backendError"),
        http(403, "json", "quotaExceeded"),
        http(403, "json", "rateLimitExceeded"),
        json!({"refuse": {"code": "RESOURCE_EXHAUSTED"}}),
        json!({"refuse": {"code": "UNAUTHENTICATED"}}),
        json!("reset_before"),
        json!("reset"),
        json!("lose"),
    ] {
        let scene = Scene::new().await;
        scene.faults(json!([{"rpc": "insertAll", "times": 2, "action": trouble}]));
        assert_eq!(insert(&scene.client, rows(0..3)).await, STORED, "{trouble}");
        assert_eq!(scene.faults_left(), 0, "{trouble}");
        assert_eq!(scene.offsets(), [0, 1, 2], "{trouble}");
    }
    let scene = Scene::new().await;
    scene.faults(json!([{"rpc": "insertAll", "action": "hang"}]));
    let client = scene.client_with(Patience { answer: SHORT, ..PATIENT }).await;
    assert_eq!(insert(&client, rows(0..3)).await, STORED);
    assert_eq!(scene.offsets(), [0, 1, 2]);
}

/// A bad row is named, and nothing beside it is stored.
#[tokio::test]
async fn bad_rows_are_named() {
    let scene = Scene::new().await;
    let mut some = rows(0..4);
    some[1].json = json!({"kafka_offset": "x"});
    some[3].json = json!({"kafka_partition": {}});
    let refused = insert(&scene.client, some.clone()).await;
    let Verdict::RowsRefused(named) = refused else { panic!("{refused:?}") };
    assert_eq!(named.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [1, 3]);
    assert!(named[0].1.contains("kafka_offset"), "{named:?}");
    assert_eq!(scene.offsets(), [0; 0]);
    some.push(of_json("9", json!({"zzz": 1})));
    let unknown = insert(&scene.client, some).await;
    assert!(
        matches!(&unknown, Verdict::SchemaMismatch(text) if text.contains("zzz")),
        "{unknown:?}"
    );
}

/// What the service would not take is not sent; just below that it takes it.
#[tokio::test]
async fn a_request_is_no_larger_than_is_taken() {
    let scene = Scene::new().await;
    let of_bytes = |bytes: usize| vec![of_json("1", json!({"kafka_topic_id": "x".repeat(bytes)}))];
    let verdict = insert(&scene.client, of_bytes(INSERT_BYTES_MAX)).await;
    assert!(matches!(verdict, Verdict::TooLarge(_)), "{verdict:?}");
    assert!(scene.events("insertAll").is_empty());
    assert_eq!(insert(&scene.client, of_bytes(INSERT_BYTES_MAX - 200)).await, STORED);
}

/// What is refused for good is told as that, once; what does not pass, after a bounded time.
#[tokio::test]
async fn refusals_are_told_by_name() {
    let scene = Scene::new().await;
    let denied = json!({"http": {"status": 403, "reason": "accessDenied"}});
    scene.faults(json!([{"rpc": "insertAll", "action": denied}]));
    let denied = scene.client.insert_all("t", rows(0..1)).await.unwrap_err();
    assert_eq!(denied.kind, Kind::Denied);
    assert!(denied.to_string().contains("bigquery.tables.updateData"), "{denied}");
    let missing = scene.client.insert_all("nope", rows(0..1)).await.unwrap_err();
    assert_eq!(missing.kind, Kind::NotFound);
    assert!(missing.to_string().contains("p.d.nope"), "{missing}");
    assert_eq!(scene.events("insertAll").len(), 2);
    let client = scene.client_with(Patience { retries: SHORT, ..PATIENT }).await;
    let slow = json!({"refuse": {"code": "RESOURCE_EXHAUSTED"}});
    scene.faults(json!([{"rpc": "insertAll", "times": 0, "action": slow}]));
    let throttled = client.insert_all("t", rows(0..1)).await.unwrap_err();
    assert!(throttled.is_throttled() && throttled.is_transient(), "{throttled}");
}
