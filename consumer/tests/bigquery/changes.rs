//! A table that shows the present state: whatever comes again, late or from several owners, it is what the source has.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use common::messages::command::Source;
use common::term::Term;
use consumer::decode::{DeadLetterReason, Decoder};
use consumer::record::RawRecord;
use consumer::sink::bigquery::frame_columns::frame_columns;
use consumer::sink::{DecodedRows, Opened, SealedBatch, SinkError, Table};
use rand::rngs::ChaCha8Rng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value as Json, json};

use crate::owner::{partition, request, retry, source, topic_id};
use crate::scene::Scene;

/// A process with the table.
struct Process {
    table: Arc<Table>,
    decoder: Decoder,
}

fn upserting(options: &[(&str, &str)]) -> Source {
    let options = options.iter().chain([&("changes", "upsert")]);
    let options = options.map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    Source { format: "debezium".into(), options, ..source() }
}

impl Process {
    async fn start(scene: &Scene, seed: u64, options: &[(&str, &str)]) -> Self {
        let (tables, source) = (scene.tables("g", seed).await, upserting(options));
        let table = retry(async || tables.get(&source).await).await.unwrap();
        let decoder = Decoder::new(&source, partition(), topic_id(), &Arc::default()).unwrap();
        Self { table, decoder }
    }

    async fn decode(&self, records: &[RawRecord]) -> Result<DecodedRows, SinkError> {
        let records = Arc::new(records.to_vec());
        let decode =
            async || self.table.decode(&self.decoder, Arc::clone(&records), &Arc::default()).await;
        retry(decode).await
    }

    /// Opens the partition as if nobody had before, and writes the records in batches of that many.
    async fn write(&self, records: &[RawRecord], batch: usize) -> Opened {
        let request = request(Term::new(1, 1));
        let mut opened = retry(async || self.table.open(request.clone()).await).await.unwrap();
        let mut from = 0;
        for records in records.chunks(batch) {
            let DecodedRows { rows, schema, dead_letters, .. } =
                self.decode(records).await.unwrap();
            assert!(dead_letters.is_empty(), "{dead_letters:?}");
            let to = records.last().unwrap().offset + 1;
            let batch = SealedBatch { from, to, leader_epoch: None, rows: vec![rows], schema };
            retry(async || opened.writer.write(&batch).await).await.unwrap();
            from = to;
        }
        opened
    }
}

fn event(offset: u64, op: &str, before: &Json, after: &Json, id: &Json) -> RawRecord {
    let source = json!({"connector": "mysql", "file": "bin.000009", "pos": 100 * offset, "row": 0});
    let value = json!({"op": op, "before": before, "after": after, "source": source});
    let bytes = |json: &Json| Some(Bytes::from(json.to_string()));
    RawRecord { offset, key: bytes(id), value: bytes(&value), ..RawRecord::default() }
}

/// What a source does to a table of a few rows with a key of two columns, and the table in the end.
fn history(seed: u64) -> (Vec<RawRecord>, BTreeMap<i64, Json>) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let (mut records, mut state) = (Vec::new(), BTreeMap::<i64, Json>::new());
    for offset in 0..80 {
        let id = rng.random_range(0..8);
        let key = json!({"region": "eu", "id": id});
        let row = json!({"region": "eu", "id": id, "n": offset, "day": {"of": [id, offset]}});
        let old = state.get(&id).cloned();
        records.push(match &old {
            Some(old) if rng.random_bool(0.3) => {
                state.remove(&id);
                event(offset, "d", old, &Json::Null, &key)
            }
            old => {
                let op = if old.is_some() { "u" } else { "c" };
                state.insert(id, row.clone());
                event(offset, op, &old.clone().unwrap_or_default(), &row, &key)
            }
        });
    }
    (records, state)
}

/// The table as a query sees it, without what says where rows come from.
fn seen(scene: &Scene) -> BTreeMap<i64, Json> {
    let world = scene.double.shared.world();
    let table = world.warehouse.table_called("d.t").unwrap();
    let row = |row: &bigquery_double::row::value::Row| {
        let mut row = row.plain(table.columns());
        let members = row.as_object_mut().unwrap();
        members.retain(|name, _| !name.starts_with("kafka_") && !name.starts_with("__"));
        (row["id"].as_i64().unwrap(), row)
    };
    let rows = table.rows();
    let seen: BTreeMap<_, _> = rows.iter().map(row).collect();
    assert_eq!(seen.len(), rows.len(), "each key is there once");
    seen
}

/// Owners that write all of it again, late, in other batches and at the same time, and a service that loses answers: what
/// is seen is what the source has, at the end of each.
#[tokio::test]
async fn repeats_and_late_writes_change_nothing() {
    for seed in 0..6 {
        let scene = Scene::new().await;
        let (records, state) = history(seed);
        scene.faults(json!([
            {"rpc": "AppendRows", "after": 1, "action": "lose"},
            {"rpc": "AppendRows", "after": 3, "action": "reset"},
            {"rpc": "tables.patch", "action": {"http": {"status": 503, "body": "html"}}},
        ]));
        let one = Process::start(&scene, seed, &[]).await;
        one.write(&records[..50], 7).await;
        let other = Process::start(&scene, seed + 100, &[]).await;
        let (all, late) = tokio::join!(other.write(&records, 11), one.write(&records[..30], 3));
        assert!(all.tokens.is_empty() && late.tokens.is_empty(), "no stream is made");
        assert_eq!(seen(&scene), state, "seed {seed}");
        one.write(&records[..60], 60).await;
        assert_eq!(seen(&scene), state, "seed {seed}, late");
        let stored = scene.rows().len();
        assert!(stored > 80 + 80, "all of it came more than once: {stored}");
        assert!(
            scene.events("CreateWriteStream").is_empty() && scene.events("jobs.query").is_empty()
        );
    }
}

