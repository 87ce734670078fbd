//! Change events become upserts and deletes of the rows of a table that shows the present state.

use std::collections::BTreeMap;
use std::sync::Arc;

use apache_avro::types::Value as Avro;
use apache_avro::writer::datum::GenericDatumWriter;
use bytes::Bytes;
use common::avro_schema::{AvroSchema, Role};
use common::identity::TopicId;
use common::messages::command::Source;
use common::partition::TopicPartition;
use consumer::decode::schemas::{Registered, SchemaCache};
use consumer::decode::{DeadLetterReason, Decoded, Decoder, Rows};
use consumer::record::RawRecord;
use consumer::table::schema::TableSchema;
use rand::rngs::ChaCha8Rng;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::arrow_json::row;
use crate::{ENVELOPE, SAMPLES, event, value};

/// A table that shows the present state, as its decoder sees it.
struct State {
    decoder: Decoder,
    schema: TableSchema,
}

/// One row: what it does, its number, its columns, and the offset of its record.
#[derive(Clone, Debug, PartialEq)]
struct Change {
    kind: String,
    sequence: String,
    row: Value,
}

impl Change {
    fn of(rows: &Rows) -> Vec<Self> {
        let change = |at| {
            let mut row = row(&rows.batch, at);
            let members = row.as_object_mut().unwrap();
            let mut text = |name| members.remove(name).unwrap().as_str().unwrap().to_owned();
            let (kind, sequence) = (text("_CHANGE_TYPE"), text("_CHANGE_SEQUENCE_NUMBER"));
            members.retain(|name, value| !value.is_null() && !name.starts_with("__"));
            Self { kind, sequence, row }
        };
        (0..rows.batch.num_rows()).map(change).collect()
    }

    /// As the service compares them.
    fn number(&self) -> Vec<u64> {
        self.sequence.split('/').map(|part| u64::from_str_radix(part, 16).unwrap()).collect()
    }
}

impl State {
    fn new(options: &[(&str, &str)], cache: &Arc<SchemaCache>) -> Self {
        let options = options.iter().chain([&("changes", "upsert")]);
        let source = Source {
            table: "t".into(),
            format: "debezium".into(),
            sink: "bigquery".into(),
            options: options.map(|(key, value)| ((*key).into(), (*value).into())).collect(),
        };
        let id = TopicId(Uuid::from_u128(1));
        let decoder = Decoder::new(&source, TopicPartition::new("orders", 0), id, cache).unwrap();
        Self { decoder, schema: TableSchema::default() }
    }

    fn decode(&mut self, records: &[RawRecord]) -> Rows {
        let mut wider = None;
        loop {
            let decoded = match &wider {
                None => self.decoder.decode(records, &self.schema),
                Some(wider) => self.decoder.decode_again(wider, records, &self.schema),
            };
            match decoded {
                Decoded::Rows(rows) => return rows,
                Decoded::Wider(needed) => {
                    let before = self.schema.clone();
                    self.schema = before.widened(&needed.columns).unwrap_or(before.clone());
                    if !needed.key.is_empty() {
                        assert_eq!(before.key, [""; 0], "a key is asked for once");
                        self.schema.key = needed.key.clone();
                    }
                    assert_ne!(self.schema, before, "a table is widened by what it lacks");
                    wider = Some(needed);
                }
            }
        }
    }

    fn changes(&mut self, records: &[RawRecord]) -> Vec<Change> {
        let rows = self.decode(records);
        assert!(rows.dead_letters.is_empty(), "{:?}", rows.dead_letters);
        Change::of(&rows)
    }

    /// The only dead letter that they leave.
    fn refused(&mut self, records: &[RawRecord]) -> (DeadLetterReason, String) {
        let mut letters = self.decode(records).dead_letters;
        assert_eq!(letters.len(), 1, "{letters:?}");
        let letter = letters.remove(0);
        (letter.reason, letter.text)
    }
}

fn record(offset: u64, key: Option<&str>, value: Option<String>) -> RawRecord {
    let (key, value) =
        (key.map(|key| Bytes::copy_from_slice(key.as_bytes())), value.map(Bytes::from));
    RawRecord { offset, key, value, ..RawRecord::default() }
}

