//! Pure. The live page as text: the load, the fleet, and every partition.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use common::identity::ConsumerId;
use common::messages::measurement::PartitionMeasurement;
use common::partition::TopicPartition;

use super::summary::Extent;
use crate::watch::fleet::Fleet;

const BAR: usize = 24;
const COLUMNS: usize = 2;

/// Everything that a page shows.
#[derive(Debug)]
pub struct Scene<'a> {
    /// Since the load began, in seconds.
    pub elapsed: u64,
    /// When the load ends, in seconds, if it does by itself.
    pub of: Option<u64>,
    pub now_ms: i64,
    pub produced: u64,
    /// What a consumer is taken to sustain, in bytes per second.
    pub capacity: u64,
    pub kills: u64,
    pub extent: Extent,
    pub fleet: &'a Fleet,
    pub measured: &'a BTreeMap<TopicPartition, PartitionMeasurement>,
}

/// The whole page, a line per element.
pub fn page(scene: &Scene<'_>) -> Vec<String> {
    let mut lines = heading(scene);
    lines.push(String::new());
    lines.extend(consumers(scene));
    lines.push(String::new());
    lines.extend(partitions(scene));
    lines
}

/// The most important in one line, for where no page can be shown.
pub fn line(scene: &Scene<'_>) -> String {
    let fleet = scene.fleet;
    format!(
        "{}: {} produced at {}, {} stored, lag {}, latency {}, {} consumers, {} moves, {} killed",
        clock(scene.elapsed),
        scene.produced,
        rate(total_rate(scene)),
        fleet.rows_stored(),
        total_lag(scene),
        latency(scene),
        fleet.working(scene.now_ms),
        fleet.moves().moves(),
        scene.kills,
    )
}

fn heading(scene: &Scene<'_>) -> Vec<String> {
    let Scene { fleet, extent, .. } = scene;
    let of = scene.of.map(|of| format!(" of {}", clock(of))).unwrap_or_default();
    let gaps = fleet.moves().gaps();
    vec![
        format!("Stowage   {}{of}   Ctrl-C ends it", clock(scene.elapsed)),
        format!(
            "produced {} records, now {}   stored {} rows   lag {}   latency {}",
            scene.produced,
            rate(total_rate(scene)),
            fleet.rows_stored(),
            total_lag(scene),
            latency(scene)
        ),
        format!(
            "consumers {} (from {} to {})   moves {}, takeovers {}, not read p50 {} ms, p99 {} ms   killed {}",
            fleet.working(scene.now_ms),
            extent.min(),
            extent.max(),
            fleet.moves().moves(),
            fleet.moves().takeovers(),
            gaps.p50,
            gaps.p99,
            scene.kills
        ),
    ]
}

fn consumers(scene: &Scene<'_>) -> Vec<String> {
    let mut lines =
        vec![format!("{:8} {:BAR$} {:>10} {:>5}  partitions", "consumer", "load", "", "busy")];
    for (id, life) in scene.fleet.living(scene.now_ms) {
        let owned = owned_by(scene, id);
        let load: u64 = owned.iter().filter_map(|partition| rate_of(scene, partition)).sum();
        let numbers: Vec<String> =
            owned.iter().map(|partition| partition.partition().to_string()).collect();
        lines.push(format!(
            "{:8} {} {:>10} {:>3} %  {}",
            id.0,
            bar(load, scene.capacity),
            rate(load),
            life.busy_permille / 10,
            numbers.join(" ")
        ));
    }
    lines
}

fn partitions(scene: &Scene<'_>) -> Vec<String> {
    let cells: Vec<String> =
        scene.measured.values().map(|measured| cell(scene, measured)).collect();
    let heading = format!("{:>9} {:>10} {:>8} {:>5}   ", "partition", "rate", "lag", "owner");
    let rows = cells.len().div_ceil(COLUMNS);
    let mut lines = vec![heading.repeat(COLUMNS)];
    lines.extend((0..rows).map(|row| {
        let in_row = cells.iter().skip(row).step_by(rows.max(1));
        in_row.fold(String::new(), |line, cell| line + cell + "   ")
    }));
    lines
}

fn cell(scene: &Scene<'_>, measured: &PartitionMeasurement) -> String {
    let owner = scene.fleet.owner(&measured.topic_partition());
    let owner = owner.map_or_else(|| "-".into(), |owner| owner.0.to_string());
    let lag = measured.lag.map_or_else(|| "?".into(), |lag| lag.to_string());
    let mut cell = String::new();
    let (partition, rate) = (measured.partition, rate(measured.burst.0));
    write!(cell, "{partition:>9} {rate:>10} {lag:>8} {owner:>5}")
        .expect("a String takes everything");
    cell
}

fn owned_by(scene: &Scene<'_>, consumer: ConsumerId) -> Vec<TopicPartition> {
    let partitions = scene.measured.keys();
    partitions.filter(|partition| scene.fleet.owner(partition) == Some(consumer)).cloned().collect()
}

fn rate_of(scene: &Scene<'_>, partition: &TopicPartition) -> Option<u64> {
    scene.measured.get(partition).map(|measured| measured.burst.0)
}

