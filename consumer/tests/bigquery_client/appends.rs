//! Connections that append: what each answer and each end is taken for, and how many share a connection.

use bigquery_double::world::Settings;
use consumer::sink::bigquery::client::{Kind, Patience, Verdict};
use futures::FutureExt as _;
use gcp_bigquery_client::google::cloud::bigquery::storage::v1 as storage;
use serde_json::json;
use storage::append_rows_request::Rows;

use super::scene::{PATIENT, SHORT, Scene, exchange, receive, request, stored};

/// Each way for an append to get no answer: the outcome is unknown, and the same request tells it.
#[tokio::test]
async fn without_an_answer_the_same_request_tells_what_is_stored() {
    for (action, is_stored) in [
        (json!("lose"), true),
        (json!("hang"), true),
        (json!("reset"), true),
        (json!("reset_before"), false),
        (json!({"delay": {"ms": 3_600_000}}), false),
        (json!({"refuse": {"code": "ABORTED", "message": "server is restarted"}}), false),
    ] {
        let scene = Scene::new().await;
        let is_silent = action == "hang" || action.get("delay").is_some();
        let append = if is_silent { SHORT } else { PATIENT.append };
        let client = scene.client_with(Patience { append, ..PATIENT }).await;
        let stream = client.create_stream("t").await.unwrap();
        scene.faults(json!([{"rpc": "AppendRows", "action": action}]));
        let mut append = client.append(&stream);
        let lost = exchange(&mut append, request(&[5], 0)).await.unwrap_err();
        assert_eq!(lost.kind, Kind::Unknown, "{action}: {lost}");
        assert!(lost.is_transient() && lost.to_string().contains(&stream), "{lost}");
        assert_eq!(append.send(request(&[6], 1)).unwrap_err(), lost, "it has ended");
        assert_eq!(append.receive().await.unwrap_err(), lost);

        // After a reset the first call on the same connection may fail, too.
        let client = if is_silent { &scene.client } else { &client };
        let mut told = Err(lost);
        while told.is_err() {
            told = exchange(&mut client.append(&stream), request(&[5], 0)).await;
        }
        let expected = match is_stored {
            true => Verdict::AlreadyExists { expected: Some(1) },
            false => Verdict::Stored { offset: Some(0) },
        };
        assert_eq!(told.unwrap(), expected, "{action}");
        assert_eq!(scene.offsets(), [5]);
    }
}

/// A quota that ends the connection is told apart from trouble; so is a token that is not accepted.
#[tokio::test]
async fn an_end_says_why() {
    let scene = Scene::new().await;
    let stream = scene.client.create_stream("t").await.unwrap();
    for (code, expected) in [
        ("RESOURCE_EXHAUSTED", Kind::Throttled),
        ("UNAUTHENTICATED", Kind::Unauthenticated),
        ("PERMISSION_DENIED", Kind::Denied),
        ("INVALID_ARGUMENT", Kind::Refused),
    ] {
        scene.faults(json!([{"rpc": "AppendRows", "action": {"refuse": {"code": code}}}]));
        let ended = exchange(&mut scene.client.append(&stream), request(&[5], 0)).await;
        assert_eq!(ended.unwrap_err().kind, expected, "{code}");
    }
    assert_eq!(scene.offsets(), [0; 0]);
}

/// Refusals in an answer leave the connection as it is.
#[tokio::test]
async fn a_refused_request_is_answered_in_its_turn() {
    let scene = Scene::new().await;
    let stream = scene.client.create_stream("t").await.unwrap();
    let mut append = scene.client.append(&stream);
    scene.faults(json!([
        {"rpc": "AppendRows", "action": {"refuse_in_band": {"code": "RESOURCE_EXHAUSTED"}}},
        {"rpc": "AppendRows", "action": {"refuse_in_band": {"code": "INTERNAL"}}},
    ]));
    let mut bad_row = request(&[1, 2], 0);
    let Some(Rows::ProtoRows(data)) = &mut bad_row.rows else { panic!("rows") };
    data.rows.as_mut().unwrap().serialized_rows[1] = vec![0x0a, 0xff, 0xff];
    let mut large = request(&[1], 0);
    large.trace_id = "x".repeat(11 << 20);
    let mut unknown_field = request(&[1], 0);
    let Some(Rows::ProtoRows(data)) = &mut unknown_field.rows else { panic!("rows") };
    let schema = data.writer_schema.as_mut().unwrap().proto_descriptor.as_mut().unwrap();
    schema.field[0].name = Some("zzz".into());
    let requests =
        [request(&[1], 0), request(&[1], 0), bad_row, request(&[9], 9), large, request(&[1], 0)];
    for request in requests {
        append.send(request).unwrap();
    }
    let mut verdicts = Vec::new();
    for _ in 0..6 {
        verdicts.push(receive(&mut append).await.unwrap());
    }
    assert!(matches!(&verdicts[0], Verdict::Throttled(_)), "{verdicts:?}");
    assert!(matches!(&verdicts[1], Verdict::Unknown(_)), "{verdicts:?}");
    assert!(
        matches!(&verdicts[2], Verdict::RowsRefused(rows) if rows.len() == 1 && rows[0].0 == 1)
    );
    assert_eq!(verdicts[3], Verdict::OutOfRange { expected: Some(0) });
    assert!(matches!(&verdicts[4], Verdict::TooLarge(text) if text.contains("10485760")));
    assert_eq!(verdicts[5], Verdict::Stored { offset: Some(0) });
    let mismatch = exchange(&mut scene.client.append(&stream), unknown_field).await.unwrap();
    assert!(matches!(&mismatch, Verdict::SchemaMismatch(text) if text.contains("zzz")));
    assert_eq!(scene.offsets(), [1]);
}

