//! Faults: what each does to a call, and that a writer who follows the rules stores every row once.

use futures::channel::mpsc::unbounded;
use gcp_bigquery_client::google::cloud::bigquery::storage::v1 as storage;
use serde_json::json;
use storage::FinalizeWriteStreamRequest;
use storage::storage_error::StorageErrorCode as Storage;
use tonic::Code;

use super::scene::{Outcome, Scene, TABLE};
use bigquery_double::world::Settings;

const STORED_BEFORE: Outcome = Outcome::Refused(Code::AlreadyExists, Storage::OffsetAlreadyExists);

/// After a lost answer, the same request at the same offset finds that it was stored.
#[tokio::test]
async fn a_lost_answer_was_stored() {
    let mut scene = Scene::new().await;
    let stream = scene.committed().await;
    scene.faults(json!([{"rpc": "AppendRows", "after": 1, "action": "lose"}]));
    let mut appends = scene.append_to(&stream).await;
    assert_eq!(appends.append(&[0], Some(0)).await, Outcome::Stored(Some(0)));
    assert_eq!(appends.append(&[1], Some(1)).await, Outcome::Ended(Code::Unavailable));
    let mut appends = scene.append_to(&stream).await;
    assert_eq!(appends.append(&[1], Some(1)).await, STORED_BEFORE);
    assert_eq!(scene.ids(), [0, 1]);
}

/// A reset kills all calls of the TCP connection, before or after the append was applied.
#[tokio::test]
async fn a_reset_ends_every_call_of_its_connection() {
    for (action, is_stored) in [("reset_before", false), ("reset", true)] {
        let mut scene = Scene::new().await;
        let stream = scene.committed().await;
        let bystander = scene.committed().await;
        let mut idle = scene.append_to(&bystander).await;
        assert_eq!(idle.append(&[100], Some(0)).await, Outcome::Stored(Some(0)));
        scene.faults(json!([{"stream": stream, "action": action}]));
        let mut appends = scene.append_to(&stream).await;
        let Outcome::Ended(code) = appends.append(&[0], Some(0)).await else { panic!("{action}") };
        assert!([Code::Unknown, Code::Cancelled, Code::Unavailable].contains(&code), "{code:?}");
        assert!(idle.receive().await.is_err(), "its neighbour ends as well");

        scene.write = scene.other_client();
        let mut appends = scene.append_to(&stream).await;
        let expected = if is_stored { STORED_BEFORE } else { Outcome::Stored(Some(0)) };
        assert_eq!(appends.append(&[0], Some(0)).await, expected, "{action}");
        assert_eq!(scene.ids(), [100, 0]);
    }
}

/// Applied and never answered, or answered too late: only a deadline of the writer's own helps.
#[tokio::test]
async fn silence_says_nothing_about_what_is_stored() {
    for (action, is_stored) in [
        (json!("hang"), true),
        (json!({"delay_after": {"ms": 3_600_000}}), true),
        (json!({"delay": {"ms": 3_600_000}}), false),
    ] {
        let mut scene = Scene::new().await;
        let stream = scene.committed().await;
        scene.faults(json!([{"rpc": "AppendRows", "action": action}]));
        let mut appends = scene.append_to(&stream).await;
        let request = appends.request(&[0], Some(0));
        appends.send(request).await.unwrap();
        let taken = |scene: &Scene| scene.double.shared.world().faults.left().count() == 0;
        scene.until("the fault to strike", taken).await;
        if is_stored {
            scene.until("the row to be stored", |scene| scene.ids() == [0]).await;
        }
        assert!(appends.is_silent());
        let mut second = scene.append_to(&stream).await;
        let expected = if is_stored { STORED_BEFORE } else { Outcome::Stored(Some(0)) };
        assert_eq!(second.append(&[0], Some(0)).await, expected, "{action}");
        assert!(appends.is_silent());
        assert_eq!(scene.ids(), [0]);
    }
}

