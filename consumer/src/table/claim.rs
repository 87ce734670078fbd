//! IO. Who a table belongs to: the first group that claims it, for good.

use common::identity::TableId;
use serde::{Deserialize, Serialize};

use crate::sink::SinkError;
use crate::sink::store::{Store, StoreError};

/// Whose the rows of a table are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    pub group: String,
    pub cluster_id: String,
}

/// The content of `_stowage.json`.
#[derive(Debug, Serialize, Deserialize)]
struct Claim {
    #[serde(flatten)]
    owner: Owner,
    table_id: TableId,
}

/// Claims `table` for `owner` under a new id, or returns the id under which that was done before.
pub async fn claim(
    store: &Store,
    table: &str,
    owner: &Owner,
    new_id: TableId,
) -> Result<TableId, SinkError> {
    let path = format!("{table}/_stowage.json");
    let failed =
        |source: StoreError| SinkError::Read { table: table.into(), what: "the claim", source };
    let wanted = Claim { owner: owner.clone(), table_id: new_id };
    let mut text = store.read(&path).await.map_err(failed)?;
    if text.is_none() {
        let wanted = serde_json::to_vec(&wanted).expect("names and ids are always JSON");
        store.put_new(&path, wanted.into()).await.map_err(failed)?;
        // Whoever was first: what stands there is the claim.
        text = store.read(&path).await.map_err(failed)?;
    }
    let text = text.ok_or_else(|| failed(StoreError::Vanished { path: path.clone() }))?;
    store.settle(&path).await.map_err(failed)?;
    let refused = |reason: String| SinkError::Refused { table: table.into(), reason };
    let claim: Claim = serde_json::from_slice(&text)
        .map_err(|error| refused(format!("`{path}` is no claim: {error}")))?;
    if claim.owner != *owner {
        let Owner { group, cluster_id } = &claim.owner;
        return Err(refused(format!(
            "it was claimed by the group `{group}` of the Kafka cluster `{cluster_id}`, not by `{}` of `{}`",
            owner.group, owner.cluster_id
        )));
    }
    Ok(claim.table_id)
}

/// The id of a table that somebody claimed, for those who only look at it or tidy it; `None` if nobody did.
pub async fn claimed(store: &Store, table: &str) -> Result<Option<TableId>, SinkError> {
    let path = format!("{table}/_stowage.json");
    let failed =
        |source: StoreError| SinkError::Read { table: table.into(), what: "the claim", source };
    let Some(text) = store.read(&path).await.map_err(failed)? else { return Ok(None) };
    let claim: Result<Claim, _> = serde_json::from_slice(&text);
    let refused = |error| SinkError::Refused {
        table: table.into(),
        reason: format!("`{path}` is no claim: {error}"),
    };
    claim.map(|claim| Some(claim.table_id)).map_err(refused)
}
