//! Pure. What records do to a table that shows the present state: rows that put or remove the row of their key.

use common::messages::entry::{ChangeOptions, SequenceBy};

use super::DeadLetterReason;
use super::columns::Fields;
use super::rows::Defect;
use crate::table::schema::TableSchema;

/// The columns that say what a row does, and where it stands among all changes of its key.
pub const CHANGE_TYPE: &str = "_CHANGE_TYPE";
pub const CHANGE_SEQUENCE: &str = "_CHANGE_SEQUENCE_NUMBER";

/// What a row does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) kind: ChangeKind,
    /// Later changes have higher ones.
    pub(super) sequence: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChangeKind {
    Upsert,
    Delete,
}

/// What the changes of a batch have in common.
#[derive(Debug)]
pub(super) struct Changes {
    /// The fields that tell a row from all others; empty until a record's key names them.
    key: Vec<String>,
    /// The service entry names them, whatever a record's key is.
    is_told: bool,
    /// The table has them as its primary key.
    is_in_table: bool,
    has_rows: bool,
    pub(super) sequence_by: SequenceBy,
}

impl ChangeKind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Upsert => "UPSERT",
            Self::Delete => "DELETE",
        }
    }
}

impl Changes {
    pub(super) fn new(options: &ChangeOptions, schema: &TableSchema) -> Self {
        let is_in_table = !schema.key.is_empty();
        Self {
            key: if is_in_table { schema.key.clone() } else { options.primary_key.clone() },
            is_told: !options.primary_key.is_empty(),
            is_in_table,
            has_rows: false,
            sequence_by: options.sequence,
        }
    }

    pub(super) fn key(&self) -> &[String] {
        &self.key
    }

    /// Whether a record without a value deletes a row. It stands behind the event that deletes it, unless that one was
    /// compacted away; but where it was in the source it does not say, and what it has is the record's key.
    pub(super) fn takes_tombstones(&self) -> bool {
        self.sequence_by == SequenceBy::Offset && !self.is_told
    }

    /// Takes the fields of a record's key, which are those of the table's key unless the service entry names others.
    ///
    /// # Errors
    /// If they are none, or others than before.
    pub(super) fn take_key(&mut self, fields: &[&str]) -> Result<(), Defect> {
        if self.is_told {
            return Ok(());
        }
        if fields.is_empty() {
            return Err(inapplicable(
                "its key has no fields by which a row is found: name the key's columns with the option `primary_key`",
            ));
        }
        if self.key.is_empty() {
            self.key = fields.iter().map(|field| (*field).to_owned()).collect();
        }
        let is_same = fields.len() == self.key.len()
            && self.key.iter().all(|field| fields.contains(&field.as_str()));
        if is_same {
            return Ok(());
        }
        let (own, others) = (fields.join(", "), self.key.join(", "));
        Err(inapplicable(format!(
            "its key is ({own}), and the table's primary key is ({others}): write into another table, or name the \
             key's columns with the option `primary_key`"
        )))
    }

    /// Notes that a record became a row, with a value in each column of the key.
    pub(super) fn made_row(&mut self) {
        self.has_rows = true;
    }

    /// The key that the table must have before rows can change it.
    pub(super) fn wanted(&self) -> Option<&[String]> {
        (self.has_rows && !self.is_in_table).then_some(&*self.key)
    }

    /// Checks that the row that is open tells which one it is.
    pub(super) fn check_row(&self, columns: &Fields) -> Result<(), Defect> {
        let is_set = |field: &&String| {
            columns.find(field, 0).is_some_and(|at| columns.fields[at].values.is_set(columns.rows))
        };
        match self.key.iter().find(|field| !is_set(field)) {
            None => Ok(()),
            Some(field) => Err(inapplicable(format!(
                "it has no value of `{field}`, which belongs to the primary key"
            ))),
        }
    }
}

/// A record that says nothing that could be done to one row.
pub(super) fn inapplicable(text: impl Into<String>) -> Defect {
    Defect::new(DeadLetterReason::InapplicableChange, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(told: &[&str], in_table: &[&str]) -> Changes {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let options = ChangeOptions { primary_key: owned(told), ..ChangeOptions::default() };
        let schema = TableSchema { key: owned(in_table), ..TableSchema::default() };
        Changes::new(&options, &schema)
    }

    #[test]
    fn the_first_key_is_that_of_the_table() {
        let mut changes = changes(&[], &[]);
        assert!(changes.take_key(&[]).unwrap_err().text.contains("`primary_key`"));
        assert_eq!(changes.take_key(&["id", "region"]), Ok(()));
        assert_eq!(changes.take_key(&["region", "id"]), Ok(()), "in whatever order");
        let refused = changes.take_key(&["id"]).unwrap_err();
        assert!(refused.text.contains("(id)") && refused.text.contains("(id, region)"));
        assert_eq!(changes.wanted(), None, "as long as no record is a row");
        changes.made_row();
        assert_eq!(changes.wanted(), Some(&["id".to_owned(), "region".to_owned()][..]));
    }

    #[test]
    fn a_key_that_is_named_counts_whatever_records_have() {
        let mut told = changes(&["id"], &[]);
        assert_eq!(told.take_key(&["other"]), Ok(()));
        assert_eq!(told.key(), ["id"]);
        let mut known = changes(&[], &["id"]);
        known.made_row();
        assert_eq!(known.wanted(), None, "the table has it");
        assert!(known.take_key(&["other"]).is_err());
    }
}
