//! Pure. One table: the history of its columns, and its rows as they were stored.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value as Json, json};

use crate::names::TableName;
use crate::refusal::RestRefusal;
use crate::row::change::{Change, ChangeKind, Key, latest};
use crate::row::format::Format;
use crate::row::value::{Row, Stamps, Value};
use crate::schema::{self, Column, Kind, Mode};

/// How long an insert id is remembered.
const INSERT_ID_MEMORY: SignedDuration = SignedDuration::from_secs(60);

/// A row as it came.
#[derive(Clone, Debug)]
pub struct StoredRow {
    /// Counts what was stored anywhere.
    pub order: u64,
    /// Absent for insertAll.
    pub stream: Option<Arc<str>>,
    /// Absent for the default stream and insertAll.
    pub offset: Option<i64>,
    pub format: Arc<Format>,
    pub bytes: Bytes,
}

/// Columns are only ever added, so that rows stay readable.
#[derive(Debug)]
pub struct Table {
    name: TableName,
    /// What REST was given besides the schema and the key.
    properties: Map<String, Json>,
    /// Each with the instant from which REST knows it; the last one counts there.
    versions: Vec<(Timestamp, Arc<Vec<Column>>)>,
    primary_key: Vec<String>,
    rows: Vec<StoredRow>,
    has_changes: bool,
    /// When each came last.
    insert_ids: BTreeMap<String, Timestamp>,
    /// All that came within the last minute, the oldest first.
    inserted: VecDeque<(Timestamp, String)>,
    revision: u64,
}

impl StoredRow {
    pub fn read(&self) -> (Row, Option<Change>) {
        self.format.read(&self.bytes).expect("it was read before it was stored")
    }
}

impl Table {
    /// From the body of `tables.insert`.
    pub fn create(name: TableName, body: &Json, now: Timestamp) -> Result<Self, RestRefusal> {
        let mut table = Self {
            name,
            properties: Map::new(),
            versions: vec![(now, Arc::default())],
            primary_key: Vec::new(),
            rows: Vec::new(),
            has_changes: false,
            insert_ids: BTreeMap::new(),
            inserted: VecDeque::new(),
            revision: 0,
        };
        table.properties.insert("creationTime".into(), milliseconds(now));
        table.apply(body, now)?;
        table.versions.remove(0);
        Ok(table)
    }

    /// `tables.patch`. An `etag` must be the present one.
    pub fn patch(
        &mut self,
        body: &Json,
        etag: Option<&str>,
        now: Timestamp,
    ) -> Result<(), RestRefusal> {
        if etag.is_some_and(|etag| etag != "*" && etag != self.etag()) {
            return Err(RestRefusal::new(412, "conditionNotMet", "Precondition Failed"));
        }
        self.apply(body, now)
    }

    fn apply(&mut self, body: &Json, now: Timestamp) -> Result<(), RestRefusal> {
        let Some(body) = body.as_object() else {
            return Err(RestRefusal::invalid("a table is an object"));
        };
        let columns = match body.get("schema").and_then(|schema| schema.get("fields")) {
            Some(fields) => self.checked_columns(fields)?,
            None => Arc::clone(self.columns()),
        };
        if let Some(constraints) = body.get("tableConstraints") {
            self.primary_key = checked_key(constraints, &columns)?;
        }
        let ours = ["schema", "tableConstraints", "etag", "numRows", "creationTime"];
        for (name, value) in body.iter().filter(|(name, _)| !ours.contains(&name.as_str())) {
            if value.is_null() {
                self.properties.remove(name);
            } else {
                self.properties.insert(name.clone(), value.clone());
            }
        }
        self.properties.insert("lastModifiedTime".into(), milliseconds(now));
        if self.revision == 0 || columns != *self.columns() {
            self.versions.push((now, columns));
        }
        self.revision += 1;
        Ok(())
    }

    fn checked_columns(&self, fields: &Json) -> Result<Arc<Vec<Column>>, RestRefusal> {
        let columns: Result<Vec<Column>, _> = serde_json::from_value(fields.clone());
        let columns =
            columns.map_err(|error| RestRefusal::invalid(format!("Invalid schema: {error}")))?;
        let checked = schema::check(&columns).and_then(|()| match self.revision {
            // A table that is being made may begin with REQUIRED columns.
            0 => Ok(()),
            _ => schema::check_change(self.columns(), &columns),
        });
        let refused = |message| {
            RestRefusal::invalid(format!("Schema does not match Table {}. {message}", self.name))
        };
        checked.map_err(refused)?;
        Ok(Arc::new(columns))
    }

    /// As REST knows them.
    pub fn columns(&self) -> &Arc<Vec<Column>> {
        &self.versions.last().expect("a table has columns from its beginning").1
    }

