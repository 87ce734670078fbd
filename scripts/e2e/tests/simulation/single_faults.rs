//! Pure. One fault in a world that is sound: for how long does a partition have no owner?

use std::collections::BTreeMap;
use std::time::Duration;

use common::identity::ConsumerId;
use common::messages::Extra;
use common::messages::request::StartConsuming;
use common::moment::Moment;
use common::partition::TopicPartition;
use rand::RngExt as _;

use super::history::{Invariant, broken, note};
use super::world::World;

/// Everybody gets something done so often that no time is lost by the simulation itself.
pub(super) const STEP_MS: u64 = 12;
/// So soon another leads when the leader was asked to end: nobody waits for its silence.
const FOLLOWED_MAX: Duration = Duration::from_secs(3);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// A partition moves as people asked.
    Move,
    Crash,
    LeaderCrash,
    /// It is asked to end.
    LeaderEnd,
    BothCrash,
    SinkAway,
    BrokersAway,
}

impl Fault {
    /// Those after which somebody has no owner.
    const ALL: [Self; 4] = [Self::Move, Self::Crash, Self::LeaderCrash, Self::BothCrash];

    /// I6: how long a partition may be without an owner.
    fn unowned_max(self) -> Duration {
        Duration::from_secs(match self {
            Self::Move | Self::LeaderCrash | Self::LeaderEnd => 1,
            Self::Crash => 15,
            Self::BothCrash => 30,
            Self::SinkAway | Self::BrokersAway => unreachable!("see `suffer_an_outage`"),
        })
    }

    /// How long it is watched.
    fn watch(self) -> Duration {
        Duration::from_secs(match self {
            Self::Move => 6,
            Self::Crash => 20,
            Self::LeaderCrash | Self::LeaderEnd => 25,
            Self::BothCrash => 35,
            Self::SinkAway | Self::BrokersAway => unreachable!("see `suffer_an_outage`"),
        })
    }
}

/// A partition that nobody reads.
#[derive(Debug)]
struct Ownerless {
    since: Moment,
    /// How much of the time since then was the sink's own opening.
    entering: Duration,
}

impl World {
    /// I6, by one fault; what follows is watched until all is well again.
    pub(crate) fn suffer_one_fault(&mut self) -> (Fault, Duration) {
        let fault = match Fault::ALL[self.outside.rng.random_range(0..Fault::ALL.len())] {
            Fault::LeaderCrash if self.is_leader_asked() => Fault::LeaderEnd,
            fault => fault,
        };
        let partitions: Vec<_> = self.outside.kafka.partitions().collect();
        let began = self.outside.now;
        let watched = |partition| (partition, Ownerless { since: began, entering: Duration::ZERO });
        let mut watched: BTreeMap<_, _> = partitions.iter().map(watched).collect();
        note(None, || format!("a single fault: {fault:?}"));
        // Whoever has only just begun reads first.
        let mut others = self.orchestrators.iter().flatten();
        let is_followed =
            fault == Fault::LeaderEnd && others.all(|o| o.is_caught_up(&self.outside));
        self.inflict_one(fault, &partitions);
        let mut longest = Duration::ZERO;
        while self.outside.now.saturating_since(began) < fault.watch() {
            let before = self.outside.now;
            self.go_on(STEP_MS);
            let now = self.outside.now;
            if is_followed && now.saturating_since(began) > FOLLOWED_MAX {
                self.check_that_one_leads();
            }
            for (partition, ownerless) in &mut watched {
                let unowned = self.watch(partition, ownerless, (before, now));
                longest = longest.max(unowned);
                if unowned > fault.unowned_max() {
                    let text = format!("{partition} has no owner for {unowned:?} after {fault:?}");
                    broken(Invariant::I6, Some(partition), text);
                }
            }
        }
        (fault, longest)
    }

    /// For how long a partition has had no owner, the sink's own opening not counted.
    fn watch(
        &self,
        partition: &TopicPartition,
        ownerless: &mut Ownerless,
        (before, now): (Moment, Moment),
    ) -> Duration {
        let is_owned = self.processes.values().any(|p| p.owns(partition, &self.outside));
        let unowned = now.saturating_since(ownerless.since).saturating_sub(ownerless.entering);
        let mut openings = self.sink_openings().filter(|(opened, _)| *opened == partition);
        if is_owned {
            *ownerless = Ownerless { since: now, entering: Duration::ZERO };
        } else if let Some((_, opening)) = openings.next() {
            ownerless.entering += now.saturating_since(before);
            if opening.took > opening.may_take() {
                let text = format!("the sink takes {:?} to open {partition}", opening.took);
                broken(Invariant::I6, Some(partition), text);
            }
        }
        unowned
    }

    /// Every second leader is asked to end instead of being killed.
    fn is_leader_asked(&self) -> bool {
        let mut leaders = self.orchestrators.iter().flatten().filter(|o| o.is_leading());
        leaders.next().is_some_and(|leader| leader.pid.is_multiple_of(2))
    }

    fn check_that_one_leads(&self) {
        let leading = self.orchestrators.iter().flatten().filter(|o| o.is_leading()).count();
        if leading != 1 {
            let text = format!("{leading} orchestrators lead {FOLLOWED_MAX:?} after a farewell");
            broken(Invariant::I6, None, text);
        }
    }

    pub(super) fn kill_a_reader(&mut self) {
        let readers = self.processes.values().filter(|process| process.reads_anything());
        let readers: Vec<_> = readers.map(|process| process.pid).collect();
        let index = self.outside.rng.random_range(0..readers.len());
        self.kill_process(readers[index]);
    }

    fn inflict_one(&mut self, fault: Fault, partitions: &[TopicPartition]) {
        if matches!(fault, Fault::LeaderCrash | Fault::LeaderEnd | Fault::BothCrash) {
            let leader = self.orchestrators.iter().flatten().find(|o| o.is_leading());
            let home = leader.expect("it has settled").home;
            if fault == Fault::LeaderEnd {
                self.ask_orchestrator_to_end(home);
            }
            let back_at = self.outside.now + Duration::from_secs(100);
            self.end_orchestrator(home, back_at);
        }
        if matches!(fault, Fault::Crash | Fault::BothCrash) {
            self.kill_a_reader();
        }
        if fault == Fault::Move {
            let partition = &partitions[self.outside.rng.random_range(0..partitions.len())];
            let consumers: Vec<ConsumerId> =
                self.processes.values().map(|process| process.consumer).collect();
            let consumer = consumers[self.outside.rng.random_range(0..consumers.len())];
            let (topic, partitions) = (partition.topic().to_owned(), vec![partition.partition()]);
            let (consumer, extra) = (Some(consumer), Extra::new());
            self.request(StartConsuming { topic, partitions, consumer, extra }.into());
        }
    }
}
