//! Appends, offsets, finalizing: what a writer relies on.

use gcp_bigquery_client::google::cloud::bigquery::storage::v1 as storage;
use gcp_bigquery_client::google::rpc;
use prost::Message as _;
use storage::append_rows_request::{MissingValueInterpretation, Rows};
use storage::storage_error::StorageErrorCode as Storage;
use storage::write_stream::Type;
use storage::{
    BatchCommitWriteStreamsRequest, FinalizeWriteStreamRequest, FlushRowsRequest,
    GetWriteStreamRequest,
};
use tonic::Code;

use super::scene::{Outcome, Scene, TABLE, descriptor, outcome, storage_code, widened};
use bigquery_double::world::Settings;

async fn finalize(scene: &mut Scene, stream: &str) -> i64 {
    let request = FinalizeWriteStreamRequest { name: stream.into() };
    scene.write.finalize_write_stream(request).await.unwrap().into_inner().row_count
}

/// Each offset is stored once, and a finalized stream stores nothing.
#[tokio::test]
async fn a_stream_stores_each_offset_once_until_it_is_finalized() {
    let mut scene = Scene::new().await;
    let stream = scene.committed().await;
    let mut appends = scene.append_to(&stream).await;
    assert_eq!(appends.append(&[0, 1, 2], Some(0)).await, Outcome::Stored(Some(0)));
    assert_eq!(appends.append(&[3], Some(3)).await, Outcome::Stored(Some(3)));
    let exists = Outcome::Refused(Code::AlreadyExists, Storage::OffsetAlreadyExists);
    assert_eq!(appends.append(&[3], Some(3)).await, exists);
    let beyond = Outcome::Refused(Code::OutOfRange, Storage::OffsetOutOfRange);
    assert_eq!(appends.append(&[9], Some(9)).await, beyond);

    let mut other = scene.append_to(&stream).await;
    assert_eq!(other.append(&[0, 1, 2], Some(0)).await, exists);
    assert_eq!(other.append(&[4], Some(4)).await, Outcome::Stored(Some(4)));

    assert_eq!(finalize(&mut scene, &stream).await, 5);
    let finalized = Outcome::Refused(Code::InvalidArgument, Storage::StreamFinalized);
    assert_eq!(appends.append(&[5], Some(5)).await, finalized);
    assert_eq!(other.append(&[5], None).await, finalized);
    assert_eq!(
        appends.append(&[4], Some(4)).await,
        finalized,
        "that it is final comes before offsets"
    );
    assert_eq!(scene.ids(), [0, 1, 2, 3, 4]);
}

/// Size, stream, schema, finalized, offset, rows: the first that applies is what is answered.
#[tokio::test]
async fn checks_come_in_one_order() {
    let mut scene = Scene::new().await;
    let stream = scene.committed().await;
    let missing = format!("{TABLE}/streams/gone");
    let corrupt = |request: &mut storage::AppendRowsRequest| {
        let Some(Rows::ProtoRows(data)) = &mut request.rows else { panic!("rows") };
        data.rows.as_mut().unwrap().serialized_rows = vec![vec![0xff; 3]];
    };
    let misfit = |request: &mut storage::AppendRowsRequest| {
        let Some(Rows::ProtoRows(data)) = &mut request.rows else { panic!("rows") };
        data.writer_schema.as_mut().unwrap().proto_descriptor = Some(descriptor(&["id", "zzz"]));
    };
    let inflate = |request: &mut storage::AppendRowsRequest| {
        request.trace_id = "x".repeat(11 << 20);
    };

    let mut appends = scene.append_to(&stream).await;
    let mut request = appends.request(&[7], Some(7));
    corrupt(&mut request);
    misfit(&mut request);
    let answer = appends.exchange(request).await.unwrap();
    let mismatch = Outcome::Refused(Code::InvalidArgument, Storage::SchemaMismatchExtraFields);
    assert_eq!(outcome(&answer), mismatch);

    let mut appends = scene.append_to(&stream).await;
    let mut request = appends.request(&[7], Some(7));
    corrupt(&mut request);
    let answer = appends.exchange(request).await.unwrap();
    let beyond = Outcome::Refused(Code::OutOfRange, Storage::OffsetOutOfRange);
    assert_eq!((outcome(&answer), answer.row_errors.len()), (beyond, 0));

    let mut appends = scene.append_to(&missing).await;
    let mut request = appends.request(&[7], Some(7));
    corrupt(&mut request);
    misfit(&mut request);
    let ended = appends.exchange(request).await.unwrap_err();
    assert_eq!(ended.code(), Code::NotFound);
    let detail = rpc::Status::decode(ended.details()).unwrap();
    assert_eq!(storage_code(&detail), Storage::StreamNotFound);

    let mut appends = scene.append_to(&missing).await;
    let mut request = appends.request(&[7], Some(7));
    inflate(&mut request);
    let answer = appends.exchange(request).await.unwrap();
    let too_large = Outcome::Refused(Code::InvalidArgument, Storage::Unspecified);
    assert_eq!(outcome(&answer), too_large);

    finalize(&mut scene, &stream).await;
    let mut appends = scene.append_to(&stream).await;
    let mut request = appends.request(&[7], Some(7));
    corrupt(&mut request);
    let answer = appends.exchange(request).await.unwrap();
    let finalized = Outcome::Refused(Code::InvalidArgument, Storage::StreamFinalized);
    assert_eq!(outcome(&answer), finalized);
    assert_eq!(scene.ids(), [0; 0]);
}