/// An event of PostgreSQL at that place of its log.
fn of_postgresql(op: &str, before: Value, after: Value, lsn: u64) -> String {
    let sequence = format!("[\"{lsn}\",\"{lsn}\"]");
    let source = json!({"connector": "postgresql", "lsn": lsn, "sequence": sequence, "snapshot": "false", "ts_ms": 5});
    json!({"op": op, "before": before, "after": after, "source": source, "ts_ms": 6}).to_string()
}

#[derive(Deserialize)]
struct Sample {
    topic: String,
    partition: i32,
    offset: u64,
    key: Option<String>,
    value: Option<String>,
}

/// The records of the topic's first partition that has some.
fn captured(topic: &str) -> Vec<RawRecord> {
    let samples = SAMPLES.lines().map(|line| serde_json::from_str::<Sample>(line).unwrap());
    let samples: Vec<_> = samples.filter(|sample| sample.topic == topic).collect();
    let partition = samples[0].partition;
    let samples = samples.into_iter().filter(|sample| sample.partition == partition);
    samples.map(|it| record(it.offset, it.key.as_deref(), it.value)).collect()
}

/// What a real Debezium wrote, with schemas and without.
#[test]
fn captured_events_are_changes_of_rows() {
    for topic in ["shop.public.payments", "shops.public.payments"] {
        let mut state = State::new(&[], &Arc::default());
        let rows = state.decode(&captured(topic));
        assert_eq!((rows.dead_letters.len(), rows.ignored), (0, 1), "the tombstone is skipped");
        let changes = Change::of(&rows);
        let told: Vec<_> =
            changes.iter().map(|it| (it.kind.as_str(), it.row["cents"].as_i64())).collect();
        assert_eq!(
            told,
            [("UPSERT", Some(1999)), ("UPSERT", Some(2099)), ("DELETE", None)],
            "{topic}"
        );
        assert!(changes.is_sorted_by(|one, other| one.number() < other.number()));
        assert_eq!(changes[1].sequence, "1533520/1533520/1");
        let names: Vec<_> = changes[2].row.as_object().unwrap().keys().collect();
        assert_eq!(names, ["id"], "a delete says its key alone");
        assert_eq!(state.schema.key, ["id"]);
        let columns: Vec<_> = state.schema.columns.iter().map(|it| it.name.as_str()).collect();
        for name in ["__deleted", "__unavailable", "__before"] {
            assert!(!columns.contains(&name), "{columns:?}");
        }
        assert!(columns.contains(&"__op") && columns.contains(&"__source"), "{columns:?}");
    }
}

#[test]
fn tombstones_delete_where_the_topic_orders_changes() {
    for topic in ["shop.public.payments", "shops.public.payments"] {
        let mut state = State::new(&[("sequence", "offset")], &Arc::default());
        let changes = state.changes(&captured(topic));
        let told: Vec<_> =
            changes.iter().map(|it| (it.kind.as_str(), it.sequence.as_str())).collect();
        assert_eq!(told, [("UPSERT", "0"), ("UPSERT", "1"), ("DELETE", "2"), ("DELETE", "3")]);
        assert_eq!(changes[3].row, changes[2].row);
        // Also where the delete before it is gone.
        let tombstone = captured(topic).pop().unwrap();
        let mut state = State::new(&[("sequence", "offset")], &Arc::default());
        assert_eq!(state.changes(&captured(topic)[..1]).len(), 1);
        assert_eq!(state.changes(&[tombstone])[0].row, changes[3].row);
    }
}

