//! Pure. Who read which partition from when to when: by what consumers say, and by what was done to them.
//!
//! All times are milliseconds since 1970 on the one clock of this machine. A consumer that is killed,
//! frozen or cut off reads nothing from that moment on, whatever it said before.

use std::collections::BTreeMap;

use common::identity::Incarnation;
use common::messages::Message;
use common::messages::event::{Answer, Heartbeat, NoticeClass, PartitionState, Report};
use common::partition::TopicPartition;

/// Who was not heard of for so long at the end had ended before.
const HEARD_WITHIN_MS: i64 = 12_000;

/// How a reading ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It goes on.
    Open,
    /// Given back cleanly.
    Released,
    /// Its owner was hit by this fault.
    Struck(usize),
    /// Its owner dropped it, because its lease ran out, it failed, or nobody knows.
    Dropped,
}

/// One incarnation's reading of one partition, without a break.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    pub partition: TopicPartition,
    pub by: Incarnation,
    /// The first answered poll, or the moment from which its owner could read again.
    pub from: i64,
    pub until: i64,
    pub end: End,
    /// The first answered poll of this ownership, which tells it from an earlier one.
    first: i64,
    /// The last report that names it.
    reported: i64,
}

/// A time in which the owner of a partition stayed and read nothing: there is always something, the
/// load leaves no partition out for a second.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pause {
    pub partition: TopicPartition,
    pub from: i64,
    pub to: i64,
}

/// How far a partition has come.
#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    read_at: i64,
    stored: u64,
    stored_at: i64,
}

/// Everything that was heard and done so far.
#[derive(Debug, Default)]
pub struct Owners {
    pids: BTreeMap<Incarnation, u32>,
    heard: BTreeMap<Incarnation, i64>,
    /// Incarnations that read no more, from when on.
    over: BTreeMap<Incarnation, (i64, End)>,
    /// Processes that were killed.
    killed: BTreeMap<u32, (i64, End)>,
    /// Processes that were asked to end, and by which fault.
    asked: BTreeMap<u32, usize>,
    readings: Vec<Reading>,
    pauses: Vec<Pause>,
    progress: BTreeMap<TopicPartition, Progress>,
    /// When each reading was last seen to get on.
    read_at: BTreeMap<(Incarnation, TopicPartition), i64>,
}

impl Owners {
    /// Takes what a consumer said at `at`, by the record's time.
    pub fn apply(&mut self, message: &Message, at: i64) {
        match message {
            Message::Heartbeat(heartbeat) => self.heartbeat(heartbeat, at),
            Message::Answer(answer) => self.answer(answer, at),
            Message::Report(report) => self.report(report),
            Message::Notice(notice) if notice.class == NoticeClass::LeaseLapsed => {
                self.end(notice.incarnation, at, End::Dropped);
            }
            _ => {}
        }
    }

    /// A process was killed.
    pub fn kill(&mut self, pid: u32, at: i64, fault: usize) {
        self.killed.insert(pid, (at, End::Struck(fault)));
        for by in self.of_process(pid) {
            self.end(by, at, End::Struck(fault));
        }
    }

    /// A process was asked to end: what it releases from now on is due to that.
    pub fn ask(&mut self, pid: u32, fault: usize) {
        self.asked.insert(pid, fault);
    }

    /// A process cannot read until [`Owners::resume`].
    pub fn suspend(&mut self, pid: u32, at: i64, fault: usize) {
        let lives = self.of_process(pid);
        let hit = |reading: &&mut Reading| reading.end == End::Open && lives.contains(&reading.by);
        for reading in self.readings.iter_mut().filter(hit) {
            (reading.until, reading.end) = (at.max(reading.from), End::Struck(fault));
        }
    }

    /// What was suspended may be read on, unless it turns out that it was given up meanwhile.
    pub fn resume(&mut self, pid: u32, at: i64, fault: usize) {
        let lives = self.of_process(pid);
        let hit = |reading: &&Reading| {
            reading.end == End::Struck(fault)
                && lives.contains(&reading.by)
                && !self.over.contains_key(&reading.by)
        };
        let on = |reading: &Reading| Reading { from: at, end: End::Open, ..reading.clone() };
        let resumed: Vec<_> = self.readings.iter().filter(hit).map(on).collect();
        self.readings.extend(resumed);
    }

