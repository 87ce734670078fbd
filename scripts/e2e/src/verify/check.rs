//! IO. Goes through topics and lake, partition by partition, and gathers what is found.
//!
//! Memory: some 48 bytes per row of the largest partition; records are streamed.

use super::chain::{self, Link};
use super::compare::{Comparison, Context, Findings, Rows};
use super::dead_letters::DeadLetters;
use super::digest::Place;
use super::merged::Merged;
use super::record::{TopicFacts, TopicRecords};
use super::report::{Report, TopicReport};
use crate::lake::footer::Footer;
use crate::lake::rows;
use crate::lake::store::{Lake, LakeError, Listing, Object};
use std::collections::BTreeSet;

use common::chain::Chain;

const PROBLEMS_MAX: usize = 20;

/// What is to be verified.
#[derive(Clone, Debug)]
pub struct Request {
    pub topics: Vec<String>,
    /// Where records went that could not be stored; without it such records count as lost.
    pub dead_letter_topic: Option<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum VerifyError<E: std::error::Error + 'static> {
    #[error("there is no topic `{0}`")]
    NoTopic(String),
    #[error("failed to read {what}")]
    Records {
        what: String,
        #[source]
        source: E,
    },
    #[error("failed to read the lake")]
    Lake {
        #[source]
        source: LakeError,
    },
}

/// Compares every topic of `request` with `lake`.
pub fn verify<R: TopicRecords>(
    records: &mut R,
    lake: &Lake,
    request: &Request,
) -> Result<Report, VerifyError<R::Error>> {
    let mut dead_letters = DeadLetters::default();
    if let Some(topic) = &request.dead_letter_topic {
        read_dead_letters(records, topic, &mut dead_letters)?;
    }
    let listing = lake.list().map_err(|source| VerifyError::Lake { source })?;
    let mut report = Report { topics: Vec::new(), unnamed_dead_letters: dead_letters.unnamed };
    for topic in &request.topics {
        let facts = facts(records, topic)?;
        let mut check = TopicCheck::new(lake, &listing, topic, &facts);
        check.note_foreign();
        check.take_merged()?;
        for partition in check.partitions() {
            check.partition(records, partition, &dead_letters)?;
        }
        report.topics.push(check.report);
    }
    Ok(report)
}

pub(super) fn facts<R: TopicRecords>(
    records: &mut R,
    topic: &str,
) -> Result<TopicFacts, VerifyError<R::Error>> {
    let facts = records.facts(topic).map_err(|source| reading(topic, source))?;
    facts.ok_or_else(|| VerifyError::NoTopic(topic.into()))
}

pub(super) fn reading<E: std::error::Error>(what: &str, source: E) -> VerifyError<E> {
    VerifyError::Records { what: what.into(), source }
}

/// A dead-letter topic that is not there yet holds no letters.
fn read_dead_letters<R: TopicRecords>(
    records: &mut R,
    topic: &str,
    into: &mut DeadLetters,
) -> Result<(), VerifyError<R::Error>> {
    let failed = |source| reading(topic, source);
    let Some(facts) = records.facts(topic).map_err(failed)? else { return Ok(()) };
    for partition in 0..facts.partitions {
        let from = records.bounds(topic, partition).map_err(failed)?.start;
        let mut take = |record: &super::record::Record<'_>| {
            into.push(record);
            true
        };
        records.read(topic, partition, from, &mut take).map_err(failed)?;
    }
    Ok(())
}

struct TopicCheck<'a> {
    lake: &'a Lake,
    listing: &'a Listing,
    facts: &'a TopicFacts,
    merged: Merged,
    report: TopicReport,
}

impl<'a> TopicCheck<'a> {
    fn new(lake: &'a Lake, listing: &'a Listing, topic: &str, facts: &'a TopicFacts) -> Self {
        let report = TopicReport { topic: topic.into(), ..TopicReport::default() };
        Self { lake, listing, facts, merged: Merged::default(), report }
    }

