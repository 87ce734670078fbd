//! Pure. The fleet as its consumers describe it: who lives, who owns what, how much was stored.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use common::identity::{ConsumerId, Incarnation};
use common::messages::Message;
use common::messages::event::{Answer, Heartbeat, PartitionState, Report};
use common::partition::TopicPartition;

use super::moves::Moves;

/// Latencies older than this are not shown.
const RECENT_MS: i64 = 10_000;

/// One consumer's present life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Life {
    pub incarnation: Incarnation,
    pub pid: u32,
    pub heard_at_ms: i64,
    pub lease_ms: i64,
    pub busy_permille: u32,
}

/// Everything that was heard so far.
#[derive(Debug, Default)]
pub struct Fleet {
    lives: BTreeMap<ConsumerId, Life>,
    owners: BTreeMap<TopicPartition, (ConsumerId, Incarnation)>,
    moves: Moves,
    stored: BTreeMap<(Incarnation, TopicPartition), Counter>,
    latencies: VecDeque<(i64, u64)>,
    notices: u64,
}

/// Sums up a count that begins anew at each opening of a partition.
#[derive(Clone, Copy, Debug, Default)]
struct Counter {
    before: u64,
    now: u64,
}

impl Fleet {
    /// Takes what a consumer said at `at_ms`, by the record's time.
    pub fn apply(&mut self, message: &Message, at_ms: i64) {
        match message {
            Message::Heartbeat(heartbeat) => self.heartbeat(heartbeat, at_ms),
            Message::Answer(answer) => self.answer(answer),
            Message::Report(report) => self.report(report, at_ms),
            Message::Notice(_) => self.notices += 1,
            _ => {}
        }
    }

    /// Consumers whose lease was renewed lately, as of `now_ms`.
    pub fn living(&self, now_ms: i64) -> impl Iterator<Item = (ConsumerId, &Life)> {
        let lives = self.lives.iter().map(|(id, life)| (*id, life));
        lives.filter(move |(_, life)| now_ms - life.heard_at_ms <= life.lease_ms)
    }

    /// Living consumers that own something: spares do not count.
    pub fn workers(&self, now_ms: i64) -> impl Iterator<Item = (ConsumerId, &Life)> {
        let owners: BTreeSet<Incarnation> =
            self.owners.values().map(|(_, incarnation)| *incarnation).collect();
        self.living(now_ms).filter(move |(_, life)| owners.contains(&life.incarnation))
    }

    pub fn working(&self, now_ms: i64) -> usize {
        self.workers(now_ms).count()
    }

    pub fn owner(&self, partition: &TopicPartition) -> Option<ConsumerId> {
        self.owners.get(partition).map(|(consumer, _)| *consumer)
    }

    /// Partitions that somebody holds.
    pub fn owned(&self) -> usize {
        self.owners.len()
    }

    pub fn moves(&self) -> &Moves {
        &self.moves
    }

    /// Rows stored, in the consumers' own words.
    pub fn rows_stored(&self) -> u64 {
        self.stored.values().map(|counter| counter.before + counter.now).sum()
    }

    /// The slowest record that was stored lately, in milliseconds.
    pub fn latency_ms(&self, now_ms: i64) -> Option<u64> {
        let recent = self.latencies.iter().filter(|(at, _)| now_ms - at <= RECENT_MS);
        recent.map(|(_, latency)| *latency).max()
    }

    pub fn notices(&self) -> u64 {
        self.notices
    }

    fn heartbeat(&mut self, heartbeat: &Heartbeat, at_ms: i64) {
        let Heartbeat { consumer, incarnation, pid, .. } = *heartbeat;
        let lease = heartbeat.ttl_ms + heartbeat.margin_ms;
        let busy_permille = self.lives.get(&consumer).map_or(0, |life| life.busy_permille);
        let life = Life {
            incarnation,
            pid,
            heard_at_ms: at_ms,
            lease_ms: i64::try_from(lease).unwrap_or(i64::MAX),
            busy_permille,
        };
        let previous = self.lives.insert(consumer, life);
        if let Some(previous) = previous.filter(|previous| previous.incarnation != incarnation) {
            self.owners.retain(|_, (_, owner)| *owner != previous.incarnation);
        }
    }

    /// An answer is the whole state of its incarnation: what is not in it is not held.
    fn answer(&mut self, answer: &Answer) {
        let Answer { consumer, incarnation, .. } = *answer;
        self.moves.apply(answer);
        self.owners.retain(|_, (_, owner)| *owner != incarnation);
        for partition in &answer.partitions {
            if matches!(partition.state, PartitionState::Held | PartitionState::Stopping) {
                self.owners.insert(partition.partition.clone(), (consumer, incarnation));
            }
        }
    }

