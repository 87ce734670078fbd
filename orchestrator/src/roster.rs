//! Pure. Which incarnations live: judged by the heartbeats that were read, never by their timestamps.
//!
//! ```text
//!           heartbeat                TTL + margin without one, or an end is confirmed
//!  (none) ───────────> Living ──────────────────────────────────────────────────────> Doubted
//!                        ^                                                              │ │
//!                        └── a heartbeat that stood before the marker (not if the ──────┘ │
//!                            end is confirmed)                                            │
//!                                                 marker written since and read back ────>└─> Ended
//! ```
//!
//! A silence proves nothing while the topic was not read to its end: so a marker is written after
//! the time ran out, and the judgement falls only when it was read back.

use std::collections::BTreeMap;
use std::time::Duration;

use common::identity::{ConsumerId, Incarnation, Nonce};
use common::messages::event::Heartbeat;
use common::moment::Moment;
use rand::Rng;

use crate::fleet::ProcessId;

/// After this a marker that did not come back is written again; either will do.
const MARKER_PATIENCE: Duration = Duration::from_secs(3);

/// What is known of a living incarnation.
#[derive(Clone, Debug)]
pub struct Life {
    pub heartbeat: Heartbeat,
    /// When the last heartbeat was read.
    pub read_at: Moment,
    doubt: Option<Doubt>,
    is_end_confirmed: bool,
}

#[derive(Clone, Debug)]
struct Doubt {
    /// Markers written since the doubt arose.
    markers: Vec<Nonce>,
    last_written: Moment,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Write this marker to the events topic.
    WriteMarker(Nonce),
    /// Nothing that the incarnation does counts any more.
    Ended { consumer: ConsumerId, incarnation: Incarnation, why: End },
}

/// Why an incarnation counts as ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// No heartbeat within TTL + margin.
    LeaseLapsed,
    /// The fleet saw the process end.
    Confirmed,
}

/// All incarnations of which a heartbeat, or a trace in the log, was read.
#[derive(Clone, Debug, Default)]
pub struct Roster {
    lives: BTreeMap<Incarnation, Life>,
}

impl Roster {
    pub fn lives(&self) -> &BTreeMap<Incarnation, Life> {
        &self.lives
    }

    /// An incarnation that the log tells of: it has the TTL from now on to show that it lives.
    pub fn expect(&mut self, trace: Heartbeat, now: Moment) {
        self.lives.entry(trace.incarnation).or_insert_with(|| Life {
            heartbeat: trace,
            read_at: now,
            doubt: None,
            is_end_confirmed: false,
        });
    }

    /// Takes a heartbeat that was read now.
    pub fn heartbeat(&mut self, heartbeat: Heartbeat, now: Moment) {
        let incarnation = heartbeat.incarnation;
        let known = self.lives.get(&incarnation);
        let is_end_confirmed = known.is_some_and(|life| life.is_end_confirmed);
        let doubt = known.filter(|_| is_end_confirmed).and_then(|life| life.doubt.clone());
        self.lives.insert(incarnation, Life { heartbeat, read_at: now, doubt, is_end_confirmed });
        self.end_former_lives(incarnation);
    }

    /// A process has one incarnation at a time: when it says that it goes on under a later one, it has
    /// dropped what it held under those before.
    fn end_former_lives(&mut self, incarnation: Incarnation) {
        let said = self.lives[&incarnation].heartbeat.clone();
        let lives = self.lives.values();
        let is_former = lives.clone().any(|life| life.heartbeat.succeeds(&said));
        for (id, life) in &mut self.lives {
            let is_over = *id == incarnation && is_former || said.succeeds(&life.heartbeat);
            life.is_end_confirmed |= is_over;
        }
    }

    /// The fleet saw a process of `consumer` end: whatever lived in it is over.
    pub fn confirm_end(&mut self, consumer: ConsumerId, process: &ProcessId) {
        for life in self.lives.values_mut() {
            let beat = &life.heartbeat;
            life.is_end_confirmed |= beat.consumer == consumer && process.is_of(beat);
        }
    }

    /// Whether an incarnation of `consumer` may live in this pod. Of one that only commands tell of it
    /// is not known where it lived.
    pub fn may_live_in(&self, consumer: ConsumerId, pod: &str) -> bool {
        let mut own = self.lives.values().filter(|life| life.heartbeat.consumer == consumer);
        own.any(|life| life.heartbeat.pod_uid.as_deref().is_none_or(|uid| uid == pod))
    }

