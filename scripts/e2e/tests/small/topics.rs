//! Topics in memory: the double of Kafka.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ops::Range;

use e2e::verify::record::{Record, TopicFacts, TopicRecords};

pub(crate) const TOPIC: &str = "orders";
pub(crate) const DEAD: &str = "dead";
pub(crate) const ID: &str = "5f0c1a52-0000-4000-8000-000000000001";

/// A record that owns what it holds.
#[derive(Clone, Debug)]
pub(crate) struct Owned {
    pub(crate) offset: u64,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
}

/// Topics in memory: the double of Kafka.
#[derive(Clone, Debug, Default)]
pub(crate) struct Topics {
    pub(crate) partitions: BTreeMap<(String, u32), Vec<Owned>>,
    pub(crate) log_start: u64,
}

impl TopicRecords for Topics {
    type Error = Infallible;

    fn facts(&mut self, topic: &str) -> Result<Option<TopicFacts>, Infallible> {
        let count = self.partitions.keys().filter(|(name, _)| name == topic).count();
        let partitions = u32::try_from(count).unwrap();
        Ok((count > 0).then(|| TopicFacts { id: ID.into(), partitions }))
    }

    fn bounds(&mut self, topic: &str, partition: u32) -> Result<Range<u64>, Infallible> {
        let records = &self.partitions[&(topic.to_owned(), partition)];
        let start = if topic == TOPIC { self.log_start } else { 0 };
        Ok(start..records.last().map_or(0, |record| record.offset + 2))
    }

    fn read(
        &mut self,
        topic: &str,
        partition: u32,
        from: u64,
        visit: &mut dyn FnMut(&Record<'_>) -> bool,
    ) -> Result<(), Infallible> {
        let records = &self.partitions[&(topic.to_owned(), partition)];
        for record in records.iter().filter(|record| record.offset >= from) {
            let headers = record.headers.iter();
            let headers = headers.map(|(name, value)| (name.as_str(), Some(value.as_slice())));
            let record = Record {
                offset: record.offset,
                timestamp_ms: Some(timestamp(record.offset)),
                key: record.key.as_deref(),
                value: record.value.as_deref(),
                headers: headers.collect(),
            };
            if !visit(&record) {
                break;
            }
        }
        Ok(())
    }
}

pub(crate) fn timestamp(offset: u64) -> i64 {
    1_700_000_000_000 + i64::try_from(offset).unwrap()
}
