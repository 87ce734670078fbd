//! Pure. The options of a service entry for a table that shows the present state of a source's table.

use std::collections::BTreeMap;
use std::time::Duration;

use super::table_options::TableOptionsError;

/// Says whether there are such changes at all.
const NAME: &str = "changes";
/// What concerns nothing else.
const DETAILS: [&str; 3] = ["max_staleness_secs", "primary_key", "sequence"];
pub(super) const NAMES: [&str; 4] = [NAME, DETAILS[0], DETAILS[1], DETAILS[2]];
/// As many as BigQuery takes.
const KEY_COLUMNS_MAX: usize = 16;

/// How events change the rows of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChangeOptions {
    /// The fields that tell a row from all others; none: those of the records' keys.
    pub primary_key: Vec<String>,
    pub sequence: SequenceBy,
    /// How far behind an answer about the table may be; zero: not at all.
    pub max_staleness: Duration,
}

/// What tells a later change from an earlier one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SequenceBy {
    /// Where the source was, then the offset in Kafka.
    #[default]
    Source,
    /// The offset in Kafka alone.
    Offset,
}

impl ChangeOptions {
    /// Takes those options out of `options` that are its own; `None` if rows are only ever added.
    pub(super) fn take(
        options: &mut BTreeMap<String, String>,
    ) -> Result<Option<Self>, TableOptionsError> {
        let wrong = |option, expected, got| TableOptionsError::Value { option, expected, got };
        match options.remove(NAME).as_deref() {
            Some("upsert") => {}
            None | Some("append") => {
                return match DETAILS.into_iter().find(|option| options.contains_key(*option)) {
                    Some(option) => Err(TableOptionsError::OnlyUpserts(option)),
                    None => Ok(None),
                };
            }
            Some(other) => return Err(wrong(NAME, "`append` or `upsert`", other.into())),
        }
        let mut changes = Self::default();
        if let Some(text) = options.remove("primary_key") {
            let columns = text.split(',').map(str::trim).filter(|column| !column.is_empty());
            changes.primary_key = columns.map(str::to_owned).collect();
            let mut known = changes.primary_key.clone();
            known.sort_unstable();
            known.dedup();
            let count = changes.primary_key.len();
            if count == 0 || count > KEY_COLUMNS_MAX || known.len() < count {
                let expected = "up to 16 different columns with commas between them";
                return Err(wrong("primary_key", expected, text));
            }
        }
        match options.remove("sequence").as_deref() {
            None | Some("source") => {}
            Some("offset") => changes.sequence = SequenceBy::Offset,
            Some(other) => return Err(wrong("sequence", "`source` or `offset`", other.into())),
        }
        if let Some(text) = options.remove("max_staleness_secs") {
            let seconds: Option<u32> = text.parse().ok();
            let seconds = seconds.ok_or_else(|| {
                wrong("max_staleness_secs", "a number of seconds; 0: not stale at all", text)
            })?;
            changes.max_staleness = Duration::from_secs(seconds.into());
        }
        Ok(Some(changes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(options: &[(&str, &str)]) -> Result<Option<ChangeOptions>, TableOptionsError> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let mut options = options.iter().map(owned).collect();
        let changes = ChangeOptions::take(&mut options);
        assert!(changes.is_err() || options.is_empty(), "{options:?} are left");
        changes
    }

    #[test]
    fn changes_are_made_as_the_entry_says() {
        assert_eq!(take(&[]), Ok(None));
        assert_eq!(take(&[("changes", "append")]), Ok(None));
        assert_eq!(take(&[("changes", "upsert")]), Ok(Some(ChangeOptions::default())));
        let options = [
            ("changes", "upsert"),
            ("primary_key", "region, id"),
            ("sequence", "offset"),
            ("max_staleness_secs", "900"),
        ];
        let wanted = ChangeOptions {
            primary_key: vec!["region".into(), "id".into()],
            sequence: SequenceBy::Offset,
            max_staleness: Duration::from_secs(900),
        };
        assert_eq!(take(&options), Ok(Some(wanted)));
    }

    #[test]
    fn what_no_change_can_be_is_refused() {
        let many: Vec<_> = (0..17).map(|number| format!("c{number}")).collect();
        for (option, value) in [
            ("changes", "merge"),
            ("primary_key", " , "),
            ("primary_key", "a,b,a"),
            ("primary_key", &many.join(",")),
            ("sequence", "time"),
            ("max_staleness_secs", "-1"),
        ] {
            let refused = take(&[("changes", "upsert"), (option, value)]);
            let refused = if option == "changes" { take(&[(option, value)]) } else { refused };
            let refused = refused.unwrap_err().to_string();
            assert!(refused.contains(option) && refused.contains(value), "{refused}");
        }
        for option in DETAILS {
            let refused = take(&[(option, "a")]).unwrap_err().to_string();
            assert!(refused.contains(option) && refused.contains("`upsert`"), "{refused}");
        }
    }
}
