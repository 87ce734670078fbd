//! Pure. All metrics of the monitor.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use common::kafka::client_events::ClientMetrics;
use common::messages::measurement::{MeasurementState, PartitionMeasurement};
use common::metrics::Metrics;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};

use crate::catalog::{BrokerId, Catalog};

type FloatGauge = Gauge<f64, AtomicU64>;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelSet)]
struct PartitionLabels {
    topic: String,
    partition: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelSet)]
struct TopicLabel {
    topic: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BrokerLabel {
    broker: i32,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabel {
    state: &'static str,
}

/// What the monitor counts and shows. Clones share the values.
#[derive(Clone, Debug)]
pub struct MonitorMetrics {
    pub clients: ClientMetrics,
    pub turn_seconds: Histogram,
    pub published: Counter,
    pub published_bytes: Counter,
    pub publish_failures: Counter,
    pub offsets_failures: Counter,
    pub metadata_failures: Counter,
    pub log_shrinks: Counter,
    pub leader_changes: Counter,
    sizes_failures: Family<BrokerLabel, Counter>,
    sizes_refused: Family<BrokerLabel, Gauge>,
    partitions: Family<StateLabel, Gauge>,
    by_partition: Series<PartitionLabels>,
    by_topic: Series<TopicLabel>,
}

/// Rate and lag of a partition, or summed over a topic.
#[derive(Clone, Debug)]
struct Series<L: Clone + std::hash::Hash + Eq> {
    rate: Family<L, Gauge>,
    lag: Family<L, FloatGauge>,
    lag_seconds: Family<L, FloatGauge>,
}

#[derive(Clone, Debug)]
struct Gauges {
    rate: Gauge,
    lag: FloatGauge,
    lag_seconds: FloatGauge,
}

impl MonitorMetrics {
    pub fn declare(metrics: &mut Metrics) -> Self {
        let new = || Counter::default();
        Self {
            clients: ClientMetrics::declare(metrics),
            turn_seconds: metrics.declare(
                "turn_duration_seconds",
                "Time from the first question of a measurement to its being published",
                Histogram::new(exponential_buckets(0.005, 2.0, 12)),
            ),
            published: metrics.declare("measurements", "Measurements published", new()),
            published_bytes: metrics.declare(
                "measurements_bytes",
                "Bytes of the measurements published, uncompressed",
                new(),
            ),
            publish_failures: metrics.declare(
                "publish_failures",
                "Measurements that could not be published and were left out",
                new(),
            ),
            offsets_failures: metrics.declare(
                "offsets_failures",
                "Questions for offsets that were not answered: the last known ones count on",
                new(),
            ),
            metadata_failures: metrics.declare(
                "metadata_failures",
                "Questions for topics and leaders that were not answered",
                new(),
            ),
            log_shrinks: metrics.declare(
                "log_shrinks",
                "Intervals in which the log of a partition shrank: the growth of its offsets counted",
                new(),
            ),
            leader_changes: metrics.declare(
                "leader_changes",
                "Changes of leader: the growth of offsets counted",
                new(),
            ),
            sizes_failures: metrics.declare(
                "sizes_failures",
                "Questions for sizes that a broker did not answer: its partitions are stale",
                Family::default(),
            ),
            sizes_refused: metrics.declare(
                "sizes_refused",
                "1 if a broker does not allow to ask for sizes: records are counted instead",
                Family::default(),
            ),
            partitions: metrics.declare("partitions", "Partitions by state", Family::default()),
            by_partition: Series::declare(metrics, "partition"),
            by_topic: Series::declare(metrics, "topic"),
        }
    }

    pub fn sizes_failed(&self, broker: BrokerId) {
        self.sizes_failures.get_or_create(&BrokerLabel { broker: broker.0 }).inc();
    }

    pub fn set_refused(&self, broker: BrokerId, is_refused: bool) {
        let label = BrokerLabel { broker: broker.0 };
        if is_refused {
            self.sizes_refused.get_or_create(&label).set(1);
        } else {
            self.sizes_refused.remove(&label);
        }
    }
}

impl<L: EncodeLabelSet + Clone + std::fmt::Debug + std::hash::Hash + Eq + Send + Sync + 'static>
    Series<L>
{
    fn declare(metrics: &mut Metrics, of: &str) -> Self {
        let name = |what: &str| format!("{of}_{what}");
        Self {
            rate: metrics.declare(
                &name("write_rate_bytes_per_second"),
                &format!("Filtered write rate of a {of}"),
                Family::default(),
            ),
            lag: metrics.declare(
                &name("lag_records"),
                &format!("High watermark − committed offset of a {of}; no number while unknown"),
                Family::default(),
            ),
            lag_seconds: metrics.declare(
                &name("lag_seconds"),
                &format!(
                    "Age of the first record not committed of a {of}; no number while unknown"
                ),
                Family::default(),
            ),
        }
    }

    fn gauges(&self, labels: &L) -> Gauges {
        Gauges {
            rate: self.rate.get_or_create_owned(labels),
            lag: self.lag.get_or_create_owned(labels),
            lag_seconds: self.lag_seconds.get_or_create_owned(labels),
        }
    }

    fn remove(&self, labels: &L) {
        self.rate.remove(labels);
        self.lag.remove(labels);
        self.lag_seconds.remove(labels);
    }
}

/// The series of a catalog's partitions, by its indices, and of its topics. Those of what has gone
/// end.
#[derive(Debug)]
pub struct CatalogSeries {
    metrics: MonitorMetrics,
    has_partitions: bool,
    topics: BTreeMap<TopicLabel, Gauges>,
    partitions: BTreeMap<PartitionLabels, Gauges>,
    by_index: Vec<Gauges>,
}

impl CatalogSeries {
    /// `has_partitions` says whether there are series of partitions, or of topics only.
    pub fn new(metrics: MonitorMetrics, has_partitions: bool) -> Self {
        Self {
            metrics,
            has_partitions,
            topics: BTreeMap::new(),
            partitions: BTreeMap::new(),
            by_index: Vec::new(),
        }
    }

    pub fn adopt(&mut self, catalog: &Arc<Catalog>) {
        let topics = catalog.topics().iter().filter(|topic| !topic.leaders.is_empty());
        let labels = topics.map(|topic| TopicLabel { topic: topic.name.to_string() });
        self.topics = renew(&self.metrics.by_topic, &self.topics, labels);
        if !self.has_partitions {
            return;
        }
        let labels = catalog.entries().map(|entry| PartitionLabels {
            topic: entry.topic.to_string(),
            partition: entry.partition,
        });
        self.partitions = renew(&self.metrics.by_partition, &self.partitions, labels);
        // Labels are in the order of the catalog's indices: by topic, then by number.
        self.by_index = self.partitions.values().cloned().collect();
    }

    /// Shows one measurement of all partitions, in the order of the catalog.
    pub fn show<'a>(&self, measured: impl Iterator<Item = &'a PartitionMeasurement>) {
        let mut sums = BTreeMap::<&str, Sum>::new();
        let mut states = BTreeMap::from(ALL_STATES.map(|state| (state, 0)));
        for (index, partition) in measured.enumerate() {
            if let Some(gauges) = self.by_index.get(index) {
                Sum::of(partition).show(gauges);
            }
            sums.entry(&partition.topic).or_default().add(&Sum::of(partition));
            *states.entry(partition.state).or_default() += 1;
        }
        for (label, gauges) in &self.topics {
            sums.get(label.topic.as_str()).copied().unwrap_or_default().show(gauges);
        }
        for (state, count) in states {
            let label = StateLabel { state: state_label(state) };
            self.metrics.partitions.get_or_create(&label).set(count);
        }
    }
}

fn renew<L>(
    series: &Series<L>,
    before: &BTreeMap<L, Gauges>,
    labels: impl Iterator<Item = L>,
) -> BTreeMap<L, Gauges>
where
    L: EncodeLabelSet + Clone + std::fmt::Debug + std::hash::Hash + Ord + Send + Sync + 'static,
{
    let after: BTreeMap<L, Gauges> = labels
        .map(|label| {
            let gauges = series.gauges(&label);
            (label, gauges)
        })
        .collect();
    for gone in before.keys().filter(|label| !after.contains_key(label)) {
        series.remove(gone);
    }
    after
}

/// Rates and lags add up over a topic; its age is that of its oldest partition. What is unknown of
/// one partition is unknown of the sum.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    rate: u64,
    lag: f64,
    lag_seconds: f64,
}

