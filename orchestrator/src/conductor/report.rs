//! Pure. The status document, from all that is known.

use std::collections::BTreeMap;
use std::time::Duration;

use common::identity::{ConsumerId, Incarnation};
use common::messages::event::PartitionReport;
use common::messages::measurement::PartitionMeasurement;
use common::messages::snapshot::Ownership;
use common::moment::Moment;
use common::partition::TopicPartition;
use common::rate::BytesPerSecond;

use crate::plan::snapshot::{Demand, Wish};
use crate::rebalance::State;
use crate::roster::Life;
use crate::status::{
    ConsumerStanding, ConsumerStatus, PartitionStatus, RateTrust, Role, Status, TopicStatus, Totals,
};
use crate::trigger::Trust;

use super::input::Now;
use super::reign::Reign;
use super::world::World;
use super::{Conductor, Phase};

const INTERVAL: Duration = Duration::from_millis(500);

pub(super) fn is_due(last: Option<Moment>, now: Now) -> bool {
    last.is_none_or(|last| now.moment.saturating_since(last) >= INTERVAL)
}

impl Conductor {
    pub fn status(&self, now: Now) -> Status {
        let world = &self.world;
        let status = Status {
            at: now.timestamp,
            generation: self.leadership.highest(),
            requests: world.ledger.wishes().to_standing(),
            operations: world.ledger.operations(),
            topics: world.topic_statuses(),
            service_errors: world.services.errors().clone(),
            ..Status::default()
        };
        match &self.phase {
            Phase::Standby => status,
            Phase::TakingOver(_) => Status { role: Role::TakingOver, ..status },
            Phase::Leading(reign) => reign.status(world, now, status),
        }
    }
}

impl World {
    fn topic_statuses(&self) -> BTreeMap<String, TopicStatus> {
        let status = |name: &String| {
            let known = self.catalog.topic(name);
            TopicStatus {
                source: self.services.topics()[name].source(name),
                topic_id: known.map(|known| known.id),
                partitions: known.map_or(0, |known| known.partitions),
            }
        };
        self.services.topics().keys().map(|name| (name.clone(), status(name))).collect()
    }
}

impl Reign {
    fn status(&self, world: &World, now: Now, known: Status) -> Status {
        let (reported, wishes) = (self.reported(), world.ledger.wishes());
        let paused = self.paused();
        let partitions = self.partitions(world).into_iter().map(|partition| {
            let wish = wishes.of(&partition);
            let status = self.partition_status(world, &partition, &reported);
            let status = PartitionStatus { wish, ..status };
            let status = match self.paused_by_owner(&partition, &paused) {
                Some(reason) => {
                    PartitionStatus { state: Ownership::Blocked, reason: Some(reason), ..status }
                }
                None => status,
            };
            (partition, status)
        });
        Status {
            role: Role::Leading,
            trust: match self.triggers.trust(now.moment) {
                Trust::Waiting => RateTrust::Waiting,
                Trust::Measuring => RateTrust::Measuring,
                Trust::Frozen => RateTrust::Frozen,
            },
            is_settled: self.rebalance.is_settled(),
            partitions: partitions.collect(),
            consumers: self.consumer_statuses(world, now),
            decisions: self.decisions.iter().cloned().collect(),
            operations: self.operations.clone(),
            hold: self.held,
            proposal: self.proposing.proposal().cloned(),
            totals: Totals { move_gaps_ms: self.gaps.last_ms(), ..self.totals.clone() },
            ..known
        }
    }

    /// What each incarnation said last of each of its partitions.
    fn reported(&self) -> BTreeMap<(Incarnation, &TopicPartition), &PartitionReport> {
        let reports = self.reports.values();
        let all = reports.flat_map(|report| {
            let said = report.partitions.iter();
            said.map(|said| ((report.incarnation, &said.partition), said))
        });
        all.collect()
    }

    /// What each incarnation said last of the partitions that it holds and does not read on.
    fn paused(&self) -> BTreeMap<Incarnation, BTreeMap<TopicPartition, String>> {
        let reports = self.reports.values();
        reports.map(|report| (report.incarnation, report.paused())).collect()
    }

    fn paused_by_owner(
        &self,
        partition: &TopicPartition,
        paused: &BTreeMap<Incarnation, BTreeMap<TopicPartition, String>>,
    ) -> Option<String> {
        let entry = self.rebalance.entries().get(partition)?;
        let is_owned = matches!(entry.state, State::Owned { .. });
        let holder = entry.holder().filter(|_| is_owned)?;
        paused.get(&holder.incarnation)?.get(partition).cloned()
    }

