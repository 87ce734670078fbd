//! Pure. What the orchestrator counts and shows.

mod count;

use std::sync::atomic::AtomicU64;

use common::identity::ConsumerId;
use common::kafka::client_events::ClientMetrics;
use common::messages::snapshot::Ownership;
use common::metrics::Metrics;
use common::partition::TopicPartition;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;

use crate::plan::snapshot::Hold;
use crate::status::{ConsumerStanding, PartitionStatus, RateTrust, Role, Status};

const GAP_BUCKETS: [f64; 12] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 30.0, 60.0];
const FROZEN: &str =
    "1 if no measurement has come for a while, so that nothing is moved that need not be";
const PARTITIONS: &str = "Partitions that are to be read, by state of their ownership";
const OWNER: &str = "The number of the consumer that holds a partition, 0 for none";
const UNOWNED: &str = "For how long nobody has held a partition that is to be read";
const STANDING: &str = "1 for how a consumer stands: serving, starting, draining, failing, ...";
const LOAD: &str = "What the partitions of a consumer ask for";
const MOVES: &str = "Changes of owner that were planned, by reason";
const R_SCORE: &str =
    "Sum of the write rates that plans moved, divided by the capacity of a consumer";
const MOVE_GAP: &str =
    "Time from the last poll at the old owner to the first answered one at the new";
const OPEN_FAILURES: &str = "Partitions that a consumer could not open, or could not go on with";
const ENDED: &str = "Incarnations of consumers that ended, by how that is known";
const EXITS: &str = "Processes of consumers that ended, told to or not";
const REFUSED: &str = "Records on consumers' partitions that changed nothing, as consumers told";
const NOTICES: &str = "What consumers told that a person should know, by class";
const MALFORMED: &str =
    "Records of our own topics that cannot be read or do not belong there, by topic";
const SERVICE_ERRORS: &str = "Entries of the service topic that cannot be read";
const WRITE_FAILURES: &str = "Messages that were not acknowledged in time";
const UNANSWERING: &str = "Consumers that lived and did not answer, and were ended or reported";
const STUCK: &str = "Times that an owner lived and read nothing of a partition for a minute";
const LESSONS: &str = "Changes of what a consumer is thought to sustain";
const SHORTFALLS: &str = "Times that new consumers brought less than a tenth of what was expected";
const HELD: &str = "1 while no consumer is created although the limits would allow it, by reason";
const PAUSED: &str = "1 while people paused planning, or one direction of scaling";
const REFUSED_TEMPLATES: &str = "Templates of consumers that could not be used";
const FLEET: &str = "What befell workloads of consumers, as their fleet tells, by what it was";
const OPENING: &str = "Time that a new consumer took for each step from the decision to create it \
                       until it held its first partition, by the step that it did";
