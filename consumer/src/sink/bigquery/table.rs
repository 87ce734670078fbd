//! IO. One table of BigQuery: whose it is, its columns, and how one of its partitions is opened.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use common::identity::TableId;
use common::messages::entry::{Delivery, EntryOptions, TableOptions};
use common::position::Position;
use prost_types::DescriptorProto;
use serde_json::{Map, Value as Json, json};
use tokio::sync::Mutex;
use tokio::time::sleep;
use tracing::{info, warn};

use super::claim::id_of;
use super::client::{Asked, CallError, Client, FoundTable, Kind, Patched};
use super::closed::adopt_present;
use super::columns::{Adopted, adopt};
use super::encode::descriptor::descriptor;
use super::fencing::{End, Fencing, Step};
use super::key::{interval, new_key};
use super::token::{Stream, Token};
use super::writer::BigQueryWriter;
use crate::sink::claims::{Beginning, Claims};
use crate::sink::{OpenRequest, Opened, SinkError, Widened, Writer};
use crate::table::schema::{Column, TableSchema};

/// How many batches need the same columns in vain before they are looked for in the table again.
const LOOK_AGAIN: u32 = 100;
/// How long until what may be otherwise soon is asked again.
const POLL: Duration = Duration::from_millis(500);

const DELETED: &str = "it was deleted; bring it back, or make another one and say in the service entry where its rows \
     are to begin (`from`): once it is there the partition goes on";

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
    /// One partition at a time changes the table; what it lacks, where it may not be changed.
    widening: Mutex<Option<Lacking>>,
    /// Whether it is perhaps no more: something of it was not found.
    is_doubtful: AtomicBool,
}

/// What was wanted of a table that has not all of it.
#[derive(Debug)]
struct Lacking {
    wanted: Vec<Column>,
    /// How often that is known without looking at the table.
    times: u32,
}

