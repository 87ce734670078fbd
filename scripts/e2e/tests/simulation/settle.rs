//! Pure. What must become of it all once the faults end.

use std::time::Duration;

use common::messages::Extra;
use common::messages::Message;
use common::messages::request::StartConsuming;
use common::messages::snapshot::Ownership;
use common::moment::Moment;
use common::partition::TopicPartition;
use orchestrator::status::Status;

use super::history::{Invariant, broken, note};
use super::world::World;

/// For so long it must stay still; consumers that are not needed may be closed once meanwhile.
const STILL: Duration = Duration::from_secs(30);
const PLANS_MAX: u64 = 4;
/// Records of our own topics in a second, on the average of a history.
const RECORDS_PER_SECOND_MAX: u64 = 60;
const UNDER_WAY_MAX: usize = 500;
/// A leader is missed, and then a lease, and then a consumer that does not start; after an outage alone it takes
/// 15 s: `outages`.
const CONVERGENCE: Duration = Duration::from_secs(75);

impl World {
    /// The faults end: everything must reach its place (I7), and what was written must be stored and
    /// committed (I10).
    pub(crate) fn settle(&mut self) -> Duration {
        self.heal();
        let healed_at = self.outside.now;
        while self.outside.now.saturating_since(healed_at) < CONVERGENCE {
            self.go_on(60);
            if self.unsettled().is_none() {
                return self.outside.now.saturating_since(healed_at);
            }
        }
        let (invariant, partition, text) = self.unsettled().expect("it did not settle");
        broken(invariant, partition.as_ref(), text)
    }

    /// I7: nothing is moved for nothing.
    pub(crate) fn stay_still(&mut self) {
        let (began, before) = (self.outside.now, self.seen());
        while self.outside.now.saturating_since(began) < STILL {
            self.go_on(60);
        }
        let after = self.seen();
        let (plans, lapses) = (after.plans - before.plans, after.lapses - before.lapses);
        let partitions = self.outside.kafka.partitions().count() as u64;
        if plans > PLANS_MAX || after.moves - before.moves > partitions || lapses > 0 {
            let text = format!("it does not stay still: {plans} plans, {lapses} lapses");
            broken(Invariant::I7, None, text);
        }
    }

    /// I9, by what was written and what is on its way.
    pub(crate) fn check_bounds(&self) {
        let kafka = &self.outside.kafka;
        let records = kafka.controller.iter().map(Vec::len).sum::<usize>() + kafka.events.len();
        let seconds = self.outside.now.as_duration().as_secs() - 1_000;
        if records as u64 > seconds * RECORDS_PER_SECOND_MAX {
            let text = format!("{records} records were written in {seconds} s");
            broken(Invariant::I9, None, text);
        }
        let under_way = self.outside.network.count();
        if under_way > UNDER_WAY_MAX {
            broken(Invariant::I9, None, format!("{under_way} messages are under way"));
        }
    }

    fn heal(&mut self) {
        note(None, || "the faults end".into());
        self.is_bad = false;
        self.clicks_back_at = self.outside.now;
        self.create_topic_anew();
        self.outside.network.heal(self.outside.now);
        self.outside.is_sink_bad = false;
        self.outside.kafka.leaderless.1 = self.outside.now;
        self.monitor.away_until = Moment::default();
        for process in self.processes.values_mut() {
            process.frozen_until = Moment::default();
        }
        for orchestrator in self.orchestrators.iter_mut().flatten() {
            orchestrator.frozen_until = Moment::default();
        }
        self.left.iter_mut().for_each(|left| left.back_at = Moment::default());
        for topic in ["orders", "clicks"] {
            let (topic, partitions) = (topic.to_owned(), vec![]);
            let lift = StartConsuming { topic, partitions, consumer: None, extra: Extra::new() };
            self.request(Message::from(lift));
        }
    }

    pub(crate) fn leader(&self) -> Option<Status> {
        let mut leaders = self.orchestrators.iter().flatten().filter(|o| o.is_leading());
        leaders.next().map(|leader| leader.status(&self.outside))
    }

    /// What is missing, if anything is.
    pub(crate) fn unsettled(&self) -> Option<(Invariant, Option<TopicPartition>, String)> {
        self.misplaced().or_else(|| {
            let is_settled = self.leader().is_some_and(|status| status.is_settled);
            (!is_settled).then(|| (Invariant::I7, None, "the leader is not settled".into()))
        })
    }

    /// What is not led, not read where the leader says, not stored or not committed, if anything is.
    pub(crate) fn misplaced(&self) -> Option<(Invariant, Option<TopicPartition>, String)> {
        let leaders = self.orchestrators.iter().flatten().filter(|o| o.is_leading()).count();
        if leaders != 1 {
            return Some((Invariant::I7, None, format!("{leaders} orchestrators lead")));
        }
        let status = self.leader().expect("one leads");
        for partition in self.outside.kafka.partitions() {
            let found = self.unsettled_partition(&partition, &status);
            if let Some((invariant, text)) = found {
                return Some((invariant, Some(partition), text));
            }
        }
        None
    }

    fn unsettled_partition(
        &self,
        partition: &TopicPartition,
        status: &Status,
    ) -> Option<(Invariant, String)> {
        let Some(known) = status.partitions.get(partition) else {
            return Some((Invariant::I7, format!("{partition} is not known to the leader")));
        };
        let owners = self.processes.values().filter(|p| p.owns(partition, &self.outside));
        let owners: Vec<_> = owners.map(|process| process.consumer).collect();
        if known.state != Ownership::Owned || owners.as_slice() != known.owner.as_slice() {
            let text = format!(
                "the leader says that {partition} is {:?} at {:?} ({:?}), it is read by {owners:?}",
                known.state, known.owner, known.reason,
            );
            return Some((Invariant::I7, text));
        }
        let (id, log) = self.outside.kafka.log(partition)?;
        let stored = self.outside.stored_to(partition, id);
        if stored != log.end.max(stored) {
            let text = format!("{partition} is stored up to {stored}, the log ends at {}", log.end);
            return Some((Invariant::I10, text));
        }
        let committed = self.outside.kafka.committed.get(partition).map_or(0, |found| found.offset);
        (committed != stored).then(|| {
            let text = format!("{partition} is committed up to {committed}, stored up to {stored}");
            (Invariant::I10, text)
        })
    }
}
