//! How a partition is opened, written and refused, one case at a time.

use std::collections::BTreeMap;
use std::sync::Arc;

use common::position::{HandOver, Position};
use common::term::Term;
use consumer::decode::{DeadLetterReason, Decoder};
use consumer::sink::bigquery::frame_columns::frame_columns;
use consumer::sink::{
    BlockedReason, Condemned, OpenRequest, Opened, SinkError, Stored, Table, Writer,
};
use serde_json::json;

use crate::owner::{decoder, partition, records, request, retry, source, topic_id, write};
use crate::scene::Scene;

fn numbers(offsets: std::ops::Range<u64>) -> Arc<Vec<consumer::record::RawRecord>> {
    records(offsets, |offset| format!("{{\"n\":{offset}}}"))
}

fn unclean(opened: &Opened) -> HandOver {
    HandOver { position: Some(opened.position), ..HandOver::default() }
        .after_unclean_end(&opened.tokens)
}

async fn open(table: &Table, hand_over: Option<HandOver>) -> Opened {
    let request = OpenRequest { hand_over, ..request(Term::new(1, 1)) };
    retry(async || table.open(request.clone()).await).await.unwrap()
}

async fn store(table: &Table, writer: &mut Writer, offsets: std::ops::Range<u64>) -> Stored {
    write(table, writer, offsets.start, numbers(offsets)).await.unwrap()
}

/// The first owner finds an empty table; who follows a clean one asks nothing, who follows another ends
/// its stream and asks where its rows end, past the query cache.
#[tokio::test]
async fn only_an_unclean_end_is_asked_about() {
    let scene = Scene::new().await;
    let table = scene.table(1).await;
    let mut first = open(&table, None).await;
    assert_eq!((first.position.offset, first.tokens.len()), (0, 1));
    assert_eq!(first.position.table_id, table.id());
    let stored = store(&table, &mut first.writer, 0..7).await;
    assert_eq!((stored.rows, stored.position.offset), (7, 7));
    assert!(first.writer.close());
    let position = Some(stored.position);
    let clean = HandOver { position, clean: true, tokens: first.tokens, release: None };
    let asked = scene.events("jobs.query").len();
    let mut second = open(&*scene.table(2).await, Some(clean)).await;
    assert_eq!(second.position.offset, 7);
    assert_eq!(scene.events("jobs.query").len(), asked, "after a clean end");
    store(&table, &mut second.writer, 7..9).await;
    let hand_over = HandOver { position: None, ..unclean(&second) };
    let third = open(&*scene.table(3).await, Some(hand_over)).await;
    assert_eq!(third.position.offset, 9);
    let queries = scene.events("jobs.query");
    assert_eq!(queries.len(), asked + 1);
    assert_eq!(queries[asked].use_query_cache, Some(false));
}

/// An owner that wakes up after another one opened the partition stores nothing more.
#[tokio::test]
async fn a_late_owner_is_fenced() {
    let scene = Scene::new().await;
    let table = scene.table(1).await;
    let mut late = open(&table, None).await;
    store(&table, &mut late.writer, 0..3).await;
    let hand_over = unclean(&late);
    let mut next = open(&*scene.table(2).await, Some(hand_over)).await;
    assert_eq!(next.position.offset, 3);
    let fenced = write(&table, &mut late.writer, 3, numbers(3..5)).await.unwrap_err();
    assert!(matches!(fenced, SinkError::StreamFinalized { .. }) && fenced.is_fence(), "{fenced:?}");
    store(&table, &mut next.writer, 3..6).await;
    assert_eq!(scene.offsets(), (0..6).collect::<Vec<_>>());
}

/// The position that is known to be stored counts where the table has no row: dead letters, say.
#[tokio::test]
async fn what_is_known_to_be_stored_is_not_read_again() {
    let scene = Scene::new().await;
    let table = scene.table(1).await;
    let mut first = open(&table, None).await;
    store(&table, &mut first.writer, 0..2).await;
    let position = Position { offset: 5, ..first.position };
    let hand_over = HandOver { position: Some(position), ..unclean(&first) };
    assert_eq!(open(&table, Some(hand_over)).await.position.offset, 5);
    let of_other_table = Position { table_id: None, ..position };
    let hand_over = Some(HandOver { position: Some(of_other_table), ..HandOver::default() });
    let refused = table.open(OpenRequest { hand_over, ..request(Term::new(1, 2)) }).await;
    let reason = match refused.unwrap_err() {
        SinkError::Blocked { reason, .. } => reason,
        other => panic!("{other:?}"),
    };
    assert!(matches!(reason, BlockedReason::OtherTable { .. }), "{reason:?}");
}

