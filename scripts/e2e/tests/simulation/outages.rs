//! Pure. Brokers or sink away for a while, with somebody dying meanwhile: how long until all is well again?

use std::collections::BTreeSet;
use std::time::Duration;

use rand::RngExt as _;

use super::history::{Invariant, broken, note};
use super::single_faults::{Fault, STEP_MS};
use super::world::World;

/// I7: within this after they answer again everything is in its place, but for the time in which somebody waits for
/// a stream that the sink does not know.
const CONVERGENCE_MAX: Duration = Duration::from_secs(15);
const AWAY_MAX_SECS: u64 = 90;

impl World {
    /// I7, by one outage.
    pub(crate) fn suffer_an_outage(&mut self) -> (Fault, Duration) {
        let fault = if self.outside.rng.random() { Fault::SinkAway } else { Fault::BrokersAway };
        let seconds = self.outside.rng.random_range(1..AWAY_MAX_SECS);
        let back_at = self.outside.now + Duration::from_secs(seconds);
        note(None, || format!("{fault:?} for {seconds} s"));
        match fault {
            Fault::BrokersAway => self.outside.brokers_back_at = back_at,
            _ => self.outside.sink_back_at = back_at,
        }
        if self.outside.rng.random() {
            self.kill_a_reader();
        }
        while self.outside.now < back_at {
            self.go_on(STEP_MS);
        }
        note(None, || "they answer again".into());
        let (mut lived, mut ended_at, mut was_placed) = (self.pids(), back_at, false);
        let mut waiting = Duration::ZERO;
        loop {
            let before = self.outside.now;
            self.go_on(STEP_MS);
            let now = self.outside.now;
            if self.sink_openings().any(|(_, opening)| opening.has_met_unknown) {
                waiting += now.saturating_since(before);
            }
            let since = now.saturating_since(back_at);
            let Some((_, partition, text)) = self.unsettled() else { return (fault, since) };
            was_placed |= self.misplaced().is_none();
            let live = self.pids();
            if !lived.is_subset(&live) {
                ended_at = now;
            }
            lived = live;
            // Once all was in its place, consumers that are not needed may be closed. The end of one that another
            // orchestrator started is confirmed by nobody: the leader waits until its lease is over.
            let due_from = if was_placed { ended_at } else { back_at };
            if now.saturating_since(due_from) > CONVERGENCE_MAX + waiting {
                let text = format!("{since:?} after {fault:?} for {seconds} s: {text}");
                broken(Invariant::I7, partition.as_ref(), text);
            }
        }
    }

    fn pids(&self) -> BTreeSet<u32> {
        self.processes.keys().copied().collect()
    }
}
