//! Pure. The options of a service entry for tables that a warehouse makes.

use std::collections::BTreeMap;

use super::change_options::{self, ChangeOptions};

/// Of the sink `bigquery`.
const NAMES: [&str; 5] = ["cluster_by", "delivery", "expiration_days", "partition_by", "widen"];
/// As many as BigQuery takes.
const CLUSTER_COLUMNS_MAX: usize = 4;

/// How a table is made, changed and written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableOptions {
    pub delivery: Delivery,
    pub partition_by: PartitionBy,
    /// Columns, the first one first; none: the table is not clustered.
    pub cluster_by: Vec<String>,
    /// After so many days partitions are removed.
    pub expiration_days: Option<u32>,
    /// Whether columns may be added.
    pub may_widen: bool,
    /// How records change rows; `None`: each record is a row of its own.
    pub changes: Option<ChangeOptions>,
}

/// How often a record becomes a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Delivery {
    #[default]
    ExactlyOnce,
    /// By the table's default stream.
    AtLeastOnce,
    /// At least once as well, by REST; what is repeated within about a minute is mostly dropped.
    InsertAll,
}

/// Which day a row belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PartitionBy {
    /// That of its record's timestamp.
    #[default]
    RecordTime,
    /// That on which it was stored.
    IngestionTime,
    Nothing,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TableOptionsError {
    #[error("the option `{option}` is {expected}, not `{got}`")]
    Value { option: &'static str, expected: &'static str, got: String },
    #[error("the option `{option}` is for the sink `bigquery`, not for `{sink}`")]
    Sink { option: &'static str, sink: String },
    #[error("`expiration_days` removes partitions, which `partition_by` `nothing` does not make")]
    NothingExpires,
    #[error(
        "the option `{0}` is for tables that show the present state: set `changes` to `upsert`, too"
    )]
    OnlyUpserts(&'static str),
    #[error(
        "BigQuery takes changes on a table's default stream only: with `changes` `upsert` the `delivery` is \
         `at_least_once` by itself, not `{0}`; repeats change nothing there"
    )]
    UpsertDelivery(String),
}

impl Default for TableOptions {
    fn default() -> Self {
        Self {
            delivery: Delivery::default(),
            partition_by: PartitionBy::default(),
            cluster_by: ["kafka_partition", "kafka_offset"].map(str::to_owned).into(),
            expiration_days: None,
            may_widen: true,
            changes: None,
        }
    }
}

impl TableOptions {
    /// Those of a table that shows the present state: it is clustered by its key once that is known, and a row
    /// never moves from one partition to another.
    fn of_changes(changes: ChangeOptions) -> Self {
        Self {
            delivery: Delivery::AtLeastOnce,
            partition_by: PartitionBy::Nothing,
            cluster_by: Vec::new(),
            changes: Some(changes),
            ..Self::default()
        }
    }

    /// Takes those options out of `options` that are its own.
    pub(super) fn take(
        sink: &str,
        options: &mut BTreeMap<String, String>,
    ) -> Result<Self, TableOptionsError> {
        let mut own = NAMES.into_iter().chain(change_options::NAMES);
        if let Some(option) = own.find(|option| sink != "bigquery" && options.contains_key(*option))
        {
            return Err(TableOptionsError::Sink { option, sink: sink.into() });
        }
        let changes = ChangeOptions::take(options)?;
        let mut table = changes.map_or_else(Self::default, Self::of_changes);
        for option in NAMES {
            if let Some(text) = options.remove(option) {
                table.set(option, text)?;
            }
        }
        if table.changes.is_some() && table.delivery != Delivery::AtLeastOnce {
            return Err(TableOptionsError::UpsertDelivery("exactly_once".into()));
        }
        if table.expiration_days.is_some() && table.partition_by == PartitionBy::Nothing {
            return Err(TableOptionsError::NothingExpires);
        }
        Ok(table)
    }