fn total_rate(scene: &Scene<'_>) -> u64 {
    scene.measured.values().map(|measured| measured.burst.0).sum()
}

fn total_lag(scene: &Scene<'_>) -> u64 {
    scene.measured.values().filter_map(|measured| measured.lag).sum()
}

fn latency(scene: &Scene<'_>) -> String {
    let latency = scene.fleet.latency_ms(scene.now_ms);
    latency.map_or_else(|| "-".into(), |ms| format!("{}.{} s", ms / 1_000, ms % 1_000 / 100))
}

fn bar(load: u64, capacity: u64) -> String {
    let cells = load.saturating_mul(BAR as u64).div_ceil(capacity.max(1));
    let filled = usize::try_from(cells).unwrap_or(BAR).min(BAR);
    "█".repeat(filled) + &"░".repeat(BAR - filled)
}

fn rate(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B/s"),
        1_000..1_000_000 => format!("{} kB/s", bytes / 1_000),
        _ => format!("{}.{:02} MB/s", bytes / 1_000_000, bytes % 1_000_000 / 10_000),
    }
}

fn clock(seconds: u64) -> String {
    format!("{:02}:{:02}", seconds / 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use common::identity::Incarnation;
    use common::messages::Message;
    use common::messages::event::{Answer, Heartbeat, PartitionAnswer, PartitionState};
    use common::messages::measurement::MeasurementState;
    use common::rate::BytesPerSecond;
    use common::term::Term;

    use super::*;

    fn measured(
        partition: u32,
        burst: u64,
        lag: Option<u64>,
    ) -> (TopicPartition, PartitionMeasurement) {
        let measurement = PartitionMeasurement {
            topic: "orders".into(),
            partition,
            rate: BytesPerSecond(0),
            filtered: BytesPerSecond(0),
            burst: BytesPerSecond(burst),
            size: 0,
            log_start: 0,
            high_watermark: 0,
            committed: None,
            lag,
            lag_seconds: None,
            bytes_per_record: 0.0,
            state: MeasurementState::Steady,
        };
        (TopicPartition::new("orders", partition), measurement)
    }

    fn fleet() -> Fleet {
        let mut fleet = Fleet::default();
        let heartbeat = Heartbeat {
            consumer: ConsumerId(2),
            incarnation: Incarnation(9),
            number: 1,
            process_started_ms: 0,
            pid: 1,
            pod_uid: None,
            ttl_ms: 10_000,
            margin_ms: 1_000,
            lock_held: true,
            command_read: None,
            address: None,
            draining: false,
            extra: BTreeMap::new(),
        };
        let partition = |partition| PartitionAnswer {
            partition: TopicPartition::new("orders", partition),
            state: PartitionState::Held,
            since: Term::default(),
            position: None,
            tokens: Vec::new(),
            hand_over: None,
            reason: None,
            polled_at_ms: None,
        };
        let answer = Answer {
            consumer: ConsumerId(2),
            incarnation: Incarnation(9),
            number: 1,
            term: Term::default(),
            draining: false,
            partitions: vec![partition(0), partition(2)],
            extra: BTreeMap::new(),
        };
        fleet.apply(&Message::Heartbeat(heartbeat), 0);
        fleet.apply(&Message::Answer(answer), 0);
        fleet
    }

    #[test]
    fn a_page_shows_load_owners_and_what_nobody_owns() {
        let fleet = fleet();
        let all = [(0, 500_000, Some(7)), (1, 1_500, None), (2, 250_000, Some(0))];
        let measured: BTreeMap<_, _> = all.map(|(p, burst, lag)| measured(p, burst, lag)).into();
        let mut extent = Extent::default();
        extent.note(1);
        let scene = Scene {
            elapsed: 65,
            of: Some(120),
            now_ms: 1_000,
            produced: 1_234,
            capacity: 1_000_000,
            kills: 0,
            extent,
            fleet: &fleet,
            measured: &measured,
        };
        let page = page(&scene);
        let expected = [
            "Stowage   01:05 of 02:00   Ctrl-C ends it",
            "produced 1234 records, now 751 kB/s   stored 0 rows   lag 7   latency -",
            "consumers 1 (from 1 to 1)   moves 0, takeovers 0, not read p50 0 ms, p99 0 ms   killed 0",
            "",
            "consumer load                                 busy  partitions",
            "       2 ██████████████████░░░░░░   750 kB/s   0 %  0 2",
            "",
            "partition       rate      lag owner   partition       rate      lag owner   ",
            "        0   500 kB/s        7     2           2   250 kB/s        0     2   ",
            "        1     1 kB/s        ?     -   ",
        ];
        assert_eq!(page, expected, "\n{}", page.join("\n"));
        assert!(line(&scene).starts_with("01:05: 1234 produced at 751 kB/s, 0 stored, lag 7,"));
    }

    #[test]
    fn an_overloaded_consumer_has_a_full_bar() {
        assert_eq!(bar(3, 2), "█".repeat(BAR));
        assert_eq!(bar(0, 2), "░".repeat(BAR));
        assert_eq!(rate(2_345_678), "2.34 MB/s");
    }
}