    /// Partitions that somebody reads, and of which something was read and stored since `since`.
    pub fn flowing(&self, since: i64) -> usize {
        let flows = |partition: &TopicPartition| {
            let progress = self.progress.get(partition);
            progress.is_some_and(|one| one.read_at > since && one.stored_at > since)
        };
        let open = self.readings.iter().filter(|reading| reading.end == End::Open);
        let mut partitions: Vec<_> =
            open.map(|reading| &reading.partition).filter(|one| flows(one)).collect();
        partitions.sort();
        partitions.dedup();
        partitions.len()
    }

    /// All readings up to `at`, which is the end; those of whom nothing was heard any more end with
    /// their last report.
    pub fn readings(&self, at: i64) -> Vec<Reading> {
        let mut readings = self.readings.clone();
        for reading in readings.iter_mut().filter(|reading| reading.end == End::Open) {
            let is_heard =
                self.heard.get(&reading.by).is_some_and(|heard| at - heard < HEARD_WITHIN_MS);
            if is_heard {
                reading.until = at.max(reading.from);
            } else {
                (reading.until, reading.end) = (reading.reported.max(reading.from), End::Dropped);
            }
        }
        readings.retain(|reading| reading.until > reading.from);
        readings.sort_by(|a, b| (&a.partition, a.from).cmp(&(&b.partition, b.from)));
        readings
    }

    /// To the second: consumers report once in a second.
    pub fn pauses(&self) -> &[Pause] {
        &self.pauses
    }

    fn of_process(&self, pid: u32) -> Vec<Incarnation> {
        self.pids.iter().filter(|(_, of)| **of == pid).map(|(by, _)| *by).collect()
    }

    fn heartbeat(&mut self, heartbeat: &Heartbeat, at: i64) {
        let Heartbeat { incarnation, pid, .. } = *heartbeat;
        self.heard.insert(incarnation, at);
        if self.pids.insert(incarnation, pid).is_some() {
            return;
        }
        // A process has one incarnation at a time.
        for former in self.of_process(pid).into_iter().filter(|former| *former != incarnation) {
            self.end(former, at, End::Dropped);
        }
        if let Some((at, end)) = self.killed.get(&pid).copied() {
            self.end(incarnation, at, end);
        }
    }

    /// An answer is the whole state of its incarnation: what is not in it is not held.
    fn answer(&mut self, answer: &Answer, at: i64) {
        let by = answer.incarnation;
        for partition in &answer.partitions {
            let name = &partition.partition;
            match (partition.state, partition.polled_at_ms) {
                (PartitionState::Held, Some(first)) => self.open(by, name, first),
                (PartitionState::Released, last) => {
                    let end = self.pids.get(&by).and_then(|pid| self.asked.get(pid));
                    let end = end.map_or(End::Released, |fault| End::Struck(*fault));
                    self.close(by, name, last.unwrap_or(at), end);
                }
                (PartitionState::Failed, _) => self.close(by, name, at, End::Dropped),
                (PartitionState::Held, None)
                | (PartitionState::Opening | PartitionState::Stopping, _) => {}
            }
        }
        let is_told = |name: &TopicPartition| {
            answer.partitions.iter().any(|partition| partition.partition == *name)
        };
        let open = self.readings.iter().filter(|one| one.by == by && one.end == End::Open);
        let gone: Vec<_> =
            open.map(|one| one.partition.clone()).filter(|name| !is_told(name)).collect();
        gone.iter().for_each(|name| self.close(by, name, at, End::Dropped));
    }

    fn report(&mut self, report: &Report) {
        let (by, at) = (report.incarnation, report.reported_at_ms);
        for told in &report.partitions {
            let name = &told.partition;
            let open =
                |one: &&mut Reading| one.by == by && one.partition == *name && one.end == End::Open;
            let Some(reading) = self.readings.iter_mut().find(open) else { continue };
            reading.reported = at;
            let progress = self.progress.entry(name.clone()).or_default();
            if told.stored > progress.stored {
                (progress.stored, progress.stored_at) = (told.stored, at);
            }
            let key = (by, name.clone());
            let before = self.read_at.get(&key).copied().unwrap_or(reading.from);
            let before = before.max(reading.from);
            if told.records > 0 {
                progress.read_at = at;
                self.read_at.insert(key, at);
            } else {
                self.pauses.push(Pause { partition: name.clone(), from: before, to: at });
            }
        }
    }