/// The first record says what the key is, and the table gets it, clustered by it and as stale as is allowed.
#[tokio::test]
async fn a_table_gets_its_key_with_the_first_rows() {
    let scene = Scene::new().await;
    let process = Process::start(&scene, 1, &[("max_staleness_secs", "900")]).await;
    let resource = || {
        let world = scene.double.shared.world();
        world.warehouse.table_called("d.t").unwrap().resource()
    };
    assert!(
        resource().get("tableConstraints").is_none()
            && resource().get("timePartitioning").is_none()
    );
    let (records, state) = history(1);
    process.write(&records, 20).await;
    let made = resource();
    assert_eq!(made["tableConstraints"]["primaryKey"]["columns"], json!(["id", "region"]));
    assert_eq!(made["clustering"]["fields"], json!(["id", "region"]));
    assert_eq!(made["maxStaleness"], "0-0 0 0:15:0");
    assert_eq!(seen(&scene), state);
    let columns = made["schema"]["fields"].as_array().unwrap();
    let is_change =
        |field: &&Json| field["name"].as_str().unwrap().to_uppercase().contains("_CHANGE_");
    assert_eq!(columns.iter().find(is_change), None, "they are no columns");
    // Who comes later finds all of it.
    let patches = scene.events("tables.patch").len();
    Process::start(&scene, 2, &[]).await.write(&records, 30).await;
    assert_eq!(scene.events("tables.patch").len(), patches);
    assert_eq!(seen(&scene), state);
}

/// A row that is put away and one that takes its place come together; a row of which a value would be lost takes none.
#[tokio::test]
async fn a_key_moves_and_what_cannot_be_stored_moves_nothing() {
    let scene = Scene::new().await;
    let process = Process::start(&scene, 1, &[]).await;
    let row = |id: i64, tags: Json| json!({"id": id, "tags": tags});
    let key = |id: i64| json!({"id": id});
    let created = event(1, "c", &Json::Null, &row(1, json!(["a"])), &key(1));
    let moved = event(2, "u", &row(1, json!(["a"])), &row(2, json!(["b"])), &key(2));
    process.write(&[created, moved], 1).await;
    assert_eq!(seen(&scene), [(2, row(2, json!(["b"])))].into());
    // An array holds no NULL: neither is the old row removed.
    let lost = event(3, "u", &row(2, json!(["b"])), &row(3, json!([null])), &key(3));
    let decoded = process.decode(&[lost]).await.unwrap();
    let letters: Vec<_> = decoded.dead_letters.iter().map(|it| (it.offset, it.reason)).collect();
    assert_eq!((letters, decoded.rows.rows()), (vec![(3, DeadLetterReason::Misfit)], 0));
}

/// Tables that rows cannot change are refused, with what to do.
#[tokio::test]
async fn tables_without_the_key_are_refused() {
    let made = |key: Json, fields: Json| {
        json!({
            "tableReference": {"projectId": "p", "datasetId": "d", "tableId": "t"},
            "tableConstraints": {"primaryKey": {"columns": key}},
            "schema": {"fields": fields},
        })
    };
    let fields = json!([{"name": "id", "type": "INTEGER"}, {"name": "region", "type": "STRING"}]);
    let floats = json!([{"name": "id", "type": "FLOAT"}]);
    let framed = serde_json::to_value(frame_columns()).unwrap();
    let framed: Vec<_> =
        framed.as_array().unwrap().iter().chain(fields.as_array().unwrap()).cloned().collect();
    for (body, has_row, options, said) in [
        (made(json!(["id"]), fields.clone()), false, &[][..], "primary key is (id), and"),
        (
            made(json!([]), fields.clone()),
            true,
            &[],
            "ALTER TABLE `p.d.t` ADD PRIMARY KEY (id, region)",
        ),
        (made(json!([]), framed.into()), false, &[("widen", "false")], "`widen` `false`"),
        (made(json!([]), floats), false, &[], "id is FLOAT"),
        (made(json!([]), fields.clone()), false, &[("primary_key", "day")], "day is RECORD"),
    ] {
        let scene = Scene::new().await;
        scene.create(&body);
        if has_row {
            let rows = json!({"rows": [{"json": {"id": 1, "region": "eu"}}]});
            let shared = &scene.double.shared;
            let name = bigquery_double::names::TableName::new("p", "d", "t");
            let rows = serde_json::from_value(rows).unwrap();
            let now = shared.now();
            let mut world = shared.world();
            let moment = world.moment(now);
            world.warehouse.insert_all(&name, rows, moment).unwrap();
        }
        let process = Process::start(&scene, 1, options).await;
        let (records, _) = history(1);
        let refused = process.decode(&records).await.unwrap_err();
        assert!(matches!(refused, SinkError::Refused { .. }), "{refused:?}");
        assert!(refused.to_string().contains(said), "{refused}");
    }
}

/// A table with the key, made by people, is taken as it is, and a row that stood in it is replaced.
#[tokio::test]
async fn a_table_that_has_the_key_is_taken() {
    let scene = Scene::new().await;
    scene.create(&json!({
        "tableReference": {"projectId": "p", "datasetId": "d", "tableId": "t"},
        "tableConstraints": {"primaryKey": {"columns": ["Region", "id"]}},
        "schema": {"fields": [{"name": "id", "type": "INTEGER"}, {"name": "Region", "type": "STRING",
            "description": "Field \"region\" of the record"}, {"name": "note", "type": "STRING"}]},
    }));
    let process = Process::start(&scene, 1, &[]).await;
    let (records, state) = history(3);
    process.write(&records, 9).await;
    assert_eq!(seen(&scene).len(), state.len());
}