    /// The tables that hold the topic.
    fn tables(&self) -> BTreeSet<&'a str> {
        let ours =
            self.listing.objects.iter().filter(|object| object.name.topic == self.report.topic);
        ours.map(|object| object.name.table.as_str()).collect()
    }

    /// The rows of the topic that are in merged files.
    fn take_merged<E: std::error::Error>(&mut self) -> Result<(), VerifyError<E>> {
        for table in self.tables() {
            let (topic, id) = (&self.report.topic, &self.facts.id);
            let problems = self.merged.take(self.lake, self.listing, table, (topic, id));
            let problems = problems.map_err(|source| VerifyError::Lake { source })?;
            problems.into_iter().for_each(|problem| self.problem(problem));
        }
        self.report.merged_files = self.merged.files;
        Ok(())
    }

    /// Rows that readers of the topic's tables see and no chain vouches for.
    fn note_foreign(&mut self) {
        let tables = self.tables();
        let foreign = tables.iter().filter_map(|table| self.listing.foreign.get(*table)).flatten();
        let problems: Vec<_> =
            foreign.map(|path| format!("{path}: belongs to no partition's chain")).collect();
        problems.into_iter().for_each(|problem| self.problem(problem));
    }

    /// Those of the topic, and those that only the lake has.
    fn partitions(&self) -> std::ops::Range<u32> {
        let ours =
            self.listing.objects.iter().filter(|object| object.name.topic == self.report.topic);
        let stored = ours.map(|object| object.name.partition + 1).max();
        0..self.facts.partitions.max(stored.unwrap_or(0))
    }

    fn partition<R: TopicRecords>(
        &mut self,
        records: &mut R,
        partition: u32,
        dead_letters: &DeadLetters,
    ) -> Result<(), VerifyError<R::Error>> {
        let topic = self.report.topic.clone();
        let what = format!("{topic}/{partition}");
        let (rows, chain_end) = self.stored(partition)?;
        let exists = partition < self.facts.partitions;
        let bounds = if exists {
            records.bounds(&topic, partition).map_err(|source| reading(&what, source))?
        } else {
            0..0
        };
        let place = Place { topic: &topic, topic_id: &self.facts.id, partition };
        let letters = dead_letters.of(&topic, &self.facts.id, partition);
        let log_start = bounds.start;
        let context = Context { place, log_start, chain_end, dead_letters: letters };
        let mut comparison = Comparison::new(rows, context);
        if exists {
            let mut take = |record: &super::record::Record<'_>| {
                comparison.observe(record);
                true
            };
            records
                .read(&topic, partition, log_start, &mut take)
                .map_err(|source| reading(&what, source))?;
        }
        self.note(comparison.finish());
        Ok(())
    }

    /// The rows of a partition in all tables, and the end of what is stored without a hole.
    fn stored<E: std::error::Error>(
        &mut self,
        partition: u32,
    ) -> Result<(Rows, u64), VerifyError<E>> {
        let topic = self.report.topic.clone();
        let listing = self.listing;
        let mut chain_end = 0;
        let mut rows = Rows::default();
        // What is merged stands by offset within a file, and before what is not.
        self.merged.rows_of(partition).into_iter().for_each(|row| rows.push(row));
        let objects: Vec<&Object> = listing.objects_of(&topic, partition).collect();
        for chain in objects.chunk_by(|one, other| is_one_chain(one, other)) {
            let mut links = Vec::new();
            for object in chain {
                links.extend(self.link(object, &mut rows)?);
            }
            chain::problems(&links).into_iter().for_each(|problem| self.problem(problem));
            let unjoined = self.merged.unjoined(&links);
            unjoined.into_iter().for_each(|problem| self.problem(problem));
            if links.first().is_some_and(|link| link.footer.topic_id == self.facts.id) {
                chain_end = chain_end.max(chain::end(&links));
            }
        }
        Ok((rows, chain_end))
    }

    /// Takes the rows of one object, unless it belongs to an earlier topic of the name.
    fn link<E: std::error::Error>(
        &mut self,
        object: &Object,
        rows: &mut Rows,
    ) -> Result<Option<Link>, VerifyError<E>> {
        let failed = |source| VerifyError::Lake { source };
        let bytes = self.lake.read(&object.path).map_err(failed)?;
        self.report.objects += 1;
        let footer = match Footer::read(&bytes) {
            Ok(footer) => footer,
            Err(error) => {
                self.problem(format!("{}: {}", object.path, Chain(&error)));
                return Ok(None);
            }
        };
        if footer.topic_id != self.facts.id {
            self.report.objects_of_earlier_topics += 1;
        } else if !self.merged.covers(object) {
            let naming = self.lake.naming(self.listing, &object.name.table).map_err(failed)?;
            let range = footer.from..footer.to;
            let mut outside = 0_u64;
            let read = rows::visit_rows(bytes, &naming, |row| {
                outside += u64::from(!range.contains(&row.offset));
                rows.push(row);
            });
            if let Err(error) = read {
                self.problem(format!("{}: {}", object.path, Chain(&error)));
            }
            if outside > 0 {
                self.problem(format!("{}: {outside} rows outside its range", object.path));
            }
        }
        Ok(Some(Link { name: object.name.clone(), path: object.path.clone(), footer }))
    }

    fn note(&mut self, findings: Findings) {
        self.report.counts += findings.counts;
        let room = PROBLEMS_MAX.saturating_sub(self.report.examples.len());
        self.report.examples.extend(findings.examples.into_iter().take(room));
    }

    fn problem(&mut self, problem: String) {
        let problems = &mut self.report.chain_problems;
        if problems.len() < PROBLEMS_MAX {
            problems.push(problem);
        }
    }
}

/// Objects are sorted by table, topic and id, so that one chain's follow one another.
fn is_one_chain(one: &Object, other: &Object) -> bool {
    one.name.table == other.name.table && one.name.id_digits == other.name.id_digits
}