/// A lost answer is asked for again with the same rows at the same place, and what is there counts.
#[tokio::test]
async fn what_is_stored_without_an_answer_is_stored_once() {
    for action in ["lose", "hang", "reset", "reset_before"] {
        let scene = Scene::new().await;
        let table = scene.table(1).await;
        let mut opened = open(&table, None).await;
        scene.faults(json!([{"rpc": "AppendRows", "after": 1, "action": action}]));
        store(&table, &mut opened.writer, 0..3).await;
        store(&table, &mut opened.writer, 3..5).await;
        assert_eq!(scene.offsets(), (0..5).collect::<Vec<_>>(), "{action}");
        let attempts = scene.events("AppendRows");
        let again: Vec<_> = attempts.iter().filter(|event| event.offset == Some(3)).collect();
        // What was not applied is not told.
        let attempts = if action == "reset_before" { 1 } else { 2 };
        assert_eq!(again.len(), attempts, "{action}");
        assert!(again.iter().all(|event| event.rows == Some(2)), "{action}");
    }
}

/// Rows at the place of a first try are somebody else's: nobody skips ahead.
#[tokio::test]
async fn a_stream_with_foreign_rows_is_not_gone_on_with() {
    let scene = Scene::new().await;
    let table = scene.table(1).await;
    let mut opened = open(&table, None).await;
    scene.faults(json!([{"rpc": "AppendRows", "action":
        {"refuse_in_band": {"code": "ALREADY_EXISTS", "storage": "OFFSET_ALREADY_EXISTS"}}}]));
    let blocked = write(&table, &mut opened.writer, 0, numbers(0..3)).await.unwrap_err();
    assert!(blocked.to_string().contains("somebody else"), "{blocked}");
    assert!(!opened.writer.close(), "what it holds is not stored");
}

/// A stream that ends late after a reconnection is waited for; one that stays short is not gone on with.
#[tokio::test]
async fn an_end_that_is_seen_late_is_waited_for() {
    let scene = Scene::new().await;
    let table = scene.table(1).await;
    let mut opened = open(&table, None).await;
    store(&table, &mut opened.writer, 0..3).await;
    scene.faults(json!([
        {"rpc": "AppendRows", "action": "reset_before"},
        {"rpc": "AppendRows", "action":
            {"refuse_in_band": {"code": "OUT_OF_RANGE", "storage": "OFFSET_OUT_OF_RANGE"}}},
    ]));
    store(&table, &mut opened.writer, 3..5).await;
    assert_eq!(scene.offsets(), (0..5).collect::<Vec<_>>());
    scene.faults(json!([{"rpc": "AppendRows", "times": 0, "action":
        {"refuse_in_band": {"code": "OUT_OF_RANGE", "storage": "OFFSET_OUT_OF_RANGE"}}}]));
    let blocked = write(&table, &mut opened.writer, 5, numbers(5..6)).await.unwrap_err();
    assert!(blocked.to_string().contains("acknowledged"), "{blocked}");
}

/// A field that is new widens the table; rows that need it wait until the stream knows it.
#[tokio::test]
async fn a_new_field_widens_the_table() {
    let scene = Scene::new().await;
    scene.settings(json!({"schema_lag_ms": 300}));
    let table = scene.table(1).await;
    let mut opened = open(&table, None).await;
    store(&table, &mut opened.writer, 0..2).await;
    let more = records(2..4, |offset| format!("{{\"n\":{offset},\"more\":{{\"a b\":[1,2]}}}}"));
    write(&table, &mut opened.writer, 2, more).await.unwrap();
    let rows = scene.rows();
    assert_eq!(rows.len(), 4);
    assert_eq!(rows[3]["row"]["more"]["a_b"], json!([1, 2]), "{}", rows[3]);
    // A process that begins now finds the columns, and adds none.
    let patches = scene.events("tables.patch").len();
    let other = scene.table(2).await;
    let hand_over = unclean(&opened);
    let mut opened = open(&other, Some(hand_over)).await;
    let more = records(4..5, |_| "{\"more\":{\"a b\":[3]}}".into());
    write(&other, &mut opened.writer, 4, more).await.unwrap();
    assert_eq!(scene.rows()[4]["row"]["more"]["a_b"], json!([3]));
    assert_eq!(scene.events("tables.patch").len(), patches);
}

