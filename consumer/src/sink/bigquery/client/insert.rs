//! IO. Rows by insertAll, over REST: all of a request or none.

use std::io::{self, Write};
use std::sync::Arc;

use gcp_bigquery_client::error::BQError;
use gcp_bigquery_client::model::table_data_insert_all_request::{
    TableDataInsertAllRequest, TableDataInsertAllRequestGzipped,
};
use gcp_bigquery_client::model::table_data_insert_all_request_rows::TableDataInsertAllRequestRows;
use tokio::task::spawn_blocking;

use super::call_error::{Call, CallError, Kind};
use super::connect::Client;
use super::inserted;
use super::verdict::Verdict;

/// The service takes 10 MB, before they are compressed.
pub const INSERT_BYTES_MAX: usize = 9_500_000;

/// Rows, each with its insert id: by that the service drops a repetition for about a minute, if it can.
pub type InsertRows = Vec<TableDataInsertAllRequestRows>;

impl Client {
    /// What became of the rows. More bytes than are taken at once are not sent.
    ///
    /// # Errors
    /// [`Kind::NotFound`] without the table, or while the service does not know it yet, and as every call.
    pub async fn insert_all(&self, table: &str, rows: InsertRows) -> Result<Verdict, CallError> {
        let (project, dataset) = (&self.options().project, &self.options().dataset);
        let (call, subject) = (Call::Insert, self.options().table_name(table));
        let mut request = TableDataInsertAllRequest::new();
        let added = request.add_rows(rows);
        added.map_err(|error| CallError::of_client(call, &subject, &error))?;
        let (request, bytes) = measured(request).await;
        if bytes > INSERT_BYTES_MAX {
            return Ok(Verdict::TooLarge(format!("{bytes} bytes, at most {INSERT_BYTES_MAX}")));
        }
        let request = &Arc::new(request);
        let insert = || async {
            let sent = async {
                let zipped = zipped(Arc::clone(request)).await?;
                self.rest().tabledata().insert_all_gzipped(project, dataset, table, zipped).await
            };
            sent.await.map_err(|error| CallError::of_client(call, &subject, &error))
        };
        match self.again(call, &subject, insert).await {
            Ok(response) => Ok(inserted::verdict(&response)),
            Err(error) if is_too_large(&error) => Ok(Verdict::TooLarge(error.text)),
            Err(error) => Err(error),
        }
    }
}

fn is_too_large(error: &CallError) -> bool {
    error.kind == Kind::Refused && error.text.contains("payload size exceeds")
}

/// How many bytes a request has.
async fn measured(request: TableDataInsertAllRequest) -> (TableDataInsertAllRequest, usize) {
    let measure = move || {
        let mut counted = Counted(0);
        let written = serde_json::to_writer(&mut counted, &request);
        written.expect("rows are JSON already");
        (request, counted.0)
    };
    spawn_blocking(measure).await.expect("measuring never panics and is never cancelled")
}

async fn zipped(
    request: Arc<TableDataInsertAllRequest>,
) -> Result<TableDataInsertAllRequestGzipped, BQError> {
    let zip = move || TableDataInsertAllRequestGzipped::try_from((*request).clone());
    spawn_blocking(zip).await.expect("compressing never panics and is never cancelled")
}

/// Forgets all but how much it was.
struct Counted(usize);

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