/// Whoever waits for an answer may stop waiting, and gets it the next time.
#[tokio::test]
async fn an_answer_is_not_lost_on_who_stops_waiting() {
    for headers_with_first_answer in [false, true] {
        let settings = Settings { headers_with_first_answer, ..Settings::default() };
        let scene = Scene::with(settings, PATIENT).await;
        let stream = scene.client.create_stream("t").await.unwrap();
        let mut append = scene.client.append(&stream);
        assert!(append.receive().now_or_never().is_none(), "nothing was sent");
        for at in 0..5 {
            append.send(request(&[at], at)).unwrap();
        }
        let mut answers = Vec::new();
        while answers.len() < 5 {
            match append.receive().now_or_never() {
                Some(answer) => answers.push(answer.unwrap()),
                None => tokio::task::yield_now().await,
            }
        }
        assert_eq!(answers, [0, 1, 2, 3, 4].map(stored));
        assert!(append.receive().now_or_never().is_none(), "no more is to come");
    }
}

/// A quiet connection that the service ends is noticed by who waits for nothing.
#[tokio::test]
async fn the_end_of_a_quiet_connection_is_told() {
    let scene = Scene::new().await;
    let stream = scene.client.create_stream("t").await.unwrap();
    let mut append = scene.client.append(&stream);
    exchange(&mut append, request(&[0], 0)).await.unwrap();
    scene.faults(json!([{"rpc": "AppendRows", "action": {"abort_idle": {"ms": 1}}}]));
    let ended = append.receive().await.unwrap_err();
    assert_eq!(ended.kind, Kind::Unknown);
    assert!(ended.to_string().contains("inactive"), "{ended}");
}

/// New columns of the table are told by an answer.
#[tokio::test]
async fn new_columns_are_told() {
    let scene = Scene::new().await;
    let client = &scene.client;
    let stream = client.create_stream("t").await.unwrap();
    let mut append = client.append(&stream);
    append.send(request(&[0], 0)).unwrap();
    assert!(!append.receive().await.unwrap().has_new_columns);
    let found = client.table("t").await.unwrap().unwrap();
    let mut schema = serde_json::to_value(&found.schema).unwrap();
    schema["fields"].as_array_mut().unwrap().push(json!({"name": "more", "type": "STRING"}));
    let etag = found.etag;
    client.patch_table("t", &etag, &json!({"schema": schema})).await.unwrap();
    append.send(request(&[1], 1)).unwrap();
    assert!(append.receive().await.unwrap().has_new_columns);
}

/// A connection carries no more calls than the service allows: 120 appends are open and answered, and
/// what is no longer held is closed.
#[tokio::test]
async fn many_appends_are_spread_over_connections() {
    let scene = Scene::new().await;
    let client = &scene.client;
    let mut open = Vec::new();
    for at in 0..120 {
        let stream = client.create_stream("t").await.unwrap();
        let mut append = client.append(&stream);
        assert_eq!(
            exchange(&mut append, request(&[at], 0)).await.unwrap(),
            Verdict::Stored { offset: Some(0) }
        );
        open.push(append);
    }
    assert_eq!(scene.double.shared.world().state()["connections"], 120);
    assert_eq!(client.channels(), 3);
    drop(open.split_off(10));
    let stream = client.create_stream("t").await.unwrap();
    exchange(&mut client.append(&stream), request(&[120], 0)).await.unwrap();
    assert_eq!(client.channels(), 1);
    let last = open.last_mut().unwrap();
    assert_eq!(
        exchange(last, request(&[121], 1)).await.unwrap(),
        Verdict::Stored { offset: Some(1) }
    );
}
