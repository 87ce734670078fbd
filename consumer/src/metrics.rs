//! Pure. The metrics of the consumer, with one series per partition that it owns.

use std::sync::atomic::AtomicU64;

use common::kafka::client_events::ClientMetrics;
use common::messages::event::{NoticeClass, RefusalClass};
use common::metrics::Metrics;
use common::partition::TopicPartition;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;

use crate::decode::DeadLetterReason;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct PartitionLabels {
    topic: String,
    partition: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct DeadLetterLabels {
    topic: String,
    partition: u32,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct NeedLabels {
    topic: String,
    partition: u32,
    needs: &'static str,
}

/// What records wait for before they can be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    SchemaRegistry,
    /// To take their columns.
    Table,
    /// To take those that cannot be rows.
    DeadLetterTopic,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ClassLabel {
    class: &'static str,
}

impl PartitionLabels {
    fn of(partition: &TopicPartition) -> Self {
        Self { topic: partition.topic().to_owned(), partition: partition.partition() }
    }
}

impl NeedLabels {
    fn of(labels: &PartitionLabels, need: Need) -> Self {
        let PartitionLabels { topic, partition } = labels.clone();
        Self { topic, partition, needs: need.label() }
    }
}

impl Need {
    const ALL: [Self; 3] = [Self::SchemaRegistry, Self::Table, Self::DeadLetterTopic];

    fn label(self) -> &'static str {
        match self {
            Self::SchemaRegistry => "schema_registry",
            Self::Table => "table",
            Self::DeadLetterTopic => "dead_letter_topic",
        }
    }
}

/// What was counted of one partition.
#[derive(Clone, Copy, Debug, Default)]
pub struct LaneCounts {
    pub records: u64,
    /// Of keys, values and headers.
    pub bytes: u64,
    pub stored_bytes: u64,
    pub unparsed: u64,
}

type PerPartition = Family<PartitionLabels, Counter>;

/// All metrics of one consumer process. Clones count the same.
#[derive(Clone, Debug)]
pub struct ConsumerMetrics {
    pub kafka: ClientMetrics,
    /// 1 while the lease holds.
    pub lease_held: Gauge,
    pub lease_lapses: Counter,
    pub heartbeat_failures: Counter,
    pub event_failures: Counter,
    pub commit_failures: Counter,
    pub commits_repeated: Counter,
    pub buffered_bytes: Gauge,
    pub partitions_owned: Gauge,
    pub volume_failures: Counter,
    pub store_seconds: Histogram,
    pub latency_seconds: Histogram,
    notices: Family<ClassLabel, Counter>,
    refusals: Family<ClassLabel, Counter>,
    dead_letters: Family<DeadLetterLabels, Counter>,
    decode_retries: Family<NeedLabels, Counter>,
    refused_ratio: Family<PartitionLabels, Ratio>,
    paused: Family<PartitionLabels, Gauge>,
    lanes: LaneFamilies,
}

type Ratio = Gauge<f64, AtomicU64>;

/// The series about what a lane refuses; they end when this is dropped.
#[derive(Debug)]
pub struct RefusalMetrics {
    refused_ratio: Family<PartitionLabels, Ratio>,
    paused: Family<PartitionLabels, Gauge>,
    labels: PartitionLabels,
}

#[derive(Clone, Debug)]
struct LaneFamilies {
    records: PerPartition,
    bytes: PerPartition,
    rows: PerPartition,
    stored_bytes: PerPartition,
    unparsed: PerPartition,
    ignored: PerPartition,
    retries: PerPartition,
    position: Family<PartitionLabels, Gauge>,
    stored: Family<PartitionLabels, Gauge>,
}

/// The series of one owned partition; they end when this is dropped.
#[derive(Debug)]
pub struct LaneMetrics {
    families: LaneFamilies,
    dead_letter_family: Family<DeadLetterLabels, Counter>,
    decode_retries: Family<NeedLabels, Counter>,
    labels: PartitionLabels,
    pub records: Counter,
    pub bytes: Counter,
    pub rows: Counter,
    pub stored_bytes: Counter,
    pub unparsed: Counter,
    pub ignored: Counter,
    pub position: Gauge,
    pub stored: Gauge,
}

const DECODE_RETRIES: &str =
    "Attempts to decode records that have to be repeated, by what the records need";
const REFUSED_RATIO: &str =
    "Share of the records decoded within the last minute that cannot become rows, from 0 to 1";
const PAUSED: &str =
    "1 while the partition is not read because too many of its records cannot become rows";

impl ConsumerMetrics {
    pub fn declare(metrics: &mut Metrics) -> Self {
        let lanes = LaneFamilies::declare(metrics);
        let dead_letters = "Records that were written to the dead-letter topic, by reason";
        let notices = "Events that a person should know of, by class";
        let refusals = "Records on the consumer's own partition that changed nothing, by class";
        Self {
            dead_letters: metrics.declare("dead_letters", dead_letters, Family::default()),
            decode_retries: metrics.declare("decode_retries", DECODE_RETRIES, Family::default()),
            refused_ratio: metrics.declare("refused_ratio", REFUSED_RATIO, Family::default()),
            paused: metrics.declare("partition_paused", PAUSED, Family::default()),
            notices: metrics.declare("notices", notices, Family::default()),
            refusals: metrics.declare("refusals", refusals, Family::default()),
            lanes,
            partitions_owned: metrics.declare(
                "partitions_owned",
                "Partitions that are held or being opened or stopped",
                Gauge::default(),
            ),
            buffered_bytes: metrics.declare(
                "buffered_bytes",
                "Bytes of gathered records, open objects and objects that are being stored",
                Gauge::default(),
            ),
            store_seconds: metrics.declare(
                "store_duration_seconds",
                "Time from closing an object to its being stored",
                Histogram::new([0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0]),
            ),
            latency_seconds: metrics.declare(
                "latency_seconds",
                "Time from the timestamp of an object's oldest record to its being stored",
                Histogram::new([0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 7.5, 10.0, 30.0, 60.0, 600.0]),
            ),
            lease_held: metrics.declare(
                "lease_held",
                "1 while heartbeats are acknowledged in time, else 0",
                Gauge::default(),
            ),
            lease_lapses: counter(metrics, "lease_lapses", "Leases that ran out"),
            heartbeat_failures: counter(
                metrics,
                "heartbeat_failures",
                "Heartbeats that Kafka did not acknowledge in time",
            ),
            event_failures: counter(
                metrics,
                "event_failures",
                "Answers, reports, refusals and notices that Kafka did not acknowledge in time",
            ),
            commit_failures: counter(metrics, "commit_failures", "Commits that failed"),
            commits_repeated: counter(
                metrics,
                "commits_repeated",
                "Commits that another's had replaced and that were made again",
            ),
            volume_failures: counter(
                metrics,
                "volume_failures",
                "Times that the state file could not be written",
            ),
            kafka: ClientMetrics::declare(metrics),
        }
    }

    pub fn notice(&self, class: NoticeClass) {
        self.notices.get_or_create(&ClassLabel { class: class.label() }).inc();
    }

    pub fn refusal(&self, class: RefusalClass) {
        self.refusals.get_or_create(&ClassLabel { class: class.label() }).inc();
    }

    /// The series of what a lane refuses, from 0.
    pub fn refusals(&self, partition: &TopicPartition) -> RefusalMetrics {
        let labels = PartitionLabels::of(partition);
        let (refused_ratio, paused) = (self.refused_ratio.clone(), self.paused.clone());
        let metrics = RefusalMetrics { refused_ratio, paused, labels };
        metrics.set(0.0, false);
        metrics
    }

    /// Counts attempts to use the sink that are repeated.
    pub fn retries(&self, partition: &TopicPartition) -> Counter {
        let labels = PartitionLabels::of(partition);
        self.lanes.retries.get_or_create_owned(&labels)
    }

    /// A batch is to be decoded again, once what it needs is there.
    pub fn decode_retry(&self, partition: &TopicPartition, needs: Need) {
        let labels = NeedLabels::of(&PartitionLabels::of(partition), needs);
        self.decode_retries.get_or_create(&labels).inc();
    }

    /// The offset below which everything of a partition is stored; `None` unless it is open.
    pub fn stored(&self, partition: &TopicPartition) -> Option<u64> {
        let labels = PartitionLabels::of(partition);
        let stored = self.lanes.stored.get(&labels)?.get();
        u64::try_from(stored).ok()
    }

    /// What was counted of a partition while it was open.
    pub fn counts(&self, partition: &TopicPartition) -> LaneCounts {
        let labels = PartitionLabels::of(partition);
        let count = |family: &PerPartition| family.get(&labels).map_or(0, |counter| counter.get());
        LaneCounts {
            records: count(&self.lanes.records),
            bytes: count(&self.lanes.bytes),
            stored_bytes: count(&self.lanes.stored_bytes),
            unparsed: count(&self.lanes.unparsed),
        }
    }

    /// The series of a partition, from 0.
    pub fn lane(&self, partition: &TopicPartition) -> LaneMetrics {
        let families = self.lanes.clone();
        let labels = PartitionLabels::of(partition);
        let counter = |family: &PerPartition| family.get_or_create_owned(&labels);
        LaneMetrics {
            records: counter(&families.records),
            bytes: counter(&families.bytes),
            rows: counter(&families.rows),
            stored_bytes: counter(&families.stored_bytes),
            unparsed: counter(&families.unparsed),
            ignored: counter(&families.ignored),
            position: families.position.get_or_create_owned(&labels),
            stored: families.stored.get_or_create_owned(&labels),
            dead_letter_family: self.dead_letters.clone(),
            decode_retries: self.decode_retries.clone(),
            families,
            labels,
        }
    }
}

impl LaneFamilies {
    fn declare(metrics: &mut Metrics) -> Self {
        let mut declare = |name: &str, help: &str| metrics.declare(name, help, Family::default());
        Self {
            records: declare("records_read", "Records read from Kafka"),
            bytes: declare("bytes_read", "Bytes of keys, values and headers read from Kafka"),
            rows: declare("rows_stored", "Rows stored in the sink"),
            stored_bytes: declare("bytes_stored", "Bytes of the objects stored in the sink"),
            unparsed: declare("rows_unparsed", "Rows whose record stands in `kafka_unparsed`"),
            ignored: declare("records_ignored", "Records skipped as the service entry says"),
            retries: declare("sink_retries", "Attempts to use the sink that have to be repeated"),
            position: metrics.declare("position_offset", "Next offset to read", Family::default()),
            stored: metrics.declare(
                "stored_offset",
                "Offset below which everything is stored",
                Family::default(),
            ),
        }
    }
}

impl LaneMetrics {
    pub fn dead_letter(&self, reason: DeadLetterReason) {
        self.dead_letter_family.get_or_create(&self.dead_letter_labels(reason)).inc();
    }

    fn dead_letter_labels(&self, reason: DeadLetterReason) -> DeadLetterLabels {
        let PartitionLabels { topic, partition } = self.labels.clone();
        DeadLetterLabels { topic, partition, reason: reason.label() }
    }
}

impl RefusalMetrics {
    pub fn set(&self, refused_ratio: f64, is_paused: bool) {
        self.refused_ratio.get_or_create(&self.labels).set(refused_ratio);
        self.paused.get_or_create(&self.labels).set(i64::from(is_paused));
    }
}

impl Drop for RefusalMetrics {
    fn drop(&mut self) {
        self.refused_ratio.remove(&self.labels);
        self.paused.remove(&self.labels);
    }
}

impl Drop for LaneMetrics {
    fn drop(&mut self) {
        let LaneFamilies {
            records,
            bytes,
            rows,
            stored_bytes,
            unparsed,
            ignored,
            retries,
            position,
            stored,
        } = &self.families;
        for family in [records, bytes, rows, stored_bytes, unparsed, ignored, retries] {
            family.remove(&self.labels);
        }
        position.remove(&self.labels);
        stored.remove(&self.labels);
        for reason in DeadLetterReason::ALL {
            self.dead_letter_family.remove(&self.dead_letter_labels(*reason));
        }
        for need in Need::ALL {
            self.decode_retries.remove(&NeedLabels::of(&self.labels, need));
        }
    }
}

fn counter(metrics: &mut Metrics, name: &str, help: &str) -> Counter {
    metrics.declare(name, help, Counter::default())
}

/// For gauges, which are signed.
pub fn gauge_value(value: impl TryInto<i64>) -> i64 {
    value.try_into().unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_series_of_a_partition_end_with_its_lane() {
        let mut metrics = Metrics::new("consumer");
        let consumer = ConsumerMetrics::declare(&mut metrics);
        let lane = consumer.lane(&TopicPartition::new("orders", 3));
        let refusals = consumer.refusals(&TopicPartition::new("orders", 3));
        refusals.set(0.25, true);
        lane.records.inc();
        lane.dead_letter(DeadLetterReason::TooDeep);
        let series = "stowage_consumer_records_read_total{topic=\"orders\",partition=\"3\"} 1\n";
        assert!(metrics.encode().contains(series), "{}", metrics.encode());
        let series = "stowage_consumer_refused_ratio{topic=\"orders\",partition=\"3\"} 0.25\n";
        assert!(metrics.encode().contains(series), "{}", metrics.encode());
        drop((lane, refusals));
        assert!(!metrics.encode().contains("orders"), "{}", metrics.encode());
    }
}
