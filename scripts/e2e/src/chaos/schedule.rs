//! Pure. Which faults come when: the same for the same seed.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::rngs::ChaCha8Rng;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};

use super::crash_points::count;
use super::fault::{Kind, SinkKind, Target};

/// Between two faults of one target, and between calm and the next fault.
const PAUSE: Duration = Duration::from_secs(1);
/// So many further milliseconds at random.
const PAUSE_MORE_MS: u64 = 3_000;

/// A fault to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Planned {
    pub kind: Kind,
    pub at: At,
    /// Chooses the victim among those that there are.
    pub pick: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// So long after the beginning, whatever came before.
    Elapsed(Duration),
    /// So long after everything has recovered from the one before.
    Calm(Duration),
}

/// So many faults of `kinds`, each kind as often as any other, but for one. Spread over `span`, or,
/// without it, one after the other.
pub fn schedule(seed: u64, count: usize, kinds: &[Kind], span: Option<Duration>) -> Vec<Planned> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut deck: Vec<Kind> = Vec::new();
    let mut free_at: BTreeMap<Target, Duration> = BTreeMap::new();
    let mut planned = Vec::new();
    for number in 0..count {
        if deck.is_empty() {
            deck = kinds.to_vec();
            deck.shuffle(&mut rng);
        }
        let Some(kind) = deck.pop() else { break };
        let slot = span.map(|span| Slot { span, number, count });
        planned.push(one(&mut rng, &mut free_at, kind, slot));
    }
    in_order(planned)
}

/// Every place at which a process can be told to die, in an order of the seed.
pub fn each_crash_point(seed: u64, sink: SinkKind, span: Option<Duration>) -> Vec<Planned> {
    let kinds = [Kind::ConsumerCrashPoint, Kind::LeaderCrashPoint];
    let places = |kind| (0..count(kind, sink)).map(move |pick| (kind, pick));
    let mut places: Vec<(Kind, u64)> = kinds.into_iter().flat_map(places).collect();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    places.shuffle(&mut rng);
    let mut planned = schedule(seed, places.len(), &[Kind::LeaderCrashPoint], span);
    for (fault, (kind, pick)) in planned.iter_mut().zip(places) {
        (fault.kind, fault.pick) = (kind, pick);
    }
    planned
}

/// All that can happen between consumers and their sink, each once, in an order of the seed: the faults of the sink
/// among `kinds`, a consumer that wakes up after its lease, and a death at each place of a consumer.
pub fn each_sink_fault(
    seed: u64,
    (sink, kinds): (SinkKind, &[Kind]),
    span: Option<Duration>,
) -> Vec<Planned> {
    let is_meant = |kind: &Kind| kind.target() == Target::Sink || *kind == Kind::ConsumerFreeze;
    let faults = kinds.iter().copied().filter(is_meant).map(|kind| (kind, None));
    let places = 0..count(Kind::ConsumerCrashPoint, sink);
    let deaths = places.map(|place| (Kind::ConsumerCrashPoint, Some(place)));
    let mut all: Vec<_> = faults.chain(deaths).collect();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    all.shuffle(&mut rng);
    let (mut free_at, count) = (BTreeMap::new(), all.len());
    let all = all.into_iter().enumerate().map(|(number, (kind, place))| {
        let slot = span.map(|span| Slot { span, number, count });
        let fault = one(&mut rng, &mut free_at, kind, slot);
        Planned { pick: place.unwrap_or(fault.pick), ..fault }
    });
    in_order(all.collect())
}

/// One of `count` equal parts of a time.
#[derive(Clone, Copy, Debug)]
struct Slot {
    span: Duration,
    number: usize,
    count: usize,
}

impl Slot {
    fn moment(self, part_permille: u32) -> Duration {
        let whole = |number| u32::try_from(number).unwrap_or(u32::MAX);
        let length = self.span / whole(self.count).max(1);
        length * whole(self.number) + length * part_permille / 1_000
    }
}

/// A fault at a moment of its slot; without one, after those before it.
fn one(
    rng: &mut ChaCha8Rng,
    free_at: &mut BTreeMap<Target, Duration>,
    kind: Kind,
    slot: Option<Slot>,
) -> Planned {
    let (pause_ms, part, pick) =
        (rng.random_range(0..PAUSE_MORE_MS), rng.random_range(0..1_000), rng.random());
    let at = match slot {
        None => At::Calm(PAUSE + Duration::from_millis(pause_ms)),
        Some(slot) => At::Elapsed(reserve(free_at, kind, slot.moment(part))),
    };
    Planned { kind, at, pick }
}

