//! IO. Rows of one partition by insertAll, one request after the other.

use std::fmt;
use std::future::pending;
use std::sync::Arc;

use gcp_bigquery_client::model::table_data_insert_all_request_rows::TableDataInsertAllRequestRows;
use tokio::task::{JoinHandle, spawn_blocking};

use super::client::{Answer, CallError, Client, InsertRows};
use super::encode::json::JsonRows;
use super::encode::rows::EncodedRows;
use crate::table::schema::TableSchema;

/// A request without an answer, which is broken off with whoever waits for it.
struct Inserting(JoinHandle<Result<Answer, CallError>>);

impl Drop for Inserting {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Dropping it breaks the request off that is under way.
pub(super) struct Inserts {
    client: Client,
    table: String,
    /// What stands before an offset in an insert id.
    ids: Arc<str>,
    schema: Arc<TableSchema>,
    under_way: Option<Inserting>,
}

impl Inserts {
    pub(super) fn new(client: Client, table: &str, ids: &str, schema: Arc<TableSchema>) -> Self {
        Self { client, table: table.into(), ids: ids.into(), schema, under_way: None }
    }

    /// Begins a request. The one before was answered.
    pub(super) fn send(&mut self, rows: Vec<EncodedRows>) {
        let (client, table) = (self.client.clone(), self.table.clone());
        let (ids, schema) = (Arc::clone(&self.ids), Arc::clone(&self.schema));
        let work = async move {
            let made = spawn_blocking(move || insert_rows(&rows, &schema, &ids)).await;
            let rows = made.expect("every row was encoded, and nobody cancels it");
            let verdict = client.insert_all(&table, rows).await?;
            Ok(Answer { verdict, has_new_columns: false })
        };
        self.under_way = Some(Inserting(tokio::spawn(work)));
    }

    /// May be given up at any time without the answer being lost.
    pub(super) async fn receive(&mut self) -> Result<Answer, CallError> {
        let Some(work) = &mut self.under_way else { return pending().await };
        let answer = (&mut work.0).await;
        self.under_way = None;
        answer.expect("an insertion never panics, and who breaks it off waits for nothing")
    }
}

fn insert_rows(parts: &[EncodedRows], schema: &TableSchema, ids: &str) -> InsertRows {
    let json = JsonRows::new(schema);
    let rows = parts.iter().flat_map(EncodedRows::iter);
    let row = |(offset, message): (u64, &[u8])| TableDataInsertAllRequestRows {
        insert_id: Some(format!("{ids}{offset}")),
        json: json.row(message),
    };
    rows.map(row).collect()
}

impl fmt::Debug for Inserts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { table, ids, under_way, .. } = self;
        let mut shown = f.debug_struct("Inserts");
        shown.field("table", table).field("ids", ids);
        shown.field("is_under_way", &under_way.is_some()).finish_non_exhaustive()
    }
}