#[tokio::test]
async fn a_short_delay_only_delays() {
    let mut scene = Scene::new().await;
    let stream = scene.committed().await;
    scene.faults(json!([
        {"action": {"delay": {"ms": 1}}}, {"action": {"delay_after": {"ms": 1}}},
    ]));
    let mut appends = scene.append_to(&stream).await;
    for at in 0..3 {
        assert_eq!(appends.append(&[at], Some(at)).await, Outcome::Stored(Some(at)));
    }
}

/// Refused by the end of the call, or in an answer after which the connection goes on.
#[tokio::test]
async fn a_refused_append_is_not_stored() {
    let mut scene = Scene::new().await;
    let stream = scene.committed().await;
    let finalized = json!({"code": "INVALID_ARGUMENT", "storage": "STREAM_FINALIZED"});
    scene.faults(json!([
        {"rpc": "AppendRows", "action": {"refuse": {"code": "RESOURCE_EXHAUSTED"}}},
        {"rpc": "AppendRows", "action": {"refuse": {"code": "ABORTED", "message": "server is restarted"}}},
        {"rpc": "AppendRows", "action": {"refuse_in_band": {"code": "RESOURCE_EXHAUSTED"}}},
        {"rpc": "AppendRows", "action": {"refuse_in_band": finalized}},
    ]));
    let mut appends = scene.append_to(&stream).await;
    assert_eq!(appends.append(&[0], Some(0)).await, Outcome::Ended(Code::ResourceExhausted));
    let mut appends = scene.append_to(&stream).await;
    let request = appends.request(&[0], Some(0));
    let ended = appends.exchange(request).await.unwrap_err();
    assert_eq!((ended.code(), ended.message()), (Code::Aborted, "server is restarted"));
    let mut appends = scene.append_to(&stream).await;
    let refused = Outcome::Refused(Code::ResourceExhausted, Storage::Unspecified);
    assert_eq!(appends.append(&[0], Some(0)).await, refused);
    let refused = Outcome::Refused(Code::InvalidArgument, Storage::StreamFinalized);
    assert_eq!(appends.append(&[0], Some(0)).await, refused);
    assert_eq!(appends.append(&[0], Some(0)).await, Outcome::Stored(Some(0)));
    assert_eq!(scene.ids(), [0]);
}

#[tokio::test]
async fn a_throttle_refuses_what_is_above_the_rate() {
    let mut scene = Scene::new().await;
    let stream = scene.committed().await;
    scene.faults(
        json!([{"rpc": "AppendRows", "times": 1, "action": {"throttle": {"rows_per_second": 1}}}]),
    );
    let mut appends = scene.append_to(&stream).await;
    let ids: Vec<_> = (0..3_600).collect();
    assert_eq!(appends.append(&ids, Some(0)).await, Outcome::Stored(Some(0)), "an hour's worth");
    let refused = Outcome::Refused(Code::ResourceExhausted, Storage::Unspecified);
    assert_eq!(appends.append(&[3_600], Some(3_600)).await, refused);
    assert_eq!(appends.append(&[3_600], Some(3_600)).await, Outcome::Stored(Some(3_600)));
}

/// A connection that waits already is ended, too.
#[tokio::test]
async fn an_idle_connection_is_ended() {
    let mut scene = Scene::new().await;
    let stream = scene.committed().await;
    let mut appends = scene.append_to(&stream).await;
    assert_eq!(appends.append(&[0], Some(0)).await, Outcome::Stored(Some(0)));
    scene.faults(json!([{"rpc": "AppendRows", "action": {"abort_idle": {"ms": 1}}}]));
    let ended = appends.receive().await.unwrap_err();
    assert_eq!(ended.code(), Code::Aborted);
    assert!(ended.message().contains("inactive"), "{ended}");
}

