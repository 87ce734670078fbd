//! IO. What a table of BigQuery holds of a topic: rows, in no order.

use std::collections::BTreeMap;

use super::compare::Rows;
use super::record::TopicFacts;
use super::sink::{Aside, Sink, StoredTopic, Unread, Watch};
use crate::bigquery::cells::placed_row;
use crate::bigquery::listing::{BigQuery, ListingError};
use crate::lake::rows::StoredRow;

impl Sink for BigQuery {
    fn topic<'a>(
        &'a self,
        topic: &str,
        facts: &TopicFacts,
    ) -> Result<Box<dyn StoredTopic + 'a>, Unread> {
        let table = self.table_of(topic);
        let mut stored = TableTopic::default();
        let mut number = 0_u64;
        let found = self.read(&table, 0, |columns, row| {
            number += 1;
            match placed_row(columns, row) {
                Ok(placed) if (&*placed.topic, &*placed.topic_id) == (topic, &*facts.id) => {
                    stored.rows.entry(placed.partition).or_default().push(placed.row);
                }
                Ok(_) => {} // Of another topic, or of an earlier one of that name.
                Err(error) => stored.aside.problem(format!("{table}, row {number}: {error}")),
            }
        })?;
        if found.is_none() {
            stored.aside.problem(format!("there is no table {table}"));
        }
        Ok(Box::new(stored))
    }

    fn watch(&self, ids: BTreeMap<String, String>) -> Box<dyn Watch + '_> {
        Box::new(TableWatch { tables: self, ids, seen: BTreeMap::new(), ends: BTreeMap::new() })
    }
}

#[derive(Debug, Default)]
struct TableTopic {
    rows: BTreeMap<u32, Vec<StoredRow>>,
    aside: Aside,
}

impl StoredTopic for TableTopic {
    fn partitions(&self) -> u32 {
        self.rows.last_key_value().map_or(0, |(partition, _)| partition + 1)
    }

    fn partition(&mut self, partition: u32) -> Result<(Rows, u64), Unread> {
        let mut stored = self.rows.remove(&partition).unwrap_or_default();
        stored.sort_by_key(|row| row.offset);
        let end = stored.last().map_or(0, |row| row.offset + 1);
        let mut rows = Rows::default();
        stored.into_iter().for_each(|row| rows.push(row));
        Ok((rows, end))
    }

    fn aside(&mut self) -> Aside {
        std::mem::take(&mut self.aside)
    }
}

/// Each look reads the rows that were added since the one before.
struct TableWatch<'a> {
    tables: &'a BigQuery,
    ids: BTreeMap<String, String>,
    /// Rows of the topic's table that were looked at.
    seen: BTreeMap<String, u64>,
    ends: BTreeMap<(String, u32), u64>,
}

impl TableWatch<'_> {
    fn look_at(&mut self, topic: &str, id: &str) -> Result<(), ListingError> {
        let seen = self.seen.entry(topic.to_owned()).or_default();
        let ends = &mut self.ends;
        let added = self.tables.read(&self.tables.table_of(topic), *seen, |columns, row| {
            if let Ok(placed) = placed_row(columns, row)
                && (&*placed.topic, &*placed.topic_id) == (topic, id)
            {
                let end = ends.entry((placed.topic, placed.partition)).or_default();
                *end = (*end).max(placed.row.offset + 1);
            }
        })?;
        *seen += added.unwrap_or(0);
        Ok(())
    }
}

impl Watch for TableWatch<'_> {
    fn look(&mut self) -> Result<(), Unread> {
        for (topic, id) in self.ids.clone() {
            self.look_at(&topic, &id)?;
        }
        Ok(())
    }

    /// The rows of a partition are stored in their order.
    fn stored_to(&self, topic: &str, partition: u32) -> u64 {
        self.ends.get(&(topic.to_owned(), partition)).copied().unwrap_or(0)
    }

    fn counts_dead_letters(&self) -> bool {
        false
    }
}
