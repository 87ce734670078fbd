//! Monitor, orchestrator and consumers on a stage, with times short enough for a test.

use std::cell::RefCell;

use common::identity::{ConsumerId, Incarnation};
use common::messages::snapshot::Ownership;
use common::partition::TopicPartition;
use e2e::harness::process::signal_process;
use e2e::harness::system::{System, SystemPlan};
use orchestrator::status::{ConsumerStanding, ConsumerStatus, Status};
use rustix::process::Signal;

use crate::stage::{PATIENCE, Stage};

/// Bytes per second of one consumer.
pub(crate) const CAPACITY: u64 = 200_000;
/// How long a change that is to be seen may take to be acted upon.
const STABILISATION: &str = "4";
const CONSUMERS_MAX: &str = "8";

/// The system; dropped before its stage, which removes the folder.
pub(crate) struct Crew {
    pub(crate) system: System,
    pub(crate) stage: Stage,
    pub(crate) topic: String,
}

impl Crew {
    /// Starts the system, and has it read a new topic with so many partitions.
    pub(crate) fn start(stage: Stage, partitions: u32) -> Self {
        Self::start_with(stage, partitions, &[])
    }

    pub(crate) fn start_with(stage: Stage, partitions: u32, options: &[&str]) -> Self {
        Self::start_reading(stage, partitions, options, &[])
    }

    /// The same with such an entry for the topic, as it would be typed.
    pub(crate) fn start_reading(
        stage: Stage,
        partitions: u32,
        options: &[&str],
        entry: &[&str],
    ) -> Self {
        // The monitor leaves out what begins as the system's own topics do.
        let topic = format!("orders-{}", stage.prefix());
        stage.create(&topic, partitions);
        let system = System::start(plan(&stage, &topic, options)).unwrap();
        system.read_topic(&topic, entry).unwrap();
        let crew = Self { system, stage, topic };
        crew.wait_until_owned(partitions);
        crew
    }

    /// Starts monitor and orchestrator again after the system has ended.
    pub(crate) fn start_again(&mut self) {
        self.system.start_monitor().unwrap();
        self.system.start_orchestrator().unwrap();
    }

    pub(crate) fn status(&self) -> Status {
        serde_json::from_value(self.system.status().unwrap()).unwrap()
    }

    /// Waits until the status is as wanted; `judge` says what is missing.
    pub(crate) fn wait_for<T>(
        &self,
        what: &str,
        judge: impl Fn(&Status) -> Result<T, String>,
    ) -> T {
        let judge = |value: &serde_json::Value| {
            let status: Status = serde_json::from_value(value.clone()).unwrap();
            judge(&status)
        };
        match self.system.wait_for(what, PATIENCE, judge) {
            Ok(found) => found,
            Err(error) => panic!("{error}: {}", std::error::Error::source(&error).unwrap()),
        }
    }

    /// Waits until all partitions of the topic have an owner, and nothing is about to move.
    pub(crate) fn wait_until_owned(&self, partitions: u32) {
        self.wait_for("every partition has its owner", |status| {
            let states = self.partitions(status);
            let owned = states.filter(|(_, state)| **state == Ownership::Owned).count();
            let is_all = u32::try_from(owned).unwrap() == partitions;
            let not_yet = || format!("{owned} owned, settled: {}", status.is_settled);
            if is_all && status.is_settled { Ok(()) } else { Err(not_yet()) }
        });
    }

    pub(crate) fn wait_for_serving(&self, what: &str, is_enough: impl Fn(usize) -> bool) {
        self.wait_for(what, |status| {
            let count = serving(status).count();
            if is_enough(count) && count == status.consumers.len() && status.is_settled {
                return Ok(());
            }
            Err(format!("{count} of {} serve", status.consumers.len()))
        });
    }

    /// Looks at how many consumers there are until `is_over`; the fewest and the most.
    pub(crate) fn wait_for_range(
        &self,
        mut is_over: impl FnMut(&Self, &Status) -> bool,
    ) -> (usize, usize) {
        let range = RefCell::new((usize::MAX, 0));
        let is_over = RefCell::new(&mut is_over);
        self.wait_for("it is over", |status| {
            let (fewest, most) = *range.borrow();
            let count = status.consumers.len();
            range.replace((fewest.min(count), most.max(count)));
            if is_over.borrow_mut()(self, status) { Ok(()) } else { Err(format!("{count}")) }
        });
        range.into_inner()
    }

