//! A table that shows the present state of a source, while consumers are killed and the source repeats itself.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::scope;
use std::time::Duration;

use e2e::harness::patience::wait_until;
use rand::rngs::ChaCha8Rng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};

use crate::stage::{PATIENCE, Stage};
use crate::warehouse::{Warehouse, fault};

const PARTITIONS: u32 = 6;
const KEYS: i64 = 400;
const KILLS: u32 = 3;
/// Changes that are written together, and how soon after one another.
const TOGETHER: usize = 60;
const EVERY: Duration = Duration::from_millis(20);
/// One time in so many, what came before is written again, as after a restart of a connector.
const REPEATS: u32 = 5;
const REPEATED: usize = 150;

/// A table of a database, as one that writes down each change of it knows it.
struct Database {
    rng: ChaCha8Rng,
    rows: BTreeMap<i64, Value>,
    /// Of the log that changes are written down in.
    position: u64,
    written: Vec<(i32, String, Option<String>)>,
}

impl Database {
    fn new() -> Self {
        let rng = ChaCha8Rng::seed_from_u64(7);
        Self { rng, rows: BTreeMap::new(), position: 1_000, written: Vec::new() }
    }

    /// Changes rows, and tells of each change, until `end` says that it is enough.
    fn run(&mut self, stage: &Stage, topic: &str, end: &Receiver<()>) {
        while end.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
            let from = self.written.len();
            (0..TOGETHER).for_each(|_| self.change());
            let mut records = self.written[from..].to_vec();
            if self.rng.random_ratio(1, REPEATS) {
                let again = self.written.len().saturating_sub(REPEATED);
                records.extend_from_slice(&self.written[again..]);
            }
            stage.send_keyed(topic, &records);
        }
    }

    fn change(&mut self) {
        let id = self.rng.random_range(0..KEYS);
        let row =
            json!({"id": id, "n": self.position, "text": format!("row {id} at {}", self.position)});
        let before = self.rows.get(&id).cloned();
        match before {
            None => self.tell(id, "c", &Value::Null, &row),
            Some(before) if self.rng.random_ratio(1, 3) => {
                self.tell(id, "d", &before, &Value::Null);
                self.rows.remove(&id);
                self.written.push((partition(id), key(id), None));
                return;
            }
            Some(before) => self.tell(id, "u", &before, &row),
        }
        self.rows.insert(id, row);
    }

    fn tell(&mut self, id: i64, op: &str, before: &Value, after: &Value) {
        self.position += self.rng.random_range(1..100);
        let position = self.position.to_string();
        let source = json!({"connector": "postgresql", "lsn": self.position, "snapshot": "false",
            "sequence": json!([position, position]).to_string()});
        let event = json!({"op": op, "before": before, "after": after, "source": source});
        self.written.push((partition(id), key(id), Some(event.to_string())));
    }

    /// Its rows as texts.
    fn seen(&self) -> BTreeMap<String, (String, String)> {
        let row = |(id, row): (&i64, &Value)| {
            let text = row["text"].as_str().unwrap_or_default().to_owned();
            (id.to_string(), (row["n"].to_string(), text))
        };
        self.rows.iter().map(row).collect()
    }
}

fn key(id: i64) -> String {
    json!({"id": id}).to_string()
}

fn partition(id: i64) -> i32 {
    i32::try_from(id % i64::from(PARTITIONS)).unwrap()
}

/// The table in the warehouse, each key once.
fn shown(warehouse: &Warehouse) -> Result<BTreeMap<String, (String, String)>, String> {
    let rows = warehouse.rows();
    let text =
        |row: &BTreeMap<String, String>, name: &str| row.get(name).cloned().unwrap_or_default();
    let shown: BTreeMap<_, _> =
        rows.iter().map(|row| (text(row, "id"), (text(row, "n"), text(row, "text")))).collect();
    if shown.len() == rows.len() { Ok(shown) } else { Err("a key is there twice".into()) }
}

/// Whoever is killed, whatever is stored twice or late and whichever answers are lost: in the end the table is what the
/// database has.
#[test]
fn the_table_is_what_the_source_has_in_the_end() {
    let entry = ["--format", "debezium", "--option", "changes=upsert"];
    let Some(mut warehouse) = Warehouse::start_reading("bigquery-changes", PARTITIONS, &entry)
    else {
        return;
    };
    let mut database = Database::new();
    let (end, is_over) = channel();
    scope(|scope| {
        let (stage, topic) = (&warehouse.crew.stage, &warehouse.crew.topic);
        let writes = &mut database;
        let writer = scope.spawn(move || writes.run(stage, topic, &is_over));
        for _ in 0..KILLS {
            warehouse.inflict(&json!([
                fault("AppendRows", 3, json!("lose")),
                fault("AppendRows", 2, json!("reset")),
            ]));
            warehouse.kill_one();
        }
        drop(end);
        writer.join().unwrap();
    });
    warehouse.lift();
    let expected = database.seen();
    let is_shown = || {
        let shown = shown(&warehouse)?;
        let other = expected.iter().find(|(id, row)| shown.get(*id) != Some(row));
        match (shown == expected, other) {
            (true, _) => Ok(()),
            (false, other) => Err(format!("{} of {} rows, {other:?}", shown.len(), expected.len())),
        }
    };
    wait_until("the table is what the database has", PATIENCE, is_shown).unwrap();
    let changes = database.written.len();
    eprintln!("{changes} changes of {} rows that are left", expected.len());
    assert!(changes > 1_000 && !expected.is_empty());
    warehouse.crew.system.stop().unwrap();
}
