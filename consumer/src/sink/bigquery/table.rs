//! IO. One table of BigQuery: whose it is, its columns, and how one of its partitions is opened.

use std::ops::Range;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use common::identity::TableId;
use common::messages::entry::{Delivery, EntryOptions, TableOptions};
use common::position::Position;
use prost_types::DescriptorProto;
use serde_json::json;
use tokio::sync::Mutex;
use tokio::time::sleep;
use tracing::{info, warn};

use super::client::{Asked, CallError, Client, Kind, Patched};
use super::columns::{Adopted, adopt};
use super::encode::descriptor::descriptor;
use super::fencing::{End, Fencing, Step};
use super::token::{Stream, Token};
use super::writer::BigQueryWriter;
use crate::sink::claims::{Beginning, Claims};
use crate::sink::{OpenRequest, Opened, SinkError, Widened, Writer};
use crate::table::schema::{Column, TableSchema};

/// How long until what may be otherwise soon is asked again.
const POLL: Duration = Duration::from_millis(500);

/// A table that this process has claimed. Clones share it.
#[derive(Clone, Debug)]
pub struct BigQueryTable(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    client: Client,
    name: String,
    id: TableId,
    options: TableOptions,
    /// Rows carry the records' headers.
    has_headers: bool,
    /// The columns that records of this process needed so far.
    schema: RwLock<Arc<TableSchema>>,
    /// One partition at a time changes the table.
    widening: Mutex<()>,
}

impl BigQueryTable {
    pub(super) fn new(client: Client, name: String, id: TableId, options: EntryOptions) -> Self {
        let (schema, widening) = (RwLock::default(), Mutex::default());
        let (options, has_headers) = (options.table, options.format.has_headers);
        Self(Arc::new(Shared { client, name, id, options, has_headers, schema, widening }))
    }

    pub fn id(&self) -> TableId {
        self.0.id
    }