/// A bad row is named by its index, and no row of its request is stored.
#[tokio::test]
async fn a_bad_row_keeps_all_rows_out() {
    let mut scene = Scene::new().await;
    let stream = scene.committed().await;
    let mut appends = scene.append_to(&stream).await;
    let mut request = appends.request(&[0, 1, 2, 3], Some(0));
    let Some(Rows::ProtoRows(data)) = &mut request.rows else { panic!("rows") };
    for bad in [1, 3] {
        data.rows.as_mut().unwrap().serialized_rows[bad] = vec![0x0a, 0xff, 0xff];
    }
    let answer = appends.exchange(request).await.unwrap();
    let named: Vec<_> = answer.row_errors.iter().map(|error| (error.index, error.code)).collect();
    assert_eq!(named, [(1, 1), (3, 1)]);
    assert_eq!(scene.ids(), [0; 0]);
    assert_eq!(appends.append(&[0, 2], Some(0)).await, Outcome::Stored(Some(0)), "the same offset");
}

/// The columns that the Storage Write API knows are those of REST, `schema_lag_ms` ago.
#[tokio::test]
async fn a_new_column_is_known_later_and_then_told() {
    let settings = Settings { schema_lag_ms: 3_600_000, ..Settings::default() };
    let mut scene = Scene::with(settings).await;
    let stream = scene.committed().await;
    let mut appends = scene.append_to(&stream).await;
    assert_eq!(appends.append(&[0], Some(0)).await, Outcome::Stored(Some(0)));
    let http = reqwest::Client::new();
    let url = format!("{}/projects/p/datasets/d/tables/t", scene.double.rest_url());
    assert!(http.patch(url).json(&widened()).send().await.unwrap().status().is_success());

    let mut wide = scene.append_to(&stream).await;
    let wider = |request: &mut storage::AppendRowsRequest| {
        let Some(Rows::ProtoRows(data)) = &mut request.rows else { panic!("rows") };
        let schema = data.writer_schema.get_or_insert_default();
        schema.proto_descriptor = Some(descriptor(&["id", "name", "more"]));
    };
    let mut request = wide.request(&[1], Some(1));
    wider(&mut request);
    let mismatch = Outcome::Refused(Code::InvalidArgument, Storage::SchemaMismatchExtraFields);
    let answer = wide.exchange(request.clone()).await.unwrap();
    assert_eq!(outcome(&answer), mismatch);

    scene.double.shared.world().settings.schema_lag_ms = 0;
    let answer = wide.exchange(request).await.unwrap();
    assert_eq!(outcome(&answer), Outcome::Stored(Some(1)));
    let told = |answer: storage::AppendRowsResponse| answer.updated_schema.map(|s| s.fields.len());
    assert_eq!(told(answer), Some(3));
    let mut request = appends.request(&[2], Some(2));
    assert_eq!(told(appends.exchange(request.clone()).await.unwrap()), Some(3), "each connection");
    request.offset = Some(3);
    assert_eq!(told(appends.exchange(request).await.unwrap()), None, "once");
}

