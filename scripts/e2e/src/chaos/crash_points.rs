//! Pure. The places at which a process is made to die, and what brings it there.

use super::fault::{Kind, SinkKind};

/// What is done so that a process comes to its place soon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lure {
    /// It comes there by itself.
    None,
    /// A person wants a partition elsewhere.
    Move,
    /// A person asks for the leader's state.
    Query,
    /// A consumer is killed.
    Consumer,
    /// The orchestrator that leads is killed: the next one comes there.
    Leader,
}

/// One thing that others can see: a process dies before it or after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CrashPoint {
    pub what: &'static str,
    pub lure: Lure,
}

const fn point(what: &'static str, lure: Lure) -> CrashPoint {
    CrashPoint { what, lure }
}

const OF_CONSUMERS: [CrashPoint; 6] = [
    point("Heartbeat", Lure::None),
    point("Answer", Lure::Move),
    point("Report", Lure::None),
    point("commit", Lure::None),
    point("state", Lure::Move),
    point("dead-letter", Lure::None),
];
const OF_LAKES: [CrashPoint; 2] = [point("put", Lure::None), point("rename", Lure::None)];
const OF_BIGQUERY: [CrashPoint; 3] =
    [point("append", Lure::None), point("stream", Lure::Move), point("finalize", Lure::Consumer)];
const OF_LEADERS: [CrashPoint; 6] = [
    point("Assign", Lure::Move),
    point("LeaderAlive", Lure::None),
    point("Snapshot", Lure::Query),
    point("Marker", Lure::Consumer),
    point("start", Lure::Consumer),
    point("LeaderStarted", Lure::Leader),
];

/// The `pick`-th place for this kind of fault, as the file that stands for it is called.
pub fn choose(kind: Kind, sink: SinkKind, pick: u64) -> Option<(CrashPoint, String)> {
    let points = points(kind, sink);
    let places: Vec<_> = points.iter().flat_map(|one| [(one, "before"), (one, "after")]).collect();
    let place = pick.checked_rem(u64::try_from(places.len()).ok()?)?;
    let (point, when) = places[usize::try_from(place).ok()?];
    Some((*point, format!("{when}-{}", point.what)))
}

/// How many places there are for this kind of fault.
pub fn count(kind: Kind, sink: SinkKind) -> u64 {
    2 * u64::try_from(points(kind, sink).len()).unwrap_or(u64::MAX)
}

fn points(kind: Kind, sink: SinkKind) -> Vec<CrashPoint> {
    match (kind, sink) {
        (Kind::ConsumerCrashPoint, SinkKind::Parquet) => [&OF_CONSUMERS[..], &OF_LAKES].concat(),
        (Kind::ConsumerCrashPoint, SinkKind::BigQuery) => {
            [&OF_CONSUMERS[..], &OF_BIGQUERY].concat()
        }
        (Kind::LeaderCrashPoint, _) => OF_LEADERS.to_vec(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_place_has_its_turn() {
        let sink = SinkKind::BigQuery;
        for kind in [Kind::ConsumerCrashPoint, Kind::LeaderCrashPoint] {
            let places = (0..count(kind, sink)).filter_map(|pick| choose(kind, sink, pick));
            let names: BTreeSet<_> = places.map(|(_, name)| name).collect();
            assert_eq!(u64::try_from(names.len()).unwrap(), count(kind, sink));
        }
        assert_eq!(choose(Kind::ConsumerKill, sink, 0), None);
    }
}