const JOURNAL_FAILURES: &str = "Decisions that could not be written to the journal";

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabel {
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StepLabel {
    step: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ClassLabel {
    class: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PartitionLabel {
    topic: String,
    partition: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelSet)]
struct ConsumerLabel {
    consumer: u32,
}

/// A class of faults, and whom it was about.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FaultLabel {
    class: &'static str,
    consumer: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StandingLabel {
    consumer: u32,
    standing: &'static str,
}

type ByPartition = Family<PartitionLabel, Gauge>;
type ByConsumer = Family<ConsumerLabel, Gauge>;

/// The metrics of one orchestrator. Clones count into the same ones.
#[derive(Clone, Debug)]
pub struct OrchestratorMetrics {
    pub clients: ClientMetrics,
    leader: Gauge,
    generation: Gauge,
    frozen: Gauge,
    consumers: Gauge,
    partitions: Family<StateLabel, Gauge>,
    owner: ByPartition,
    unowned: Family<PartitionLabel, Gauge<f64, AtomicU64>>,
    standing: Family<StandingLabel, Gauge>,
    load: ByConsumer,
    capacity: ByConsumer,
    plans: Family<ReasonLabel, Counter>,
    moves: Family<ReasonLabel, Counter>,
    r_score: Counter<f64, AtomicU64>,
    move_gap: Histogram,
    open_failures: Family<PartitionLabel, Counter>,
    ended: Family<FaultLabel, Counter>,
    exits: Family<FaultLabel, Counter>,
    refused: Family<FaultLabel, Counter>,
    notices: Family<FaultLabel, Counter>,
    malformed: Family<ClassLabel, Counter>,
    unanswering: Family<ConsumerLabel, Counter>,
    fleet: Family<FaultLabel, Counter>,
    refused_templates: Counter,
    opening: Family<StepLabel, Histogram, fn() -> Histogram>,
    stuck: Family<PartitionLabel, Counter>,
    anomalies: Counter,
    lessons: Counter,
    shortfalls: Counter,
    held: Family<ReasonLabel, Gauge>,
    paused: Family<ReasonLabel, Gauge>,
    proposals: Gauge,
    service_errors: Gauge,
    pub write_failures: Counter,
    pub journal_failures: Counter,
}

impl OrchestratorMetrics {
    pub fn declare(metrics: &mut Metrics) -> Self {
        Self {
            leader: gauge(metrics, "leader", "1 if this orchestrator leads"),
            generation: gauge(metrics, "generation", "The reign that is the last by the log"),
            frozen: gauge(metrics, "frozen", FROZEN),
            consumers: gauge(metrics, "consumers", "Consumers that exist"),
            partitions: metrics.declare("partitions", PARTITIONS, Family::default()),
            owner: metrics.declare("partition_owner", OWNER, Family::default()),
            unowned: metrics.declare("partition_unowned_seconds", UNOWNED, Family::default()),
            standing: metrics.declare("consumer_standing", STANDING, Family::default()),
            load: metrics.declare("consumer_load_bytes_per_second", LOAD, Family::default()),
            capacity: metrics.declare(
                "consumer_capacity_bytes_per_second",
                "What a consumer sustains",
                Family::default(),
            ),
            plans: metrics.declare("plans", "Plans that changed something", Family::default()),
            moves: metrics.declare("planned_moves", MOVES, Family::default()),
            r_score: metrics.declare("r_score", R_SCORE, Counter::default()),
            move_gap: metrics.declare("move_gap_seconds", MOVE_GAP, Histogram::new(GAP_BUCKETS)),
            open_failures: metrics.declare("open_failures", OPEN_FAILURES, Family::default()),
            ended: metrics.declare("incarnations_ended", ENDED, Family::default()),
            exits: metrics.declare("consumer_exits", EXITS, Family::default()),
            refused: metrics.declare("refused_commands", REFUSED, Family::default()),
            notices: metrics.declare("notices", NOTICES, Family::default()),
            malformed: metrics.declare("malformed_records", MALFORMED, Family::default()),
            unanswering: metrics.declare("unanswering_consumers", UNANSWERING, Family::default()),
            fleet: metrics.declare("fleet_troubles", FLEET, Family::default()),
            refused_templates: counter(metrics, "refused_templates", REFUSED_TEMPLATES),
            opening: metrics.declare(
                "consumer_opening_seconds",
                OPENING,
                Family::new_with_constructor(opening as fn() -> Histogram),
            ),
            stuck: metrics.declare("stuck_partitions", STUCK, Family::default()),
            anomalies: counter(metrics, "anomalies", "Measured values that cannot be true"),
            lessons: counter(metrics, "capacity_lessons", LESSONS),
            shortfalls: counter(metrics, "scale_out_shortfalls", SHORTFALLS),
            held: metrics.declare("scale_out_held", HELD, Family::default()),
            paused: metrics.declare("paused", PAUSED, Family::default()),
            proposals: gauge(metrics, "proposals", "Plans that wait for approval"),
            service_errors: gauge(metrics, "service_errors", SERVICE_ERRORS),
            write_failures: counter(metrics, "write_failures", WRITE_FAILURES),
            journal_failures: counter(metrics, "journal_failures", JOURNAL_FAILURES),
            clients: ClientMetrics::declare(metrics),
        }
    }

    /// Shows what is; series of what has gone are removed.
    pub fn show(&self, status: &Status, unowned_seconds: impl Fn(&TopicPartition) -> f64) {
        self.leader.set((status.role != Role::Standby).into());
        let generation = status.generation.map_or(0, |generation| generation.0);
        self.generation.set(i64::try_from(generation).unwrap_or(i64::MAX));
        self.frozen.set((status.trust == RateTrust::Frozen).into());
        self.consumers.set(whole(status.consumers.len()));
        self.service_errors.set(whole(status.service_errors.len()));
        self.proposals.set(status.proposal.is_some().into());
        for (hold, reason) in HOLDS {
            let label = ReasonLabel { reason: reason.into() };
            self.held.get_or_create(&label).set((status.hold == Some(hold)).into());
        }
        let operations = &status.operations;
        for (is_paused, what) in [
            (operations.is_paused, "all"),
            (operations.is_scale_in_paused, "scale_in"),
            (operations.is_scale_out_paused, "scale_out"),
            (operations.is_dry_run, "dry_run"),
        ] {
            let label = ReasonLabel { reason: what.into() };
            self.paused.get_or_create(&label).set(is_paused.into());
        }
        for (state, label) in STATES {
            let in_state = status.partitions.values().filter(|found| found.state == state);
            self.partitions
                .get_or_create(&StateLabel { state: label })
                .set(whole(in_state.count()));
        }
        self.owner.clear();
        self.unowned.clear();
        for (partition, found) in &status.partitions {
            self.show_partition(partition, found, unowned_seconds(partition));
        }
        self.standing.clear();
        self.load.clear();
        self.capacity.clear();
        for consumer in &status.consumers {
            let standing = standing_word(consumer.standing);
            let label = StandingLabel { consumer: consumer.consumer.0, standing };
            self.standing.get_or_create(&label).set(1);
            let label = ConsumerLabel { consumer: consumer.consumer.0 };
            let rate = |rate: u64| i64::try_from(rate).unwrap_or(i64::MAX);
            self.load.get_or_create(&label).set(rate(consumer.load.0));
            self.capacity.get_or_create(&label).set(rate(consumer.capacity.0));
        }
    }

    fn show_partition(&self, partition: &TopicPartition, found: &PartitionStatus, unowned: f64) {
        let label = partition_label(partition);
        let owner = found.owner.map_or(0, |owner: ConsumerId| i64::from(owner.0));
        self.owner.get_or_create(&label).set(owner);
        self.unowned.get_or_create(&label).set(unowned);
    }
}

const HOLDS: [(Hold, &str); 5] = [
    (Hold::Paused, "paused"),
    (Hold::Sink, "sink"),
    (Hold::Fruitless, "fruitless"),
    (Hold::Awaited, "awaited"),
    (Hold::NeverCame, "never_came"),
];

const STATES: [(Ownership, &str); 5] = [
    (Ownership::Unowned, "unowned"),
    (Ownership::Assigning, "assigning"),
    (Ownership::Owned, "owned"),
    (Ownership::Revoking, "revoking"),
    (Ownership::Blocked, "blocked"),
];

fn opening() -> Histogram {
    Histogram::new(GAP_BUCKETS)
}

fn gauge(metrics: &mut Metrics, name: &str, help: &str) -> Gauge {
    metrics.declare(name, help, Gauge::default())
}

fn counter(metrics: &mut Metrics, name: &str, help: &str) -> Counter {
    metrics.declare(name, help, Counter::default())
}

fn whole(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn partition_label(partition: &TopicPartition) -> PartitionLabel {
    PartitionLabel { topic: partition.topic().into(), partition: partition.partition() }
}

fn standing_word(standing: ConsumerStanding) -> &'static str {
    match standing {
        ConsumerStanding::Starting => "starting",
        ConsumerStanding::Serving => "serving",
        ConsumerStanding::Draining => "draining",
        ConsumerStanding::Awaited => "awaited",
        ConsumerStanding::Absent => "absent",
        ConsumerStanding::Failing => "failing",
        ConsumerStanding::Unreachable => "unreachable",
        ConsumerStanding::ByHand => "by_hand",
    }
}
