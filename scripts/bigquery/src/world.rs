//! Pure. All that the double holds: what is stored, the faults to come, what happened, and how it is set.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use tonic::Code;

use crate::fault::Faults;
use crate::journal::Journal;
use crate::names::StreamName;
use crate::query::jobs::Jobs;
use crate::refusal::Refusal;
use crate::table::StoredRow;
use crate::warehouse::catalog::Warehouse;
use crate::warehouse::streams::Moment;

#[derive(Debug)]
pub struct World {
    pub warehouse: Warehouse,
    pub faults: Faults,
    pub journal: Journal,
    pub settings: Settings,
    pub jobs: Jobs,
    /// AppendRows connections that are open, each with the stream that it wrote to last.
    connections: BTreeMap<u64, Option<StreamName>>,
    connected: u64,
}

/// Where the service's ways are not known, or differ from day to day.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// How long after a change of a table's columns the Storage Write API and insertAll go by the old ones.
    pub schema_lag_ms: u32,
    /// Whether the headers of an AppendRows call wait for its first answer.
    pub headers_with_first_answer: bool,
    /// Whether a request that is too large ends its connection; otherwise it is refused in an answer.
    pub too_large_ends_connection: bool,
    pub create_streams_per_hour_max: Option<usize>,
    pub connections_max: Option<usize>,
    /// How many answers to a query say that it is not done.
    pub queries_unfinished: u32,
}

impl World {
    /// `seed` makes the names of streams.
    pub fn new(seed: u64, settings: Settings) -> Self {
        Self {
            warehouse: Warehouse::new(seed),
            faults: Faults::default(),
            journal: Journal::default(),
            settings,
            jobs: Jobs::default(),
            connections: BTreeMap::new(),
            connected: 0,
        }
    }

    pub fn moment(&self, now: Timestamp) -> Moment {
        let schema_lag = SignedDuration::from_millis(self.settings.schema_lag_ms.into());
        Moment { now, schema_lag }
    }

    /// The number of a new connection.
    pub fn connect(&mut self) -> Result<u64, Refusal> {
        if self.settings.connections_max.is_some_and(|most| self.connections.len() >= most) {
            let message = "Exceeds quota: concurrent AppendRows connections";
            return Err(Refusal::new(Code::ResourceExhausted, message));
        }
        self.connected += 1;
        self.connections.insert(self.connected, None);
        Ok(self.connected)
    }

    pub fn note_stream(&mut self, connection: u64, stream: &StreamName) {
        self.connections.insert(connection, Some(stream.clone()));
    }

    pub fn disconnect(&mut self, connection: u64) {
        self.connections.remove(&connection);
    }

    /// What `/admin/state` shows.
    pub fn state(&self) -> Json {
        let tables = self.warehouse.tables().map(|(name, table)| {
            let rows = table.count();
            json!({"table": name.to_string(), "rows": rows, "stored": table.stored().len(),
                "schema_version": table.versions()})
        });
        let streams = self.warehouse.streams().map(|(name, stream)| {
            let open = self.connections.values().filter(|open| open.as_ref() == Some(name)).count();
            json!({"stream": name.to_string(), "kind": stream.kind, "finalized": stream.is_finalized,
                "committed": stream.is_committed, "end": stream.end(), "connections": open,
                "trace_id": stream.trace_id})
        });
        json!({
            "tables": tables.collect::<Vec<_>>(),
            "streams": streams.collect::<Vec<_>>(),
            "connections": self.connections.len(),
            "faults": self.faults.left().collect::<Vec<_>>(),
            "calls": self.journal.counters(),
            "max_request_bytes": self.journal.max_request_bytes(),
            "settings": self.settings,
        })
    }

    /// What `/admin/rows` shows, one object for each row that was stored and shown.
    pub fn rows(&self, table: &str) -> Option<Vec<Json>> {
        let table = self.warehouse.table_called(table)?;
        let row = |stored: &StoredRow| {
            let (row, change) = stored.read();
            let mut shown = json!({"order": stored.order, "stream": stored.stream.as_deref(),
                "offset": stored.offset, "row": row.plain(table.columns())});
            if let Some(change) = change {
                shown["change"] = format!("{:?}", change.kind).to_uppercase().into();
            }
            shown
        };
        Some(table.stored().iter().map(row).collect())
    }
}
