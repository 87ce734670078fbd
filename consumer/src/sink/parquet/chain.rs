//! IO. Where a partition's chain of objects ends, and so where reading goes on.

use std::ops::Range;

use common::chain::Chain;
use common::identity::TopicId;
use common::position::Position;

use super::footer::Footer;
use super::naming::{Naming, folder};
use super::table::{Found, ParquetTable};
use crate::sink::{BlockedReason, OpenRequest, SinkError};

/// Where a new owner begins.
#[derive(Clone, Debug)]
pub(super) struct Start {
    /// The chain's end.
    pub(super) end: Position,
    pub(super) naming: Naming,
    pub(super) newest_object: Option<u64>,
    /// To be covered by an object without rows before anything else.
    pub(super) fill: Option<Range<u64>>,
    /// What of that is lost, because it was to be read and the log no longer has it.
    pub(super) gap: Option<Range<u64>>,
    pub(super) overruled: Option<u64>,
}

/// What others than the chain say about the partition, as far as it holds for this topic and table.
#[derive(Clone, Copy, Debug, Default)]
struct Claims {
    hand_over: Option<Position>,
    is_clean: bool,
    /// The hand-over stands in the table that an ordered change left behind.
    is_bridge: bool,
    committed: Option<u64>,
    /// First offset of the object that the commit names.
    object: Option<u64>,
    /// A committed offset that a person set.
    by_person: Option<u64>,
}

/// The chain as it was found.
struct End {
    position: Position,
    naming: Naming,
    newest_object: Option<u64>,
}

/// Decides where the owner that `request` describes goes on.
pub(super) async fn start(table: &ParquetTable, request: &OpenRequest) -> Result<Start, SinkError> {
    let claims = claims(table, request)?;
    let end = match trusted(&claims) {
        Some(position) => handed_over(table, request, position, claims.object).await?,
        None => found(table, request, claims.object).await?,
    };
    check_not_ahead(request, &claims, end.position.offset)?;
    Ok(begin(request, &claims, end))
}

/// The position of a clean hand-over, which is the chain's end without looking.
fn trusted(claims: &Claims) -> Option<Position> {
    let position = claims.hand_over.filter(|_| claims.is_clean && !claims.is_bridge)?;
    let is_ahead = claims.committed.is_some_and(|committed| committed > position.offset);
    (!is_ahead).then_some(position)
}

fn claims(table: &ParquetTable, request: &OpenRequest) -> Result<Claims, SinkError> {
    let mut claims = Claims::default();
    if let Some(hand_over) = &request.hand_over
        && let Some(position) = hand_over.position.filter(|p| p.topic_id == request.topic_id)
    {
        claims.is_bridge = position.table_id != Some(table.id);
        if claims.is_bridge && !request.has_changed_table {
            return Err(other_table(request, "the hand-over", position.table_id));
        }
        claims.hand_over = Some(position);
        claims.is_clean = hand_over.clean;
    }
    let Some(committed) = request.committed else {
        return Ok(claims);
    };
    let Some(metadata) = committed.metadata else {
        claims.by_person = Some(committed.offset);
        return Ok(claims);
    };
    if metadata.topic_id != request.topic_id {
        return Ok(claims);
    }
    if metadata.table_id == Some(table.id) {
        claims.committed = Some(committed.offset);
        claims.object = metadata.object;
    } else if !request.has_changed_table {
        return Err(other_table(request, "the committed offset", metadata.table_id));
    }
    Ok(claims)
}

fn other_table(
    request: &OpenRequest,
    what: &'static str,
    other: Option<common::identity::TableId>,
) -> SinkError {
    let other = other.map_or("a sink without tables".into(), |id| format!("the table {id}"));
    blocked(request, BlockedReason::OtherTable { what, other })
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
    check_last(table, request, path, &footer, from)?;
    let settled = table.store.settle(path).await;
    settled.map_err(|source| table.read_error("the last object", source))?;
    Ok(position(table, footer.topic_id, footer.to, footer.leader_epoch))
}

fn check_last(
    table: &ParquetTable,
    request: &OpenRequest,
    path: &str,
    footer: &Footer,
    from: u64,
) -> Result<(), SinkError> {
    let unusable =
        |problem: String| blocked(request, BlockedReason::Object { object: path.into(), problem });
    if footer.table_id != table.id {
        return Err(other_table(request, "the last object", Some(footer.table_id)));
    }
    if footer.topic_id != request.topic_id || footer.partition != request.partition {
        let problem = format!("its footer names {} of topic {}", footer.partition, footer.topic_id);
        return Err(unusable(problem));
    }
    if footer.from != from {
        return Err(unusable(format!("its footer says that it begins at {}", footer.from)));
    }
    if footer.controller_topic_id == request.controller_topic_id && footer.term > request.term {
        return Err(SinkError::Fenced { partition: request.partition.clone(), by: footer.term });
    }
    Ok(())
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

fn check_not_ahead(request: &OpenRequest, claims: &Claims, end: u64) -> Result<(), SinkError> {
    let handed_over =
        claims.hand_over.filter(|_| !claims.is_bridge).map(|position| position.offset);
    for (what, offset) in
        [("the hand-over", handed_over), ("the committed offset", claims.committed)]
    {
        if let Some(offset) = offset.filter(|offset| *offset > end) {
            return Err(blocked(request, BlockedReason::AheadOfChain { what, offset, end }));
        }
    }
    Ok(())
}

/// Reading begins at the chain's end, or further on where nothing before is to be read or can be.
fn begin(request: &OpenRequest, claims: &Claims, end: End) -> Start {
    let End { position: end, naming, newest_object } = end;
    let bridge = claims.hand_over.filter(|_| claims.is_bridge).map(|position| position.offset);
    let is_known = end.offset > 0 || claims.hand_over.is_some() || claims.committed.is_some();
    let by_person = claims.by_person.filter(|_| !is_known);
    let from = [bridge, by_person].into_iter().flatten().fold(end.offset, u64::max);
    let begin = from.max(request.log_start);
    // What nobody had begun to read is not missed.
    let has_begun = is_known || by_person.is_some();
    Start {
        end,
        naming,
        newest_object,
        fill: (begin > end.offset).then_some(end.offset..begin),
        gap: (has_begun && begin > from).then_some(from..begin),
        overruled: claims.by_person.filter(|offset| is_known && *offset != end.offset),
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

fn blocked(request: &OpenRequest, reason: BlockedReason) -> SinkError {
    SinkError::Blocked { partition: request.partition.clone(), reason }
}
