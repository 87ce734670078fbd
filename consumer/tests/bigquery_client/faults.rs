//! Faults of single calls: what is tried again until it works, what is not, and for how long.

use bigquery_double::world::Settings;
use consumer::sink::bigquery::client::{
    Asked, CallError, Client, Kind, Patched, Patience, StoredRows,
};
use serde_json::{Value as Json, json};

use super::scene::{PATIENT, SHORT, Scene, table};

const ASKED: Asked<'_> = Asked { topic_id: "T", partition: 3, from: None };

/// Asks for everything once.
async fn everything(client: &Client) -> Result<(), CallError> {
    client.dataset().await?;
    let table = client.table("t").await?.expect("a table");
    let etag = table.etag;
    client.patch_table("t", &etag, &json!({"description": "d"})).await?;
    assert_eq!(client.stored("t", ASKED).await?, StoredRows { highest: None, rows: 0 });
    let stream = client.create_stream("t").await?;
    assert_eq!(client.finalize(&stream).await?, 0);
    Ok(())
}

const REST: [&str; 4] = ["datasets.get", "tables.get", "tables.patch", "jobs.query"];
const GRPC: [&str; 2] = ["CreateWriteStream", "FinalizeWriteStream"];

/// Trouble that passes: as the service has it, as what stands before it words it, and as the network
/// has it, before and after the call was applied.
fn passing_troubles() -> Vec<Json> {
    let http = |status: u16, body: &str, reason: &str| json!({"http": {"status": status, "body": body, "reason": reason}});
    vec![
        http(503, "json", "backendError"),
        http(500, "json", "internalError"),
        http(503, "html", ""),
        http(502, "empty", ""),
        http(403, "json", "quotaExceeded"),
        http(403, "json", "rateLimitExceeded"),
        json!({"refuse": {"code": "RESOURCE_EXHAUSTED"}}),
        json!({"refuse": {"code": "UNAUTHENTICATED"}}),
        json!({"refuse": {"code": "UNAVAILABLE"}}),
        json!({"refuse": {"code": "INTERNAL"}}),
        json!("reset_before"),
        json!("reset"),
        json!("lose"),
    ]
}

/// All that may be asked twice is asked until it is answered; of a change whose answer was lost, the
/// next attempt finds that the table is another one.
#[tokio::test]
async fn trouble_that_passes_is_waited_out() {
    let scene = Scene::new().await;
    for trouble in passing_troubles() {
        let faults =
            REST.iter().chain(&GRPC).map(|rpc| json!({"rpc": rpc, "times": 2, "action": trouble}));
        scene.faults(faults.collect());
        everything(&scene.client).await.unwrap_or_else(|error| panic!("{trouble}: {error}"));
        assert_eq!(scene.faults_left(), 0, "{trouble}");
    }
}

/// An answer that never comes is given up, and asked for again.
#[tokio::test]
async fn silence_is_given_up() {
    let scene = Scene::new().await;
    let client = scene.client_with(Patience { answer: SHORT, ..PATIENT }).await;
    let faults = REST.iter().chain(&GRPC).map(|rpc| json!({"rpc": rpc, "action": "hang"}));
    scene.faults(faults.collect());
    everything(&client).await.unwrap();
    assert_eq!(scene.faults_left(), 0);
}

/// What is refused for good is asked for once.
#[tokio::test]
async fn a_refusal_is_not_repeated() {
    let scene = Scene::new().await;
    for (action, expected, says) in [
        (
            json!({"http": {"status": 403, "reason": "accessDenied"}}),
            Kind::Denied,
            "bigquery.datasets.get",
        ),
        (json!({"http": {"status": 403, "reason": "billingNotEnabled"}}), Kind::Refused, "billing"),
        (json!({"http": {"status": 400, "reason": "invalid"}}), Kind::Refused, "400"),
        (
            json!({"http": {"status": 404, "reason": "notFound"}}),
            Kind::NotFound,
            "--bigquery-dataset",
        ),
    ] {
        let before = scene.events("datasets.get").len();
        scene.faults(json!([{"rpc": "datasets.get", "action": action}]));
        let refused = scene.client.dataset().await.unwrap_err();
        assert_eq!(refused.kind, expected, "{refused}");
        assert!(refused.to_string().contains(says), "{refused}");
        assert_eq!(scene.events("datasets.get").len(), before + 1);
    }
    scene.faults(json!([
        {"rpc": "CreateWriteStream", "action": {"refuse": {"code": "PERMISSION_DENIED"}}},
        {"rpc": "tables.patch", "action": {"http": {"status": 403, "reason": "accessDenied"}}},
        {"rpc": "tables.patch", "action": {"http": {"status": 403, "body": "html"}}},
    ]));
    let denied = scene.client.create_stream("t").await.unwrap_err();
    assert_eq!(denied.kind, Kind::Denied);
    assert!(denied.to_string().contains("bigquery.tables.updateData"), "{denied}");
    let patch = || async { scene.client.patch_table("t", "e", &json!({})).await.unwrap_err() };
    assert_eq!(patch().await.kind, Kind::Denied);
    let page = patch().await;
    assert_eq!(page.kind, Kind::Refused, "the status of a page counts");
    assert!(page.to_string().contains("403"), "{page}");
    assert_eq!(scene.events("CreateWriteStream").len(), 1);
}

/// Trouble that does not pass is told as what it is, after a bounded time.
#[tokio::test]
async fn attempts_end() {
    let scene = Scene::new().await;
    let client = scene.client_with(Patience { retries: SHORT, ..PATIENT }).await;
    for (action, expected) in [
        (json!({"refuse": {"code": "RESOURCE_EXHAUSTED"}}), Kind::Throttled),
        (json!({"refuse": {"code": "UNAUTHENTICATED"}}), Kind::Unauthenticated),
        (json!({"refuse": {"code": "UNAVAILABLE"}}), Kind::Unknown),
    ] {
        for rpc in ["tables.get", "FinalizeWriteStream"] {
            scene.faults(json!([{"rpc": rpc, "times": 0, "action": action}]));
        }
        let rest = client.table("t").await.unwrap_err();
        let grpc = client.finalize("projects/p/datasets/d/tables/t/streams/s").await.unwrap_err();
        for error in [rest, grpc] {
            assert_eq!(error.kind, expected, "{error}");
            assert!(error.is_transient());
            assert_eq!(error.is_throttled(), expected == Kind::Throttled);
        }
        scene.double.shared.world().faults = Default::default();
    }
    assert!(scene.events("tables.get").len() > 3, "one attempt each is not enough");
}

/// A table that was created although the answer was lost is there already for the next attempt; a
/// change is there under another ETag.
#[tokio::test]
async fn what_was_done_unseen_is_found() {
    let scene = Scene::with(Settings::default(), PATIENT).await;
    scene.faults(json!([
        {"rpc": "tables.insert", "action": "reset"}, {"rpc": "tables.patch", "action": "lose"},
    ]));
    let client = &scene.client;
    assert_eq!(client.create_table(&table("u")).await.unwrap_err().kind, Kind::Duplicate);
    let etag = client.table("u").await.unwrap().unwrap().etag;
    let change = json!({"description": "ours"});
    assert!(matches!(client.patch_table("u", &etag, &change).await.unwrap(), Patched::Conflict));
    let found = client.table("u").await.unwrap().unwrap();
    assert_eq!(found.description.as_deref(), Some("ours"));
}