fn in_order(mut planned: Vec<Planned>) -> Vec<Planned> {
    planned.sort_by_key(|fault| match fault.at {
        At::Elapsed(at) => at,
        At::Calm(_) => Duration::ZERO,
    });
    planned
}

/// Consumers are many; anything else is left in peace until its fault is over.
fn reserve(free_at: &mut BTreeMap<Target, Duration>, kind: Kind, at: Duration) -> Duration {
    if kind.target() == Target::Consumer {
        return at;
    }
    let free = free_at.entry(kind.target()).or_default();
    let at = at.max(*free);
    *free = at + kind.lasts() + PAUSE;
    at
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const SPAN: Duration = Duration::from_secs(300);

    fn at(planned: &Planned) -> Duration {
        match planned.at {
            At::Elapsed(at) => at,
            At::Calm(_) => panic!("no time was asked for"),
        }
    }

    #[test]
    fn equal_seeds_give_equal_faults_and_others_do_not() {
        let of = |seed| schedule(seed, 40, &Kind::ALL, Some(SPAN));
        assert_eq!(of(7), of(7));
        assert_ne!(of(7), of(8));
    }

    #[test]
    fn every_kind_comes_before_any_comes_twice() {
        for seed in 0..50 {
            let mut kinds: Vec<Kind> =
                schedule(seed, Kind::ALL.len(), &Kind::ALL, None).iter().map(|f| f.kind).collect();
            kinds.sort_unstable();
            assert_eq!(kinds, Kind::ALL);
        }
    }

    #[test]
    fn one_target_has_one_fault_at_a_time() {
        for seed in 0..50 {
            let planned = schedule(seed, 60, &Kind::ALL, Some(SPAN));
            assert!(planned.is_sorted_by_key(at));
            for (number, fault) in planned.iter().enumerate() {
                let target = fault.kind.target();
                let same = |other: &&Planned| other.kind.target() == target;
                let next = planned[number + 1..].iter().find(same);
                if let (Some(next), true) = (next, target != Target::Consumer) {
                    assert!(at(next) > at(fault) + fault.kind.lasts(), "{fault:?} {next:?}");
                }
            }
        }
    }

    #[test]
    fn every_crash_point_has_its_turn_once() {
        let planned = each_crash_point(3, SinkKind::Parquet, Some(SPAN));
        let places: BTreeSet<_> = planned.iter().map(|fault| (fault.kind, fault.pick)).collect();
        let count = |kind| count(kind, SinkKind::Parquet);
        let all = count(Kind::ConsumerCrashPoint) + count(Kind::LeaderCrashPoint);
        assert_eq!((places.len(), planned.len()), (usize::try_from(all).unwrap(), places.len()));
    }

    #[test]
    fn every_fault_of_a_sink_and_every_place_of_a_consumer_has_its_turn_once() {
        for sink in [SinkKind::Parquet, SinkKind::BigQuery] {
            let kinds: Vec<_> = Kind::ALL.into_iter().filter(|kind| kind.is_of(sink)).collect();
            let of_sink = kinds.iter().filter(|kind| kind.target() == Target::Sink).count();
            for seed in 0..50 {
                let planned = each_sink_fault(seed, (sink, &kinds), Some(SPAN));
                assert!(planned.is_sorted_by_key(at));
                let deaths = planned.iter().filter(|it| it.kind == Kind::ConsumerCrashPoint);
                let places: BTreeSet<_> = deaths.clone().map(|it| it.pick).collect();
                let all = count(Kind::ConsumerCrashPoint, sink);
                assert_eq!(places, (0..all).collect());
                let others: BTreeSet<_> = planned.iter().map(|it| it.kind).collect();
                assert_eq!(others.len(), of_sink + 2, "and the one that is frozen");
                assert_eq!(planned.len(), of_sink + 1 + deaths.count());
            }
        }
    }

    #[test]
    fn nothing_is_planned_of_what_cannot_be_done() {
        assert_eq!(schedule(1, 9, &[], Some(SPAN)), []);
        let only = schedule(1, 3, &[Kind::MonitorKill], None);
        assert!(only.len() == 3 && only.iter().all(|fault| matches!(fault.at, At::Calm(_))));
    }
}
