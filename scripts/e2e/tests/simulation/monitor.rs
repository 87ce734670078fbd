//! Pure. The monitor: the real meters on simulated sizes and offsets, every second, unless it is away.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use common::identity::TopicId;
use common::moment::Moment;
use common::partition::TopicPartition;
use monitor::catalog::{BrokerId, Catalog, TopicFacts};
use monitor::measure::{MeasurePolicy, Meters, Offsets, Reading, Volume};
use monitor::report::Reporter;
use orchestrator::conductor::input::Input;
use rand::RngExt as _;

use super::kafka::Kafka;
use super::orchestrator::CAPACITY;
use super::outside::Outside;

const INTERVAL: Duration = Duration::from_secs(1);
const POLICY: MeasurePolicy = MeasurePolicy {
    window: Duration::from_secs(10),
    burst: Duration::from_secs(3),
    time_constant: Duration::from_secs(5),
};

#[derive(Debug)]
pub(crate) struct Monitor {
    meters: Meters,
    reporter: Reporter,
    measured_at: Moment,
    pub(crate) away_until: Moment,
    /// It ended and began again so many times.
    lives: u32,
    logs: BTreeMap<TopicPartition, Weight>,
}

/// What a log weighs: offsets alone do not say.
#[derive(Clone, Copy, Debug)]
struct Weight {
    topic: TopicId,
    start: u64,
    bytes: u64,
    /// Bytes per second.
    rate: u64,
}

impl Default for Monitor {
    fn default() -> Self {
        let (measured_at, away_until) = (Moment::default(), Moment::default());
        let (meters, reporter) = (Meters::new(POLICY), reporter(0));
        Self { meters, reporter, measured_at, away_until, lives: 0, logs: BTreeMap::new() }
    }
}

fn reporter(life: u32) -> Reporter {
    Reporter::new(format!("simulated:{life}"), INTERVAL, POLICY.window)
}

impl Monitor {
    /// A partition is written faster or slower from now on.
    pub(crate) fn change(&mut self, outside: &mut Outside) {
        let count = self.logs.len();
        if count == 0 {
            return;
        }
        let index = outside.rng.random_range(0..count);
        let log = self.logs.values_mut().nth(index).expect("within bounds");
        log.rate = draw(outside);
    }

    /// It dies, and another one begins with nothing.
    pub(crate) fn end(&mut self, back_at: Moment) {
        self.away_until = back_at;
        self.lives += 1;
        (self.meters, self.reporter) = (Meters::new(POLICY), reporter(self.lives));
    }

    pub(crate) fn turn(&mut self, outside: &mut Outside) -> Vec<Input> {
        let now = outside.now;
        let passed = now.saturating_since(self.measured_at);
        if outside.are_brokers_away() || passed < INTERVAL {
            return vec![];
        }
        self.measured_at = now;
        self.grow(passed, outside);
        if self.away_until > now {
            return vec![];
        }
        self.meters.adopt(Arc::new(catalog(&outside.kafka)));
        let catalog = Arc::clone(self.meters.catalog());
        for (index, entry) in catalog.entries().enumerate() {
            let partition = TopicPartition::new(entry.topic, entry.partition);
            let is_lost = outside.network.is_bad && outside.rng.random_ratio(1, 50);
            let reading = if is_lost { Reading::default() } else { self.read(&partition, outside) };
            self.meters.take(index, &reading);
        }
        let measured = self.reporter.report(outside.timestamp(), self.meters.measurements());
        measured.into_iter().map(Input::Measured).collect()
    }

    /// Logs gain what is written to them, and lose what retention took.
    fn grow(&mut self, passed: Duration, outside: &mut Outside) {
        let partitions: Vec<_> = outside.kafka.partitions().collect();
        self.logs.retain(|partition, _| partitions.contains(partition));
        for partition in partitions {
            let (topic, log) = outside.kafka.log(&partition).expect("it was listed");
            let new = Weight { topic, start: log.start, bytes: 0, rate: draw(outside) };
            let known = self.logs.entry(partition).or_insert(new);
            if known.topic != topic {
                *known = new;
            }
            let records = (log.end - known.start).max(1);
            let kept = known.bytes / records * (log.end - log.start);
            known.bytes = if log.start == known.start { known.bytes } else { kept };
            known.start = log.start;
            let written = u128::from(known.rate) * passed.as_millis() / 1_000;
            known.bytes += u64::try_from(written).unwrap();
        }
    }

    fn read(&self, partition: &TopicPartition, outside: &Outside) -> Reading {
        let (_, log) = outside.kafka.log(partition).expect("it was listed");
        let bytes = self.logs[partition].bytes;
        let committed = outside.kafka.committed.get(partition).map(|found| found.offset);
        Reading {
            volume: Some(Volume::Measured { at: outside.now, bytes }),
            offsets: Some(Offsets {
                log_start: log.start,
                high_watermark: log.end,
                committed: committed.map(|committed| committed.min(log.end)),
            }),
        }
    }
}

fn catalog(kafka: &Kafka) -> Catalog {
    let facts = kafka.topics.iter().map(|(name, topic)| TopicFacts {
        name: name.as_str().into(),
        id: topic.id,
        leaders: topic.logs.iter().map(|_| Some(BrokerId(1))).collect(),
    });
    Catalog::new(facts.collect())
}

fn draw(outside: &mut Outside) -> u64 {
    outside.rng.random_range(0..CAPACITY / 2)
}
