//! IO. Goes through topics and what is stored of them, partition by partition, and gathers what is found.
//!
//! Memory: some 48 bytes per row of the largest partition in a lake, of all partitions of a table in BigQuery;
//! records are streamed.

use super::compare::{Comparison, Context};
use super::dead_letters::DeadLetters;
use super::digest::Place;
use super::record::{Record, TopicFacts, TopicRecords};
use super::report::{Report, TopicReport};
use super::sink::{Sink, StoredTopic, Unread};

const EXAMPLES_MAX: usize = 20;

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
    #[error("failed to read what is stored")]
    Stored {
        #[source]
        source: Unread,
    },
}

/// Compares every topic of `request` with what `sink` holds of it.
pub fn verify<R: TopicRecords>(
    records: &mut R,
    sink: &dyn Sink,
    request: &Request,
) -> Result<Report, VerifyError<R::Error>> {
    let dead_letters = dead_letters(records, request)?;
    let mut report = Report { topics: Vec::new(), unnamed_dead_letters: dead_letters.unnamed };
    for topic in &request.topics {
        let facts = facts(records, topic)?;
        let stored = sink.topic(topic, &facts).map_err(|source| VerifyError::Stored { source })?;
        let mut check = TopicCheck { stored, facts, report: TopicReport::default() };
        check.report.topic = topic.clone();
        for partition in 0..check.facts.partitions.max(check.stored.partitions()) {
            check.partition(records, partition, &dead_letters)?;
        }
        report.topics.push(check.report());
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

/// Those that are there by now. A dead-letter topic that is not there yet holds none.
pub(super) fn dead_letters<R: TopicRecords>(
    records: &mut R,
    request: &Request,
) -> Result<DeadLetters, VerifyError<R::Error>> {
    let mut letters = DeadLetters::default();
    let Some(topic) = &request.dead_letter_topic else { return Ok(letters) };
    let failed = |source| reading(topic, source);
    let Some(facts) = records.facts(topic).map_err(failed)? else { return Ok(letters) };
    for partition in 0..facts.partitions {
        let from = records.bounds(topic, partition).map_err(failed)?.start;
        let mut take = |record: &Record<'_>| {
            letters.push(record);
            true
        };
        records.read(topic, partition, from, &mut take).map_err(failed)?;
    }
    Ok(letters)
}

struct TopicCheck<'a> {
    stored: Box<dyn StoredTopic + 'a>,
    facts: TopicFacts,
    report: TopicReport,
}

impl TopicCheck<'_> {
    fn partition<R: TopicRecords>(
        &mut self,
        records: &mut R,
        partition: u32,
        dead_letters: &DeadLetters,
    ) -> Result<(), VerifyError<R::Error>> {
        let topic = self.report.topic.clone();
        let what = format!("{topic}/{partition}");
        let stored = self.stored.partition(partition);
        let (rows, stored_end) = stored.map_err(|source| VerifyError::Stored { source })?;
        let exists = partition < self.facts.partitions;
        let bounds = if exists {
            records.bounds(&topic, partition).map_err(|source| reading(&what, source))?
        } else {
            0..0
        };
        let place = Place { topic: &topic, topic_id: &self.facts.id, partition };
        let letters = dead_letters.of(&topic, &self.facts.id, partition);
        let log_start = bounds.start;
        let context = Context { place, log_start, stored_end, dead_letters: letters };
        let mut comparison = Comparison::new(rows, context);
        if exists {
            let mut take = |record: &Record<'_>| {
                comparison.observe(record);
                true
            };
            records
                .read(&topic, partition, log_start, &mut take)
                .map_err(|source| reading(&what, source))?;
        }
        let findings = comparison.finish();
        self.report.counts += findings.counts;
        let room = EXAMPLES_MAX.saturating_sub(self.report.examples.len());
        self.report.examples.extend(findings.examples.into_iter().take(room));
        Ok(())
    }

    fn report(mut self) -> TopicReport {
        let aside = self.stored.aside();
        TopicReport {
            objects: aside.objects,
            merged_files: aside.merged_files,
            objects_of_earlier_topics: aside.objects_of_earlier_topics,
            chain_problems: aside.problems,
            ..self.report
        }
    }
}
