//! REST by the Rust client: tables, insertAll, the query for the last offset, and its faults.

use gcp_bigquery_client::error::BQError;
use gcp_bigquery_client::model::dataset::Dataset;
use gcp_bigquery_client::model::query_request::QueryRequest;
use gcp_bigquery_client::model::query_response::ResultSet;
use gcp_bigquery_client::model::table_data_insert_all_request::TableDataInsertAllRequest;
use serde_json::json;

use tokio::time::timeout;

use super::scene::{PATIENCE, Scene};

fn status(error: &BQError) -> Option<(i64, String)> {
    match error {
        BQError::ResponseError { error } => {
            let reason = error.error.errors.first().and_then(|error| error.get("reason"));
            Some((error.error.code, reason.cloned().unwrap_or_default()))
        }
        _ => None,
    }
}

fn rows(rows: &[(&str, serde_json::Value)]) -> TableDataInsertAllRequest {
    let mut request = TableDataInsertAllRequest::new();
    for (insert_id, row) in rows {
        let insert_id = Some((*insert_id).to_owned()).filter(|id| !id.is_empty());
        request.add_row(insert_id, row).unwrap();
    }
    request
}

#[tokio::test]
async fn what_is_there_already_and_what_is_missing_are_told_apart() {
    let scene = Scene::new().await;
    let twice = scene.rest.dataset().create(Dataset::new("p", "d")).await.unwrap_err();
    assert_eq!(status(&twice), Some((409, "duplicate".into())));
    let missing = scene.rest.table().get("p", "d", "nope", None).await.unwrap_err();
    assert_eq!(status(&missing), Some((404, "notFound".into())));
    let table = scene.rest.table().get("p", "d", "t", None).await.unwrap();
    assert_eq!(table.schema.fields().as_ref().map(Vec::len), Some(2));
}

/// The body is gzipped, and an insert id keeps a repeated row out.
#[tokio::test]
async fn rows_are_inserted_and_the_last_offset_is_asked_for() {
    let scene = Scene::new().await;
    for _ in 0..2 {
        let request =
            rows(&[("1", json!({"id": 7, "name": "a"})), ("2", json!({"id": 9, "name": "b"}))]);
        let answer = scene.rest.tabledata().insert_all("p", "d", "t", request).await.unwrap();
        assert!(answer.insert_errors.is_none());
    }
    assert_eq!(scene.ids(), [7, 9]);
    let sql = "SELECT MAX(id) AS last FROM `p.d.t` WHERE name = 'a'";
    let mut request = QueryRequest::new(sql);
    request.use_query_cache = Some(false);
    let answer = scene.rest.job().query("p", request).await.unwrap();
    let mut found = ResultSet::new_from_query_response(answer);
    assert!(found.next_row());
    assert_eq!(found.get_i64_by_name("last").unwrap(), Some(7));
    let asked = &scene.events("jobs.query")[0];
    assert_eq!((asked.query.as_deref(), asked.use_query_cache), (Some(sql), Some(false)));
    let wrong =
        scene.rest.job().query("p", QueryRequest::new("SELECT * FROM d.t")).await.unwrap_err();
    assert_eq!(status(&wrong), Some((400, "invalidQuery".into())));
}

#[tokio::test]
async fn a_bad_row_is_named_inside_a_good_answer() {
    let scene = Scene::new().await;
    let request = || rows(&[("", json!({"id": 1})), ("", json!({"id": "abc"}))]);
    let answer = scene.rest.tabledata().insert_all("p", "d", "t", request()).await.unwrap();
    let errors = answer.insert_errors.unwrap();
    let named: Vec<_> = errors
        .iter()
        .map(|row| {
            let error = row.errors.as_ref().unwrap().first().unwrap();
            (row.index.unwrap(), error.reason.clone().unwrap())
        })
        .collect();
    assert_eq!(named, [(0, "stopped".into()), (1, "invalid".into())]);
    assert_eq!(scene.ids(), [0; 0]);
    let mut skipping = request();
    skipping.skip_invalid_rows();
    scene.rest.tabledata().insert_all("p", "d", "t", skipping).await.unwrap();
    assert_eq!(scene.ids(), [1]);
}

/// A status without a body that the client knows is lost to it: such an error says nothing.
#[tokio::test]
async fn faults_of_rest_are_seen_as_the_client_sees_them() {
    let scene = Scene::new().await;
    let quota = json!({"status": 403, "reason": "quotaExceeded"});
    scene.faults(json!([
        {"rpc": "insertAll", "table": "d.t", "action": {"http": quota}},
        {"rpc": "insertAll", "action": {"http": {"status": 503, "body": "html"}}},
        {"rpc": "insertAll", "action": {"http": {"status": 503, "body": "empty"}}},
        {"rpc": "insertAll", "action": {"refuse": {"code": "RESOURCE_EXHAUSTED"}}},
        {"rpc": "insertAll", "action": "reset_before"},
        {"rpc": "insertAll", "action": "reset"},
        {"rpc": "insertAll", "action": "lose"},
    ]));
    let mut seen = Vec::new();
    for id in 0..7 {
        let request = rows(&[("", json!({"id": id}))]);
        let inserted = scene.rest.tabledata();
        let inserted = timeout(PATIENCE, inserted.insert_all("p", "d", "t", request)).await;
        let failed = inserted.expect("an answer or an end").unwrap_err();
        seen.push((status(&failed), matches!(failed, BQError::RequestError(_))));
    }
    let told = |code, reason: &str| (Some((code, reason.to_owned())), false);
    assert_eq!(
        seen,
        [
            told(403, "quotaExceeded"),
            (None, true),
            (None, true),
            told(429, "rateLimitExceeded"),
            (None, true),
            (None, true),
            told(503, "backendError"),
        ]
    );
    assert_eq!(scene.ids(), [5, 6], "what was reset or lost after it was applied");
}