    fn set(&mut self, option: &'static str, text: String) -> Result<(), TableOptionsError> {
        let wrong = |expected| TableOptionsError::Value { option, expected, got: text.clone() };
        match option {
            "delivery" => {
                self.delivery = match text.as_str() {
                    "exactly_once" => Delivery::ExactlyOnce,
                    "at_least_once" => Delivery::AtLeastOnce,
                    "insert_all" => Delivery::InsertAll,
                    _ => return Err(wrong("`exactly_once`, `at_least_once` or `insert_all`")),
                };
            }
            "partition_by" => {
                self.partition_by = match text.as_str() {
                    "record_time" => PartitionBy::RecordTime,
                    "ingestion_time" => PartitionBy::IngestionTime,
                    "nothing" => PartitionBy::Nothing,
                    _ => return Err(wrong("`record_time`, `ingestion_time` or `nothing`")),
                };
            }
            "cluster_by" => {
                let columns = text.split(',').map(str::trim).filter(|column| !column.is_empty());
                self.cluster_by = columns.map(str::to_owned).collect();
                if self.cluster_by.len() > CLUSTER_COLUMNS_MAX {
                    return Err(wrong("up to four columns with commas between them"));
                }
            }
            "expiration_days" => {
                let days = text.parse().ok().filter(|days| *days > 0);
                self.expiration_days = Some(days.ok_or_else(|| wrong("a number of days"))?);
            }
            _ => self.may_widen = text.parse().map_err(|_| wrong("`true` or `false`"))?,
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(options: &[(&str, &str)]) -> Result<TableOptions, TableOptionsError> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let mut options = options.iter().map(owned).collect();
        let table = TableOptions::take("bigquery", &mut options);
        assert!(table.is_err() || options.is_empty(), "{options:?} are left");
        table
    }

    #[test]
    fn a_table_is_made_as_the_entry_says() {
        assert_eq!(take(&[]), Ok(TableOptions::default()));
        let options = [
            ("delivery", "at_least_once"),
            ("partition_by", "ingestion_time"),
            ("cluster_by", "customer, kafka_offset"),
            ("expiration_days", "30"),
            ("widen", "false"),
        ];
        let wanted = TableOptions {
            delivery: Delivery::AtLeastOnce,
            partition_by: PartitionBy::IngestionTime,
            cluster_by: vec!["customer".into(), "kafka_offset".into()],
            expiration_days: Some(30),
            may_widen: false,
            changes: None,
        };
        assert_eq!(take(&options), Ok(wanted));
        let inserted = take(&[("delivery", "insert_all")]).unwrap();
        assert_eq!(inserted.delivery, Delivery::InsertAll);
        assert_eq!(take(&[("cluster_by", "")]).unwrap().cluster_by, [""; 0]);
    }

    #[test]
    fn a_table_of_the_present_state_goes_by_the_default_stream() {
        let table = take(&[("changes", "upsert")]).unwrap();
        assert_eq!(table.delivery, Delivery::AtLeastOnce);
        assert_eq!((table.partition_by, table.cluster_by), (PartitionBy::Nothing, vec![]));
        assert!(take(&[("changes", "upsert"), ("delivery", "at_least_once")]).is_ok());
        let refused = take(&[("changes", "upsert"), ("delivery", "exactly_once")]).unwrap_err();
        assert!(refused.to_string().contains("default stream"), "{refused}");
        let expires = [("changes", "upsert"), ("expiration_days", "3")];
        assert_eq!(take(&expires), Err(TableOptionsError::NothingExpires));
    }

    #[test]
    fn what_no_table_can_be_is_refused() {
        for wrong in [
            ("delivery", "maybe"),
            ("partition_by", "hour"),
            ("cluster_by", "a,b,c,d,e"),
            ("expiration_days", "0"),
            ("widen", "yes"),
        ] {
            let refused = take(&[wrong]).unwrap_err().to_string();
            assert!(refused.contains(wrong.0) && refused.contains(wrong.1), "{refused}");
        }
        let nothing = [("partition_by", "nothing"), ("expiration_days", "3")];
        assert_eq!(take(&nothing), Err(TableOptionsError::NothingExpires));
    }
}