/// A table that may not be widened takes what fits; a record that needs more stands as text, or is a dead letter, and
/// stops nobody. A column that a person adds is filled after a while.
#[tokio::test]
async fn a_table_that_is_not_widened_takes_what_fits() {
    for misfits in ["unparsed", "dead_letter"] {
        let scene = Scene::new().await;
        let inner = json!([{"name": "a", "type": "INTEGER"}]);
        let mut fields = serde_json::to_value(frame_columns()).unwrap();
        fields.as_array_mut().unwrap().extend([
            json!({"name": "n", "type": "INTEGER"}),
            json!({"name": "s", "type": "RECORD", "fields": inner}),
        ]);
        scene.create_table(&fields);
        let option = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let options = [("widen", "false"), ("misfits", misfits)].map(option).into();
        let of_one = common::messages::command::Source { options, ..source() };
        let tables = scene.tables("g", 1).await;
        let table = retry(async || tables.get(&of_one).await).await.unwrap();
        let decoder = Decoder::new(&of_one, partition(), topic_id(), &Arc::default()).unwrap();
        let values = [
            "{\"n\":1}",
            "{\"n\":2,\"x\":null,\"y\":[]}",
            "{\"n\":3,\"x\":1}",
            "{\"s\":{\"a\":1}}",
            "{\"s\":{\"a\":1,\"b\":2}}",
            "{\"n\":4}",
        ];
        let some = records(0..6, |offset| values[usize::try_from(offset).unwrap()].into());
        let decode = async || table.decode(&decoder, Arc::clone(&some), &Arc::default()).await;
        let first = decode().await.unwrap();
        let letters: Vec<_> = first.dead_letters.iter().map(|it| (it.offset, it.reason)).collect();
        let misfit = DeadLetterReason::Misfit;
        let (unparsed, wanted) = match misfits {
            "unparsed" => (2, vec![]),
            _ => (0, vec![(2, misfit), (4, misfit)]),
        };
        assert_eq!((first.unparsed, letters), (unparsed, wanted), "{misfits}");
        // What is wanted besides what is known by now.
        assert_eq!(decode().await.unwrap().unparsed, unparsed);
        let looked = scene.events("tables.get").len();
        for _ in 0..50 {
            assert_eq!(decode().await.unwrap().unparsed, unparsed);
        }
        assert_eq!(scene.events("tables.get").len(), looked, "each batch asks");
        assert!(scene.events("tables.patch").iter().all(|event| event.code == "200"));
        let found = scene.delete_table();
        assert_eq!(found["schema"]["fields"].as_array().unwrap().len(), 11, "it was widened");
        let mut wider = found.clone();
        wider["schema"]["fields"]
            .as_array_mut()
            .unwrap()
            .push(json!({"name": "x", "type": "INTEGER"}));
        scene.bring_back(&wider);
        let mut last = first;
        for _ in 0..60 {
            last = decode().await.unwrap();
        }
        assert_eq!(last.unparsed + last.dead_letters.len(), 1, "x is a column by now");
        let mut opened = open(&table, None).await;
        let batch = consumer::sink::SealedBatch {
            from: 0,
            to: 6,
            leader_epoch: None,
            rows: vec![last.rows],
            schema: last.schema,
        };
        opened.writer.write(&batch).await.unwrap();
        let rows = scene.rows();
        assert_eq!((&rows[2]["row"]["x"], &rows[3]["row"]["s"]), (&json!(1), &json!({"a": 1})));
    }
}

