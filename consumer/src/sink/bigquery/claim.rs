//! IO. Who a table of BigQuery belongs to, by its labels: the first group that claims it, which also makes it.

use std::time::Duration;

use common::identity::TableId;
use common::messages::command::Source;
use common::messages::entry::{EntryOptions, PartitionBy};
use gcp_bigquery_client::model::clustering::Clustering;
use gcp_bigquery_client::model::table::Table;
use gcp_bigquery_client::model::table_schema::TableSchema as NewSchema;
use gcp_bigquery_client::model::time_partitioning::TimePartitioning;
use serde_json::json;
use tracing::info;
use twox_hash::XxHash3_128;

use super::client::{Client, FoundTable, Kind, Patched};
use super::frame_columns::{check_frame, new_columns};
use super::table::BigQueryTable;
use crate::sink::SinkError;
use crate::table::claim::Owner;

/// A label of the claimed table: what its owner's group and cluster come to.
const OWNER_LABEL: &str = "stowage_owner";
/// A label of the claimed table: its id.
const ID_LABEL: &str = "stowage_table";

/// Makes the table if it is not there, and claims it for `owner` under a new id, unless that was done before.
///
/// An entry that asks for options that nobody knows is refused.
pub async fn claim(
    client: Client,
    source: &Source,
    owner: &Owner,
    new_id: TableId,
) -> Result<BigQueryTable, SinkError> {
    let name = table_name(&source.table);
    let options = EntryOptions::parse(&source.format, &source.sink, &source.options);
    let failed = |what: &str, source| SinkError::Service {
        what: format!("failed to {what} `{name}`"),
        source,
    };
    let refused = |reason: String| SinkError::Refused { table: name.clone(), reason };
    let options = options.map_err(|error| refused(error.to_string()))?;
    let has_headers = options.format.has_headers;
    loop {
        let found = client.table(&name).await.map_err(|source| failed("read the table", source))?;
        let Some(found) = found else {
            let new = new_table((&client, &name), owner, new_id, &options);
            match client.create_table(&new).await {
                Ok(_) => info!(table = name, "the table was made"),
                Err(error) if error.kind == Kind::Duplicate => {} // Another process was first.
                Err(source) => return Err(failed("make the table", source)),
            }
            continue;
        };
        let labels = found.labels;
        let missing = check_frame(&found.schema.fields, has_headers).map_err(&refused)?;
        match (labels.get(OWNER_LABEL), labels.get(ID_LABEL)) {
            (Some(found), _) if *found != label(owner) => {
                return Err(refused(other_owner(owner)));
            }
            (Some(_), Some(id)) if missing.is_empty() => {
                let id =
                    id.parse().map_err(|_| refused(format!("its label {ID_LABEL} is no id")))?;
                return Ok(BigQueryTable::new(client, name, TableId(id), options));
            }
            _ => {}
        }
        let id = labels.get(ID_LABEL).cloned().unwrap_or_else(|| new_id.0.to_string());
        let mut patch = json!({"labels": {OWNER_LABEL: label(owner), ID_LABEL: id}});
        if !missing.is_empty() {
            if !options.table.may_widen {
                let names: Vec<_> = missing.iter().map(|field| field.name.as_str()).collect();
                let names = names.join(", ");
                return Err(refused(format!(
                    "it lacks {names}, and the service entry says `widen` `false`"
                )));
            }
            let columns: Vec<_> = found.schema.fields.iter().chain(&missing).collect();
            patch["schema"] = json!({"fields": columns});
        }
        let patched = client.patch_table(&name, &found.etag, &patch).await;
        match patched.map_err(|source| failed("claim the table", source))? {
            Patched::Done => info!(table = name, "the table was claimed"),
            Patched::Conflict => {} // By somebody else: what stands there now counts.
        }
    }
}

/// The id under which a table was claimed.
pub(super) fn id_of(table: &FoundTable) -> Option<TableId> {
    table.labels.get(ID_LABEL)?.parse().ok().map(TableId)
}

/// A topic's name may have dots, which no table's may: they become underscores.
fn table_name(table: &str) -> String {
    table.replace('.', "_")
}

/// What BigQuery allows as a label, whatever a group is called.
fn label(owner: &Owner) -> String {
    let Owner { group, cluster_id } = owner;
    format!("{:032x}", XxHash3_128::oneshot(format!("{group}\0{cluster_id}").as_bytes()))
}

fn other_owner(owner: &Owner) -> String {
    let Owner { group, cluster_id } = owner;
    format!(
        "another group than `{group}` of the Kafka cluster `{cluster_id}` claimed it; its description \
         says which. If that one is gone for good, remove the labels {OWNER_LABEL} and {ID_LABEL}"
    )
}

/// By default partitioned by the day of the records' time, and clustered so that the last row of a
/// partition is found without reading the others.
fn new_table(
    (client, name): (&Client, &str),
    owner: &Owner,
    id: TableId,
    options: &EntryOptions,
) -> Table {
    let Owner { group, cluster_id } = owner;
    let description = format!(
        "Rows of Kafka records, written by Stowage for the group `{group}` of the cluster `{cluster_id}`"
    );
    let labels = [(OWNER_LABEL.to_owned(), label(owner)), (ID_LABEL.to_owned(), id.0.to_string())];
    let fields = serde_json::to_value(new_columns(options.format.has_headers))
        .and_then(serde_json::from_value);
    let schema = NewSchema::new(fields.expect("our columns are fields of the service"));
    let mut table = Table::new(&client.options().project, &client.options().dataset, name, schema);
    table = table.description(&description);
    let options = &options.table;
    let expires = |days: TimePartitioning| match options.expiration_days {
        Some(number) => days.expiration_ms(Duration::from_secs(u64::from(number) * 24 * 3600)),
        None => days,
    };
    table = match options.partition_by {
        PartitionBy::RecordTime => {
            table.time_partitioning(expires(TimePartitioning::per_day()).field("kafka_timestamp"))
        }
        PartitionBy::IngestionTime => table.time_partitioning(expires(TimePartitioning::per_day())),
        PartitionBy::Nothing => table,
    };
    if !options.cluster_by.is_empty() {
        table = table.clustering(Clustering { fields: Some(options.cluster_by.clone()) });
    }
    table.labels = Some(labels.into());
    table
}
