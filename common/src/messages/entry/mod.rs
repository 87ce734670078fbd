//! Pure. The options of a service entry: those of the format, of the sink's table, and of reading itself.

mod from;
mod share_max;
mod table_options;

use std::collections::BTreeMap;

pub use from::{From, FromError};
pub use share_max::{ShareMax, ShareMaxError, share};
pub use table_options::{Delivery, PartitionBy, TableOptions, TableOptionsError};

use super::format::{FormatError, RecordFormat};

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
        let format = RecordFormat::parse(format, &rest)?;
        Ok(Self { format, from, share_max: share_max.transpose()?.unwrap_or_default(), table })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(sink: &str, options: &[(&str, &str)]) -> Result<EntryOptions, EntryError> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        EntryOptions::parse("json", sink, &options.iter().map(owned).collect())
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