    fn open(&mut self, by: Incarnation, partition: &TopicPartition, first: i64) {
        let same =
            |one: &Reading| one.by == by && one.partition == *partition && one.first == first;
        if self.readings.iter().any(same) {
            return;
        }
        let mut reading = Reading {
            partition: partition.clone(),
            by,
            from: first,
            until: first,
            end: End::Open,
            first,
            reported: first,
        };
        if let Some((at, end)) = self.over.get(&by) {
            (reading.until, reading.end) = ((*at).max(first), *end);
        }
        self.readings.push(reading);
    }

    fn close(&mut self, by: Incarnation, partition: &TopicPartition, at: i64, end: End) {
        let open = |one: &&mut Reading| {
            one.by == by && one.partition == *partition && one.end == End::Open
        };
        for reading in self.readings.iter_mut().filter(open) {
            (reading.until, reading.end) = (at.max(reading.from), end);
        }
    }

    /// From `at` on the incarnation reads nothing; the earliest end counts.
    fn end(&mut self, by: Incarnation, at: i64, end: End) {
        let earlier = self.over.get(&by).is_some_and(|(known, _)| *known <= at);
        if !earlier {
            self.over.insert(by, (at, end));
        }
        let open = |one: &&mut Reading| one.by == by && one.end == End::Open;
        for reading in self.readings.iter_mut().filter(open) {
            (reading.until, reading.end) = (at.max(reading.from), end);
        }
    }
}

#[cfg(test)]
impl Reading {
    pub(super) fn for_test(
        partition: TopicPartition,
        by: Incarnation,
        (from, until): (i64, i64),
        end: End,
    ) -> Self {
        Self { partition, by, from, until, end, first: from, reported: until }
    }
}

#[cfg(test)]
mod tests {
    use common::identity::ConsumerId;
    use common::messages::Extra;
    use common::messages::event::{Notice, PartitionAnswer, PartitionReport};
    use common::term::Term;

    use super::*;

    const FAULT: usize = 3;

    fn orders() -> TopicPartition {
        TopicPartition::new("orders", 0)
    }

    fn heartbeat(by: u128, pid: u32) -> Message {
        Message::Heartbeat(Heartbeat {
            consumer: ConsumerId(1),
            incarnation: Incarnation(by),
            number: 1,
            process_started_ms: 0,
            pid,
            pod_uid: None,
            ttl_ms: 10_000,
            margin_ms: 1_000,
            lock_held: true,
            command_read: None,
            address: None,
            draining: false,
            extra: Extra::new(),
        })
    }

    fn answer(by: u128, states: &[(PartitionState, i64)]) -> Message {
        let partitions = states.iter().map(|(state, polled)| PartitionAnswer {
            partition: orders(),
            state: *state,
            since: Term::default(),
            position: None,
            tokens: Vec::new(),
            hand_over: None,
            reason: None,
            polled_at_ms: Some(*polled),
        });
        Message::Answer(Answer {
            consumer: ConsumerId(1),
            incarnation: Incarnation(by),
            number: 1,
            term: Term::default(),
            draining: false,
            partitions: partitions.collect(),
            extra: Extra::new(),
        })
    }

    fn report(by: u128, at: i64, records: u64) -> Message {
        let partition = PartitionReport {
            partition: orders(),
            position: 100,
            stored: u64::try_from(at).unwrap(),
            high_watermark: None,
            records,
            bytes: 0,
            rows_stored: 0,
            dead_letters: 0,
            latency_max_ms: None,
        };
        Message::Report(Report {
            consumer: ConsumerId(1),
            incarnation: Incarnation(by),
            reported_at_ms: at,
            interval_ms: 1_000,
            busy_permille: 0,
            buffered_bytes: 0,
            partitions: vec![partition],
            extra: Extra::new(),
        })
    }

    fn lapsed(by: u128) -> Message {
        Message::Notice(Notice {
            consumer: ConsumerId(1),
            incarnation: Incarnation(by),
            class: NoticeClass::LeaseLapsed,
            partition: None,
            from: None,
            to: None,
            text: String::new(),
            extra: Extra::new(),
        })
    }