/// What it stored stays; the stream itself is unknown from then on.
#[tokio::test]
async fn a_forgotten_stream_is_not_found() {
    let mut scene = Scene::new().await;
    let stream = scene.committed().await;
    let mut appends = scene.append_to(&stream).await;
    assert_eq!(appends.append(&[0], Some(0)).await, Outcome::Stored(Some(0)));
    scene.faults(json!([{"stream": stream, "action": "forget_stream"}]));
    assert_eq!(appends.append(&[1], Some(1)).await, Outcome::Ended(Code::NotFound));
    let request = FinalizeWriteStreamRequest { name: stream };
    let missing = scene.write.finalize_write_stream(request).await.unwrap_err();
    assert_eq!(missing.code(), Code::NotFound);
    assert_eq!(scene.ids(), [0]);
}

/// A new connection takes the end for an earlier one, which passes.
#[tokio::test]
async fn the_end_is_seen_late() {
    let mut scene = Scene::new().await;
    let stream = scene.committed().await;
    let mut appends = scene.append_to(&stream).await;
    for at in 0..2 {
        assert_eq!(appends.append(&[at], Some(at)).await, Outcome::Stored(Some(at)));
    }
    scene.faults(
        json!([{"rpc": "AppendRows", "times": 1, "action": {"late_end": {"ms": 3_600_000}}}]),
    );
    let mut second = scene.append_to(&stream).await;
    let beyond = Outcome::Refused(Code::OutOfRange, Storage::OffsetOutOfRange);
    assert_eq!(second.append(&[2], Some(2)).await, beyond);
    assert_eq!(second.append(&[2], Some(2)).await, Outcome::Stored(Some(2)));
}

/// Other calls of the Storage Write API take faults as well.
#[tokio::test]
async fn a_lost_finalize_is_repeated() {
    let mut scene = Scene::new().await;
    scene.faults(json!([
        {"rpc": "CreateWriteStream", "action": {"refuse": {"code": "PERMISSION_DENIED"}}},
        {"rpc": "FinalizeWriteStream", "action": "lose"},
    ]));
    let refused = scene.create(storage::write_stream::Type::Committed).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    let name = scene.committed().await;
    let request = FinalizeWriteStreamRequest { name: name.clone() };
    let lost = scene.write.finalize_write_stream(request.clone()).await.unwrap_err();
    assert_eq!(lost.code(), Code::Unavailable);
    let mut appends = scene.append_to(&name).await;
    let finalized = Outcome::Refused(Code::InvalidArgument, Storage::StreamFinalized);
    assert_eq!(appends.append(&[0], Some(0)).await, finalized, "it was applied");
    assert_eq!(scene.write.finalize_write_stream(request).await.unwrap().into_inner().row_count, 0);
    let codes: Vec<_> = scene
        .events("FinalizeWriteStream")
        .into_iter()
        .map(|event| (event.code, event.fault))
        .collect();
    assert_eq!(codes, [("OK".into(), Some("lose".into())), ("OK".into(), None)]);
}

/// Where headers wait for the first answer, a call that waits for them before it sends hangs, and one
/// that begins with its first request works.
#[tokio::test]
async fn headers_may_wait_for_the_first_answer() {
    for headers_with_first_answer in [false, true] {
        let settings = Settings { headers_with_first_answer, ..Settings::default() };
        let mut scene = Scene::with(settings).await;
        let stream = scene.committed().await;
        let (_requests, silent) = unbounded();
        let mut write = scene.other_client();
        let waiting = tokio::spawn(async move { write.append_rows(silent).await.map(drop) });
        let connected = |scene: &Scene| scene.double.shared.world().state()["connections"] == 1;
        scene.until("the call to arrive", connected).await;

        let mut appends = scene.append_to(&stream).await;
        assert_eq!(appends.append(&[0], Some(0)).await, Outcome::Stored(Some(0)));
        if headers_with_first_answer {
            assert!(!waiting.is_finished());
        } else {
            waiting.await.unwrap().unwrap();
        }
        let mut missing = scene.append_to(&format!("{TABLE}/streams/gone")).await;
        assert_eq!(missing.append(&[0], Some(0)).await, Outcome::Ended(Code::NotFound));
    }
}