    /// As the Storage Write API knows them when it is `lag` behind, with the number of the version.
    pub fn known_columns(&self, now: Timestamp, lag: SignedDuration) -> (usize, &Arc<Vec<Column>>) {
        let is_known = |(since, _): &(Timestamp, _)| now.duration_since(*since) >= lag;
        let version = self.versions.iter().rposition(is_known).unwrap_or(0);
        (version, &self.versions[version].1)
    }

    pub fn versions(&self) -> usize {
        self.versions.len()
    }

    pub fn primary_key(&self) -> &[String] {
        &self.primary_key
    }

    pub fn set_primary_key(&mut self, columns: &[String]) -> Result<(), RestRefusal> {
        let constraints = json!({"primaryKey": {"columns": columns}});
        self.primary_key = checked_key(&constraints, self.columns())?;
        self.revision += 1;
        Ok(())
    }

    pub fn store(&mut self, rows: Vec<StoredRow>, are_changes: bool) {
        self.has_changes |= are_changes && !rows.is_empty();
        self.rows.extend(rows);
    }

    /// All that was ever stored, changes as well, in the order of storing.
    pub fn stored(&self) -> &[StoredRow] {
        &self.rows
    }

    /// The rows that a reader sees. A change takes the place of whatever has its key.
    pub fn rows(&self) -> Vec<Row> {
        let read: Vec<_> = self.rows.iter().map(StoredRow::read).collect();
        if !self.has_changes {
            return read.into_iter().map(|(row, _)| row).collect();
        }
        let (mut plain, mut changes) = (Vec::new(), Vec::new());
        for (row, change) in read {
            match change {
                Some(change) => changes.push((self.key_of(&row), change, row)),
                None => plain.push(row),
            }
        }
        let latest = latest(changes);
        plain.retain(|row| !latest.contains_key(&self.key_of(row)));
        let upserted = latest.into_values().filter(|(change, _)| change.kind == ChangeKind::Upsert);
        plain.into_iter().chain(upserted.map(|(_, row)| row)).collect()
    }

    /// As [`Self::rows`], with the values of these columns at least; without changes nothing else is read.
    pub fn rows_with(&self, names: &[&str]) -> Vec<Row> {
        if self.has_changes {
            return self.rows();
        }
        // The rows of a request have one format.
        let requests = self.rows.chunk_by(|one, next| Arc::ptr_eq(&one.format, &next.format));
        let read = |request: &[StoredRow]| {
            let part = request[0].format.part(names);
            let read = |row: &StoredRow| part.read(&row.bytes);
            request.iter().map(read).collect::<Result<Vec<_>, _>>()
        };
        let rows: Result<Vec<_>, _> = requests.map(read).collect();
        rows.expect("they were read before they were stored").into_iter().flatten().collect()
    }

    /// The part of [`Self::rows`] that begins at `start`, at most `most` rows, and how many there are in all. Without
    /// changes only that part is read.
    pub fn rows_from(&self, start: usize, most: usize) -> (Vec<Row>, usize) {
        if self.has_changes {
            let rows = self.rows();
            let total = rows.len();
            return (rows.into_iter().skip(start).take(most).collect(), total);
        }
        let part = self.rows.iter().skip(start).take(most);
        (part.map(|row| row.read().0).collect(), self.rows.len())
    }

    fn key_of(&self, row: &Row) -> Key {
        let text = |column: &String| match row.get(column) {
            Value::Null => None,
            value => Some(value.text(Stamps::Microseconds)),
        };
        self.primary_key.iter().map(text).collect()
    }

    pub fn count(&self) -> usize {
        if self.has_changes { self.rows().len() } else { self.rows.len() }
    }

    /// Whether a row with this insert id came within the last minute; remembers it.
    pub fn is_repeated(&mut self, insert_id: &str, now: Timestamp) -> bool {
        let is_old = |(came, _): &mut (Timestamp, _)| now.duration_since(*came) >= INSERT_ID_MEMORY;
        while let Some((came, id)) = self.inserted.pop_front_if(is_old) {
            if self.insert_ids.get(&id) == Some(&came) {
                self.insert_ids.remove(&id);
            }
        }
        self.inserted.push_back((now, insert_id.into()));
        self.insert_ids.insert(insert_id.into(), now).is_some()
    }

    pub fn etag(&self) -> String {
        format!("\"{}.{}\"", self.name.table, self.revision)
    }

    /// What `tables.get` answers.
    pub fn resource(&self) -> Json {
        let mut resource = self.properties.clone();
        let TableName { dataset, table } = &self.name;
        let (project, dataset) = (&dataset.project, &dataset.dataset);
        let mut set = |name: &str, value: Json| resource.insert(name.into(), value);
        set("kind", json!("bigquery#table"));
        set("id", json!(format!("{project}:{dataset}.{table}")));
        set("type", json!("TABLE"));
        set("etag", json!(self.etag()));
        set("location", json!("US"));
        set(
            "tableReference",
            json!({"projectId": project, "datasetId": dataset, "tableId": table}),
        );
        set("schema", json!({"fields": **self.columns()}));
        set("numRows", json!(self.count().to_string()));
        if !self.primary_key.is_empty() {
            set("tableConstraints", json!({"primaryKey": {"columns": self.primary_key}}));
        }
        resource.into()
    }
}