    /// Incarnation 1 in the process 41 reads from 1,000 on.
    fn one_reads() -> Owners {
        let mut owners = Owners::default();
        owners.apply(&heartbeat(1, 41), 900);
        owners.apply(&answer(1, &[(PartitionState::Held, 1_000)]), 1_010);
        owners
    }

    fn spans(owners: &Owners, at: i64) -> Vec<(u128, i64, i64, End)> {
        let readings = owners.readings(at);
        readings.iter().map(|one| (one.by.0, one.from, one.until, one.end)).collect()
    }

    #[test]
    fn a_release_ends_with_the_last_poll_and_is_told_of_once() {
        let mut owners = one_reads();
        let released = answer(1, &[(PartitionState::Released, 4_000)]);
        owners.apply(&released, 4_020);
        owners.apply(&released, 5_020);
        assert_eq!(spans(&owners, 9_000), [(1, 1_000, 4_000, End::Released)]);
    }

    #[test]
    fn what_a_process_releases_that_was_asked_to_end_is_due_to_that() {
        let mut owners = one_reads();
        owners.ask(41, FAULT);
        owners.apply(&answer(1, &[(PartitionState::Released, 4_000)]), 4_020);
        assert_eq!(spans(&owners, 9_000), [(1, 1_000, 4_000, End::Struck(FAULT))]);
    }

    #[test]
    fn a_killed_process_reads_nothing_whatever_is_heard_of_it_later() {
        let mut owners = one_reads();
        owners.kill(41, 3_000, FAULT);
        owners.apply(&answer(1, &[(PartitionState::Held, 1_000)]), 3_100);
        assert_eq!(spans(&owners, 9_000), [(1, 1_000, 3_000, End::Struck(FAULT))]);
    }

    #[test]
    fn a_zombie_reads_from_its_waking_until_it_knows_that_its_lease_is_over() {
        let mut owners = one_reads();
        owners.suspend(41, 3_000, FAULT);
        owners.resume(41, 16_000, FAULT);
        owners.apply(&lapsed(1), 16_040);
        owners.apply(&heartbeat(2, 41), 16_100);
        let expected = [(1, 1_000, 3_000, End::Struck(FAULT)), (1, 16_000, 16_040, End::Dropped)];
        assert_eq!(spans(&owners, 20_000), expected);
    }

    #[test]
    fn who_was_cut_off_and_lapsed_meanwhile_does_not_read_when_it_is_heard_again() {
        let mut owners = one_reads();
        owners.suspend(41, 3_000, FAULT);
        owners.resume(41, 16_000, FAULT);
        owners.apply(&lapsed(1), 12_000);
        assert_eq!(spans(&owners, 20_000), [(1, 1_000, 3_000, End::Struck(FAULT))]);
    }

    #[test]
    fn of_whom_nothing_is_heard_at_the_end_the_last_report_counts() {
        let mut owners = one_reads();
        owners.apply(&report(1, 5_000, 10), 5_000);
        assert_eq!(spans(&owners, 10_000), [(1, 1_000, 10_000, End::Open)]);
        assert_eq!(spans(&owners, 60_000), [(1, 1_000, 5_000, End::Dropped)]);
    }

    #[test]
    fn it_flows_when_something_was_read_and_stored_since() {
        let mut owners = one_reads();
        owners.apply(&report(1, 5_000, 10), 5_000);
        assert_eq!((owners.flowing(4_999), owners.flowing(5_000)), (1, 0));
        owners.kill(41, 5_500, FAULT);
        assert_eq!(owners.flowing(4_999), 0);
    }

    #[test]
    fn a_pause_lasts_from_the_last_report_of_something_read() {
        let mut owners = one_reads();
        owners.apply(&report(1, 2_000, 10), 2_000);
        owners.apply(&report(1, 3_000, 10), 3_000);
        assert_eq!(owners.pauses(), []);
        owners.apply(&report(1, 4_000, 0), 4_000);
        owners.apply(&report(1, 5_000, 0), 5_000);
        let longest = owners.pauses().iter().map(|pause| pause.to - pause.from).max();
        assert_eq!(longest, Some(2_000));
    }
}