    fn partition_status(
        &self,
        world: &World,
        partition: &TopicPartition,
        reported: &BTreeMap<(Incarnation, &TopicPartition), &PartitionReport>,
    ) -> PartitionStatus {
        let entry = self.rebalance.entries().get(partition).cloned().unwrap_or_default();
        let holder = entry.holder();
        let report = holder.and_then(|holder| reported.get(&(holder.incarnation, partition)));
        let known = world.demands.known(partition);
        let measured = known.map(|known| &known.measured);
        let rate =
            |of: fn(&PartitionMeasurement) -> BytesPerSecond| measured.map(of).unwrap_or_default();
        let Demand { steady, peak } = world.demands.demand(partition);
        PartitionStatus {
            state: match &entry.state {
                State::Unowned if entry.is_blocked() => Ownership::Blocked,
                State::Unowned => Ownership::Unowned,
                State::Assigning(_) => Ownership::Assigning,
                State::Owned { .. } => Ownership::Owned,
                State::Revoking { .. } => Ownership::Revoking,
            },
            owner: holder.map(|holder| holder.consumer),
            planned: self.rebalance.target().owners.get(partition).copied(),
            since: holder.map(|holder| holder.since),
            wish: Wish::None,
            rate: rate(|measured| measured.rate),
            filtered: rate(|measured| measured.filtered),
            burst: rate(|measured| measured.burst),
            demand: steady,
            demand_peak: peak,
            is_stale: known.is_none_or(|known| known.is_stale),
            high_watermark: measured.map(|measured| measured.high_watermark),
            committed: measured.and_then(|measured| measured.committed),
            lag: measured.and_then(|measured| measured.lag),
            lag_seconds: measured.and_then(|measured| measured.lag_seconds),
            stored: report.map(|report| report.stored),
            rows_stored: report.map_or(0, |report| report.rows_stored),
            dead_letters: report.map_or(0, |report| report.dead_letters),
            latency_max_ms: report.and_then(|report| report.latency_max_ms),
            failures: entry.failures.count,
            reason: entry.failures.reason.clone(),
        }
    }

    fn consumer_statuses(&self, world: &World, now: Now) -> Vec<ConsumerStatus> {
        let mut loads = BTreeMap::<ConsumerId, (Demand, usize)>::new();
        for (partition, entry) in self.rebalance.entries() {
            let Some(holder) = entry.holder() else { continue };
            let (load, partitions) = loads.entry(holder.consumer).or_default();
            *load = *load + world.demands.demand(partition);
            *partitions += 1;
        }
        let status = |(consumer, standing): (ConsumerId, ConsumerStanding)| {
            let (load, partitions) = loads.get(&consumer).copied().unwrap_or_default();
            let life = self.last_life(consumer);
            let report = life.and_then(|life| self.reports.get(&life.heartbeat.incarnation));
            let workload = self.workloads.known().get(&consumer).cloned().unwrap_or_default();
            let lessons = self.capacities.histories().get(&consumer);
            let age = life.map(|life| now.moment.saturating_since(life.read_at));
            ConsumerStatus {
                consumer,
                standing,
                incarnation: life.map(|life| life.heartbeat.incarnation),
                pid: workload.pid().or(life.map(|life| life.heartbeat.pid)),
                waits_for: self.workloads.waits_for(consumer).map(str::to_owned),
                address: life.and_then(|life| life.heartbeat.address.clone()),
                partitions,
                load: load.steady,
                load_peak: load.peak,
                capacity: self.capacities.of(consumer),
                lessons: lessons.into_iter().flatten().cloned().collect(),
                failures: workload.failures,
                heartbeat_age_ms: age.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
                busy_permille: report.map(|report| report.busy_permille),
                buffered_bytes: report.map(|report| report.buffered_bytes),
                sink_wait_permille: self.paces.sink_wait_permille(consumer),
            }
        };
        self.standings(now).into_iter().map(status).collect()
    }

    /// The incarnation of a consumer that was heard last.
    fn last_life(&self, consumer: ConsumerId) -> Option<&Life> {
        let lives = self.roster.lives().values();
        let own = lives.filter(|life| life.heartbeat.consumer == consumer);
        own.max_by_key(|life| (life.read_at, life.heartbeat.process_started_ms))
    }
}