impl Sum {
    fn of(partition: &PartitionMeasurement) -> Self {
        Self {
            rate: partition.filtered.0,
            lag: partition.lag.map_or(f64::NAN, |lag| lag as f64),
            lag_seconds: partition.lag_seconds.unwrap_or(f64::NAN),
        }
    }

    fn add(&mut self, other: &Self) {
        self.rate = self.rate.saturating_add(other.rate);
        self.lag += other.lag;
        let is_known = !self.lag_seconds.is_nan() && !other.lag_seconds.is_nan();
        let oldest = self.lag_seconds.max(other.lag_seconds);
        self.lag_seconds = if is_known { oldest } else { f64::NAN };
    }

    fn show(&self, gauges: &Gauges) {
        gauges.rate.set(i64::try_from(self.rate).unwrap_or(i64::MAX));
        gauges.lag.set(self.lag);
        gauges.lag_seconds.set(self.lag_seconds);
    }
}

const ALL_STATES: [MeasurementState; 3] =
    [MeasurementState::Warming, MeasurementState::Steady, MeasurementState::Stale];

fn state_label(state: MeasurementState) -> &'static str {
    match state {
        MeasurementState::Warming => "warming",
        MeasurementState::Steady => "steady",
        MeasurementState::Stale => "stale",
    }
}