    /// Looks for silences, and asks for markers where there is one.
    pub fn tick(&mut self, now: Moment, rng: &mut impl Rng) -> Vec<Verdict> {
        let mut verdicts = vec![];
        for life in self.lives.values_mut() {
            if !life.is_suspect(now) {
                life.doubt = None;
                continue;
            }
            let is_due = life
                .doubt
                .as_ref()
                .is_none_or(|doubt| now.saturating_since(doubt.last_written) >= MARKER_PATIENCE);
            if is_due {
                let nonce = Nonce::from_rng(rng);
                let markers = life.doubt.take().map(|doubt| doubt.markers).unwrap_or_default();
                let markers = markers.into_iter().chain([nonce]).collect();
                life.doubt = Some(Doubt { markers, last_written: now });
                verdicts.push(Verdict::WriteMarker(nonce));
            }
        }
        verdicts
    }

    /// A marker was read back: every heartbeat written before it has been read by now.
    pub fn marker(&mut self, nonce: Nonce, now: Moment) -> Vec<Verdict> {
        let is_judged = |life: &Life| {
            life.is_suspect(now)
                && life.doubt.as_ref().is_some_and(|doubt| doubt.markers.contains(&nonce))
        };
        let judged: Vec<_> =
            self.lives.iter().filter(|(_, life)| is_judged(life)).map(|(id, _)| *id).collect();
        let end = |incarnation| {
            let life: Life = self.lives.remove(&incarnation).expect("it was found a line ago");
            let why = if life.is_end_confirmed { End::Confirmed } else { End::LeaseLapsed };
            Verdict::Ended { consumer: life.heartbeat.consumer, incarnation, why }
        };
        judged.into_iter().map(end).collect()
    }
}

impl Life {
    fn is_suspect(&self, now: Moment) -> bool {
        self.is_end_confirmed || now.saturating_since(self.read_at) > self.patience()
    }