    fn report(&mut self, report: &Report, at_ms: i64) {
        if let Some(life) = self.lives.get_mut(&report.consumer) {
            life.busy_permille = report.busy_permille;
        }
        for partition in &report.partitions {
            let key = (report.incarnation, partition.partition.clone());
            let counter = self.stored.entry(key).or_default();
            if partition.rows_stored < counter.now {
                counter.before += counter.now;
            }
            counter.now = partition.rows_stored;
            self.latencies.extend(partition.latency_max_ms.map(|latency| (at_ms, latency)));
        }
        while self.latencies.front().is_some_and(|(at, _)| at_ms - at > RECENT_MS) {
            self.latencies.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use common::messages::event::{PartitionAnswer, PartitionReport};
    use common::term::Term;

    use super::*;

    fn heartbeat(consumer: u32, incarnation: u128) -> Message {
        Message::Heartbeat(Heartbeat {
            consumer: ConsumerId(consumer),
            incarnation: Incarnation(incarnation),
            number: 1,
            process_started_ms: 0,
            pid: 4_000 + consumer,
            pod_uid: None,
            ttl_ms: 10_000,
            margin_ms: 1_000,
            lock_held: true,
            command_read: None,
            address: None,
            draining: false,
            extra: BTreeMap::new(),
        })
    }

    fn answer(consumer: u32, incarnation: u128, held: &[u32]) -> Message {
        let held = held.iter().map(|partition| PartitionAnswer {
            partition: TopicPartition::new("orders", *partition),
            state: PartitionState::Held,
            since: Term::default(),
            position: None,
            tokens: Vec::new(),
            hand_over: None,
            reason: None,
            polled_at_ms: None,
        });
        Message::Answer(Answer {
            consumer: ConsumerId(consumer),
            incarnation: Incarnation(incarnation),
            number: 1,
            term: Term::default(),
            draining: false,
            partitions: held.collect(),
            extra: BTreeMap::new(),
        })
    }

    fn report(rows_stored: u64, latency_max_ms: u64) -> Message {
        let partition = PartitionReport {
            partition: TopicPartition::new("orders", 0),
            position: 0,
            stored: 0,
            high_watermark: None,
            records: 0,
            bytes: 0,
            rows_stored,
            dead_letters: 0,
            latency_max_ms: Some(latency_max_ms),
        };
        Message::Report(Report {
            consumer: ConsumerId(1),
            incarnation: Incarnation(1),
            reported_at_ms: 0,
            interval_ms: 1_000,
            busy_permille: 420,
            buffered_bytes: 0,
            partitions: vec![partition],
            extra: BTreeMap::new(),
        })
    }

    #[test]
    fn only_living_consumers_that_own_something_work() {
        let mut fleet = Fleet::default();
        for consumer in 1..=3 {
            fleet.apply(&heartbeat(consumer, u128::from(consumer)), 0);
        }
        fleet.apply(&answer(1, 1, &[0, 1]), 0);
        fleet.apply(&answer(2, 2, &[2]), 0);
        assert_eq!((fleet.working(5_000), fleet.owned()), (2, 3));
        fleet.apply(&heartbeat(1, 1), 9_000);
        assert_eq!(fleet.working(12_000), 1);
        fleet.apply(&answer(1, 1, &[1]), 12_000);
        assert_eq!(fleet.owner(&TopicPartition::new("orders", 0)), None);
    }

    #[test]
    fn a_new_incarnation_owns_nothing_of_the_old_one() {
        let mut fleet = Fleet::default();
        fleet.apply(&heartbeat(1, 1), 0);
        fleet.apply(&answer(1, 1, &[0]), 0);
        fleet.apply(&heartbeat(1, 2), 100);
        assert_eq!((fleet.owned(), fleet.working(100)), (0, 0));
    }

    #[test]
    fn rows_add_up_over_openings_and_only_recent_latencies_are_shown() {
        let mut fleet = Fleet::default();
        fleet.apply(&report(10, 900), 0);
        fleet.apply(&report(25, 300), 8_000);
        fleet.apply(&report(5, 200), 9_000);
        assert_eq!(fleet.rows_stored(), 30);
        assert_eq!((fleet.latency_ms(9_000), fleet.latency_ms(12_000)), (Some(900), Some(300)));
        assert_eq!(fleet.latency_ms(60_000), None);
    }
}
