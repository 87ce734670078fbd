//! Pure. The options of a service entry: those of the format, of the sink's table, and of reading itself.

mod change_options;
mod from;
mod share_max;
mod table_options;

use std::collections::BTreeMap;

pub use change_options::{ChangeOptions, SequenceBy};
pub use from::{From, FromError};
pub use share_max::{ShareMax, ShareMaxError, share};
pub use table_options::{Delivery, PartitionBy, TableOptions, TableOptionsError};

use super::format::{AvroFormat, FormatError, Misfits, RecordFormat, ValueFormat};

/// What an entry says, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct EntryOptions {
    pub format: RecordFormat,
    /// Where the rows of a table begin that has none.
    pub from: Option<From>,
    /// The share of records that may become dead letters.
    pub share_max: ShareMax,
    pub table: TableOptions,
}

/// What a service entry asks for and nobody can do.
#[derive(Debug, thiserror::Error)]
pub enum EntryError {
    #[error(transparent)]
    Format(#[from] FormatError),
    #[error(transparent)]
    From(#[from] FromError),
    #[error(transparent)]
    ShareMax(#[from] ShareMaxError),
    #[error(transparent)]
    Table(#[from] TableOptionsError),
    #[error(
        "`changes` `upsert` is for the format `debezium`, not for `{0}`: only its events say what changed"
    )]
    NoChanges(String),
    #[error(
        "a record that does not fit cannot change a row: with `changes` `upsert` it is a dead letter, and \
         `misfits` cannot be `unparsed`"
    )]
    Unparsed,
    #[error(
        "nothing tells how `{0}` keys are read: name the key's columns with the option `primary_key`"
    )]
    NoKey(&'static str),
}

impl EntryOptions {
    /// Reads the options of an entry with this format and sink.
    ///
    /// # Errors
    /// With what is wrong and what it should be.
    pub fn parse(
        format: &str,
        sink: &str,
        options: &BTreeMap<String, String>,
    ) -> Result<Self, EntryError> {
        let mut rest = options.clone();
        let from = rest.remove(from::NAME).map(|text| From::parse(&text)).transpose()?;
        let share_max = rest.remove(share_max::NAME).map(|text| ShareMax::parse(&text));
        let table = TableOptions::take(sink, &mut rest)?;
        let mut record_format = RecordFormat::parse(format, &rest)?;
        if let Some(changes) = &table.changes {
            check_changes(changes, (format, &rest), &record_format)?;
            record_format.misfits = Misfits::DeadLetter;
        }
        let format = record_format;
        Ok(Self { format, from, share_max: share_max.transpose()?.unwrap_or_default(), table })
    }
}

/// Whether records of that format can change rows.
fn check_changes(
    changes: &ChangeOptions,
    (name, options): (&str, &BTreeMap<String, String>),
    format: &RecordFormat,
) -> Result<(), EntryError> {
    let ValueFormat::Debezium(debezium) = &format.values else {
        return Err(EntryError::NoChanges(name.into()));
    };
    if options.get("misfits").is_some_and(|misfits| misfits == "unparsed") {
        return Err(EntryError::Unparsed);
    }
    match &debezium.avro {
        Some(AvroFormat::Raw { .. }) if changes.primary_key.is_empty() => {
            Err(EntryError::NoKey("raw"))
        }
        Some(AvroFormat::SingleObject { .. }) if changes.primary_key.is_empty() => {
            Err(EntryError::NoKey("single_object"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(sink: &str, options: &[(&str, &str)]) -> Result<EntryOptions, EntryError> {
        parse_as("json", sink, options)
    }

    fn parse_as(
        format: &str,
        sink: &str,
        options: &[(&str, &str)],
    ) -> Result<EntryOptions, EntryError> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        EntryOptions::parse(format, sink, &options.iter().map(owned).collect())
    }

    #[test]
    fn rows_are_changed_by_events_that_say_what_changed() {
        let upsert = ("changes", "upsert");
        let entry = parse_as("debezium", "bigquery", &[upsert]).unwrap();
        assert_eq!(entry.format.misfits, Misfits::DeadLetter);
        assert!(entry.table.changes.is_some());
        let refused = |format, sink, options: &[(&str, &str)]| {
            let options = [&[upsert], options].concat();
            parse_as(format, sink, &options).unwrap_err().to_string()
        };
        assert!(refused("json", "bigquery", &[]).contains("not for `json`"));
        assert!(refused("debezium", "parquet", &[]).contains("not for `parquet`"));
        assert!(
            refused("debezium", "bigquery", &[("misfits", "unparsed")]).contains("dead letter")
        );
        let schema = r#"{"type": "record", "name": "r", "fields": [{"name": "a", "type": "int"}]}"#;
        let raw = [("encoding", "raw"), ("schema", schema)];
        assert!(refused("debezium", "bigquery", &raw).contains("`primary_key`"));
        let keyed = [&[upsert, ("primary_key", "a")], &raw[..]].concat();
        assert!(parse_as("debezium", "bigquery", &keyed).is_ok());
    }

    #[test]
    fn each_option_goes_where_it_belongs() {
        let options = [
            ("from", "offset 7"),
            ("dead_letter_share_max", "0.25"),
            ("headers", "true"),
            ("cluster_by", "a,b"),
        ];
        let entry = parse("bigquery", &options).unwrap();
        assert_eq!(entry.from, Some(From::Offset(7)));
        assert!(entry.share_max.is_exceeded(3, 10) && !entry.share_max.is_exceeded(1, 4));
        assert!(entry.format.has_headers);
        assert_eq!(entry.table.cluster_by, ["a", "b"]);
        assert!(parse("bigquery", &[]).unwrap().from.is_none());
    }

    #[test]
    fn what_nobody_knows_is_refused_by_name() {
        let refused = |sink, option| parse(sink, &[option]).unwrap_err().to_string();
        assert!(refused("parquet", ("form", "beginning")).contains("`form`"));
        assert!(refused("parquet", ("from", "the end")).contains("`the end`"));
        assert!(refused("parquet", ("dead_letter_share_max", "2")).contains("`2`"));
        assert!(refused("parquet", ("cluster_by", "a")).contains("`cluster_by`"));
        assert!(refused("bigquery", ("delivery", "perhaps")).contains("`perhaps`"));
    }
}