#[cfg(test)]
mod tests {
    use common::rate::BytesPerSecond;

    use super::*;
    use crate::catalog::TopicFacts;

    fn catalog(topics: &[(&str, usize)]) -> Arc<Catalog> {
        let topics = topics.iter().map(|(name, partitions)| TopicFacts {
            name: Arc::from(*name),
            id: format!("{:032x}", 1).parse().unwrap(),
            leaders: vec![Some(BrokerId(1)); *partitions],
        });
        Arc::new(Catalog::new(topics.collect()))
    }

    fn measured(topic: &str, partition: u32, lag: Option<u64>) -> PartitionMeasurement {
        let rate = BytesPerSecond(10 + u64::from(partition));
        PartitionMeasurement {
            topic: topic.into(),
            partition,
            rate,
            filtered: rate,
            burst: rate,
            size: 0,
            log_start: 0,
            high_watermark: 0,
            committed: None,
            lag,
            lag_seconds: lag.map(|lag| lag as f64 / 10.0),
            bytes_per_record: 0.0,
            state: MeasurementState::Steady,
        }
    }

    #[test]
    fn partitions_and_their_sums_are_shown_and_end_with_what_they_show() {
        let mut metrics = Metrics::new("monitor");
        let mut series = CatalogSeries::new(MonitorMetrics::declare(&mut metrics), true);
        series.adopt(&catalog(&[("orders", 2), ("payments", 1)]));
        let all = [
            measured("orders", 0, Some(5)),
            measured("orders", 1, Some(7)),
            measured("payments", 0, None),
        ];
        series.show(all.iter());
        let text = metrics.encode();
        for line in [
            "partition_write_rate_bytes_per_second{topic=\"orders\",partition=\"1\"} 11",
            "partition_lag_records{topic=\"orders\",partition=\"1\"} 7.0",
            "topic_write_rate_bytes_per_second{topic=\"orders\"} 21",
            "topic_lag_records{topic=\"orders\"} 12.0",
            "topic_lag_seconds{topic=\"orders\"} 0.7",
            "topic_lag_records{topic=\"payments\"} NaN",
            "partitions{state=\"steady\"} 3",
            "partitions{state=\"stale\"} 0",
        ] {
            assert!(text.contains(&format!("stowage_monitor_{line}\n")), "{line} in\n{text}");
        }
        series.adopt(&catalog(&[("orders", 1)]));
        let text = metrics.encode();
        assert!(!text.contains("payments") && !text.contains("partition=\"1\""), "{text}");
        assert!(text.contains("topic_lag_records{topic=\"orders\"} 12.0"), "{text}");
    }

    #[test]
    fn without_series_of_partitions_there_are_those_of_topics() {
        let mut metrics = Metrics::new("monitor");
        let mut series = CatalogSeries::new(MonitorMetrics::declare(&mut metrics), false);
        series.adopt(&catalog(&[("orders", 1)]));
        series.show([measured("orders", 0, Some(1))].iter());
        let text = metrics.encode();
        assert!(text.contains("topic=\"orders\"") && !text.contains("partition=\""), "{text}");
    }
}