/// Rows that the service refuses are named by their offsets; decoded again they are dead letters, and
/// the rest is stored.
#[tokio::test]
async fn refused_rows_become_dead_letters() {
    let scene = Scene::new().await;
    let fields = json!([{"name": "doc", "type": "JSON"}]);
    scene.create_table(&fields);
    let table = scene.table(1).await;
    let mut opened = open(&table, None).await;
    let value = |offset| match offset {
        1 | 3 => "{\"doc\":\"no json\"}".to_owned(),
        _ => format!("{{\"doc\":\"{offset}\"}}"),
    };
    let refused = write(&table, &mut opened.writer, 0, records(0..5, value)).await.unwrap_err();
    let SinkError::RowsRefused { rows, .. } = refused else { panic!("{refused:?}") };
    assert_eq!(rows.keys().copied().collect::<Vec<_>>(), [1, 3]);
    let hand_over = unclean(&opened);
    let mut opened = open(&table, Some(hand_over)).await;
    assert_eq!(opened.position.offset, 0);
    let condemned = Arc::new(Condemned::default().with(rows));
    let decoded = table.decode(&decoder(), records(0..5, value), &condemned).await.unwrap();
    let letters = decoded.dead_letters.iter().map(|it| (it.offset, it.index, it.reason));
    let refused = DeadLetterReason::RefusedBySink;
    assert_eq!(letters.collect::<Vec<_>>(), [(1, 1, refused), (3, 3, refused)]);
    let batch = consumer::sink::SealedBatch {
        from: 0,
        to: 5,
        leader_epoch: None,
        rows: vec![decoded.rows],
        schema: decoded.schema,
    };
    opened.writer.write(&batch).await.unwrap();
    assert_eq!(scene.offsets(), [0, 2, 4]);
}

/// At least once: nothing is made or asked before, and a lost answer may double rows, never lose them.
#[tokio::test]
async fn the_default_stream_is_shared_and_loses_nothing() {
    let scene = Scene::new().await;
    let tables = scene.tables("g", 1).await;
    let options = [("delivery".to_owned(), "at_least_once".to_owned())].into();
    let of_one = common::messages::command::Source { options, ..source() };
    let table = retry(async || tables.get(&of_one).await).await.unwrap();
    let exact = retry(async || tables.get(&source()).await).await.unwrap();
    assert_eq!(table.id(), exact.id());
    let mut opened = open(&table, None).await;
    assert!(opened.tokens.is_empty() && opened.writer.token().is_none());
    store(&table, &mut opened.writer, 0..3).await;
    scene.faults(json!([{"rpc": "AppendRows", "action": "reset"}]));
    let stored = store(&table, &mut opened.writer, 3..5).await;
    assert_eq!(stored.position.offset, 5);
    let mut offsets = scene.offsets();
    assert_eq!(offsets.len(), 7, "its last two rows twice");
    offsets.sort_unstable();
    offsets.dedup();
    assert_eq!(offsets, [0, 1, 2, 3, 4]);
    let hand_over = HandOver { position: Some(stored.position), ..HandOver::default() };
    assert_eq!(open(&table, Some(hand_over)).await.position.offset, 5);
    assert!(scene.events("jobs.query").is_empty() && scene.events("CreateWriteStream").is_empty());
    // The other way of writing the same table goes on with streams of its own.
    assert_eq!(open(&exact, None).await.tokens.len(), 1);
}

/// Batches larger than a request go as several, none above the limit.
#[tokio::test]
async fn a_large_batch_goes_as_few_large_requests() {
    let scene = Scene::new().await;
    let table = scene.table(1).await;
    let mut opened = open(&table, None).await;
    let text = "x".repeat(900_000);
    let large = records(0..30, |offset| format!("{{\"n\":{offset},\"text\":\"{text}\"}}"));
    write(&table, &mut opened.writer, 0, large).await.unwrap();
    assert_eq!(scene.offsets(), (0..30).collect::<Vec<_>>());
    let sizes: BTreeMap<_, _> = scene
        .events("AppendRows")
        .iter()
        .map(|event| (event.offset, event.bytes.unwrap()))
        .collect();
    assert!(sizes.len() <= 4, "{sizes:?}");
    assert!(sizes.values().all(|bytes| *bytes <= 10 * 1024 * 1024), "{sizes:?}");
}

/// A table belongs to the group that claimed it, whoever made it; what it lacks is added.
#[tokio::test]
async fn a_table_belongs_to_the_first_group() {
    let scene = Scene::new().await;
    scene.create_table(&json!([{"name": "n", "type": "INTEGER"}]));
    let (one, other) = (scene.tables("one", 1).await, scene.tables("other", 2).await);
    let claimed = retry(async || one.get(&source()).await).await.unwrap();
    let again = scene.tables("one", 3).await.get(&source()).await.unwrap();
    assert_eq!(again.id(), claimed.id());
    let refused = other.get(&source()).await.unwrap_err();
    assert!(refused.to_string().contains("claimed"), "{refused}");
    let mut opened = open(&claimed, None).await;
    store(&claimed, &mut opened.writer, 0..2).await;
    let row = &scene.rows()[1]["row"];
    assert_eq!((&row["n"], &row["kafka_topic_id"]), (&json!(1), &json!(topic_id().to_string())));
}