impl BigQueryTable {
    pub(super) fn new(client: Client, name: String, id: TableId, options: EntryOptions) -> Self {
        let (options, has_headers) = (options.table, options.format.has_headers);
        let (schema, widening, is_doubtful) = Default::default();
        let shared =
            Shared { client, name, id, options, has_headers, schema, widening, is_doubtful };
        Self(Arc::new(shared))
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

    /// Finds each wanted column in the table, or adds it, where that is allowed. Rows may be refused for a
    /// while after that: streams learn of new columns late.
    /// With a `key` its rows change others from then on.
    pub async fn widen(&self, wanted: &[Column], key: &[String]) -> Result<Widened, SinkError> {
        let mut lacking = self.0.widening.lock().await;
        let known = self.schema();
        let is_new_key = known.key.is_empty() && !key.is_empty();
        let same = lacking.as_mut().filter(|it| it.wanted == wanted && it.times > 0);
        if let Some(Lacking { times, .. }) = same.filter(|_| !is_new_key) {
            *times -= 1;
            return Ok(Widened { schema: known, has_other_types: false, is_closed: true });
        }
        let Adopted { schema, has_other_types, fields } = self.adopt(&known, (wanted, key)).await?;
        let is_closed = fields.is_some();
        *lacking = is_closed.then(|| Lacking { wanted: wanted.into(), times: LOOK_AGAIN });
        if schema.version > known.version {
            *self.0.schema.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(schema);
        }
        Ok(Widened { schema: self.schema(), has_other_types, is_closed })
    }

    /// Before it is opened again it is to be looked for.
    pub(super) fn doubt(&self) {
        self.0.is_doubtful.store(true, Ordering::Relaxed);
    }

    /// Whether it still is the table that was claimed. One that was deleted and brought back is the same; another one
    /// of its name is not.
    ///
    /// # Errors
    /// While there is none: nothing is made anew behind somebody's back.
    pub async fn is_there(&self) -> Result<bool, SinkError> {
        if !self.0.is_doubtful.load(Ordering::Relaxed) {
            return Ok(true);
        }
        if id_of(&self.look_up().await?) != Some(self.0.id) {
            return Ok(false);
        }
        self.restore().await?;
        self.0.is_doubtful.store(false, Ordering::Relaxed);
        Ok(true)
    }

    /// Adds columns that were taken out of the table behind our back.
    pub(super) async fn restore(&self) -> Result<(), SinkError> {
        let _alone = self.0.widening.lock().await;
        self.adopt(&self.schema(), (&[], &[])).await.map(drop)
    }

    /// With the fields that the table has not, if it may not be changed.
    async fn adopt(
        &self,
        known: &TableSchema,
        (wanted, key): (&[Column], &[String]),
    ) -> Result<Adopted, SinkError> {
        loop {
            let table = self.look_up().await?;
            let relax = self.0.options.may_widen;
            let adopted = adopt(known, &table.schema.fields, wanted, relax);
            let adopted = adopted.map_err(|error| self.refused(error.to_string()))?;
            let lacking = adopted.fields.clone().filter(|_| !self.0.options.may_widen);
            let mut adopted = match lacking.is_some() {
                true => self.present(known, &table, wanted)?,
                false => adopted,
            };
            if known.key.is_empty() && !key.is_empty() {
                adopted.schema.key = key.to_vec();
                adopted.schema.version = known.version + 1;
            }
            let mut patch = self.key_patch(&table, &adopted)?;
            if let Some(wider) = &adopted.fields {
                patch.insert("schema".into(), json!({"fields": wider}));
            }
            if patch.is_empty() {
                return Ok(Adopted { fields: lacking, ..adopted });
            }
            let changed: Vec<_> = patch.keys().cloned().collect();
            let patched = self.0.client.patch_table(&self.0.name, &table.etag, &patch.into()).await;
            match patched.map_err(|source| self.failed("add columns to the table", source))? {
                Patched::Done => {
                    info!(table = self.0.name, ?changed, "the table was widened");
                    return Ok(Adopted { fields: lacking, ..adopted });
                }
                Patched::Conflict => {} // By another process: what it added may be what is wanted.
            }
        }
    }

    /// What of the wanted columns is there, where none may be added.
    fn present(
        &self,
        known: &TableSchema,
        table: &FoundTable,
        wanted: &[Column],
    ) -> Result<Adopted, SinkError> {
        let present = adopt_present(known, &table.schema.fields, wanted);
        let present = present.map_err(|error| self.refused(error.to_string()))?;
        match present.fields {
            Some(_) => Err(self.lacks(&known.columns)),
            None => Ok(present),
        }
    }

    /// No record can be a row of it as it is, and it may not be changed.
    pub fn lacks(&self, wanted: &[Column]) -> SinkError {
        let names: Vec<_> = wanted.iter().map(|column| column.name.as_str()).collect();
        let names = names.join(", ");
        self.refused(format!(
            "it lacks some of the columns {names}, and the service entry says `widen` `false`"
        ))
    }

    async fn look_up(&self) -> Result<FoundTable, SinkError> {
        let table = self.0.client.table(&self.0.name).await;
        let table = table.map_err(|source| self.failed("read the table", source))?;
        table.ok_or_else(|| {
            self.doubt();
            self.refused(DELETED.into())
        })
    }

    /// What the table must get so that rows can change others; nothing where they do not.
    fn key_patch(
        &self,
        table: &FoundTable,
        adopted: &Adopted,
    ) -> Result<Map<String, Json>, SinkError> {
        let mut patch = Map::new();
        let Some(changes) = &self.0.options.changes else { return Ok(patch) };
        if adopted.schema.key.is_empty() {
            return Ok(patch);
        }
        let name = self.0.client.options().table_name(&self.0.name);
        let fields = adopted.fields.as_ref().unwrap_or(&table.schema.fields);
        let may_change = self.0.options.may_widen;
        let new = new_key((&name, fields), &adopted.schema, &table.key(), may_change);
        let Some(new) = new.map_err(|error| self.refused(error.to_string()))? else {
            return Ok(patch);
        };
        let key = json!({"primaryKey": {"columns": new.columns}});
        patch.insert("tableConstraints".into(), key);
        if !new.cluster_by.is_empty() {
            patch.insert("clustering".into(), json!({"fields": new.cluster_by}));
        }
        if !changes.max_staleness.is_zero() && table.max_staleness.is_none() {
            patch.insert("maxStaleness".into(), interval(changes.max_staleness).into());
        }
        Ok(patch)
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
            None if !self.is_exactly_once() && tokens.is_empty() => claims.stored_to(),
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
        if !self.is_there().await? {
            return Err(self.refused("another one of its name stands in its place".into()));
        }
        let stream = self.stream(&request, position).await?;
        let tokens = stream.token().into_iter().collect();
        let writer = BigQueryWriter::new(self.clone(), request.partition, stream, position);
        let writer = Writer::BigQuery(Box::new(writer));
        Ok(Opened { writer, position, newest_object: None, tokens, gap, overruled })
    }

    async fn stream(&self, request: &OpenRequest, position: Position) -> Result<Stream, SinkError> {
        let Shared { client, name, options, .. } = &*self.0;
        match options.delivery {
            Delivery::ExactlyOnce => {
                let stream = client.create_stream(name).await;
                let stream = stream.map_err(|source| {
                    if source.kind == Kind::NotFound {
                        self.doubt();
                    }
                    self.failed("make a write stream", source)
                })?;
                let of = Some((position.topic_id, self.0.id));
                Ok(Stream::Own(Token { from: position.offset, of, stream }))
            }
            Delivery::AtLeastOnce => Ok(Stream::Default(client.default_stream(name))),
            Delivery::InsertAll => {
                let ids = format!("{}/{}/", position.topic_id, request.partition.partition());
                Ok(Stream::Inserts { table: name.clone(), ids })
            }
        }
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
                        Err(error) if error.kind == Kind::NotFound => {
                            self.doubt();
                            None
                        }
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

    fn is_exactly_once(&self) -> bool {
        self.0.options.delivery == Delivery::ExactlyOnce
    }

    pub(super) fn failed(&self, what: &str, source: CallError) -> SinkError {
        SinkError::Service { what: format!("failed to {what} `{}`", self.0.name), source }
    }

    pub(super) fn refused(&self, reason: String) -> SinkError {
        SinkError::Refused { table: self.0.name.clone(), reason }
    }
}
