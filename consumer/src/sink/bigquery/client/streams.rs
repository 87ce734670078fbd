//! IO. Write streams of a table: created and finalized by gRPC.

use common::crash_point;
use gcp_bigquery_client::google::cloud::bigquery::storage::v1 as storage;
use storage::write_stream::Type;
use storage::{CreateWriteStreamRequest, FinalizeWriteStreamRequest, WriteStream};

use super::append::Append;
use super::call_error::{Call, CallError};
use super::connect::{Client, write_client};
use super::shared_append::SharedAppend;

impl Client {
    /// A new stream whose rows are seen as soon as they are stored, by its name. One that nobody
    /// learns of, as the answer was lost, does no harm.
    ///
    /// # Errors
    /// [`super::call_error::Kind::NotFound`] without the table, and as every call.
    pub async fn create_stream(&self, table: &str) -> Result<String, CallError> {
        let (call, parent) = (Call::CreateStream, &self.options().table_path(table));
        let subject = &self.options().table_name(table);
        let create = || async move {
            let kind = WriteStream { r#type: Type::Committed.into(), ..WriteStream::default() };
            let message =
                CreateWriteStreamRequest { parent: parent.clone(), write_stream: Some(kind) };
            let request = self.request(message, ("parent", parent)).await;
            let request = request.map_err(|error| CallError::of_client(call, subject, &error))?;
            let created = write_client(self.pool().any()).create_write_stream(request).await;
            created.map_err(|status| CallError::of_status(call, subject, &status))
        };
        crash_point::before("stream");
        let created = self.again(call, subject, create).await?;
        crash_point::after("stream");
        Ok(created.into_inner().name)
    }

    /// Ends a stream for whoever writes to it; how many rows are in it. Again does no harm.
    ///
    /// # Errors
    /// [`super::call_error::Kind::NotFound`] if the stream is unknown, and as every call.
    pub async fn finalize(&self, stream: &str) -> Result<u64, CallError> {
        let call = Call::FinalizeStream;
        let finalize = || async move {
            let message = FinalizeWriteStreamRequest { name: stream.into() };
            let request = self.request(message, ("name", stream)).await;
            let request = request.map_err(|error| CallError::of_client(call, stream, &error))?;
            let finalized = write_client(self.pool().any()).finalize_write_stream(request).await;
            finalized.map_err(|status| CallError::of_status(call, stream, &status))
        };
        crash_point::before("finalize");
        let rows = self.again(call, stream, finalize).await?.into_inner().row_count;
        crash_point::after("finalize");
        let wrong = |_| CallError::unknown(call, stream, format!("it answered {rows} rows"));
        u64::try_from(rows).map_err(wrong)
    }

    /// The stream that every table has, by its name: all may append to it, at no offset.
    pub fn default_stream(&self, table: &str) -> String {
        format!("{}/streams/_default", self.options().table_path(table))
    }

    /// A connection for appends to one stream, which is opened with the first of them.
    pub fn append(&self, stream: &str) -> Append {
        Append::new(self.clone(), stream)
    }

    /// Appends to a default stream, on a connection that others of this client may be on as well.
    pub fn shared_append(&self, stream: &str) -> SharedAppend {
        SharedAppend::new(self.clone(), stream)
    }
}