    /// Writes to the topic of measurements.
    pub(crate) fn publish(&self, values: &[&[u8]]) {
        self.stage.send(&self.stage.topic("monitor"), 0, values);
    }

    /// Waits until everything that `consumer` holds has been stored further than before.
    pub(crate) fn wait_for_progress(&self) {
        let stored =
            |status: &Status| status.partitions.values().map(|p| p.rows_stored).sum::<u64>();
        let before = stored(&self.status());
        self.wait_for("more rows are stored", |status| {
            let now = stored(status);
            if now != before { Ok(()) } else { Err(format!("{now} rows")) }
        });
    }

    /// A consumer that holds partitions: itself, its process, its incarnation.
    pub(crate) fn victim(&self) -> Victim {
        self.wait_for("a consumer holds partitions", |status| {
            let holding = serving(status).filter(|consumer| consumer.partitions > 0);
            let found = holding.max_by_key(|consumer| (consumer.partitions, consumer.load));
            found.and_then(Victim::of).ok_or_else(|| "none".to_owned())
        })
    }

    /// Waits until the victim's process is gone and its successor holds everything again.
    pub(crate) fn wait_for_successor(&self, victim: &Victim, partitions: u32) {
        self.wait_for("the process is replaced", |status| {
            let same = status.consumers.iter().find(|one| one.consumer == victim.consumer);
            match same {
                Some(one) if one.incarnation == Some(victim.incarnation) => {
                    Err(format!("{:?}", one.standing))
                }
                Some(_) | None => Ok(()),
            }
        });
        self.wait_until_owned(partitions);
    }

    fn partitions<'a>(
        &self,
        status: &'a Status,
    ) -> impl Iterator<Item = (&'a TopicPartition, &'a Ownership)> {
        let all = status.partitions.iter().filter(|(name, _)| name.topic() == self.topic);
        all.map(|(name, partition)| (name, &partition.state))
    }

    /// Verifies, and ends the system: nothing lost, nothing doubled, nobody ends badly.
    pub(crate) fn end_soundly(mut self) -> e2e::verify::report::TopicReport {
        let report = self.stage.assert_sound(&self.topic);
        assert_eq!((report.counts.lost, report.counts.duplicated), (0, 0));
        self.system.stop().unwrap();
        report
    }
}

/// A consumer's process that something is done to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Victim {
    pub(crate) consumer: ConsumerId,
    pub(crate) incarnation: Incarnation,
    pub(crate) pid: u32,
}

impl Victim {
    pub(crate) fn of(status: &ConsumerStatus) -> Option<Self> {
        let (incarnation, pid) = (status.incarnation?, status.pid?);
        Some(Self { consumer: status.consumer, incarnation, pid })
    }

    pub(crate) fn signal(&self, signal: Signal) {
        signal_process(self.pid, signal).unwrap();
    }
}

pub(crate) fn serving(status: &Status) -> impl Iterator<Item = &ConsumerStatus> {
    status.consumers.iter().filter(|one| one.standing == ConsumerStanding::Serving)
}

/// Short windows, short objects, small consumers.
fn plan(stage: &Stage, topic: &str, options: &[&str]) -> SystemPlan {
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let capacity = CAPACITY.to_string();
    let quick = [
        &["--capacity", &capacity, "--capacity-factor", "1", "--max-consumers", CONSUMERS_MAX][..],
        &["--stabilisation-secs", STABILISATION, "--catch-up-secs", "20", "--grace-secs", "20"],
        &["--leaderless-secs", "40"],
        &["--consumer-option", "rotation-secs=1", "--consumer-option", "wait-time-secs=0.2"],
        options,
    ];
    let measuring = [
        &["--topics", topic, "--interval-ms", "500"][..],
        &["--window-secs", "4", "--burst-secs", "2", "--filter-secs", "2"],
    ];
    SystemPlan {
        kafka_bootstrap_servers: stage.servers().to_owned(),
        kafka_config: None,
        folder: stage.folder().to_owned(),
        prefix: stage.prefix().to_owned(),
        monitor_options: owned(&measuring.concat()),
        orchestrator_options: owned(&quick.concat()),
    }
}