fn checked_key(constraints: &Json, columns: &[Column]) -> Result<Vec<String>, RestRefusal> {
    let listed = constraints.pointer("/primaryKey/columns").and_then(Json::as_array);
    let names = listed.into_iter().flatten().filter_map(Json::as_str).map(str::to_owned);
    let names: Vec<_> = names.collect();
    let distinct: BTreeSet<_> = names.iter().collect();
    if let Some(unfit) =
        names.iter().filter_map(|name| schema::find(columns, name)).find(|it| !is_of_keys(it))
    {
        let message = format!(
            "Column {} of type {:?} cannot be part of a primary key",
            unfit.name, unfit.kind
        );
        return Err(RestRefusal::invalid(message));
    }
    let is_legal = names.iter().all(|name| schema::find(columns, name).is_some());
    if is_legal && names.len() <= 16 && distinct.len() == names.len() {
        return Ok(names);
    }
    Err(RestRefusal::invalid("a primary key has up to 16 different columns of the table"))
}

fn is_of_keys(column: &Column) -> bool {
    let kind = matches!(
        column.kind,
        Kind::Boolean
            | Kind::Integer
            | Kind::String
            | Kind::Numeric
            | Kind::BigNumeric
            | Kind::Date
            | Kind::DateTime
            | Kind::Timestamp
    );
    kind && column.mode != Mode::Repeated
}

fn milliseconds(time: Timestamp) -> Json {
    time.as_millisecond().to_string().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millisecond(ms).unwrap()
    }

    fn table() -> Table {
        let body = json!({"schema": {"fields": [{"name": "id", "type": "INT64", "mode": "REQUIRED"}]},
            "clustering": {"fields": ["id"]}});
        Table::create(TableName::new("p", "d", "t"), &body, at(0)).unwrap()
    }

    fn wider() -> Json {
        json!({"schema": {"fields": [{"name": "id", "type": "INTEGER"}, {"name": "n", "type": "STRING"}]},
            "clustering": null})
    }

    #[test]
    fn a_patch_needs_the_present_etag_and_changes_what_it_names() {
        let mut table = table();
        let first = table.etag();
        assert_eq!(table.patch(&wider(), Some(&first), at(5)), Ok(()));
        let stale = table.patch(&json!({"labels": {"a": "b"}}), Some(&first), at(6));
        assert_eq!(stale.map_err(|refused| refused.status), Err(412));
        let resource = table.resource();
        assert_eq!(resource["schema"]["fields"].as_array().map(Vec::len), Some(2));
        assert_eq!(resource.get("clustering").or(resource.get("labels")), None);
        let narrow = json!({"schema": {"fields": [{"name": "n", "type": "STRING"}]}});
        let refused = table.patch(&narrow, None, at(7)).map_err(|refused| refused.reason);
        assert_eq!(refused, Err("invalid".into()));
        assert_eq!(table.columns().len(), 2);
    }

    #[test]
    fn writers_learn_new_columns_later() {
        let mut table = table();
        table.patch(&wider(), None, at(1_000)).unwrap();
        let lag = SignedDuration::from_millis(500);
        let known = |now| {
            let (version, columns) = table.known_columns(at(now), lag);
            (version, columns.len())
        };
        assert_eq!([known(0), known(1_499), known(1_500)], [(0, 1), (0, 1), (1, 2)]);
        assert_eq!(table.columns().len(), 2);
        assert_eq!(table.known_columns(at(1_000), SignedDuration::ZERO).0, 1);
    }

    #[test]
    fn an_insert_id_is_remembered_for_a_minute() {
        let mut table = table();
        let seen: Vec<_> =
            [0, 59_999, 119_998, 179_998].map(|now| table.is_repeated("k", at(now))).into();
        assert_eq!(seen, [false, true, true, false]);
        assert!(!table.is_repeated("other", at(179_998)));
    }

    #[test]
    fn a_key_is_made_of_columns() {
        let mut table = table();
        assert_eq!(table.set_primary_key(&["ID".into()]), Ok(()));
        assert!(table.set_primary_key(&["nope".into()]).is_err());
        assert!(table.set_primary_key(&["id".into(), "id".into()]).is_err());
        assert_eq!(table.primary_key(), ["ID"]);
        let more = json!([{"name": "id", "type": "INT64", "mode": "REQUIRED"},
            {"name": "x", "type": "FLOAT"}, {"name": "l", "type": "STRING", "mode": "REPEATED"}]);
        table.patch(&json!({"schema": {"fields": more}}), None, at(1)).unwrap();
        for unfit in ["x", "l"] {
            let refused = table.set_primary_key(&["id".into(), unfit.into()]).unwrap_err();
            assert!(refused.message.contains("primary key"), "{refused:?}");
        }
    }
}