    /// TTL + margin, by what the heartbeat names.
    pub fn patience(&self) -> Duration {
        Duration::from_millis(self.heartbeat.ttl_ms.saturating_add(self.heartbeat.margin_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::ContainerRun;
    use common::messages::Extra;
    use common::messages::event::LIFE;
    use rand::SeedableRng as _;
    use rand::rngs::ChaCha8Rng;

    fn at(seconds: u64) -> Moment {
        Moment::since_boot(Duration::from_secs(seconds))
    }

    fn rng() -> ChaCha8Rng {
        ChaCha8Rng::seed_from_u64(1)
    }

    fn beat(number: u64) -> Heartbeat {
        Heartbeat {
            consumer: ConsumerId(1),
            incarnation: Incarnation(1),
            number,
            process_started_ms: 0,
            pid: 42,
            pod_uid: None,
            ttl_ms: 10_000,
            margin_ms: 1_000,
            lock_held: true,
            command_read: None,
            address: None,
            draining: false,
            extra: Extra::new(),
        }
    }

    fn markers(verdicts: &[Verdict]) -> Vec<Nonce> {
        let nonces = verdicts.iter().filter_map(|verdict| match verdict {
            Verdict::WriteMarker(nonce) => Some(*nonce),
            Verdict::Ended { .. } => None,
        });
        nonces.collect()
    }

    #[test]
    fn a_silence_is_judged_only_when_a_marker_written_after_it_came_back() {
        let mut roster = Roster::default();
        roster.heartbeat(beat(1), at(0));
        assert_eq!(roster.tick(at(11), &mut rng()), []);
        let asked = markers(&roster.tick(at(12), &mut rng()));
        assert_eq!(asked.len(), 1);
        assert_eq!(roster.marker(Nonce(5), at(12)), [], "somebody else's marker");
        let ended = roster.marker(asked[0], at(13));
        let why = End::LeaseLapsed;
        let (consumer, incarnation) = (ConsumerId(1), Incarnation(1));
        assert_eq!(ended, [Verdict::Ended { consumer, incarnation, why }]);
    }

    #[test]
    fn a_heartbeat_that_stood_before_the_marker_saves_the_life() {
        let mut roster = Roster::default();
        roster.heartbeat(beat(1), at(0));
        let asked = markers(&roster.tick(at(12), &mut rng()));
        roster.heartbeat(beat(2), at(13));
        assert_eq!(roster.marker(asked[0], at(13)), []);
        assert!(roster.lives().contains_key(&Incarnation(1)));
    }

    #[test]
    fn an_old_marker_does_not_judge_a_later_silence() {
        let mut roster = Roster::default();
        roster.heartbeat(beat(1), at(0));
        let asked = markers(&roster.tick(at(12), &mut rng()));
        roster.heartbeat(beat(2), at(13));
        assert_eq!(roster.marker(asked[0], at(30)), [], "it was written before the silence");
    }

    #[test]
    fn a_marker_that_does_not_come_back_is_written_again_and_either_will_do() {
        let mut roster = Roster::default();
        let mut rng = rng();
        roster.heartbeat(beat(1), at(0));
        let first = markers(&roster.tick(at(12), &mut rng));
        assert_eq!(roster.tick(at(14), &mut rng), []);
        let second = markers(&roster.tick(at(15), &mut rng));
        assert_ne!(first, second);
        assert_eq!(roster.marker(first[0], at(16)).len(), 1);
    }

    /// The same process, under its n-th incarnation.
    fn nth_life(life: u64, number: u64) -> Heartbeat {
        let extra = [(LIFE.to_owned(), life.to_string())].into();
        Heartbeat { incarnation: Incarnation(life.into()), extra, ..beat(number) }
    }

    #[test]
    fn who_goes_on_under_another_incarnation_has_ended_the_one_before() {
        for late in [nth_life(1, 7), nth_life(2, 1)] {
            let mut roster = Roster::default();
            roster.heartbeat(nth_life(1, 6), at(0));
            roster.heartbeat(nth_life(2, 1), at(1));
            // Whatever comes later of the former one: it was held up on its way.
            roster.heartbeat(late, at(2));
            let asked = markers(&roster.tick(at(2), &mut rng()));
            let ended = roster.marker(asked[0], at(3));
            let (consumer, why) = (ConsumerId(1), End::Confirmed);
            assert_eq!(ended, [Verdict::Ended { consumer, incarnation: Incarnation(1), why }]);
            assert!(roster.lives().contains_key(&Incarnation(2)));
        }
    }

    #[test]
    fn another_process_or_an_order_that_is_not_known_ends_nobody() {
        let other = |change: fn(&mut Heartbeat)| {
            let mut next = nth_life(2, 1);
            change(&mut next);
            next
        };
        for next in [
            other(|beat| beat.pid = 43),
            other(|beat| beat.process_started_ms = 1),
            other(|beat| beat.pod_uid = Some("uid".into())),
            other(|beat| beat.consumer = ConsumerId(2)),
            other(|beat| beat.extra = Extra::new()),
            other(|beat| beat.extra = [(LIFE.to_owned(), "1".to_owned())].into()),
        ] {
            let mut roster = Roster::default();
            roster.heartbeat(nth_life(1, 6), at(0));
            roster.heartbeat(next, at(1));
            assert_eq!(roster.tick(at(2), &mut rng()), []);
        }
    }

    #[test]
    fn a_confirmed_end_needs_no_silence_but_a_marker() {
        let mut roster = Roster::default();
        roster.heartbeat(beat(1), at(0));
        roster.confirm_end(ConsumerId(1), &ProcessId::Pid(41));
        assert_eq!(roster.tick(at(1), &mut rng()), [], "another process");
        roster.confirm_end(ConsumerId(1), &ProcessId::Pid(42));
        let asked = markers(&roster.tick(at(1), &mut rng()));
        // What was written before the end and is read after it changes nothing.
        roster.heartbeat(beat(2), at(1));
        let ended = roster.marker(asked[0], at(2));
        assert!(matches!(ended[..], [Verdict::Ended { why: End::Confirmed, .. }]));
    }

    fn in_pod(process_started_ms: i64) -> Heartbeat {
        Heartbeat { process_started_ms, pod_uid: Some("a".into()), ..beat(1) }
    }

    /// Times of containers are whole seconds, so that two runs may seem to share one.
    #[test]
    fn the_end_of_a_containers_run_confirms_only_what_began_within_it() {
        let confirmed = |pod: &str, from_ms: i64, until_ms: i64, began: i64| {
            let mut roster = Roster::default();
            roster.heartbeat(in_pod(began), at(0));
            let run = ContainerRun { pod: pod.into(), from_ms, until_ms: Some(until_ms) };
            roster.confirm_end(ConsumerId(1), &ProcessId::Container(run));
            roster.tick(at(1), &mut rng()).len() == 1
        };
        assert!(confirmed("a", 5_000, 9_000, 5_000) && confirmed("a", 5_000, 9_000, 8_999));
        assert!(!confirmed("a", 5_000, 9_000, 4_999) && !confirmed("a", 5_000, 9_000, 9_000));
        assert!(!confirmed("b", 5_000, 9_000, 6_000));
    }

    #[test]
    fn a_pod_in_which_somebody_may_live_is_known_as_such() {
        let mut roster = Roster::default();
        assert!(!roster.may_live_in(ConsumerId(1), "a"));
        roster.heartbeat(in_pod(0), at(0));
        assert!(roster.may_live_in(ConsumerId(1), "a"));
        assert!(!roster.may_live_in(ConsumerId(1), "b") && !roster.may_live_in(ConsumerId(2), "a"));
        let trace = Heartbeat { incarnation: Incarnation(2), ..beat(0) };
        roster.expect(trace, at(0));
        assert!(roster.may_live_in(ConsumerId(1), "b"), "nobody knows where that one lived");
    }
}
