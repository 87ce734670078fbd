//! Every call, as it goes when nothing goes wrong, and what is told of what is not there.

use bigquery_double::world::Settings;
use consumer::sink::bigquery::client::{Asked, Kind, Patched, StoredRows, Verdict};
use serde_json::{Value as Json, json};

use super::scene::{PATIENT, SHORT, Scene, TABLE, exchange, request, stored, table};

const ASKED: Asked<'_> = Asked { topic_id: "T", partition: 3, from: None };

#[tokio::test]
async fn a_table_is_made_found_and_changed() {
    let scene = Scene::new().await;
    let client = &scene.client;
    assert_eq!(client.dataset().await.unwrap().location.as_deref(), Some("US"));
    assert!(client.table("u").await.unwrap().is_none());
    let made = client.create_table(&table("u")).await.unwrap();
    let found = client.table("u").await.unwrap().unwrap();
    assert_eq!((Some(&found.etag), found.labels.len()), (made.etag.as_ref(), 1));
    assert_eq!(client.create_table(&table("u")).await.unwrap_err().kind, Kind::Duplicate);

    let etag = found.etag;
    let change = json!({"labels": {"made-by": "others"}, "description": "rows"});
    assert_eq!(client.patch_table("u", &etag, &change).await.unwrap(), Patched::Done);
    let changed = client.table("u").await.unwrap().unwrap();
    assert_eq!(changed.labels["made-by"], "others");
    assert_ne!(changed.etag, etag);
    let late = client.patch_table("u", &etag, &json!({"description": "late"})).await.unwrap();
    assert!(matches!(late, Patched::Conflict));
    let found = client.table("u").await.unwrap().unwrap();
    assert_eq!(found.description.as_deref(), Some("rows"));
}

#[tokio::test]
async fn rows_are_appended_counted_and_asked_for() {
    let scene = Scene::new().await;
    let client = &scene.client;
    let nothing = StoredRows { highest: None, rows: 0 };
    assert_eq!(client.stored("t", ASKED).await.unwrap(), nothing);

    let stream = client.create_stream("t").await.unwrap();
    let mut append = client.append(&stream);
    append.send(request(&[10, 11, 12], 0)).unwrap();
    append.send(request(&[20], 3)).unwrap();
    assert_eq!(append.unanswered(), 2);
    assert_eq!(append.receive().await.unwrap(), stored(0));
    assert_eq!(append.receive().await.unwrap(), stored(3));
    assert_eq!(append.unanswered(), 0);
    for _ in 0..2 {
        assert_eq!(client.finalize(&stream).await.unwrap(), 4);
    }
    assert_eq!(exchange(&mut append, request(&[21], 4)).await.unwrap(), Verdict::Finalized);

    let ask = |asked| client.stored("t", asked);
    assert_eq!(ask(ASKED).await.unwrap(), StoredRows { highest: Some(20), rows: 4 });
    let from = |from| Asked { from: Some(from), ..ASKED };
    assert_eq!(ask(from(12)).await.unwrap(), StoredRows { highest: Some(20), rows: 2 });
    assert_eq!(ask(from(21)).await.unwrap(), nothing);
    assert_eq!(ask(Asked { partition: 4, ..ASKED }).await.unwrap(), nothing);
    assert_eq!(ask(Asked { topic_id: "U", ..ASKED }).await.unwrap(), nothing);
}

/// The service routes calls by a header, knows who writes, and answers no query from its cache.
#[tokio::test]
async fn calls_say_what_the_service_wants_to_know() {
    let scene = Scene::new().await;
    let stream = scene.client.create_stream("t").await.unwrap();
    let mut append = scene.client.append(&stream);
    exchange(&mut append, request(&[1], 0)).await.unwrap();
    scene.client.finalize(&stream).await.unwrap();
    scene.client.stored("t", ASKED).await.unwrap();
    let params = |rpc: &str| scene.events(rpc)[0].params.clone().unwrap();
    let encoded = |name: &str| name.replace('/', "%2F");
    assert_eq!(params("CreateWriteStream"), format!("parent={}", encoded(TABLE)));
    assert_eq!(params("FinalizeWriteStream"), format!("name={}", encoded(&stream)));
    assert_eq!(params("AppendRows"), format!("write_stream={}", encoded(&stream)));
    let trace = scene.double.shared.world().state()["streams"][0]["trace_id"].clone();
    assert!(trace.as_str().unwrap().starts_with("stowage:"), "{trace}");
    assert_eq!(scene.events("jobs.query")[0].use_query_cache, Some(false));
}

/// A query that takes longer than one answer is waited for, and not for ever.
#[tokio::test]
async fn a_query_is_waited_for() {
    let settings = Settings { queries_unfinished: 3, ..Settings::default() };
    let scene = Scene::with(settings, PATIENT).await;
    let stream = scene.client.create_stream("t").await.unwrap();
    exchange(&mut scene.client.append(&stream), request(&[7], 0)).await.unwrap();
    let stored = scene.client.stored("t", ASKED).await.unwrap();
    assert_eq!(stored, StoredRows { highest: Some(7), rows: 1 });
    assert_eq!(scene.events("jobs.getQueryResults").len(), 3);

    scene.double.shared.world().settings.queries_unfinished = u32::MAX;
    let client = scene
        .client_with(consumer::sink::bigquery::client::Patience { query: SHORT, ..PATIENT })
        .await;
    let late = client.stored("t", ASKED).await.unwrap_err();
    assert!(late.is_transient() && late.to_string().contains("not done within"), "{late}");
}

#[tokio::test]
async fn what_is_not_there_is_told_by_name() {
    let scene = Scene::new().await;
    let client = &scene.client;
    for refused in [
        client.create_stream("nope").await.unwrap_err(),
        client.stored("nope", ASKED).await.unwrap_err(),
        client.patch_table("nope", "e", &Json::Null).await.unwrap_err(),
    ] {
        assert_eq!(refused.kind, Kind::NotFound, "{refused}");
        assert!(refused.to_string().contains("p.d.nope") && !refused.is_transient(), "{refused}");
    }
    let gone = format!("{TABLE}/streams/gone");
    let refused = client.finalize(&gone).await.unwrap_err();
    assert_eq!((refused.kind, refused.subject.as_str()), (Kind::NotFound, gone.as_str()));
    let mut append = client.append(&gone);
    assert_eq!(exchange(&mut append, request(&[1], 0)).await.unwrap(), Verdict::StreamGone);
    let after = append.send(request(&[2], 1)).unwrap_err();
    assert_eq!(after.kind, Kind::NotFound, "the connection has ended");

    scene.double.shared.reset();
    let told = client.dataset().await.unwrap_err().to_string();
    assert!(told.contains("p.d") && told.contains("--bigquery-dataset"), "{told}");
}
