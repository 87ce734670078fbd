//! Pure. Write streams: made, looked at, finalized, flushed and committed.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use gcp_bigquery_client::google::cloud::bigquery::storage::v1 as storage;
use jiff::{SignedDuration, Timestamp};
use rand::Rng as _;
use storage::storage_error::StorageErrorCode;
use storage::write_stream::{Type, WriteMode};
use storage::{StorageError, WriteStream};
use tonic::Code;

use super::catalog::Warehouse;
use crate::names::{StreamName, TableName};
use crate::refusal::Refusal;
use crate::schema;
use crate::stream::{Stream, StreamKind, Uncommittable, Unflushable};
use crate::table::StoredRow;

/// 56 characters of base64.
const ID_BYTES: usize = 42;

const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// The time, and how far the Storage Write API is behind REST.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    pub now: Timestamp,
    pub schema_lag: SignedDuration,
}

impl Warehouse {
    /// `per_hour_max` streams are made in an hour, where there is a quota.
    pub fn create_stream(
        &mut self,
        parent: &str,
        kind: Type,
        per_hour_max: Option<usize>,
        moment: Moment,
    ) -> Result<WriteStream, Refusal> {
        let table = TableName::parse(parent).filter(|table| self.tables.contains_key(table));
        let Some(table) = table else {
            return Err(Refusal::new(Code::NotFound, format!("Not found: Table {parent}"))
                .with_storage(StorageErrorCode::TableNotFound, parent));
        };
        let Some(kind) = StreamKind::of_proto(kind) else {
            return Err(Refusal::invalid("the type of the write stream is missing"));
        };
        let is_recent = |stream: &&Stream<_>| moment.now.duration_since(stream.created) < HOUR;
        let recent = self.streams.values().filter(is_recent).count();
        if per_hour_max.is_some_and(|most| recent >= most) {
            let message = "Exceeds quota: CreateWriteStream requests per hour";
            return Err(Refusal::new(Code::ResourceExhausted, message));
        }
        let mut id = [0; ID_BYTES];
        self.rng.fill_bytes(&mut id);
        let name = StreamName::new(table, URL_SAFE.encode(id));
        self.streams.insert(name.clone(), Stream::new(kind, moment.now));
        self.shown(&name, true, moment)
    }

    /// With the columns of its table where the view is full. The end of the stream is never told.
    pub fn shown(
        &self,
        name: &StreamName,
        is_full: bool,
        moment: Moment,
    ) -> Result<WriteStream, Refusal> {
        let (kind, created) = match self.streams.get(name) {
            Some(stream) => (stream.kind.to_proto(), Some(timestamp(stream.created))),
            None => {
                self.require_stream(name)?;
                (Type::Committed, None)
            }
        };
        let table = &self.tables[&name.table];
        let columns = table.known_columns(moment.now, moment.schema_lag).1;
        Ok(WriteStream {
            name: name.to_string(),
            r#type: kind.into(),
            create_time: created,
            commit_time: None,
            table_schema: is_full.then(|| schema::to_proto(columns)),
            write_mode: WriteMode::Insert.into(),
            location: "US".into(),
        })
    }

    /// Only the default stream needs none; every stream needs its table.
    pub(super) fn require_stream(&self, name: &StreamName) -> Result<(), Refusal> {
        let is_known = name.is_default() || self.streams.contains_key(name);
        if is_known && self.tables.contains_key(&name.table) {
            return Ok(());
        }
        Err(no_such_stream(&name.to_string()))
    }

    /// How many rows the stream holds; no more come.
    pub fn finalize(&mut self, name: &StreamName) -> Result<i64, Refusal> {
        self.require_stream(name)?;
        match self.streams.get_mut(name) {
            Some(stream) => Ok(stream.finalize()),
            None => Err(Refusal::invalid("the default stream cannot be finalized")),
        }
    }

    /// Shows the rows up to and with `offset`.
    pub fn flush(&mut self, name: &StreamName, offset: Option<i64>) -> Result<i64, Refusal> {
        self.require_stream(name)?;
        let Some(stream) = self.streams.get_mut(name) else {
            return Err(Refusal::invalid("the default stream cannot be flushed"));
        };
        let Some(offset) = offset.filter(|offset| *offset >= 0) else {
            return Err(Refusal::invalid("the offset is missing or negative"));
        };
        let rows = stream.flush(offset).map_err(|unflushable| match unflushable {
            Unflushable::NotBuffered => Refusal::invalid("only BUFFERED streams can be flushed"),
            Unflushable::Beyond { end } => {
                let message = format!("offset {offset} is beyond the stream's end {end}");
                Refusal::new(Code::OutOfRange, message)
                    .with_storage(StorageErrorCode::OffsetOutOfRange, name.to_string())
            }
        })?;
        self.show(name, rows);
        Ok(offset)
    }

    /// All of the streams, or none: then the reasons.
    pub fn commit(&mut self, parent: &str, names: &[String]) -> Result<(), Vec<StorageError>> {
        let mut checked = Vec::new();
        let mut errors = Vec::new();
        for text in names {
            match self.check_commit(parent, text) {
                Ok(name) => checked.push(name),
                Err(refusal) => errors.push(refusal.storage_error()),
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        for name in checked {
            let stream = self.streams.get_mut(&name).expect("it was checked");
            let rows = stream.commit();
            self.show(&name, rows);
        }
        Ok(())
    }

    fn check_commit(&self, parent: &str, text: &str) -> Result<StreamName, Refusal> {
        let name = StreamName::parse(text).filter(|name| name.table.to_string() == parent);
        let name = name.ok_or_else(|| no_such_stream(text))?;
        self.require_stream(&name)?;
        let checked = match self.streams.get(&name) {
            Some(stream) => stream.check_commit(),
            None => Err(Uncommittable::NotPending),
        };
        let (code, message) = match checked {
            Ok(()) => return Ok(name),
            Err(Uncommittable::NotPending) => {
                (StorageErrorCode::InvalidStreamType, "only PENDING streams are committed")
            }
            Err(Uncommittable::NotFinalized) => {
                (StorageErrorCode::InvalidStreamState, "the stream is not finalized")
            }
            Err(Uncommittable::Committed) => {
                (StorageErrorCode::StreamAlreadyCommitted, "the stream was committed before")
            }
        };
        Err(Refusal::invalid(message).with_storage(code, text))
    }

    /// The rows that it showed stay.
    pub fn forget_stream(&mut self, name: &StreamName) {
        self.streams.remove(name);
    }

    pub fn streams(&self) -> impl Iterator<Item = (&StreamName, &Stream<StoredRow>)> {
        self.streams.iter()
    }

    /// The first trace id counts.
    pub fn set_trace_id(&mut self, name: &StreamName, trace_id: &str) {
        if let Some(stream) = self.streams.get_mut(name)
            && !trace_id.is_empty()
        {
            stream.trace_id.get_or_insert_with(|| trace_id.into());
        }
    }

    fn show(&mut self, name: &StreamName, rows: Vec<StoredRow>) {
        let table = self.tables.get_mut(&name.table).expect("the stream's table is there");
        table.store(rows, false);
    }
}

pub fn no_such_stream(name: &str) -> Refusal {
    let message = format!("Requested entity was not found. Entity: {name}");
    Refusal::new(Code::NotFound, message)
        .with_storage(StorageErrorCode::StreamNotFound, name)
        .ending_the_connection()
}

pub fn timestamp(time: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: time.as_second(), nanos: time.subsec_nanosecond() }
}