    pub fn schema(&self) -> Arc<TableSchema> {
        Arc::clone(&self.0.schema.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// How rows of that schema are to be read.
    pub(super) fn descriptor(&self, schema: &TableSchema) -> DescriptorProto {
        descriptor(schema, self.0.has_headers)
    }

    pub(super) fn client(&self) -> &Client {
        &self.0.client
    }

    /// Finds each wanted column in the table, or adds it. Rows may be refused for a while after that:
    /// streams learn of new columns late.
    pub async fn widen(&self, wanted: &[Column]) -> Result<Widened, SinkError> {
        let _alone = self.0.widening.lock().await;
        let known = self.schema();
        let Adopted { schema, has_other_types, .. } = self.adopt(&known, wanted).await?;
        if schema.version > known.version {
            *self.0.schema.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(schema);
        }
        Ok(Widened { schema: self.schema(), has_other_types })
    }

    /// Adds columns that were taken out of the table behind our back.
    pub(super) async fn restore(&self) -> Result<(), SinkError> {
        let _alone = self.0.widening.lock().await;
        self.adopt(&self.schema(), &[]).await.map(drop)
    }

    async fn adopt(&self, known: &TableSchema, wanted: &[Column]) -> Result<Adopted, SinkError> {
        loop {
            let table = self.0.client.table(&self.0.name).await;
            let table = table.map_err(|source| self.failed("read the table", source))?;
            let Some(table) = table else { return Err(self.refused("it was deleted".into())) };
            let relax = self.0.options.may_widen;
            let adopted = adopt(known, &table.schema.fields, wanted, relax);
            let adopted = adopted.map_err(|error| self.refused(error.to_string()))?;
            let Some(wider) = &adopted.fields else { return Ok(adopted) };
            if !self.0.options.may_widen {
                let names: Vec<_> = wanted.iter().map(|column| column.name.as_str()).collect();
                let names = names.join(", ");
                let reason = format!(
                    "it lacks some of the columns {names}, and the service entry says `widen` `false`"
                );
                return Err(self.refused(reason));
            }
            let patch = json!({"schema": {"fields": wider}});
            let patched = self.0.client.patch_table(&self.0.name, &table.etag, &patch).await;
            match patched.map_err(|source| self.failed("add columns to the table", source))? {
                Patched::Done => {
                    info!(table = self.0.name, columns = wider.len(), "the table was widened");
                    return Ok(adopted);
                }
                Patched::Conflict => {} // By another process: what it added may be what is wanted.
            }
        }
    }

    /// Ends the streams of former owners, finds where the rows of the partition end, and makes its stream.
    pub async fn open(&self, request: OpenRequest) -> Result<Opened, SinkError> {
        let claims = Claims::of(self.0.id, &request)?;
        let tokens = request.hand_over.iter().flat_map(|hand_over| &hand_over.tokens);
        let tokens: Vec<Token> = tokens.map(|token| Token::parse(token)).collect();
        let trusted = claims.trusted();
        let end = match trusted {
            Some(position) => {
                // Nothing is under way on them: that they end saves quota, and nobody waits for it.
                tokio::spawn(self.clone().tidy(tokens));
                position.offset
            }
            // Nothing tells a row that is stored from one that is not: at most it is there twice.
            None if self.is_at_least_once() && tokens.is_empty() => claims.stored_to(),
            None => {
                let of = (request.topic_id, self.0.id);
                self.found(Fencing::new(of, claims.stored_to(), tokens), &request).await?
            }
        };
        let Beginning { fill, gap, overruled } = claims.begin(&request, end);
        let position = Position {
            offset: fill.map_or(end, |Range { end, .. }| end),
            leader_epoch: trusted.and_then(|position| position.leader_epoch),
            topic_id: request.topic_id,
            table_id: Some(self.0.id),
        };
        let stream = self.stream(position).await?;
        let tokens = stream.token().into_iter().collect();
        let writer = BigQueryWriter::new(self.clone(), request.partition, stream, position);
        let writer = Writer::BigQuery(Box::new(writer));
        Ok(Opened { writer, position, newest_object: None, tokens, gap, overruled })
    }

    async fn stream(&self, position: Position) -> Result<Stream, SinkError> {
        if self.is_at_least_once() {
            return Ok(Stream::Default(self.0.client.default_stream(&self.0.name)));
        }
        let stream = self.0.client.create_stream(&self.0.name).await;
        let stream = stream.map_err(|source| self.failed("make a write stream", source))?;
        Ok(Stream::Own(Token {
            from: position.offset,
            of: Some((position.topic_id, self.0.id)),
            stream,
        }))
    }

    /// The end of the rows after an owner that did not say it, once none of its streams takes any more.
    async fn found(&self, mut fencing: Fencing, request: &OpenRequest) -> Result<u64, SinkError> {
        let (client, topic_id) = (&self.0.client, &request.topic_id.to_string());
        let partition = request.partition.partition();
        let mut waited = Duration::ZERO;
        loop {
            match fencing.next_step() {
                Step::Finalize(stream) => {
                    let rows = match client.finalize(stream).await {
                        Ok(rows) => Some(rows),
                        Err(error) if error.kind == Kind::NotFound => None,
                        Err(error) => return Err(self.failed("end a former owner's stream", error)),
                    };
                    if fencing.finalized(rows, waited) {
                        // All of them were made before: those that are gone are waited for together.
                        if let Step::Ask { .. } = fencing.next_step() {
                            waited = Duration::ZERO;
                        }
                        continue;
                    }
                }
                Step::Ask { from } => {
                    let asked = Asked { topic_id, partition, from: Some(from) };
                    let stored = client.stored(&self.0.name, asked).await;
                    let stored =
                        stored.map_err(|error| self.failed("ask for the last row", error))?;
                    if let Some(End { offset, missing }) = fencing.found(stored, waited) {
                        if missing > 0 {
                            let (partition, found) = (&request.partition, stored.rows);
                            warn!(%partition, missing, found, "rows of ended streams are not in the table");
                        }
                        return Ok(offset);
                    }
                }
            }
            sleep(POLL).await;
            waited += POLL;
        }
    }

    async fn tidy(self, tokens: Vec<Token>) {
        for Token { stream, .. } in &tokens {
            if let Err(error) = self.0.client.finalize(stream).await {
                warn!(table = self.0.name, stream, %error, "a former stream was not ended");
            }
        }
    }

    fn is_at_least_once(&self) -> bool {
        self.0.options.delivery == Delivery::AtLeastOnce
    }

    pub(super) fn failed(&self, what: &str, source: CallError) -> SinkError {
        SinkError::Service { what: format!("failed to {what} `{}`", self.0.name), source }
    }

    pub(super) fn refused(&self, reason: String) -> SinkError {
        SinkError::Refused { table: self.0.name.clone(), reason }
    }
}