/// Rows of a pending stream are seen when it is committed, and not before.
#[tokio::test]
async fn pending_and_buffered_rows_are_seen_later() {
    let mut scene = Scene::new().await;
    let pending = scene.create(Type::Pending).await.unwrap();
    let buffered = scene.create(Type::Buffered).await.unwrap();
    for stream in [&pending, &buffered] {
        let mut appends = scene.append_to(stream).await;
        assert_eq!(appends.append(&[0, 1, 2], Some(0)).await, Outcome::Stored(Some(0)));
    }
    assert_eq!(scene.ids(), [0; 0]);
    let flush = |offset| FlushRowsRequest { write_stream: buffered.clone(), offset };
    let beyond = scene.write.flush_rows(flush(Some(3))).await.unwrap_err();
    assert_eq!(beyond.code(), Code::OutOfRange);
    assert_eq!(scene.write.flush_rows(flush(Some(1))).await.unwrap().into_inner().offset, 1);
    assert_eq!(scene.ids(), [0, 1], "up to the offset and with it");
    for repeated in [0, 1] {
        scene.write.flush_rows(flush(Some(repeated))).await.unwrap();
    }
    assert_eq!(scene.ids(), [0, 1]);

    let commit = |streams: &[&String]| BatchCommitWriteStreamsRequest {
        parent: TABLE.into(),
        write_streams: streams.iter().map(|stream| (*stream).clone()).collect(),
    };
    let codes = |answer: storage::BatchCommitWriteStreamsResponse| {
        assert_eq!(answer.commit_time.is_some(), answer.stream_errors.is_empty());
        answer.stream_errors.iter().map(storage::StorageError::code).collect::<Vec<_>>()
    };
    let unfinished = scene.write.batch_commit_write_streams(commit(&[&pending])).await.unwrap();
    assert_eq!(codes(unfinished.into_inner()), [Storage::InvalidStreamState]);
    finalize(&mut scene, &pending).await;
    let gone = format!("{TABLE}/streams/gone");
    let request = commit(&[&pending, &buffered, &gone]);
    let mixed = scene.write.batch_commit_write_streams(request).await.unwrap();
    let expected = [Storage::InvalidStreamType, Storage::StreamNotFound];
    assert_eq!(codes(mixed.into_inner()), expected);
    assert_eq!(scene.ids(), [0, 1], "all or none");
    let whole = scene.write.batch_commit_write_streams(commit(&[&pending])).await.unwrap();
    assert_eq!(codes(whole.into_inner()), []);
    assert_eq!(scene.ids(), [0, 1, 0, 1, 2]);
    let again = scene.write.batch_commit_write_streams(commit(&[&pending])).await.unwrap();
    assert_eq!(codes(again.into_inner()), [Storage::StreamAlreadyCommitted]);
}

/// The default stream takes any number of connections and no offset, and answers none.
#[tokio::test]
async fn the_default_stream_has_no_offsets() {
    let mut scene = Scene::new().await;
    let default = format!("{TABLE}/_default");
    let mut one = scene.append_to(&default).await;
    let mut other = scene.append_to(&default).await;
    for appends in [&mut one, &mut other] {
        assert_eq!(appends.append(&[1], None).await, Outcome::Stored(None));
    }
    let refused = Outcome::Refused(Code::InvalidArgument, Storage::Unspecified);
    assert_eq!(one.append(&[1], Some(0)).await, refused);
    let request = FinalizeWriteStreamRequest { name: default.clone() };
    let refused = scene.write.finalize_write_stream(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let request = GetWriteStreamRequest { name: default, view: 1 };
    let shown = scene.write.get_write_stream(request).await.unwrap().into_inner();
    assert_eq!((shown.r#type(), shown.table_schema), (Type::Committed, None));
    assert_eq!(scene.ids(), [1, 1]);
}

/// An absent field is NULL, or the column's default where the request asks for it.
#[tokio::test]
async fn absent_is_not_zero() {
    let mut scene = Scene::new().await;
    let body = serde_json::json!({"schema": {"fields": [
        {"name": "id", "type": "INTEGER"},
        {"name": "name", "type": "STRING", "defaultValueExpression": "'unknown'"},
    ]}});
    let url = format!("{}/projects/p/datasets/d/tables/t", scene.double.rest_url());
    reqwest::Client::new().patch(url).json(&body).send().await.unwrap().error_for_status().unwrap();
    let stream = scene.committed().await;
    let mut appends = scene.append_to(&stream).await;
    appends.append(&[0], Some(0)).await;
    let mut request = appends.request(&[1], Some(1));
    request.default_missing_value_interpretation = MissingValueInterpretation::DefaultValue.into();
    appends.exchange(request).await.unwrap();
    let rows = scene.double.shared.world().rows("t").unwrap();
    let names: Vec<_> = rows.iter().map(|row| row["row"]["name"].clone()).collect();
    assert_eq!(names, [serde_json::Value::Null, "unknown".into()]);
}
