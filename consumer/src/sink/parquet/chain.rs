//! IO. Where a partition's chain of objects ends, and so where reading goes on.

use common::chain::Chain;
use common::identity::TopicId;
use common::position::Position;

use super::footer::Footer;
use super::last::check_last;
use super::naming::{Naming, folder};
use super::table::{Found, ParquetTable};
use crate::sink::claims::{Beginning, Claims, blocked};
use crate::sink::{BlockedReason, OpenRequest, SinkError};

/// Where a new owner begins.
#[derive(Clone, Debug)]
pub(super) struct Start {
    /// The chain's end.
    pub(super) end: Position,
    pub(super) naming: Naming,
    pub(super) newest_object: Option<u64>,
    pub(super) beginning: Beginning,
}

/// The chain as it was found.
struct End {
    position: Position,
    naming: Naming,
    newest_object: Option<u64>,
}

/// Decides where the owner that `request` describes goes on.
pub(super) async fn start(table: &ParquetTable, request: &OpenRequest) -> Result<Start, SinkError> {
    let claims = Claims::of(table.id, request)?;
    let End { position: end, naming, newest_object } = match claims.trusted() {
        Some(position) => handed_over(table, request, position, claims.object()).await?,
        None => found(table, request, claims.object()).await?,
    };
    claims.check_not_ahead(request, end.offset)?;
    let beginning = claims.begin(request, end.offset);
    Ok(Start { end, naming, newest_object, beginning })
}

/// The chain's end as the last owner told it.
async fn handed_over(
    table: &ParquetTable,
    request: &OpenRequest,
    position: Position,
    newest_object: Option<u64>,
) -> Result<End, SinkError> {
    let plain = Naming::plain(&table.name, &request.partition);
    let first = look_at(table, request, &plain.path(0)).await?;
    let naming = match first {
        Some(footer) if footer.topic_id == request.topic_id => plain,
        Some(_) => Naming::of_topic_id(&table.name, &request.partition, &request.topic_id),
        None if position.offset == 0 => plain,
        // Old objects may have been removed: then a listing tells whose the plain names are.
        None => return found(table, request, newest_object).await,
    };
    Ok(End { position, naming, newest_object })
}

/// The chain's end by listing, from the object that a commit names if there is one.
async fn found(
    table: &ParquetTable,
    request: &OpenRequest,
    object: Option<u64>,
) -> Result<End, SinkError> {
    let plain = Naming::plain(&table.name, &request.partition);
    let own = Naming::of_topic_id(&table.name, &request.partition, &request.topic_id);
    let after = object.map(|object| plain.before(object));
    let paths = table.store.list(&folder(&table.name, &request.partition), after.as_deref()).await;
    let paths = paths.map_err(|source| table.read_error("objects", source))?;
    let last = |naming: &Naming| paths.iter().filter_map(|path| naming.parse(path)).max();
    let (naming, last) = match (last(&own), last(&plain)) {
        (Some(last), _) => (own, Some(last)),
        (None, None) => (plain, None),
        (None, Some(last)) if is_own(table, request, &plain.path(last)).await? => {
            (plain, Some(last))
        }
        (None, Some(_)) => (own, None),
    };
    if let Some(object) = object
        && !paths.contains(&naming.path(object))
    {
        let object = naming.path(object);
        return Err(blocked(request, BlockedReason::ChainMissing { object }));
    }
    let position = match last {
        Some(last) => end_of(table, request, &naming.path(last), last).await?,
        None => position(table, request.topic_id, 0, None),
    };
    Ok(End { position, naming, newest_object: last })
}

async fn is_own(
    table: &ParquetTable,
    request: &OpenRequest,
    path: &str,
) -> Result<bool, SinkError> {
    let footer = look_at(table, request, path).await?;
    Ok(footer.is_none_or(|footer| footer.topic_id == request.topic_id))
}

/// Where the last object of the chain ends, once it is durable.
async fn end_of(
    table: &ParquetTable,
    request: &OpenRequest,
    path: &str,
    from: u64,
) -> Result<Position, SinkError> {
    let Some(footer) = look_at(table, request, path).await? else {
        let source = crate::sink::store::StoreError::Vanished { path: path.into() };
        return Err(table.read_error("the last object", source));
    };
    check_last(table.id, request, path, &footer, from)?;
    let settled = table.store.settle(path).await;
    settled.map_err(|source| table.read_error("the last object", source))?;
    Ok(position(table, footer.topic_id, footer.to, footer.leader_epoch))
}

/// A look at an object that blocks the partition if it cannot be read.
async fn look_at(
    table: &ParquetTable,
    request: &OpenRequest,
    path: &str,
) -> Result<Option<Footer>, SinkError> {
    match table.look_at(path).await {
        Ok(Found::Nothing) => Ok(None),
        Ok(Found::Object(footer)) => Ok(Some(*footer)),
        Ok(Found::Unreadable(error)) => {
            let problem = Chain(&error).to_string();
            Err(blocked(request, BlockedReason::Object { object: path.into(), problem }))
        }
        Err(source) => Err(table.read_error("an object", source)),
    }
}

fn position(
    table: &ParquetTable,
    topic_id: TopicId,
    offset: u64,
    leader_epoch: Option<i32>,
) -> Position {
    Position { offset, leader_epoch, topic_id, table_id: Some(table.id) }
}
