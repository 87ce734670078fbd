//! IO. What a lake holds of a topic: its chains of objects, and what was merged of them.

use std::collections::{BTreeMap, BTreeSet};

use common::chain::Chain;

use super::chain::{self, Link};
use super::compare::Rows;
use super::merged::Merged;
use super::record::TopicFacts;
use super::sink::{Aside, Sink, StoredTopic, Unread, Watch};
use crate::lake::footer::Footer;
use crate::lake::rows;
use crate::lake::store::{Lake, LakeError, Listing, Object};

impl Sink for Lake {
    fn topic<'a>(
        &'a self,
        topic: &str,
        facts: &TopicFacts,
    ) -> Result<Box<dyn StoredTopic + 'a>, Unread> {
        let mut stored = LakeTopic {
            lake: self,
            listing: self.list()?,
            topic: topic.to_owned(),
            topic_id: facts.id.clone(),
            merged: Merged::default(),
            aside: Aside::default(),
        };
        stored.note_foreign();
        stored.take_merged()?;
        Ok(Box::new(stored))
    }

    fn watch(&self, ids: BTreeMap<String, String>) -> Box<dyn Watch + '_> {
        Box::new(ChainWatch { lake: self, ids, footers: BTreeMap::new() })
    }
}

struct LakeTopic<'a> {
    lake: &'a Lake,
    listing: Listing,
    topic: String,
    topic_id: String,
    merged: Merged,
    aside: Aside,
}

impl LakeTopic<'_> {
    fn objects(&self) -> impl Iterator<Item = &Object> {
        self.listing.objects.iter().filter(|object| object.name.topic == self.topic)
    }

    /// The tables that hold the topic.
    fn tables(&self) -> BTreeSet<String> {
        self.objects().map(|object| object.name.table.clone()).collect()
    }

    /// The rows of the topic that are in merged files.
    fn take_merged(&mut self) -> Result<(), LakeError> {
        for table in self.tables() {
            let of = (self.topic.as_str(), self.topic_id.as_str());
            let problems = self.merged.take(self.lake, &self.listing, &table, of)?;
            problems.into_iter().for_each(|problem| self.aside.problem(problem));
        }
        self.aside.merged_files = self.merged.files;
        Ok(())
    }

    /// Rows that readers of the topic's tables see and no chain vouches for.
    fn note_foreign(&mut self) {
        let tables = self.tables();
        let foreign = tables.iter().filter_map(|table| self.listing.foreign.get(table)).flatten();
        for path in foreign {
            self.aside.problem(format!("{path}: belongs to no partition's chain"));
        }
    }

    /// Takes the rows of one object, unless it belongs to an earlier topic of the name.
    fn link(&mut self, object: &Object, rows: &mut Rows) -> Result<Option<Link>, LakeError> {
        let bytes = self.lake.read(&object.path)?;
        self.aside.objects += 1;
        let footer = match Footer::read(&bytes) {
            Ok(footer) => footer,
            Err(error) => {
                self.aside.problem(format!("{}: {}", object.path, Chain(&error)));
                return Ok(None);
            }
        };
        if footer.topic_id != self.topic_id {
            self.aside.objects_of_earlier_topics += 1;
        } else if !self.merged.covers(object) {
            let naming = self.lake.naming(&self.listing, &object.name.table)?;
            let range = footer.from..footer.to;
            let mut outside = 0_u64;
            let read = rows::visit_rows(bytes, &naming, |row| {
                outside += u64::from(!range.contains(&row.offset));
                rows.push(row);
            });
            if let Err(error) = read {
                self.aside.problem(format!("{}: {}", object.path, Chain(&error)));
            }
            if outside > 0 {
                self.aside.problem(format!("{}: {outside} rows outside its range", object.path));
            }
        }
        Ok(Some(Link { name: object.name.clone(), path: object.path.clone(), footer }))
    }
}

impl StoredTopic for LakeTopic<'_> {
    fn partitions(&self) -> u32 {
        self.objects().map(|object| object.name.partition + 1).max().unwrap_or(0)
    }

    /// In all tables.
    fn partition(&mut self, partition: u32) -> Result<(Rows, u64), Unread> {
        let mut chain_end = 0;
        let mut rows = Rows::default();
        // What is merged stands by offset within a file, and before what is not.
        self.merged.rows_of(partition).into_iter().for_each(|row| rows.push(row));
        let objects = self.listing.objects_of(&self.topic, partition);
        let objects: Vec<Object> = objects.cloned().collect();
        for chain in objects.chunk_by(is_one_chain) {
            let mut links = Vec::new();
            for object in chain {
                links.extend(self.link(object, &mut rows)?);
            }
            chain::problems(&links).into_iter().for_each(|problem| self.aside.problem(problem));
            let unjoined = self.merged.unjoined(&links);
            unjoined.into_iter().for_each(|problem| self.aside.problem(problem));
            if links.first().is_some_and(|link| link.footer.topic_id == self.topic_id) {
                chain_end = chain_end.max(chain::end(&links));
            }
        }
        Ok((rows, chain_end))
    }

    fn aside(&mut self) -> Aside {
        std::mem::take(&mut self.aside)
    }
}

/// Objects are sorted by table, topic and id, so that one chain's follow one another.
fn is_one_chain(one: &Object, other: &Object) -> bool {
    one.name.table == other.name.table && one.name.id_digits == other.name.id_digits
}

/// The lake's chains; objects never change, so that each footer is read once.
struct ChainWatch<'a> {
    lake: &'a Lake,
    ids: BTreeMap<String, String>,
    footers: BTreeMap<String, Option<Link>>,
}

impl Watch for ChainWatch<'_> {
    fn look(&mut self) -> Result<(), Unread> {
        for object in self.lake.list()?.objects {
            let is_asked = self.ids.contains_key(&object.name.topic);
            if is_asked && !self.footers.contains_key(&object.path) {
                let footer = Footer::read(&self.lake.read(&object.path)?).ok();
                let path = object.path.clone();
                let link = footer.map(|footer| Link { name: object.name, path, footer });
                self.footers.insert(object.path, link);
            }
        }
        Ok(())
    }

    /// The furthest end among the tables that hold the partition.
    fn stored_to(&self, topic: &str, partition: u32) -> u64 {
        let id = self.ids.get(topic);
        let ours = self.footers.values().flatten().filter(|link| {
            link.name.topic == topic
                && link.name.partition == partition
                && Some(&link.footer.topic_id) == id
        });
        let mut links: Vec<Link> = ours.cloned().collect();
        links.sort_by(|one, other| one.name.cmp(&other.name));
        let tables = links.chunk_by(|one, other| one.name.table == other.name.table);
        tables.map(chain::end).max().unwrap_or(0)
    }

    fn counts_dead_letters(&self) -> bool {
        true
    }
}