/// What the source did not tell stands in the row before; without that the record is a dead letter.
#[test]
fn values_that_are_not_told_are_taken_from_before_or_not_at_all() {
    let unavailable = "__debezium_unavailable_value";
    let bytes = "X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==";
    let numbers: Vec<_> = unavailable.bytes().collect();
    let after = json!({"id": 1, "status": "sent", "letter": unavailable, "photo": bytes, "tags": [unavailable],
        "numbers": numbers, "attributes": {unavailable: unavailable}});
    let untold = json!({"letter": "long", "photo": "AP8Q", "tags": ["a", "b"], "numbers": [1], "attributes": {"c": "d"}});
    let whole = |status: &str| {
        let mut row = untold.clone();
        (row["id"], row["status"]) = (1.into(), status.into());
        row
    };
    let before = whole("new");
    let mut state = State::new(&[], &Arc::default());
    let told = of_postgresql("u", before, after.clone(), 7);
    let changes = state.changes(&[record(1, Some(r#"{"id":1}"#), Some(told))]);
    assert_eq!(changes[0].row, whole("sent"));
    for before in
        [json!(null), json!({"id": 1}), json!({"id": 1, "letter": unavailable, "photo": "AA=="})]
    {
        let untold = of_postgresql("u", before, after.clone(), 8);
        let (reason, text) = state.refused(&[record(2, Some(r#"{"id":1}"#), Some(untold))]);
        assert_eq!(reason, DeadLetterReason::InapplicableChange);
        assert!(text.contains("tags") && text.contains("REPLICA IDENTITY FULL"), "{text}");
    }
    let (reason, text) =
        State::new(&[], &Arc::default()).refused(&captured("shop.public.orders")[3..4]);
    assert!(reason == DeadLetterReason::InapplicableChange && text.contains("letter"), "{text}");
}

#[test]
fn an_update_of_the_key_removes_the_old_row() {
    let mut state = State::new(&[], &Arc::default());
    let moved = of_postgresql("u", json!({"id": 1, "n": 1}), json!({"id": 2, "n": 1}), 9);
    let changes = state.changes(&[record(4, Some(r#"{"id":2}"#), Some(moved))]);
    let told: Vec<_> = changes.iter().map(|it| (it.kind.as_str(), &it.row)).collect();
    assert_eq!(told, [("DELETE", &json!({"id": 1})), ("UPSERT", &json!({"id": 2, "n": 1}))]);
    // Both rows or none.
    let broken = of_postgresql("u", json!({"id": 1, "n": 1}), json!({"id": 2, "n": "x"}), 10);
    let rows = state.decode(&[record(5, Some(r#"{"id":2}"#), Some(broken))]);
    assert_eq!((rows.batch.num_rows(), rows.dead_letters[0].reason), (0, DeadLetterReason::Misfit));
}

#[test]
fn what_cannot_be_done_to_one_row_is_a_dead_letter_that_says_why() {
    let key = Some(r#"{"id":1}"#);
    let row = || json!({"id": 1, "n": 1});
    let first = || record(1, key, Some(of_postgresql("c", json!(null), row(), 1)));
    let mysql =
        json!({"op": "c", "after": row(), "source": {"connector": "mysql", "pos": 4}}).to_string();
    for (key, value, said) in [
        (None, of_postgresql("t", json!(null), json!(null), 2), "truncated"),
        (key, of_postgresql("x", json!(null), row(), 2), "`op` \"x\""),
        (key, of_postgresql("u", row(), json!(null), 2), "no row `after` it"),
        (key, of_postgresql("u", json!(null), json!({"id": null, "n": 1}), 2), "no value of `id`"),
        (Some(r#"{"other":1}"#), of_postgresql("u", json!(null), row(), 2), "is (other)"),
        (
            Some(r#"{"id":1,"other":1}"#),
            of_postgresql("u", json!(null), row(), 2),
            "is (id, other)",
        ),
        (Some("1"), of_postgresql("u", json!(null), row(), 2), "`primary_key`"),
        (None, of_postgresql("d", row(), json!(null), 2), "`primary_key`"),
        (key, mysql, "`file`"),
    ] {
        let records = [first(), record(2, key, Some(value))];
        let (reason, text) = State::new(&[], &Arc::default()).refused(&records);
        assert_eq!(reason, DeadLetterReason::InapplicableChange, "{text}");
        assert!(text.contains(said), "{text}");
    }
}

/// Messages of the source are about no row, and neither is a value that says nothing.
#[test]
fn what_is_about_no_row_is_skipped() {
    let message = json!({"op": "m", "message": {"prefix": "p"}, "source": {}}).to_string();
    let values = [Some(message), None, Some(r#"{"schema": null, "payload": null}"#.into())];
    let records: Vec<_> = (0..).zip(values).map(|(at, value)| record(at, None, value)).collect();
    let rows = State::new(&[], &Arc::default()).decode(&records);
    assert_eq!((rows.batch.num_rows(), rows.dead_letters.len(), rows.ignored), (0, 0, 3));
}

/// A key that the service entry names counts, whatever the records have; a delete takes it from the row before.
#[test]
fn a_key_that_is_named_is_read_from_the_rows() {
    let mut state = State::new(&[("primary_key", "region, id")], &Arc::default());
    let row = json!({"id": 1, "region": "eu", "n": 1});
    let records = [
        record(1, Some("7"), Some(of_postgresql("c", json!(null), row.clone(), 1))),
        record(2, Some("7"), Some(of_postgresql("d", row, json!(null), 2))),
        record(3, Some("7"), None),
    ];
    let changes = state.changes(&records);
    assert_eq!(state.schema.key, ["region", "id"]);
    assert_eq!(changes[1].row, json!({"id": 1, "region": "eu"}));
    assert_eq!(changes.len(), 2);
    let partly = of_postgresql("d", json!({"id": 1}), json!(null), 3);
    let (_, text) = state.refused(&[record(4, Some("7"), Some(partly))]);
    assert!(text.contains("`region`"), "{text}");
    let whole = of_postgresql("d", json!({"id": 1}), json!(null), 3);
    let key = r#"{"region":"us"}"#;
    assert_eq!(
        state.changes(&[record(4, Some(key), Some(whole))])[0].row,
        json!({"id": 1, "region": "us"})
    );
}

const KEY: &str = r#"{"type": "record", "name": "Key", "namespace": "shop.public.orders", "fields": [
    {"name": "id", "type": "long"}]}"#;

/// Events in Avro: the same, with keys that name schemas of their own.
#[test]
fn events_in_avro_are_changes_of_rows() {
    let schema = AvroSchema::parse(ENVELOPE, &[], Role::Writer).unwrap();
    let keys = AvroSchema::parse(KEY, &[], Role::Writer).unwrap();
    let cache = Arc::new(SchemaCache::default());
    cache.insert(5, Registered::Avro(Arc::new(schema.clone())));
    let none = || Avro::Union(0, Box::new(Avro::Null));
    let key = |id: i64| {
        let writer = GenericDatumWriter::builder(&keys.schema).build().unwrap();
        let key = Avro::Record(vec![("id".into(), Avro::Long(id))]);
        Bytes::from([&[0, 0, 0, 0, 6], &writer.write_value_to_vec(key).unwrap()[..]].concat())
    };
    let unavailable = "__debezium_unavailable_value";
    let values = [
        (1, Some(event(&schema, none(), value(1, "a"), "c"))),
        (1, Some(event(&schema, value(1, "b"), value(1, unavailable), "u"))),
        (2, Some(event(&schema, value(1, "b"), value(2, "b"), "u"))),
        (2, Some(event(&schema, none(), none(), "d"))),
        (2, None),
        (2, Some(event(&schema, none(), value(2, unavailable), "u"))),
        (2, Some(event(&schema, none(), none(), "t"))),
        (2, Some(event(&schema, none(), none(), "m"))),
    ];
    let record = |(offset, (id, value)): (u64, (i64, Option<Vec<u8>>))| RawRecord {
        offset,
        key: Some(key(id)),
        value: value.map(Bytes::from),
        ..RawRecord::default()
    };
    let records: Vec<_> = (0..).zip(values).map(record).collect();
    let mut state = State::new(&[("encoding", "confluent"), ("sequence", "offset")], &cache);
    assert_eq!(
        state.decoder.unknown_schemas(&records),
        [6].into(),
        "that of the keys is asked for"
    );
    cache.insert(6, Registered::Avro(Arc::new(keys.clone())));
    let rows = state.decode(&records);
    assert_eq!(rows.ignored, 1, "a message is about no row");
    let row = |id: i64, letter: &str| json!({"id": id, "amount": "12.50", "due": 20_521, "letter": letter});
    let told: Vec<_> =
        Change::of(&rows).into_iter().map(|it| (it.kind, it.sequence, it.row)).collect();
    let change =
        |kind: &str, sequence: &str, row: Value| (kind.to_owned(), sequence.to_owned(), row);
    assert_eq!(
        told,
        [
            change("UPSERT", "0", row(1, "a")),
            change("UPSERT", "1", row(1, "b")),
            change("DELETE", "2", json!({"id": 1})),
            change("UPSERT", "2", row(2, "b")),
            change("DELETE", "3", json!({"id": 2})),
            change("DELETE", "4", json!({"id": 2})),
        ]
    );
    let letters: Vec<_> =
        rows.dead_letters.iter().map(|letter| (letter.offset, letter.reason)).collect();
    let reason = DeadLetterReason::InapplicableChange;
    assert_eq!(letters, [(5, reason), (6, reason)]);
    let mut by_source = State::new(&[("encoding", "confluent")], &cache);
    assert_eq!(by_source.decode(&records).ignored, 2, "the tombstone and the message");
}

/// What a source does to a table of few rows, and the table in the end.
fn history(rng: &mut ChaCha8Rng, length: usize) -> (Vec<RawRecord>, BTreeMap<i64, Value>) {
    let (mut state, mut records) = (BTreeMap::<i64, Value>::new(), Vec::new());
    let mut lsn = 100;
    while records.len() < length {
        let id = rng.random_range(0..6);
        let row = json!({"id": id, "n": rng.random_range(0..1_000), "text": "x".repeat(rng.random_range(0..4))});
        let mut push = |id: i64, value: Option<String>| {
            let offset = 3 * records.len() as u64;
            records.push(record(offset, Some(&json!({"id": id}).to_string()), value));
        };
        lsn += rng.random_range(1..5_u64);
        let free = (0..6).find(|id| !state.contains_key(id));
        match (state.get(&id).cloned(), rng.random_range(0..4), free) {
            (None, ..) => {
                push(id, Some(of_postgresql("c", Value::Null, row.clone(), lsn)));
                state.insert(id, row);
            }
            (Some(old), 0, _) => {
                push(id, Some(of_postgresql("d", old, Value::Null, lsn)));
                push(id, None);
                state.remove(&id);
            }
            (Some(old), 1, Some(free)) => {
                let mut moved = row;
                moved["id"] = free.into();
                push(free, Some(of_postgresql("u", old, moved.clone(), lsn)));
                state.remove(&id);
                state.insert(free, moved);
            }
            (Some(old), ..) => {
                push(id, Some(of_postgresql("u", old, row.clone(), lsn)));
                state.insert(id, row);
            }
        }
    }
    (records, state)
}

/// What remains of changes as the service applies them, in whatever order they come.
fn applied(changes: &[Change]) -> BTreeMap<i64, Value> {
    let mut latest: BTreeMap<i64, &Change> = BTreeMap::new();
    for change in changes {
        let id = change.row["id"].as_i64().unwrap();
        let is_older = latest.get(&id).is_some_and(|held| change.number() < held.number());
        if !is_older {
            latest.insert(id, change);
        }
    }
    let rows = latest.into_iter().filter(|(_, change)| change.kind == "UPSERT");
    rows.map(|(id, change)| (id, change.row.clone())).collect()
}

/// However batches are cut, repeated and mixed up, what remains is what the source has in the end; also where Debezium
/// writes a part of its history again.
#[test]
fn repeats_and_late_writes_change_nothing() {
    for seed in 0..60 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let (mut records, expected) = history(&mut rng, 60);
        let by_offset = seed % 3 == 0;
        if !by_offset {
            // A connector that starts again repeats what it did not note as done, in part.
            let from = rng.random_range(0..records.len());
            let to = rng.random_range(from..records.len());
            let again: Vec<_> = records[from..to].to_vec();
            let end = records.last().unwrap().offset;
            records.extend((1..).zip(again).map(|(at, it)| RawRecord { offset: end + at, ..it }));
        }
        let options: &[_] = if by_offset { &[("sequence", "offset")] } else { &[] };
        let mut together = State::new(options, &Arc::default());
        let whole = together.changes(&records);
        let (mut state, mut written, mut rest) =
            (State::new(options, &Arc::default()), Vec::new(), &records[..]);
        while !rest.is_empty() {
            let (batch, behind) = rest.split_at(rng.random_range(1..=rest.len().min(9)));
            written.extend(state.changes(batch));
            rest = behind;
        }
        assert_eq!(written, whole, "where a batch ends changes nothing");
        assert_eq!(applied(&written), expected, "seed {seed}, in order");
        let mut muddled = [&written[..], &written[written.len() / 3..]].concat();
        muddled.shuffle(&mut rng);
        assert_eq!(applied(&muddled), expected, "seed {seed}, in any order");
    }
}
