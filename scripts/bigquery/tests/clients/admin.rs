//! The double's own pages, and the program.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use gcp_bigquery_client::google::cloud::bigquery::storage::v1::storage_error::StorageErrorCode;
use serde_json::{Value, json};

use super::scene::{Outcome, Scene, TABLE};

async fn page(scene: &Scene, path: &str) -> String {
    let url = format!("http://{}/admin/{path}", scene.double.rest);
    let answer = reqwest::Client::new().get(url).send().await.unwrap();
    answer.error_for_status().unwrap().text().await.unwrap()
}

async fn post(scene: &Scene, path: &str, body: &Value) -> u16 {
    let url = format!("http://{}/admin/{path}", scene.double.rest);
    reqwest::Client::new().post(url).json(body).send().await.unwrap().status().as_u16()
}

fn lines(page: &str) -> Vec<Value> {
    page.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Pages show what was stored, in which order and by whom.
#[tokio::test]
async fn pages_show_what_is_and_what_was() {
    let mut scene = Scene::new().await;
    let stream = scene.committed().await;
    let mut appends = scene.append_to(&stream).await;
    appends.append(&[5, 6], Some(0)).await;
    let rows = lines(&page(&scene, "rows?table=d.t").await);
    let row = |order, offset, id| json!({"order": order, "stream": stream, "offset": offset, "row": {"id": id, "name": null}});
    assert_eq!(rows, [row(1, 0, 5), row(2, 1, 6)]);

    let state: Value = serde_json::from_str(&page(&scene, "state").await).unwrap();
    assert_eq!(
        state["tables"],
        json!([{"table": TABLE, "rows": 2, "stored": 2, "schema_version": 1}])
    );
    let shown = json!([{"stream": stream, "kind": "COMMITTED", "finalized": false, "committed": false,
        "end": 2, "connections": 1, "trace_id": "test"}]);
    assert_eq!(state["streams"], shown);
    assert_eq!(state["calls"]["AppendRows"], json!({"OK": 1}));
    assert_eq!(state["max_request_bytes"], json!(scene.events("AppendRows")[0].bytes));

    let log = lines(&page(&scene, "log").await);
    let append = log.iter().find(|event| event["rpc"] == "AppendRows").unwrap();
    assert_eq!((&append["rows"], &append["offset"]), (&json!(2), &json!(0)));
    let params = format!("write_stream={}", stream.replace('/', "%2F"));
    assert_eq!(append["params"], json!(params), "how the call was routed");
}

/// Faults and settings are posted; what makes no sense is refused; a reset forgets everything.
#[tokio::test]
async fn faults_are_posted_and_forgotten() {
    let mut scene = Scene::new().await;
    let stream = scene.committed().await;
    let refuse = json!([{"rpc": "AppendRows", "action": {"refuse": {"code": "ABORTED"}}}]);
    assert_eq!(post(&scene, "faults", &refuse).await, 200);
    let mut appends = scene.append_to(&stream).await;
    assert_eq!(appends.append(&[0], Some(0)).await, Outcome::Ended(tonic::Code::Aborted));
    assert_eq!(post(&scene, "faults", &json!([{"action": "explode"}])).await, 400);
    assert_eq!(post(&scene, "settings", &json!({"schema_lag": 5})).await, 400);
    assert_eq!(post(&scene, "settings", &json!({"schema_lag_ms": 5})).await, 200);
    assert_eq!(scene.double.shared.world().settings.schema_lag_ms, 5);
    assert_eq!(post(&scene, "faults", &refuse).await, 200);
    assert_eq!(post(&scene, "reset", &json!(null)).await, 204);
    let state: Value = serde_json::from_str(&page(&scene, "state").await).unwrap();
    assert_eq!((&state["tables"], &state["faults"]), (&json!([]), &json!([])));
}

/// Whoever reads the log again and again gets each call once; a fault that would stay can be lifted.
#[tokio::test]
async fn the_log_goes_on_and_faults_are_lifted() {
    let mut scene = Scene::new().await;
    let last = |page: String| -> u64 {
        let line: Value = serde_json::from_str(page.lines().last().unwrap()).unwrap();
        line["number"].as_u64().unwrap()
    };
    let before = last(page(&scene, "log").await);
    let throttle = json!([{"rpc": "AppendRows", "action": {"throttle": {"rows_per_second": 0}}}]);
    assert_eq!(post(&scene, "faults", &throttle).await, 200);
    let stream = scene.committed().await;
    let mut appends = scene.append_to(&stream).await;
    let throttled = Outcome::Refused(tonic::Code::ResourceExhausted, StorageErrorCode::Unspecified);
    assert_eq!(appends.append(&[0], Some(0)).await, throttled);
    let url = format!("http://{}/admin/faults", scene.double.rest);
    let lifted = reqwest::Client::new().delete(url).send().await.unwrap();
    assert_eq!(lifted.status(), 204);
    let mut appends = scene.append_to(&stream).await;
    assert_eq!(appends.append(&[0], Some(0)).await, Outcome::Stored(Some(0)));
    let new = page(&scene, &format!("log?after={before}")).await;
    assert_eq!((new.lines().count(), last(new)), (3, before + 3));
}

/// The program says where it listens, one line each.
#[test]
fn the_program_prints_its_addresses() {
    let mut program =
        Command::new(env!("CARGO_BIN_EXE_bigquery-double")).stdout(Stdio::piped()).spawn().unwrap();
    let out = BufReader::new(program.stdout.take().unwrap());
    let lines: Vec<_> = out.lines().take(2).map(Result::unwrap).collect();
    program.kill().unwrap();
    program.wait().unwrap();
    for (line, name) in lines.iter().zip(["REST", "GRPC"]) {
        let prefix = format!("STOWAGE_TEST_BIGQUERY_{name}=http://127.0.0.1:");
        let port = line.strip_prefix(&prefix).and_then(|port| port.parse::<u16>().ok());
        assert!(port.is_some_and(|port| port > 0), "{line}");
    }
}
